//! Headers of requests and of replies.

use meterr_core::{
    effect::Effect,
    host::{Host, NoProperties},
    service::Service,
    store::MemoryStore,
    time::Timestamp,
};

use crate::{
    cut::Cut,
    exchange::{Pairs, Plan},
};

/// Longest wait that a collector may ask for, in milliseconds, and some for the jitter.
const MAX_TICK_MS: u32 = 60_000;

/// Headers in lines, requests before an empty one and replies after it.
fn pairs(text: &[u8]) -> Pairs<'_> {
    let pair = |line: &'_ [u8]| -> Option<usize> { Some(line.iter().skip(1).position(|byte| *byte == b':')? + 1) };
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| Some((line.get(..pair(line)?)?, line.get(pair(line)? + 1..)?)))
        .collect()
}

/// Any bytes as the headers of a request and of its reply: no panic, at most one event, and of the caller's credential nothing but a
/// hash. The last line is what a collector says in `retry-after`.
pub fn headers(data: &[u8]) {
    const BODY: &[u8] =
        br#"{"model":"m","messages":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let (cut, text) = Cut::take(data);
    let split = text.windows(2).position(|pair| pair == b"\n\n").unwrap_or(text.len());
    let (request, response) = (pairs(&text[..split]), pairs(text.get(split + 2..).unwrap_or_default()));
    let plan = Plan { request, request_body: BODY, response, response_body: BODY, is_cut: false, header_hold: true };
    let whole = plan.run(None);
    assert_eq!(plan.run(Some(&cut)), whole, "cut otherwise");
    if let Some(data) = &whole.data {
        let hex = |name: &str, len: usize| {
            if let Some(id) = data.get(name).and_then(|id| id.as_str()) {
                assert!(id.len() == len && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {id}");
            }
        };
        hex("key_id", 16);
        hex("trace_id", 32);
        hex("span_id", 16);
    }
    retry_after(text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default());
}

/// Any text that a collector may answer with.
fn retry_after(text: &[u8]) {
    let Ok(text) = core::str::from_utf8(text) else { return };
    let configuration = br#"{"identity":{"tenant":[{"from":"constant","value":"t"}]},"sink":{"cluster":"c"}}"#;
    let mut service = Service::configure(configuration, None, 1, &|_| None).expect("a valid configuration");
    let (store, mut effects) = (MemoryStore::default(), Vec::new());
    for secs in [0, 1_790_000_000, 1 << 33] {
        let now = Timestamp::from_secs(secs);
        let mut host = Host { store: &store, properties: &NoProperties, now, effects: &mut effects };
        service.on_tick(&mut host);
        for token in 0..3 {
            service.on_callout_response(token, Some(429), Some(text), &mut host);
        }
    }
    for effect in &effects {
        if let Effect::SetTick(ms) = effect {
            assert!((1..=MAX_TICK_MS).contains(ms), "a tick of {ms} ms");
        }
    }
}
