//! The compiled filter beside the core as it was compiled for this machine: what is written twice, for vectors and without, must agree.
//! Wants `scripts/build`.

use meterr_core::{
    effect::Effect,
    exchange::Exchange,
    head::Headers,
    host::{Host, NoProperties},
    random::Random,
    service::Service,
    store::MemoryStore,
    time::Timestamp,
};
use meterr_tests::{envoy::root, vm::Vm, workload};
use serde_json::Value;

/// Bodies that are tried.
const BODIES: u64 = 160;

/// A text of every kind of byte and escape, as it stands in JSON.
fn text(random: &mut Random) -> String {
    const PARTS: [&str; 16] = [
        "the",
        " ",
        "Quarter",
        "2026",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/\\b\\f\\r\\t",
        "\\u0041",
        "\\ud83d\\ude00",
        "\\ud83d",
        "é",
        "人人",
        "😀",
        "{}[]:,",
        "\u{7f}~^",
    ];
    let mut text = String::new();
    // Long runs of plain text among them, or none at all: the vector code looks at 64 bytes at a time.
    let kinds = [15, 17, 40, 400][usize::try_from(random.up_to(3)).expect("small")];
    for _ in 0..random.up_to(400) {
        let pick = usize::try_from(random.up_to(kinds)).expect("small");
        text.push_str(PARTS.get(pick).copied().unwrap_or("plain text "));
    }
    text
}

/// A chat's request.
fn request(random: &mut Random) -> Vec<u8> {
    let message = |text: String| format!(r#"{{"role":"user","name":"{text}","x":"{text}","content":"{text}"}}"#);
    let messages: Vec<String> = (0..=random.up_to(3)).map(|_| message(text(random))).collect();
    format!(r#"{{"messages":[{}],"model":"gpt-4o-mini","max_tokens":5000}}"#, messages.join(",")).into_bytes()
}

/// Its reply, which does not say what it took: what is estimated then says what its texts weigh.
fn reply(random: &mut Random) -> Vec<u8> {
    let text = text(random);
    format!(
        r#"{{"id":"c","choices":[{{"index":0,"message":{{"x":"{text}","content":"{text}"}},"finish_reason":"stop"}}]}}"#
    )
    .into_bytes()
}

/// The same exchange in the core, natively.
fn native(service: &mut Service, store: &MemoryStore, body: &[u8], reply: &[u8]) -> Value {
    let length = body.len().to_string();
    let (mut effects, now) = (Vec::new(), Timestamp(1_790_000_000_000_000_000));
    let mut host = Host { store, properties: &NoProperties, now, effects: &mut effects };
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api.openai.com"),
        (b"x-tenant", b"t"),
        (b"content-length", length.as_bytes()),
    ];
    let mut exchange = Exchange::default();
    let _held = exchange.on_request_headers(&Headers::new(pairs), false, service, &mut host);
    let _held = exchange.on_request_body(body, false, service, &mut host);
    let _on = exchange.on_request_body(&[], true, service, &mut host);
    let pairs: Vec<(&[u8], &[u8])> = vec![(b":status", b"200"), (b"content-type", b"application/json")];
    let _on = exchange.on_response_headers(&Headers::new(pairs), false, service, &mut host);
    let _on = exchange.on_response_body(reply, true, service, &mut host);
    let event = effects.iter().find_map(|effect| match effect {
        Effect::SetFilterState("meterr", event) => Some(event),
        _ => None,
    });
    serde_json::from_slice::<Value>(event.expect("an event")).expect("JSON")["data"].take()
}

/// What a limit holds for a request says what its texts weigh: the same, whichever code weighed them and however they were cut.
#[test]
fn ok_texts_weigh_the_same_in_wasm() {
    let configuration = workload::configuration(1);
    let mut vm = Vm::start(&root().join("target/meterr.wasm"), &configuration).expect("the filter");
    let text = configuration.to_string();
    let mut service = Service::configure(text.as_bytes(), None, 1, &|_| None).expect("a configuration");
    let (store, mut random) = (MemoryStore::default(), Random::new(42));
    let mut seen = Vec::new();
    for nth in 0..BODIES {
        let (body, reply) = (request(&mut random), reply(&mut random));
        let piece = usize::try_from(1 + random.up_to(3_000)).expect("small");
        let wasm = vm.chat(&body, piece, &reply).expect("an exchange");
        let plain = native(&mut service, &store, &body, &reply);
        let shown = String::from_utf8_lossy(&body);
        for field in ["usage_status", "input_tokens", "output_tokens", "cost_usd", "request_model", "usage_flags"] {
            assert_eq!(wasm.get(field), plain.get(field), "{field} of {nth}, in pieces of {piece}: {shown}");
        }
        assert_eq!(wasm["usage_status"], "estimated");
        assert_eq!(wasm["limits"][0]["held"], plain["limits"][0]["held"], "{nth}, in pieces of {piece}: {shown}");
        seen.push((wasm["input_tokens"].as_u64(), wasm["output_tokens"].as_u64()));
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() as u64 > BODIES * 3 / 4, "the bodies differ in what they weigh: {seen:?}");
}
