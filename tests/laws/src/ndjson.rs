//! One JSON document after another.

use meterr_core::{
    time::Timestamp,
    usage::{
        Usage,
        estimate::Estimate,
        meter::{Meter, Snapshot, settle_usage},
    },
};

use crate::{cut::Cut, json::operations, tree::Tree};

/// Largest counter that is believed.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

fn read(pick: u8, pieces: &[&[u8]]) -> (Snapshot, Usage) {
    let streams: Vec<_> = operations().filter(|operation| operation.name == "chat").collect();
    // The first is Ollama's, whose counters the reference knows.
    let ollama = operations().find(|operation| operation.endpoint == "/api/chat").expect("Ollama");
    let operation = if pick == 0 { ollama } else { streams[usize::from(pick) % streams.len()] };
    let mut meter = Meter::new(operation, 200, b"application/x-ndjson", None);
    for piece in pieces {
        meter.push(piece, Timestamp::from_secs(1));
    }
    meter.finish();
    let snapshot = meter.snapshot();
    let usage = settle_usage(operation, "ollama", &snapshot, false, None, &mut Estimate::default);
    (snapshot, usage)
}

/// Any bytes as documents: however they are cut the same is read, and of valid ones the last counters.
pub fn ndjson(data: &[u8]) {
    let (cut, rest) = Cut::take(data);
    let Some((pick, bytes)) = rest.split_first() else { return };
    let whole = read(*pick, &[bytes]);
    assert_eq!(read(*pick, &cut.pieces(bytes)), whole, "cut otherwise");
    if *pick != 0 {
        return;
    }
    let (mut input, mut output) = (None, None);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let Some(record) = Tree::parse(line).filter(|record| !record.has_doubles()) else { return };
        for (name, count) in [("prompt_eval_count", &mut input), ("eval_count", &mut output)] {
            match record.get(name) {
                Some(Tree::Number(number)) if number.fract() == 0.0 && (0.0..MAX_COUNT).contains(number) => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it is such an integer"
                    )]
                    let number = *number as u64;
                    *count = Some(number);
                }
                None | Some(Tree::Null) => {}
                // What is no counter is flagged, and the rest is its own test.
                Some(_) => return,
            }
        }
    }
    if let (Some(input), Some(output)) = (input, output) {
        assert_eq!((whole.1.input, whole.1.output), (Some(input), Some(output)), "the last counters");
    }
}
