//! Realtime connections through the real filter in the real Envoy, between a client and a provider made from a WebSocket library.

use meterr_tests::{
    line::Line,
    stack::{Options, Stack},
};
use serde_json::{Value, json};

const PATH: &str = "/openai/v1/realtime?model=gpt-realtime";

fn connect(stack: &Stack) -> Line {
    match stack.upgrade(PATH, &[("x-tenant", "acme")]) {
        Ok(line) => line,
        Err(response) => panic!("{response:?}\n{}", stack.envoy_log()),
    }
}

fn assert_fields(data: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[name], value, "{name} in {data:#}");
    }
}

fn limit(id: &str, unit: &str, amount: u64) -> Value {
    json!({ "id": id, "per": ["tenant"], "unit": unit, "amount": amount, "window": { "kind": "fixed", "per": "hour" } })
}

#[test]
fn ok_each_response_becomes_an_event_while_the_connection_goes_on() {
    let stack = Stack::start(&Options::default());
    let mut line = connect(&stack);
    line.wait("session.created");
    let id = line.header("x-meterr-id").expect("the id of the exchange").to_owned();
    let scripts = [
        json!({ "input": 1000, "output": 300, "input_audio": 800, "cached": 500, "cached_audio": 400, "output_audio": 200 }),
        json!({ "input": 1300, "output": 40, "status": "incomplete" }),
        json!({ "input": 1400, "output": 50, "fragment": 7 }),
    ];
    for (nth, script) in scripts.iter().enumerate() {
        line.ask(script);
        line.wait("response.done");
        // The event is there, and the connection still open.
        let events = stack.events(nth + 1);
        assert_eq!(events[nth]["id"], json!(format!("{id}.{}", nth + 1)));
    }
    line.close();
    let events = stack.events(3);
    assert_fields(
        &events[0]["data"],
        &json!({
            "tenant": "acme", "provider": "openai", "dialect": "openai.realtime", "operation": "chat", "endpoint": "/v1/realtime",
            "request_model": "gpt-realtime", "response_model": "gpt-realtime", "response_id": "resp_1", "stream": true,
            "status": 101, "outcome": "completed", "finish_reason": "completed", "usage_status": "reported", "billable": true,
            "input_tokens": 1000, "output_tokens": 300, "total_tokens": 1300, "input_audio_tokens": 800,
            "cache_read_tokens": 500, "cache_read_audio_tokens": 400, "input_uncached_tokens": 500,
            "output_text_tokens": 100, "output_audio_tokens": 200,
            // 100 × 4 + 400 × 32 + 500 × 0.40 + 100 × 16 + 200 × 64 USD per million tokens
            "cost_usd": "0.0278", "cost_status": "priced",
        }),
    );
    assert_fields(
        &events[1]["data"],
        &json!({ "finish_reason": "incomplete", "total_tokens": 1340, "response_id": "resp_2" }),
    );
    assert_fields(&events[2]["data"], &json!({ "total_tokens": 1450, "outcome": "completed", "usage_flags": null }));
    // The access log has one line for the connection, with all of its events and their sums.
    let logged = stack.access_log(1).remove(0);
    let array: Value = serde_json::from_str(logged["meterr"].as_str().expect("an array")).expect("JSON");
    assert_eq!(array, Value::Array(events));
    assert_fields(
        &logged,
        &json!({
            "meterr_tenant": "acme", "meterr_provider": "openai", "meterr_model": "gpt-realtime", "meterr_outcome": "completed",
            "meterr_usage_status": "reported", "meterr_input_tokens": "3700", "meterr_output_tokens": "390",
            "meterr_total_tokens": "4090", "hits_addend": "4090",
        }),
    );
    let metrics = stack.prometheus();
    for wanted in [
        r#"meterr_requests_total{provider="openai",model="gpt-realtime",tenant="acme",outcome="completed"} 3"#,
        r#"meterr_tokens_total{provider="openai",model="gpt-realtime",tenant="acme",type="input"} 3700"#,
    ] {
        assert!(metrics.has(wanted), "{wanted} in\n{}", metrics.about("meterr_"));
    }
    assert_eq!(stack.gaps(), Vec::<Value>::new());
    stack.finish();
}

#[test]
fn ok_no_byte_is_changed_either_way_and_compression_is_not_offered() {
    let stack = Stack::start(&Options::default());
    let mut line = connect(&stack);
    // The provider complains of an offer that reaches it; `finish` sees that.
    assert_eq!(line.header("sec-websocket-extensions"), None);
    for fragment in [0, 1, 5, 300] {
        line.send(&json!({ "type": "input_audio_buffer.append", "audio": "UklGRg".repeat(20_000) }));
        line.ask(&json!({ "fragment": fragment, "transcription": 21 }));
        line.wait("response.done");
    }
    line.close();
    let (came, went) = line.frames();
    let (received, sent) = stack.frames_of_provider(&line);
    assert_eq!((came == sent, went == received), (true, true), "some byte is another");
    assert!(went.len() > 480_000 && came.len() > 4_000, "{} and {}", went.len(), came.len());
    let events = stack.events(8);
    for pair in events.chunks(2) {
        let transcription = json!({ "operation": "transcription", "request_model": "gpt-4o-mini-transcribe", "input_tokens": 21,
            "input_audio_tokens": 21, "output_tokens": 5, "usage_status": "reported" });
        assert_fields(&pair[0]["data"], &transcription);
        assert_fields(
            &pair[1]["data"],
            &json!({ "operation": "chat", "total_tokens": 46, "usage_status": "reported" }),
        );
    }
    let suffixes: Vec<&str> = events.iter().map(|event| &event["id"].as_str().expect("an id")[36..]).collect();
    assert_eq!(suffixes, [".t1", ".1", ".t2", ".2", ".t3", ".3", ".t4", ".4"]);
    stack.finish();
}

#[test]
fn ok_limits_are_asked_at_the_upgrade_and_charged_with_each_response() {
    let limits = json!([limit("tph", "tokens", 5_000), limit("rph", "requests", 100)]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    let mut line = connect(&stack);
    assert!(line.header("ratelimit").is_some_and(|told| told.starts_with("\"tph\";r=")), "the tightest limit is told");
    for _ in 0..4 {
        line.ask(&json!({ "input": 1400, "output": 100 }));
        line.wait("response.done");
    }
    // What is open stays open; whoever comes now does not get in.
    let Err(refused) = stack.upgrade(PATH, &[("x-tenant", "acme")]) else { panic!("the limit is full") };
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    let body: Value =
        serde_json::from_slice(refused.body().as_deref().unwrap_or_default()).expect("the dialect's shape");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("tph")), "{body}");
    line.ask(&json!({ "input": 10, "output": 10 }));
    line.wait("response.done");
    let Ok(mut other) = stack.upgrade(PATH, &[("x-tenant", "globex")]) else { panic!("the limit is another tenant's") };
    other.close();
    line.close();
    let events = stack.events(7);
    let of = |tenant: &str, outcome: &str| -> Vec<&Value> {
        let data = events.iter().map(|event| &event["data"]);
        data.filter(|data| data["tenant"] == tenant && data["outcome"] == outcome).collect()
    };
    let responses = of("acme", "completed");
    let remaining = |limit: usize| -> Vec<i64> {
        responses.iter().filter_map(|data| data["limits"][limit]["remaining"].as_i64()).collect()
    };
    assert_eq!(remaining(0), [3_500, 2_000, 500, -1_000, -1_020], "debt is kept");
    assert_eq!(remaining(1), [99, 98, 97, 96, 95], "each response is a request");
    assert_fields(of("acme", "rejected")[0], &json!({ "status": 429, "usage_status": "none", "billable": false }));
    // A connection on which nothing happened leaves an event of its own, and no hold.
    let idle = of("globex", "completed")[0];
    assert_fields(idle, &json!({ "usage_status": "none", "cost_status": "free" }));
    assert_eq!((&idle["limits"][0]["remaining"], &idle["limits"][0]["settled"]), (&json!(5_000), &json!(0)));
    stack.finish();
}

#[test]
fn ok_whoever_leaves_in_the_middle_of_a_response_is_told() {
    let stack = Stack::start(&Options { limits: json!([limit("tph", "tokens", 100_000)]), ..Options::default() });
    let stalled = json!({ "deltas": 40, "stall": true });
    let expected = |outcome: &str, reason: &str| json!({ "outcome": outcome, "reason": reason, "usage_status": "estimated", "usage_flags": "output_estimated", "billable": true });
    let heard = |line: &mut Line| (0..40).for_each(|_| drop(line.wait("response.output_text.delta")));
    // The client's connection breaks.
    let mut line = connect(&stack);
    line.ask(&stalled);
    heard(&mut line);
    drop(line);
    let event = stack.events(1).remove(0);
    assert_fields(&event["data"], &expected("client_aborted", "client_disconnect"));
    assert!(event["id"].as_str().is_some_and(|id| id.ends_with(".1")), "{event}");
    // Forty words of four to five letters.
    let written = event["data"]["output_tokens"].as_u64().expect("an estimate");
    assert!((30..80).contains(&written), "{written}");
    assert_eq!(event["data"]["limits"][0]["remaining"].as_u64(), Some(100_000 - written), "no hold is left");
    // It closes in good order.
    let mut line = connect(&stack);
    line.ask(&stalled);
    heard(&mut line);
    line.close();
    assert_fields(&stack.events(2)[1]["data"], &expected("client_aborted", "client_disconnect"));
    // The provider breaks off.
    let mut line = connect(&stack);
    line.ask(&json!({ "deltas": 40, "cut": true }));
    while line.take().is_some() {}
    drop(line);
    assert_fields(&stack.events(3)[2]["data"], &expected("upstream_reset", "upstream_disconnect"));
    for logged in stack.access_log(3) {
        assert_eq!(logged["meterr_usage_status"], "estimated");
        let array: Value = serde_json::from_str(logged["meterr"].as_str().expect("an array")).expect("JSON");
        assert_eq!(array.as_array().map(Vec::len), Some(1));
    }
    stack.finish();
}

#[test]
fn ok_many_connections_at_once_lose_nothing() {
    let stack = Stack::start(&Options { limits: json!([limit("tph", "tokens", 100_000_000)]), ..Options::default() });
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut line = connect(&stack);
                for nth in 0..5 {
                    line.ask(&json!({ "input": 100, "output": 10, "fragment": nth * 11 }));
                    line.wait("response.done");
                }
                line.close();
            });
        }
    });
    let events = stack.events(80);
    let total: u64 = events.iter().filter_map(|event| event["data"]["total_tokens"].as_u64()).sum();
    assert_eq!(total, 80 * 110);
    let ids: std::collections::HashSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 80, "distinct events");
    // The last word on the limit: all of it was charged, and nothing is held.
    let least = events.iter().filter_map(|event| event["data"]["limits"][0]["remaining"].as_i64()).min();
    let mut line = connect(&stack);
    line.close();
    let last = stack.events(81).pop().expect("the last");
    assert_eq!(last["data"]["limits"][0]["remaining"].as_i64(), Some(100_000_000 - 80 * 110), "{least:?}");
    println!("16 connections, 80 responses, {total} tokens: all counted, no hold left");
    stack.finish();
}

#[test]
fn ok_responses_in_its_websocket_mode_is_metered_alike() {
    let stack = Stack::start(&Options::default());
    let Ok(mut line) = stack.upgrade("/openai/v1/responses", &[]) else { panic!("{}", stack.envoy_log()) };
    for input in [100, 300] {
        let script = json!({ "input": input, "output": 20, "cached": 64, "fragment": 9 });
        line.send(&json!({ "type": "response.create", "model": "gpt-4o-mini", "input": "Hi", "metadata": { "test": script.to_string() } }));
        line.wait("response.completed");
    }
    line.close();
    let events = stack.events(2);
    assert_fields(
        &events[0]["data"],
        &json!({
            "dialect": "openai.responses", "endpoint": "/v1/responses", "request_model": "gpt-4o-mini",
            "response_model": "gpt-4o-mini-2024-07-18", "input_tokens": 100, "cache_read_tokens": 64, "output_tokens": 20,
            "outcome": "completed", "usage_status": "reported",
            // 36 × 0.15 + 64 × 0.075 + 20 × 0.60 USD per million tokens
            "cost_usd": "0.0000222",
        }),
    );
    assert_fields(&events[1]["data"], &json!({ "input_tokens": 300, "response_id": "resp_2", "status": 101 }));
    stack.finish();
}

#[test]
fn ok_a_get_without_an_upgrade_is_an_exchange_like_any_other() {
    let stack = Stack::start(&Options::default());
    // The provider does not know it.
    let reply = stack.get(PATH).header("x-tenant", "acme").fetch();
    assert_eq!(reply.status, 404);
    assert_fields(
        &stack.events(1)[0]["data"],
        &json!({ "dialect": "openai.realtime", "outcome": "provider_error", "status": 404, "usage_status": "none" }),
    );
    stack.finish_expecting_provider_complaints();
}

#[test]
fn ok_rubbish_harms_nobody_and_is_missing_never_zero() {
    let stack = Stack::start(&Options { limits: json!([limit("tph", "tokens", 100_000)]), ..Options::default() });
    let absurd = [vec![0x81, 0x7f, 0x7f], vec![0xff; 7], vec![b'x'; 100]].concat();
    let compressed = vec![0xc1, 0x04, 0xaa, 0x56, 0x2a, 0x01];
    for (nth, raw) in [vec![0xff; 200], compressed, absurd].iter().enumerate() {
        let mut line = connect(&stack);
        line.ask(&json!({ "input": 100, "output": 10 }));
        line.wait("response.done");
        line.ask(&json!({ "raw": raw, "cut": true }));
        while line.take().is_some() {}
        drop(line);
        let events = stack.events(2 * (nth + 1));
        let whole = events.iter().filter(|event| event["data"]["total_tokens"] == 110).count();
        assert_eq!(whole, nth + 1, "what came before is counted");
    }
    let events = stack.events(6);
    let missing = |event: &&Value| event["data"]["usage_status"] == "missing";
    for event in events.iter().filter(missing) {
        assert_fields(
            &event["data"],
            &json!({ "usage_flags": "malformed_body", "input_tokens": null, "output_tokens": null }),
        );
    }
    // A frame that never ends is no rubbish: what the response said before it is told.
    assert_eq!(events.iter().filter(missing).count(), 2, "{events:#?}");
    assert!(events.iter().any(|event| event["data"]["usage_status"] == "estimated"));
    // A client may send what it likes, before and after the upgrade.
    let upgrade = "GET /openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer sk-test\r\n\r\n";
    for rubbish in [
        &b"\xff\xff\xff\xff\xff"[..],
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        let answer = stack.raw(&[upgrade.as_bytes(), rubbish].concat());
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }
    for event in stack.events(10).iter().filter(|event| event["data"]["usage_status"] == "none") {
        assert_fields(&event["data"], &json!({ "billable": true, "cost_status": "free" }));
    }
    stack.finish();
}
