//! The same connection in other pieces, and in none that make sense.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Line, created, done, frame, text};

/// A connection of two responses, one cut, with a ping between.
fn script() -> Vec<u8> {
    let messages = [
        json!({ "type": "session.created", "session": { "model": "gpt-realtime" } }),
        created("r1"),
        text("r1", "Grüße aus Wien"),
        done("r1", "completed", &Value::Null, 100, 20),
        created("r2"),
        text("r2", "To be contin"),
    ];
    let mut bytes: Vec<u8> = messages.iter().flat_map(frame).collect();
    bytes.extend([0x89, 1, b'p']);
    bytes
}

proptest! {
    /// The same bytes are the same events, whatever pieces they come in.
    #[test]
    fn pieces_make_no_difference(cuts in prop::collection::vec(1..90_usize, 1..12)) {
        let bytes = script();
        let (mut whole, mut pieces) = (Line::new(), Line::new());
        whole.server(&bytes);
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.server(piece);
            rest = after;
        }
        let strip = |events: Vec<Value>| -> Vec<Value> {
            events.into_iter().map(|mut event| {
                for time in ["time", "id"] { event[time].take(); }
                for time in ["duration_ms", "ttft_ms"] { event["data"][time].take(); }
                event
            }).collect()
        };
        prop_assert_eq!(strip(whole.end("via_upstream")), strip(pieces.end("via_upstream")));
    }

    /// Rubbish from either side harms nothing: one settlement, filter state that is JSON, and no secret in it.
    #[test]
    fn rubbish_is_survived(
        sides in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60), 0..400_usize), 0..12),
    ) {
        let mut line = Line::new();
        let script = script();
        for (is_client, rubbish, from) in &sides {
            let real = script.get(*from..from + 80).unwrap_or_default();
            if *is_client { line.client(rubbish); line.client(real); } else { line.server(real); line.server(rubbish); }
        }
        let events = line.end("downstream_remote_disconnect");
        prop_assert!(!events.is_empty());
        let told = format!("{events:?}");
        prop_assert!(!told.contains("planted"));
    }
}

#[test]
fn ok_the_script_cut_anywhere_counts_what_was_whole() {
    let bytes = script();
    let at = bytes.len() - frame(&text("r2", "To be contin")).len() - frame(&created("r2")).len() - 3;
    for cut in 0..bytes.len() {
        let mut line = Line::new();
        line.server(&bytes[..cut]);
        let events = line.end("upstream_reset_after_response_started{x}");
        let reported: Vec<&Value> = events.iter().filter(|event| event["data"]["usage_status"] == "reported").collect();
        assert_eq!(reported.len(), usize::from(cut >= at), "{cut}");
        for event in reported {
            assert_eq!(event["data"]["total_tokens"], 120);
        }
    }
}
