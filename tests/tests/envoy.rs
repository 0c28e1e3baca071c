//! The real filter in the real Envoy, at `--concurrency 2`, between a strict provider and a strict collector on loopback.

use std::{collections::HashSet, io::Read as _, thread, time::Duration};

use meterr_tests::{
    calls::{assert_fields, chat, messages, told},
    stack::{Options, Stack},
};
use serde_json::{Value, json};

fn tokens_per_minute(amount: u64, reserve: &str) -> Value {
    json!([{ "id": "tpm", "per": ["tenant"], "unit": "tokens", "amount": amount, "reserve": reserve,
             "window": { "kind": "fixed", "per": "hour" } }])
}

#[test]
fn ok_a_chat_reply_is_counted_priced_tagged_and_delivered() {
    let stack = Stack::start(&Options::default());
    let reply = stack
        .post("/openai/v1/chat/completions")
        .header("x-tenant", "acme")
        .tell(told(&json!({ "input": 1200, "output": 300, "cached": 1000, "reasoning": 100 })))
        .send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let event = stack.events(1).remove(0);
    assert_eq!(Some(event["id"].as_str().expect("an id")), reply.header("x-meterr-id"));
    assert_fields(
        &event["data"],
        &json!({
            "tenant": "acme", "provider": "openai", "dialect": "openai.chat", "operation": "chat",
            "endpoint": "/v1/chat/completions", "request_model": "gpt-4o-mini", "stream": false, "status": 200,
            "outcome": "completed", "usage_status": "reported", "input_tokens": 1200, "output_tokens": 300,
            "total_tokens": 1500, "cache_read_tokens": 1000, "input_uncached_tokens": 200, "reasoning_tokens": 100,
            // 200 × 0.15 + 1000 × 0.075 + 300 × 0.60 USD per million tokens
            "cost_usd": "0.000285", "cost_status": "priced", "billable": true, "schema": 1,
        }),
    );
    // The access log holds the same event, and every key of filter state.
    let line = stack.access_log(1).remove(0);
    let logged: Value = serde_json::from_str(line["meterr"].as_str().expect("the event")).expect("JSON");
    assert_eq!(logged, event);
    let tags = json!({
        "meterr_tenant": "acme", "meterr_provider": "openai", "meterr_model": "gpt-4o-mini", "meterr_outcome": "completed",
        "meterr_usage_status": "reported", "meterr_input_tokens": "1200", "meterr_output_tokens": "300",
        "meterr_total_tokens": "1500", "meterr_cost_microusd": "285", "hits_addend": "1500",
    });
    assert_fields(&line, &tags);
    // And so do the metrics, under Prometheus labels.
    let metrics = stack.prometheus();
    let wanted = r#"meterr_tokens_total{provider="openai",model="gpt-4o-mini",tenant="acme",type="input"} 1200"#;
    assert!(metrics.has(wanted), "{wanted} in\n{}", metrics.about("meterr_"));
    stack.finish();
}

#[test]
fn ok_an_anthropic_stream_is_counted_with_its_cache_writes() {
    let stack = Stack::start(&Options::default());
    let behaviour =
        json!({ "input": 100, "output": 50, "cached": 2000, "cache_write": 300, "cache_5m": 100, "cache_1h": 200 });
    let reply = stack.post("/anthropic/v1/messages").tell(told(&behaviour)).send(&messages(true));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("event: message_stop"));
    assert_fields(
        &stack.events(1)[0]["data"],
        &json!({
            "provider": "anthropic", "dialect": "anthropic.messages", "stream": true, "outcome": "completed",
            "usage_status": "reported", "input_tokens": 2400, "input_uncached_tokens": 100, "cache_read_tokens": 2000,
            "cache_write_tokens": 300, "cache_write_5m_tokens": 100, "cache_write_1h_tokens": 200, "output_tokens": 50,
            // 100 × 3 + 2000 × 0.30 + 100 × 3.75 + 200 × 6 + 50 × 15 USD per million tokens
            "cost_usd": "0.003225",
        }),
    );
    stack.finish();
}

#[test]
fn ok_bytes_pass_unchanged_but_the_usage_chunk_that_nobody_asked_for() {
    let stack = Stack::start(&Options::default());
    for rechunk in [0, 1, 7, 4096] {
        let behaviour = json!({ "input": 11, "output": 22, "chunks": 5, "rechunk": rechunk });
        let asked = |mut body: Value| {
            body["stream_options"] = json!({ "include_usage": true });
            body
        };
        let with =
            stack.post("/openai/v1/chat/completions").tell(told(&behaviour)).send(&asked(chat("gpt-4o-mini", true)));
        let without = stack.post("/openai/v1/chat/completions").tell(told(&behaviour)).send(&chat("gpt-4o-mini", true));
        assert_eq!(with.text(), stack.sent_by_provider(&with), "a stream that asked for usage is untouched");
        let sent = stack.sent_by_provider(&without);
        let hidden: String = sent.split_inclusive("\n\n").filter(|event| !event.contains(r#""choices":[]"#)).collect();
        assert_ne!(hidden, sent, "the provider was asked for the usage chunk");
        assert_eq!(without.text(), hidden, "only the usage chunk is missing");
    }
    for event in stack.events(8) {
        assert_fields(&event["data"], &json!({ "input_tokens": 11, "output_tokens": 22, "outcome": "completed" }));
    }
    stack.finish();
}

#[test]
fn ok_gzip_replies_are_counted_and_pass_as_they_are() {
    let stack = Stack::start(&Options::default());
    for stream in [false, true] {
        let mut body = chat("gpt-4o-mini", stream);
        if stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        let reply = stack
            .post("/openai/v1/chat/completions")
            .header("accept-encoding", "gzip, deflate, br, zstd")
            .tell(told(&json!({ "input": 5, "output": 6, "gzip": true, "rechunk": 3 })))
            .send(&body);
        assert_eq!(reply.header("content-encoding"), Some("gzip"), "{reply:?}");
        assert!(reply.bytes.starts_with(&[0x1f, 0x8b]), "still compressed");
    }
    for event in stack.events(2) {
        assert_fields(&event["data"], &json!({ "input_tokens": 5, "output_tokens": 6, "usage_status": "reported" }));
    }
    stack.finish();
}

#[test]
fn ok_an_encoding_that_cannot_be_read_is_missing_never_zero() {
    let stack = Stack::start(&Options::default());
    let reply = stack
        .post("/openai/v1/chat/completions")
        .tell(told(&json!({ "encoding": "br" })))
        .send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200);
    let data = &stack.events(1)[0]["data"];
    assert_fields(data, &json!({ "usage_status": "missing", "cost_status": "unpriced", "outcome": "completed" }));
    assert!(data["usage_flags"].as_str().is_some_and(|flags| flags.contains("unreadable_encoding")), "{data}");
    assert!(data.get("input_tokens").is_none());
    stack.finish();
}

#[test]
fn ok_two_hundred_aborted_streams_leave_two_hundred_events_and_no_hold() {
    let stack = Stack::start(&Options { limits: tokens_per_minute(100_000_000, "worst_case"), ..Options::default() });
    let mut body = chat("gpt-4o-mini", true);
    body["max_tokens"] = json!(1000);
    for _ in 0..200 {
        let mut stream = stack
            .post("/openai/v1/chat/completions")
            .header("x-tenant", "acme")
            .tell(told(&json!({ "chunks": 1000, "delay_ms": 2 })))
            .open(&body);
        // The first event names the role only; text comes with the second.
        let mut first = [0; 512];
        stream.read_exact(&mut first).expect("the stream has begun");
        drop(stream);
    }
    let events = stack.events(200);
    let ids: HashSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 200, "distinct events");
    let mut settled = 0;
    for event in &events {
        let data = &event["data"];
        assert_fields(data, &json!({ "outcome": "client_aborted", "reason": "client_disconnect" }));
        assert!(matches!(data["usage_status"].as_str(), Some("estimated" | "partial")), "{data}");
        assert!(data["output_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{data}");
        settled += data["limits"][0]["settled"].as_i64().expect("settled");
    }
    // What remains of the limit is exactly what was not settled: nothing is held any more.
    let last = stack.post("/openai/v1/chat/completions").header("x-tenant", "acme").send(&chat("gpt-4o-mini", false));
    assert_eq!(last.status, 200);
    let event =
        stack.events(201).into_iter().find(|event| event["data"]["outcome"] == "completed").expect("the last one");
    let limit = &event["data"]["limits"][0];
    settled += limit["settled"].as_i64().expect("settled");
    assert_eq!(limit["remaining"].as_i64(), Some(100_000_000 - settled), "{limit}");
    let stats = stack.collector_stats();
    assert_eq!((&stats["events"], &stats["duplicates"]), (&json!(201), &json!(0)));
    println!("200 aborted streams: {} events, {} duplicates, holds left 0", events.len(), stats["duplicates"]);
    stack.finish();
}

#[test]
fn ok_an_upstream_that_goes_away_is_told_from_a_client_that_does() {
    let stack = Stack::start(&Options::default());
    for behaviour in
        [json!({ "chunks": 50, "cut_after_bytes": 700 }), json!({ "chunks": 50, "reset_after_bytes": 700 })]
    {
        let mut stream =
            stack.post("/openai/v1/chat/completions").tell(told(&behaviour)).open(&chat("gpt-4o-mini", true));
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_err(), "the client sees the cut");
    }
    for event in stack.events(2) {
        assert_fields(
            &event["data"],
            &json!({ "outcome": "upstream_reset", "usage_status": "estimated", "status": 200 }),
        );
    }
    stack.finish();
}

#[test]
fn ok_an_error_in_the_middle_of_a_stream_is_the_providers() {
    let stack = Stack::start(&Options::default());
    let behaviour = json!({ "chunks": 5, "error_mid_stream": true });
    stack.post("/anthropic/v1/messages").tell(told(&behaviour)).send(&messages(true));
    stack.post("/openai/v1/chat/completions").tell(told(&behaviour)).send(&chat("gpt-4o-mini", true));
    for event in stack.events(2) {
        assert_fields(
            &event["data"],
            &json!({ "outcome": "provider_error", "reason": "error_in_body", "status": 200 }),
        );
    }
    stack.finish();
}

#[test]
fn ok_a_reply_with_trailers_settles_once() {
    let stack = Stack::start(&Options::default());
    let reply = stack
        .post("/openai/v1/chat/completions")
        .header("te", "trailers")
        .tell(told(&json!({ "input": 3, "output": 4, "trailers": true })))
        .send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200);
    assert_fields(
        &stack.events(1)[0]["data"],
        &json!({ "input_tokens": 3, "output_tokens": 4, "outcome": "completed" }),
    );
    stack.finish();
}

#[test]
fn ok_http_2_downstream() {
    let stack = Stack::start(&Options::default());
    let reply = stack.post("/openai/v1/chat/completions").http2().send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = stack.post("/openai/v1/chat/completions").http2().send(&chat("gpt-4o-mini", true));
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let mut stream = stack
        .post("/openai/v1/chat/completions")
        .http2()
        .tell(told(&json!({ "chunks": 1000, "delay_ms": 2 })))
        .open(&chat("gpt-4o-mini", true));
    stream.read_exact(&mut [0; 16]).expect("the stream has begun");
    drop(stream);
    let outcomes: Vec<String> = stack.events(3).iter().map(|event| event["data"]["outcome"].to_string()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "\"completed\"").count(), 2, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "\"client_aborted\"").count(), 1, "{outcomes:?}");
    stack.finish();
}

#[test]
fn ok_a_megabyte_of_request_and_one_beyond_the_hold() {
    let stack = Stack::start(&Options::default());
    for bytes in [900_000, 3_000_000] {
        for stream in [false, true] {
            let mut body = chat("gpt-4o-mini", stream);
            body["messages"][0]["content"] = json!("word ".repeat(bytes / 5));
            let reply =
                stack.post("/openai/v1/chat/completions").tell(told(&json!({ "input": 9, "output": 9 }))).send(&body);
            assert_eq!(reply.status, 200, "{bytes} bytes: {}", reply.text());
            let received = stack.received_by_provider(&reply);
            if bytes > 1_048_576 || !stream {
                assert_eq!(received, body.to_string(), "the request is unchanged");
            } else {
                let received: Value = serde_json::from_str(&received).expect("JSON");
                assert_eq!(received["stream_options"], json!({ "include_usage": true }));
            }
        }
    }
    assert_eq!(stack.events(4).len(), 4);
    stack.finish();
}

#[test]
fn ok_without_header_hold_it_still_meters_and_hides() {
    let stack = Stack::start(&Options {
        header_hold: false,
        limits: tokens_per_minute(1_000_000, "expected"),
        ..Options::default()
    });
    let reply = stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", true));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.text().contains(r#""choices":[]"#), "the usage chunk is hidden");
    let reply = stack.post("/anthropic/v1/messages").send(&messages(false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    for event in stack.events(2) {
        assert_fields(&event["data"], &json!({ "outcome": "completed", "usage_status": "reported" }));
    }
    stack.finish();
}

#[test]
fn ok_a_limit_refuses_in_the_shape_of_the_dialect() {
    let limits = json!([{ "id": "three-a-day", "per": ["tenant"], "unit": "requests", "amount": 3,
                          "window": { "kind": "fixed", "per": "hour" } }]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    for _ in 0..3 {
        let reply = stack.post("/anthropic/v1/messages").header("x-tenant", "a").send(&messages(false));
        assert_eq!(reply.status, 200);
        assert!(reply.header("ratelimit").is_some_and(|value| value.starts_with("\"three-a-day\";r=")), "{reply:?}");
        assert_eq!(reply.header("ratelimit-policy"), Some("\"three-a-day\";q=3;w=3600"));
    }
    let reply = stack.post("/anthropic/v1/messages").header("x-tenant", "a").send(&messages(false));
    assert_eq!(reply.status, 429);
    let body = reply.json();
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("three-a-day")), "{body}");
    assert!(reply.header("retry-after").is_some_and(|secs| secs.parse::<u64>().is_ok_and(|secs| secs <= 3600)));
    let reply = stack.post("/openai/v1/chat/completions").header("x-tenant", "a").send(&chat("gpt-4o-mini", true));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    let reply = stack.post("/openai/v1/chat/completions").header("x-tenant", "b").send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200, "another tenant has its own counter");
    let events = stack.events(6);
    let rejected: Vec<&Value> =
        events.iter().map(|event| &event["data"]).filter(|data| data["outcome"] == "rejected").collect();
    assert_eq!(rejected.len(), 2);
    assert_fields(rejected[0], &json!({ "status": 429, "billable": false, "usage_status": "none", "tenant": "a" }));
    stack.finish();
}

#[test]
fn ok_retry_after_is_true() {
    let limits = json!([{ "id": "rps", "per": [], "unit": "requests", "amount": 1, "window": { "kind": "fixed", "per": "second" } }]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    for _ in 0..5 {
        let refused =
            std::iter::repeat_with(|| stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false)))
                .take(50)
                .find(|reply| reply.status == 429)
                .expect("one a second is little");
        let wait = refused.header("retry-after-ms").and_then(|ms| ms.parse().ok()).expect("milliseconds");
        assert_eq!(refused.header("x-should-retry"), Some("true"));
        thread::sleep(Duration::from_millis(wait));
        let reply = stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false));
        assert_eq!(reply.status, 200, "nobody else was admitted meanwhile");
    }
    stack.finish();
}

#[test]
fn ok_sixty_four_clients_never_overshoot_a_worst_case_limit() {
    let amount = 60_000;
    let stack = Stack::start(&Options { limits: tokens_per_minute(amount, "worst_case"), ..Options::default() });
    let mut body = chat("gpt-4o-mini", false);
    body["max_tokens"] = json!(400);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..12 {
                    stack
                        .post("/openai/v1/chat/completions")
                        .header("x-tenant", "acme")
                        .tell(told(&json!({ "input": 60, "output": 350, "delay_ms": 3 })))
                        .send(&body);
                }
            });
        }
    });
    let events = stack.events(64 * 12);
    let of = |outcome: &str| events.iter().filter(|event| event["data"]["outcome"] == outcome).count();
    let settled: u64 = events.iter().filter_map(|event| event["data"]["total_tokens"].as_u64()).sum();
    println!("64 clients: {} completed, {} refused, {settled} of {amount} tokens", of("completed"), of("rejected"));
    assert!(settled <= amount, "{settled} tokens settled of {amount}");
    assert!(of("completed") > 50, "the limit lets work through");
    assert!(of("rejected") > 50, "and it bites");
    stack.finish();
}

#[test]
fn ok_nothing_is_lost_while_the_collector_is_down() {
    let stack = Stack::start(&Options::default());
    let send = |count: usize| {
        for _ in 0..count {
            assert_eq!(stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false)).status, 200);
        }
    };
    send(20);
    for mode in ["500", "reset", "stall", "429", "accept_then_reset"] {
        stack.collector_mode(&json!({ "mode": mode, "retry_after": 1 }));
        send(40);
    }
    stack.kill_collector();
    send(100);
    thread::sleep(Duration::from_secs(2));
    stack.revive_collector();
    send(20);
    let events = stack.events(340);
    let ids: HashSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 340);
    assert!(stack.gaps().is_empty(), "{:?}", stack.gaps());
    stack.finish();
}

#[test]
fn ok_hosts_decide_without_a_prefix_and_unknown_ones_pass_unmetered() {
    let stack = Stack::start(&Options::default());
    let reply = stack.post("/v1/chat/completions").header("host", "api.openai.com").send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply =
        stack.post("/inner/v1/chat/completions").header("host", "llm.corp.example").send(&chat("llama-3", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = stack.get("/healthz").header("host", "other.corp.example").fetch();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let events = stack.events(2);
    let providers: HashSet<&str> = events.iter().filter_map(|event| event["data"]["provider"].as_str()).collect();
    assert_eq!(providers, HashSet::from(["openai", "unknown"]));
    let reply = stack.post("/nobody/v1/chat/completions").send(&chat("gpt-4o-mini", false));
    assert_ne!(reply.status, 500);
    stack.finish();
}

#[test]
fn ok_the_routes_of_the_reference_file_lead_to_known_providers_and_nowhere_else() {
    let stack = Stack::start_at(|provider| Options {
        more: json!({ "providers": { "extra": [
            { "id": "corp", "hosts": ["llm.corp.internal"], "dialects": ["openai.chat"], "tls": false,
              "authority": provider.to_string(), "inject_include_usage": true }] } }),
        ..Options::default()
    });
    let reply = stack.post("/corp/v1/chat/completions").send(&chat("gpt-4o-mini", true));
    assert_eq!(reply.status, 200, "by the dynamic forward proxy: {}", reply.text());
    assert_fields(&stack.events(1)[0]["data"], &json!({ "provider": "corp", "input_tokens": 12, "output_tokens": 34 }));
    let provider = stack.provider().address().to_string();
    let reply = stack.get("/healthz").header("host", &provider).fetch();
    assert_eq!(reply.status, 404, "never an open proxy: {}", reply.text());
    let spoofed = stack.get("/healthz").header("host", &provider).header("x-meterr-tls", "false").fetch();
    assert_eq!(spoofed.status, 404, "what a client says under our names means nothing: {}", spoofed.text());
    stack.finish();
}

#[test]
fn ok_several_limits_hold_all_or_none() {
    let limits = json!([
        { "id": "each-key", "per": ["key", "model"], "unit": "requests", "amount": 2, "window": { "kind": "fixed", "per": "hour" } },
        { "id": "all-tokens", "per": [], "unit": "tokens", "amount": 10_000, "assume_output_tokens": 100,
          "window": { "kind": "fixed", "per": "hour" } },
        { "id": "each-provider", "per": ["provider"], "unit": "requests", "amount": 100, "window": { "kind": "fixed", "per": "hour" } },
    ]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    let send = |model: &str, key: &str| {
        stack
            .post("/openai/v1/chat/completions")
            .header("authorization", key)
            .header("x-api-key", "")
            .send(&chat(model, false))
    };
    let statuses: Vec<u16> = [
        ("gpt-4o", "Bearer sk-one"),
        ("gpt-4o", "Bearer sk-one"),
        ("gpt-4o", "Bearer sk-one"),
        ("gpt-4o-mini", "Bearer sk-one"),
        ("gpt-4o", "Bearer sk-two"),
    ]
    .map(|(model, key)| send(model, key).status)
    .to_vec();
    assert_eq!(statuses, [200, 200, 429, 200, 200], "a counter for each key and model");
    let events = stack.events(5);
    let last = events.last().expect("five");
    let remaining = |id: &str| {
        let limits = last["data"]["limits"].as_array().expect("limits").iter();
        limits.filter(|limit| limit["id"] == id).find_map(|limit| limit["remaining"].as_i64())
    };
    // Four replies of 12 + 34 tokens: the refused request left no trace anywhere.
    assert_eq!((remaining("all-tokens"), remaining("each-provider")), (Some(10_000 - 4 * 46), Some(96)), "{last:#}");
    stack.finish();
}

#[test]
fn ok_nothing_that_is_secret_leaves_the_exchange() {
    let (key, prompt, query) = ("sk-planted-credential-4711", "planted prompt about a whale", "planted-query");
    let limits = json!([{ "id": "eight", "per": ["key"], "unit": "requests", "amount": 8, "window": { "kind": "fixed", "per": "hour" } }]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    let body = |stream: bool| {
        let mut body = chat("gpt-4o-mini", stream);
        body["messages"][0]["content"] = json!(prompt);
        body
    };
    let path = format!("/openai/v1/chat/completions?api-version={query}");
    for stream in [false, true] {
        let call = stack.post(&path).header("authorization", &format!("Bearer {key}")).header("x-api-key", key);
        assert_eq!(call.send(&body(stream)).status, 200);
    }
    let broken = stack.post(&path).header("authorization", &format!("Bearer {key}")).send_bytes(prompt.as_bytes());
    assert_eq!(broken.status, 400);
    stack.kill_collector();
    let statuses: Vec<u16> = (0..10)
        .map(|_| stack.post(&path).header("authorization", &format!("Bearer {key}")).send(&body(false)).status)
        .collect();
    assert!(statuses.contains(&200) && statuses.contains(&429), "the limit bites: {statuses:?}");
    stack.revive_collector();
    let events = stack.events(13);
    let told = [
        serde_json::to_string(&events).expect("JSON"),
        serde_json::to_string(&stack.access_log(13)).expect("JSON"),
        stack.envoy_log(),
        stack.prometheus().about(""),
    ];
    for (where_, text) in ["events", "access log", "Envoy's log", "metrics"].iter().zip(&told) {
        for secret in [key, prompt, query, "Hello there"] {
            assert!(!text.contains(secret), "{secret} in {where_}");
        }
    }
    stack.finish_expecting_provider_complaints();
}

#[test]
fn ok_identity_is_who_the_operator_says_and_never_what_a_client_claims() {
    let more = json!({ "identity": {
        "tenant": [{ "from": "credential" }], "user": [{ "from": "header", "name": "x-user" }],
        "key": [{ "from": "credential" }], "labels": { "team": [{ "from": "header", "name": "x-team" }, { "from": "constant", "value": "none" }] } } });
    let stack = Stack::start(&Options { more, ..Options::default() });
    let send = |key: &str, team: Option<&str>| {
        let call = stack.post("/openai/v1/chat/completions").header("authorization", key).header("x-user", "ann");
        let call = call.header("x-meterr-tenant", "globex").header("x-api-key", "");
        if let Some(team) = team { call.header("x-team", team) } else { call }
    };
    for (key, team) in [("Bearer sk-one", Some("blue")), ("Bearer sk-one", None), ("Bearer sk-two", None)] {
        assert_eq!(send(key, team).send(&chat("gpt-4o-mini", false)).status, 200);
    }
    let events = stack.events(3);
    let of = |nth: usize, field: &str| events[nth]["data"][field].clone();
    assert_eq!(of(0, "tenant"), of(1, "tenant"));
    assert_ne!(of(0, "tenant"), of(2, "tenant"));
    assert_eq!(of(0, "key_id").as_str().map(str::len), Some(16), "{}", events[0]);
    assert_eq!((of(0, "labels"), of(1, "labels")), (json!({ "team": "blue" }), json!({ "team": "none" })));
    assert_eq!(of(2, "user"), "ann");
    stack.finish();
}

#[test]
fn err_a_configuration_that_is_wrong_in_five_places_is_refused_with_all_five() {
    let log = Stack::refused(&json!({
        "identiy": {},
        "limits": [{ "id": "a", "unit": "tokens", "amount": -5, "window": { "kind": "fixed", "per": "fortnight" } }],
        "sink": { "cluster": 7 },
        "max_hold_bytes": "much",
    }));
    for path in ["identiy", "limits[0].amount", "limits[0].window.per", "sink.cluster", "max_hold_bytes"] {
        assert!(log.contains(path), "{path} in\n{log}");
    }
}

#[test]
fn ok_rubbish_harms_nobody() {
    let stack = Stack::start(&Options { limits: tokens_per_minute(1_000_000, "worst_case"), ..Options::default() });
    let bodies: [&[u8]; 6] = [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[[[[[[[[",
        b"{\"model\":{\"model\":[]},\"stream\":\"yes\"}",
        &[0x1f, 0x8b, 8, 0],
    ];
    for body in bodies {
        let reply = stack.post("/openai/v1/chat/completions").header("x-tenant", "acme").send_bytes(body);
        assert!(reply.status >= 400, "the provider refuses it: {}", reply.status);
    }
    let raw = stack.raw(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-tenant: \xe9\xff\r\nauthorization: Bearer \xfe\r\ncontent-length: 2\r\n\r\n{}");
    assert!(raw.starts_with("HTTP/1.1 "), "{raw}");
    let reply = stack.post("/openai/v1/chat/completions").header("x-tenant", "acme").send(&chat("gpt-4o-mini", false));
    assert_eq!(reply.status, 200);
    assert!(!stack.envoy_log().contains("panicked"), "{}", stack.envoy_log());
    stack.finish_expecting_provider_complaints();
}
