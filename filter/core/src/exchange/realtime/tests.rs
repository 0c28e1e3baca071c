use serde_json::{Value, json};

use crate::{
    effect::{Effect, Verdict},
    exchange::{
        Exchange,
        tests::{World, tpm, view, written},
    },
    metric::Metric,
};

mod pieces;

const PATH: &str = "/v1/realtime?model=gpt-realtime";
const SWITCHED: &[(&str, &str)] = &[(":status", "101"), ("upgrade", "websocket")];

/// A connection in the middle of its life.
struct Line {
    world: World,
    exchange: Exchange,
}

impl Line {
    fn open(limits: &Value, path: &str, answer: &[(&str, &str)]) -> Self {
        let (mut world, mut exchange) = (World::new(limits), Exchange::default());
        assert_eq!(ask(&mut world, &mut exchange, path), Verdict::Continue);
        let headers = view(answer);
        let verdict = world.step(|service, host| exchange.on_response_headers(&headers, false, service, host));
        assert_eq!(verdict, Verdict::Continue);
        Self { world, exchange }
    }

    fn new() -> Self {
        Self::open(&json!([]), PATH, SWITCHED)
    }

    fn server(&mut self, bytes: &[u8]) {
        let Self { world, exchange } = self;
        let verdict = world.step(|service, host| exchange.on_response_body(bytes, false, service, host));
        assert_eq!(verdict, Verdict::Continue);
    }

    fn client(&mut self, bytes: &[u8]) {
        let Self { world, exchange } = self;
        let verdict = world.step(|service, host| exchange.on_request_body(bytes, false, service, host));
        assert_eq!(verdict, Verdict::Continue);
    }

    fn say(&mut self, message: &Value) {
        self.server(&frame(message));
    }

    /// The events, after the stream ended so; and what filter state says.
    fn end(mut self, details: &str) -> Vec<Value> {
        self.world.done(&mut self.exchange, details);
        self.world.done(&mut self.exchange, details);
        assert!(!self.exchange.is_open());
        let events = self.events();
        let accepted = Effect::Measure(Metric::Events("accepted"), 1);
        assert_eq!(self.world.effects.iter().filter(|effect| **effect == accepted).count(), events.len());
        events
    }

    fn events(&self) -> Vec<Value> {
        serde_json::from_str(&self.state("meterr")).expect("an array of events")
    }

    fn state(&self, key: &str) -> String {
        let states: Vec<String> = self.world.effects.iter().filter_map(|effect| written(effect, key)).collect();
        assert_eq!(states.len(), 1, "{key} is written once");
        states.concat()
    }
}

fn ask(world: &mut World, exchange: &mut Exchange, path: &str) -> Verdict {
    let headers = view(&[
        (":method", "GET"),
        (":authority", "api.openai.com"),
        (":path", path),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("authorization", "Bearer sk-planted-secret-0123456789"),
    ]);
    world.step(|service, host| exchange.on_request_headers(&headers, false, service, host))
}

/// One text message of the server's.
fn frame(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let length = u16::try_from(text.len()).expect("a short message").to_be_bytes();
    [&[0x81, 126][..], &length, text.as_bytes()].concat()
}

/// One text message of the client's.
fn masked(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let length = u8::try_from(text.len()).expect("a very short message");
    let mask = [7, 1, 200, 33];
    let payload = text.bytes().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key);
    [0x81, 0x80 | length].into_iter().chain(mask).chain(payload).collect()
}

fn created(id: &str) -> Value {
    json!({ "type": "response.created", "response": { "object": "realtime.response", "id": id, "status": "in_progress", "usage": null } })
}

fn text(id: &str, delta: &str) -> Value {
    json!({ "type": "response.output_text.delta", "response_id": id, "delta": delta })
}

fn done(id: &str, status: &str, details: &Value, input: u64, output: u64) -> Value {
    json!({ "type": "response.done", "event_id": "e", "response": { "object": "realtime.response", "id": id, "status": status,
        "status_details": details, "output": [{ "content": [{ "text": "planted text", "usage": { "input_tokens": 9 } }] }],
        "usage": { "total_tokens": input + output, "input_tokens": input, "output_tokens": output,
            "input_token_details": { "text_tokens": input - 60, "audio_tokens": 60, "cached_tokens": 20,
                "cached_tokens_details": { "text_tokens": 10, "audio_tokens": 10 } },
            "output_token_details": { "text_tokens": output - 8, "audio_tokens": 8 } } } })
}

fn assert_fields(data: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[name], value, "{name} in {data:#}");
    }
}

#[test]
fn ok_each_response_is_an_event_of_its_own() {
    let mut line = Line::new();
    assert!(line.world.effects.contains(&Effect::RemoveRequestHeader("sec-websocket-extensions".into())));
    assert!(
        line.world
            .effects
            .contains(&Effect::SetRequestHeader("x-meterr-model".into(), b"gpt-realtime".to_vec().into()))
    );
    line.say(&json!({ "type": "session.created", "session": { "model": "gpt-realtime-2025-08-28" } }));
    line.client(&masked(&json!({ "type": "response.create" })));
    line.say(&created("r1"));
    line.say(&text("r1", "Hello"));
    line.say(&done("r1", "completed", &Value::Null, 100, 20));
    line.say(&created("r2"));
    line.say(&done("r2", "incomplete", &json!({ "type": "incomplete", "reason": "max_output_tokens" }), 160, 40));
    let events = line.end("downstream_remote_disconnect");
    assert_eq!(events.len(), 2);
    let id = events[0]["id"].as_str().and_then(|id| id.strip_suffix(".1")).expect("the first");
    assert_eq!((id.len(), events[1]["id"].as_str()), (36, Some(&*format!("{id}.2"))));
    assert_fields(
        &events[0]["data"],
        &json!({
            "provider": "openai", "dialect": "openai.realtime", "operation": "chat", "endpoint": "/v1/realtime", "stream": true,
            "request_model": "gpt-realtime", "response_model": "gpt-realtime-2025-08-28", "response_id": "r1", "status": 101,
            "outcome": "completed", "finish_reason": "completed", "usage_status": "reported", "billable": true,
            "input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "input_uncached_tokens": 80, "cache_read_tokens": 20,
            "cache_read_audio_tokens": 10, "input_audio_tokens": 60, "output_text_tokens": 12, "output_audio_tokens": 8,
            // From the client's message to the delta, and to the end.
            "ttft_ms": 2, "duration_ms": 3, "seq": 1,
            // (30 × 4 + 50 × 32 + 20 × 0.4 + 12 × 16 + 8 × 64) USD per million
            "cost_usd": "0.002432",
        }),
    );
    let second = json!({ "response_id": "r2", "outcome": "completed", "finish_reason": "max_output_tokens", "input_tokens": 160, "seq": 2 });
    assert_fields(&events[1]["data"], &second);
    assert_eq!(events[1]["data"].get("ttft_ms"), None, "nobody asked, and nothing was said");
}

#[test]
fn ok_filter_state_holds_the_sums() {
    let mut line = Line::new();
    line.say(&done("r1", "completed", &Value::Null, 100, 20));
    line.say(&done("r2", "completed", &Value::Null, 160, 40));
    line.server(&[0x88, 0]);
    line.world.done(&mut line.exchange, "via_upstream");
    let expected = [
        ("meterr_tenant", "acme"),
        ("meterr_provider", "openai"),
        ("meterr_model", "gpt-realtime"),
        ("meterr_outcome", "completed"),
        ("meterr_usage_status", "reported"),
        ("meterr_input_tokens", "260"),
        ("meterr_output_tokens", "60"),
        ("meterr_total_tokens", "320"),
    ];
    for (key, value) in expected {
        assert_eq!(line.state(key), value, "{key}");
    }
    assert!(line.world.effects.contains(&Effect::SetHitsAddend(320)));
    assert_eq!(line.events().len(), 2);
}

#[test]
fn ok_how_a_response_ended_is_told() {
    let failed = json!({ "type": "failed", "error": { "type": "server_error", "code": "x" } });
    let cancelled = json!({ "type": "cancelled", "reason": "turn_detected" });
    let mut line = Line::new();
    line.say(&done("r1", "cancelled", &cancelled, 100, 20));
    line.say(&done("r2", "failed", &failed, 100, 20));
    line.say(&json!({ "type": "response.done", "response": { "id": "r3", "status": "failed", "usage": null } }));
    // An error that concerns one message of the client's is no outcome of anything.
    line.say(&created("r4"));
    line.say(&json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no" } }));
    line.say(&done("r4", "completed", &Value::Null, 100, 20));
    line.say(&created("r5"));
    line.say(&text("r5", "Hello there"));
    line.say(&json!({ "type": "error", "error": { "type": "invalid_request_error", "code": "session_expired" } }));
    let events = line.end("upstream_reset_before_response_started{connection_termination}");
    let expected = [
        json!({ "outcome": "completed", "finish_reason": "turn_detected", "usage_status": "reported" }),
        json!({ "outcome": "provider_error", "reason": "error_in_body", "usage_status": "reported", "total_tokens": 120 }),
        json!({ "outcome": "provider_error", "finish_reason": "failed", "usage_status": "none", "cost_status": "free" }),
        json!({ "outcome": "completed", "usage_status": "reported" }),
        json!({ "outcome": "provider_error", "usage_status": "estimated", "output_tokens": 3 }),
    ];
    assert_eq!(events.len(), expected.len());
    for (event, expected) in events.iter().zip(expected) {
        assert_fields(&event["data"], &expected);
    }
}

#[test]
fn ok_a_response_that_is_cut_is_estimated_from_what_came() {
    let audio = json!({ "type": "response.output_audio.delta", "response_id": "r1", "delta": "A".repeat(64_000) });
    let ways: [(&[u8], &str, &str, &str); 3] = [
        (b"", "downstream_remote_disconnect", "client_aborted", "client_disconnect"),
        (b"", "upstream_reset_after_response_started{remote_reset}", "upstream_reset", "upstream_disconnect"),
        // Whoever closes first ends it, whatever becomes of the connection.
        (&[0x88, 0], "downstream_remote_disconnect", "upstream_reset", "upstream_disconnect"),
    ];
    for (last, details, outcome, reason) in ways {
        let mut line = Line::new();
        line.say(&created("r1"));
        line.say(&json!({ "type": "response.output_audio_transcript.delta", "response_id": "r1", "delta": "Hello" }));
        line.say(
            &json!({ "type": "response.output_audio_transcript.done", "response_id": "r1", "transcript": "Hello" }),
        );
        line.say(&audio);
        line.server(last);
        let events = line.end(details);
        assert_eq!(events.len(), 1);
        let expected = json!({
            "outcome": outcome, "reason": reason, "usage_status": "estimated", "response_id": "r1", "status": 101,
            // Five letters and a second of audio.
            "output_tokens": 22, "usage_flags": "output_estimated", "billable": true,
        });
        assert_fields(&events[0]["data"], &expected);
        assert_eq!(events[0]["data"].get("input_tokens"), None, "unknown is never zero");
    }
}

#[test]
fn ok_a_response_that_was_asked_for_and_never_began_is_missing() {
    let create = masked(&json!({ "type": "response.create" }));
    let mut line = Line::new();
    line.client(&create);
    let events = line.end("downstream_remote_disconnect");
    let expected = json!({ "outcome": "client_aborted", "usage_status": "missing", "cost_status": "unpriced", "usage_flags": null });
    assert_fields(&events[0]["data"], &expected);
    assert_eq!((events.len(), events[0]["id"].as_str().map(|id| id.ends_with(".1"))), (1, Some(true)));
    // Unless the server says that it does not want to.
    let mut line = Line::new();
    line.client(&create);
    line.say(&json!({ "type": "error", "error": { "type": "invalid_request_error" } }));
    let events = line.end("via_upstream");
    assert_fields(
        &events[0]["data"],
        &json!({ "outcome": "provider_error", "reason": "error_in_body", "usage_status": "none" }),
    );
}

#[test]
fn ok_a_client_that_closes_first_has_left() {
    let mut line = Line::new();
    line.say(&created("r1"));
    line.client(&[0x88, 0x80, 1, 2, 3, 4]);
    line.server(&[0x88, 0]);
    let Line { world, exchange } = &mut line;
    let verdict = world.step(|service, host| exchange.on_response_body(&[], true, service, host));
    assert_eq!(verdict, Verdict::Continue);
    assert_eq!(line.end("")[0]["data"]["outcome"], "client_aborted");
}

#[test]
fn ok_responses_under_way_at_once_are_told_apart() {
    let mut line = Line::new();
    line.say(&created("r1"));
    line.say(&created("r2"));
    line.say(&text("r2", "four token text."));
    line.say(&text("r1", "Hi"));
    line.say(&done("r2", "completed", &Value::Null, 200, 30));
    let events = line.end("downstream_remote_disconnect");
    assert_fields(&events[0]["data"], &json!({ "response_id": "r2", "outcome": "completed", "output_tokens": 30 }));
    assert_fields(&events[1]["data"], &json!({ "response_id": "r1", "outcome": "client_aborted", "output_tokens": 1 }));
}

#[test]
fn ok_transcriptions_are_the_other_models() {
    let kind = "conversation.item.input_audio_transcription.completed";
    let mut line = Line::open(&tpm(10_000, "expected"), PATH, SWITCHED);
    let session =
        json!({ "model": "gpt-realtime", "audio": { "input": { "transcription": { "model": "gpt-4o-transcribe" } } } });
    line.say(&json!({ "type": "session.updated", "session": session }));
    line.say(
        &json!({ "type": kind, "item_id": "i1", "transcript": "Hey", "usage": { "type": "tokens", "total_tokens": 22,
        "input_tokens": 13, "input_token_details": { "text_tokens": 0, "audio_tokens": 13 }, "output_tokens": 9 } }),
    );
    line.say(&json!({ "type": kind, "item_id": "i2", "usage": { "type": "duration", "seconds": 3.5 } }));
    line.say(&json!({ "type": "conversation.item.input_audio_transcription.failed", "error": { "type": "x" } }));
    line.say(&done("r1", "completed", &Value::Null, 100, 20));
    let events = line.end("via_upstream");
    let expected = [
        json!({ "operation": "transcription", "request_model": "gpt-4o-transcribe", "response_model": "gpt-4o-transcribe",
            "input_tokens": 13, "input_audio_tokens": 13, "output_tokens": 9, "usage_status": "reported", "outcome": "completed" }),
        json!({ "operation": "transcription", "audio_seconds": 3.5, "usage_status": "reported" }),
        json!({ "operation": "transcription", "usage_status": "none", "outcome": "provider_error" }),
        json!({ "operation": "chat", "request_model": "gpt-realtime", "total_tokens": 120 }),
    ];
    for (event, expected) in events.iter().zip(&expected) {
        assert_fields(&event["data"], expected);
    }
    let suffixes: Vec<_> = events.iter().filter_map(|event| event["id"].as_str()?.get(36..)).collect();
    assert_eq!(suffixes, [".t1", ".t2", ".t3", ".1"]);
    // All of it is charged, and the hold of the upgrade is gone.
    assert_eq!(events[3]["data"]["limits"][0]["remaining"], 10_000 - 22 - 120);
}

#[test]
fn ok_limits_are_asked_at_the_upgrade_and_charged_by_response() {
    let requests = json!({ "id": "rpm", "per": ["tenant"], "unit": "requests", "amount": 2, "notify_at": [],
        "window": { "kind": "fixed", "per": "minute" } });
    let mut limits = tpm(300, "expected");
    limits.as_array_mut().expect("an array").push(requests);
    let mut line = Line::open(&limits, PATH, SWITCHED);
    for nth in 1..=3 {
        line.say(&created("r"));
        line.say(&done("r", "completed", &Value::Null, 100, 20));
        let accepted = Effect::Measure(Metric::Events("accepted"), 1);
        assert_eq!(line.world.effects.iter().filter(|effect| **effect == accepted).count(), nth, "settled at once");
    }
    // The window is full now: nobody else gets in.
    let mut second = Exchange::default();
    let Verdict::Reply(reply) = ask(&mut line.world, &mut second, PATH) else { panic!("no room is left") };
    assert_eq!(reply.status, 429);
    assert!(serde_json::from_slice::<Value>(&reply.body).expect("JSON")["error"]["message"].is_string());
    let events = line.end("via_upstream");
    let remaining = |limit: usize| -> Vec<i64> {
        events.iter().map(|event| event["data"]["limits"][limit]["remaining"].as_i64().expect("a number")).collect()
    };
    assert_eq!((remaining(0), remaining(1)), (vec![180, 60, -60], vec![1, 0, -1]));
    let decisions: Vec<&Value> = events.iter().map(|event| &event["data"]["limits"][0]["decision"]).collect();
    assert_eq!(decisions, ["admitted", "charged", "charged"]);
    assert_eq!(events[1]["data"]["limits"][0]["settled"], 120);
}

#[test]
fn ok_a_connection_without_a_response_leaves_one_event_and_no_hold() {
    let ends: [(&[u8], &str, Value); 3] = [
        (&[0x88, 0], "via_upstream", json!({ "outcome": "completed" })),
        (b"", "downstream_remote_disconnect", json!({ "outcome": "client_aborted" })),
        (b"", "upstream_reset_after_response_started{x}", json!({ "outcome": "upstream_reset" })),
    ];
    for (last, details, outcome) in ends {
        let mut line = Line::open(&tpm(5_000, "expected"), PATH, SWITCHED);
        line.say(&json!({ "type": "session.created", "session": { "model": "gpt-realtime" } }));
        line.server(last);
        let events = line.end(details);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["id"].as_str().map(str::len), Some(36), "its own id");
        let expected = json!({ "usage_status": "none", "cost_status": "free", "operation": "chat", "response_model": "gpt-realtime" });
        assert_fields(&events[0]["data"], &expected);
        assert_fields(&events[0]["data"], &outcome);
        assert_eq!(events[0]["data"]["limits"][0]["remaining"], 5_000, "what was held is given back");
    }
    // providers.md, case 31: such a session is paid for by its seconds, which are told as a total.
    let mut line = Line::new();
    line.say(&json!({ "type": "session.usage.updated", "usage": { "seconds": 3.2 } }));
    line.say(&json!({ "type": "session.usage.updated", "usage": { "seconds": 7.9 } }));
    let events = line.end("via_upstream");
    assert_fields(&events[0]["data"], &json!({ "usage_status": "reported", "audio_seconds": 7.9 }));
}

#[test]
fn ok_an_upgrade_that_is_refused_is_an_exchange_like_any_other() {
    let answer = [(":status", "401"), ("content-type", "application/json")];
    let mut line = Line::open(&tpm(5_000, "expected"), PATH, &answer);
    let Line { world, exchange } = &mut line;
    let body = br#"{"error":{"type":"invalid_request_error","message":"no"}}"#;
    let verdict = world.step(|service, host| exchange.on_response_body(body, true, service, host));
    assert_eq!(verdict, Verdict::Continue);
    let event: Value = serde_json::from_str(&line.state("meterr")).expect("one event, no array");
    let expected =
        json!({ "outcome": "provider_error", "status": 401, "usage_status": "none", "dialect": "openai.realtime" });
    assert_fields(&event["data"], &expected);
    assert_eq!(event["data"]["limits"][0]["remaining"], 5_000);
}

#[test]
fn ok_what_cannot_be_read_is_missing_never_zero() {
    let deflate = [(":status", "101"), ("sec-websocket-extensions", "permessage-deflate")];
    let compressed = [&[0xc1, 4][..], b"\xaa\x56\x2a\x01"].concat();
    let rubbish = b"\xff\xff\xff\xff no frames at all".to_vec();
    let broken = [&[0x81, 9][..], br#"{"type":]"#].concat();
    for (bytes, flag) in [(compressed, "unreadable_encoding"), (rubbish, "malformed_body"), (broken, "malformed_body")]
    {
        // Alone, after a response that was read, and in the middle of one.
        for before in [vec![], vec![done("r1", "completed", &Value::Null, 100, 20)], vec![created("r2")]] {
            let mut line = Line::open(&json!([]), PATH, &deflate);
            before.iter().for_each(|message| line.say(message));
            line.server(&bytes);
            line.server(&bytes);
            let events = line.end("via_upstream");
            let last = &events.last().expect("an event")["data"];
            assert_fields(last, &json!({ "usage_status": "missing", "usage_flags": flag, "cost_status": "unpriced" }));
            assert_eq!((last.get("input_tokens"), last.get("output_tokens")), (None, None));
            let is_done = before.iter().any(|message| message["type"] == "response.done");
            assert_eq!(events.len(), 1 + usize::from(is_done), "{events:#?}");
            if is_done {
                assert_fields(&events[0]["data"], &json!({ "usage_status": "reported", "usage_flags": null }));
            }
        }
    }
}

#[test]
fn ok_azure_names_its_deployment() {
    let mut line = Line::open(&json!([]), "/openai/realtime?api-version=x&deployment=voice%2Deu", SWITCHED);
    line.say(&done("r1", "completed", &Value::Null, 100, 20));
    assert_fields(&line.end("via_upstream")[0]["data"], &json!({ "request_model": "voice-eu", "total_tokens": 120 }));
}

#[test]
fn ok_the_state_of_a_long_connection_is_bounded() {
    let mut line = Line::new();
    for _ in 0..500 {
        line.say(&done("r", "completed", &Value::Null, 100, 20));
    }
    line.world.done(&mut line.exchange, "via_upstream");
    let kept = line.events().len();
    let left_out = Effect::Measure(Metric::Errors("filter_state_full"), 1);
    let left_out = line.world.effects.iter().filter(|effect| **effect == left_out).count();
    assert!(kept > 100 && left_out > 0 && kept + left_out == 500, "{kept} and {left_out}");
    assert!(line.state("meterr").len() <= super::MAX_STATE + 2);
    assert_eq!(line.state("meterr_total_tokens"), (500 * 120).to_string(), "the sums are whole");
}

#[test]
fn ok_responses_over_a_websocket_are_told_by_their_own_names() {
    let mut line = Line::open(&json!([]), "/v1/responses", SWITCHED);
    line.client(&masked(&json!({ "type": "response.create", "model": "gpt-4o", "input": "Hi" })));
    let begun = json!({ "id": "resp_1", "model": "gpt-4o-2024-08-06", "status": "in_progress", "usage": null });
    line.say(&json!({ "type": "response.created", "response": begun, "sequence_number": 0 }));
    line.say(&json!({ "type": "response.output_text.delta", "item_id": "i", "delta": "Hello", "sequence_number": 1 }));
    line.say(&json!({ "type": "response.completed", "response": { "id": "resp_1", "model": "gpt-4o-2024-08-06", "status": "completed",
        "service_tier": "default", "error": null, "usage": { "input_tokens": 30, "input_tokens_details": { "cached_tokens": 10 },
        "output_tokens": 12, "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 42 } } }));
    line.client(&masked(&json!({ "type": "response.create", "model": "gpt-4o-mini" })));
    line.say(&json!({ "type": "response.created", "response": { "id": "resp_2", "status": "in_progress" } }));
    line.say(&json!({ "type": "response.output_text.delta", "item_id": "i", "delta": "Hello" }));
    let events = line.end("downstream_remote_disconnect");
    assert_eq!(events.len(), 2);
    assert_fields(
        &events[0]["data"],
        &json!({
            "dialect": "openai.responses", "operation": "chat", "endpoint": "/v1/responses", "request_model": "gpt-4o",
            "response_model": "gpt-4o-2024-08-06", "response_id": "resp_1", "service_tier": "default", "outcome": "completed",
            "usage_status": "reported", "input_tokens": 30, "cache_read_tokens": 10, "output_tokens": 12, "reasoning_tokens": 2,
        }),
    );
    let cut = json!({ "request_model": "gpt-4o-mini", "outcome": "client_aborted", "usage_status": "estimated", "output_tokens": 2 });
    assert_fields(&events[1]["data"], &cut);
}

#[test]
fn ok_audio_is_measured_in_the_format_of_its_response() {
    let mut line = Line::new();
    line.say(&json!({ "type": "response.created", "response": { "id": "r", "audio": { "output": { "format": { "type": "audio/pcmu" } } } } }));
    // 8,000 bytes are a second here: a little less is still twenty tokens.
    line.say(&json!({ "type": "response.output_audio.delta", "response_id": "r", "delta": "A".repeat(10_664) }));
    assert_fields(
        &line.end("downstream_remote_disconnect")[0]["data"],
        &json!({ "output_tokens": 20, "usage_status": "estimated" }),
    );
}

#[test]
fn ok_a_connection_has_its_slot_until_it_ends() {
    let slots = json!([{ "id": "slots", "per": ["tenant"], "unit": "concurrent_requests", "amount": 1 }]);
    let mut line = Line::open(&slots, PATH, SWITCHED);
    for _ in 0..2 {
        line.say(&created("r"));
        line.say(&done("r", "completed", &Value::Null, 100, 20));
        let verdict = ask(&mut line.world, &mut Exchange::default(), PATH);
        assert!(matches!(verdict, Verdict::Reply(_)), "the first response does not end the connection");
    }
    line.world.done(&mut line.exchange, "downstream_remote_disconnect");
    assert_eq!(ask(&mut line.world, &mut Exchange::default(), PATH), Verdict::Continue);
}
