//! A real OpenTelemetry collector behind the real Envoy: all that the filter and Envoy tell it comes out again, and is what was meant.
//!
//! What the collector hands on is compared with Envoy's access log, member by member, by the names that the README promises.

use std::collections::BTreeMap;

use meterr_tests::{
    calls::{chat, messages, told},
    otlp::{LogRecord, Rotel, free_port},
    stack::{Options, Stack},
};
use serde_json::{Map, Value, json};

const CHAT: &str = "/openai/v1/chat/completions";
const MESSAGES: &str = "/anthropic/v1/messages";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Members that have a name in the semantic conventions for generative AI; all others are `meterr.<member>`.
const CONVENTIONS: [(&str, &str); 12] = [
    ("operation", "gen_ai.operation.name"),
    ("request_model", "gen_ai.request.model"),
    ("response_model", "gen_ai.response.model"),
    ("response_id", "gen_ai.response.id"),
    ("stream", "gen_ai.request.stream"),
    ("input_tokens", "gen_ai.usage.input_tokens"),
    ("output_tokens", "gen_ai.usage.output_tokens"),
    ("cache_read_tokens", "gen_ai.usage.cache_read.input_tokens"),
    ("cache_write_tokens", "gen_ai.usage.cache_write.input_tokens"),
    ("reasoning_tokens", "gen_ai.usage.reasoning.output_tokens"),
    ("input_audio_tokens", "gen_ai.usage.audio.input_tokens"),
    ("output_audio_tokens", "gen_ai.usage.audio.output_tokens"),
];

/// Attributes that a log record of that event has.
fn expected(event: &Value) -> Value {
    let mut attributes = Map::new();
    for name in ["id", "source", "subject"] {
        attributes.insert(format!("meterr.{name}"), event[name].clone());
    }
    for (name, value) in event["data"].as_object().expect("data") {
        match name.as_str() {
            "trace_id" | "span_id" => {}
            "finish_reason" => drop(attributes.insert("gen_ai.response.finish_reasons".to_owned(), json!([value]))),
            "provider" => {
                attributes.insert("gen_ai.provider.name".to_owned(), value.clone());
                attributes.insert("meterr.provider".to_owned(), value.clone());
            }
            "labels" => {
                for (label, value) in value.as_object().expect("labels") {
                    attributes.insert(format!("meterr.labels.{label}"), value.clone());
                }
            }
            name => {
                let convention = CONVENTIONS.iter().find(|(member, _)| *member == name);
                let key = convention.map_or_else(|| format!("meterr.{name}"), |(_, key)| (*key).to_owned());
                attributes.insert(key, value.clone());
            }
        }
    }
    Value::Object(attributes)
}

/// A system whose collector is `rotel`.
fn start(limits: Value) -> (Stack, Rotel) {
    let port = free_port().expect("a port");
    let sink = json!({ "format": "otlp_logs", "path": "/v1/logs" });
    let more = json!({ "sink": sink });
    let stack = Stack::start(&Options { ports: [0, 0, 0, port], limits, more, ..Options::default() });
    stack.kill_collector();
    (stack, Rotel::start(port).expect("rotel"))
}

/// One of each kind of exchange: whole, streamed, with caches and reasoning, an error, a refusal; awkward names among them.
fn exchange(stack: &Stack, nth: usize) {
    let call = |path: &str| {
        let parent = format!("00-{TRACE}-{PARENT}-01");
        let call = stack.post(path).header("x-tenant", "acme \"north\", ünited").header("x-team", "red");
        if nth.is_multiple_of(2) { call.header("traceparent", &parent) } else { call }
    };
    let mut capped = chat("gpt-4o-mini", false);
    capped["max_tokens"] = json!(10);
    let reply = match nth % 6 {
        0 => call(CHAT).tell(told(&json!({ "cached": 3, "reasoning": 5 }))).send(&chat("gpt-4o-mini", false)),
        1 => call(CHAT).send(&chat("gpt-4o-mini", true)),
        2 => call(MESSAGES).tell(told(&json!({ "cached": 40, "cache_write": 7, "cache_5m": 7 }))).send(&messages(true)),
        3 => call(CHAT).tell(told(&json!({ "status": 500 }))).send(&chat("gpt-4o", false)),
        4 => call(CHAT).header("x-tenant", "spent").send(&capped),
        _ => call(MESSAGES).header("x-user", "u-1").send(&messages(false)),
    };
    let status = match nth % 6 {
        3 => 500,
        4 => 429,
        _ => 200,
    };
    assert_eq!(reply.status, status, "{}", reply.text());
}

/// Nobody who is called `spent` gets through.
fn limits() -> Value {
    let count = json!({ "id": "all", "per": ["tenant"], "unit": "tokens", "amount": 1_000_000_000, "window": { "kind": "fixed", "per": "hour" } });
    let spent = json!({ "id": "spent", "per": [], "match": { "tenant": ["spent"] }, "unit": "tokens", "amount": 1, "reserve": "worst_case",
                        "window": { "kind": "fixed", "per": "hour" } });
    json!([count, spent])
}

/// Compares all usage events of the access log with all log records of usage.
fn compare(stack: &Stack, rotel: &Rotel, count: usize) -> BTreeMap<String, LogRecord> {
    let usage = || rotel.logs().into_iter().filter(|record| record.event_name == "ai.meterr.usage").collect::<Vec<_>>();
    stack.wait_for("the collector has not handed all on", |_| usage().len() >= count);
    let records: BTreeMap<String, LogRecord> = usage()
        .into_iter()
        .map(|record| (record.attributes["meterr.id"].as_str().expect("an id").to_owned(), record))
        .collect();
    assert_eq!(records.len(), count, "each exchange has one event");
    for line in stack.access_log(count) {
        let event: Value = serde_json::from_str(line["meterr"].as_str().expect("an event")).expect("JSON");
        let record = &records[event["id"].as_str().expect("an id")];
        assert_eq!(record.attributes, expected(&event));
        let text = |name: &str| event["data"][name].as_str().unwrap_or_default();
        assert_eq!([&*record.trace_id, &*record.span_id], [text("trace_id"), text("span_id")]);
        assert_eq!(
            (record.severity_number, record.time_unix_nano % 1_000_000, record.observed_time_unix_nano),
            (9, 0, record.time_unix_nano)
        );
        let instance = json!({ "service.name": "meterr", "service.instance.id": event["source"] });
        assert_eq!(record.resource, instance);
    }
    assert_eq!(rotel.complaints(), Vec::<String>::new());
    records
}

#[test]
fn ok_every_event_arrives_with_all_that_it_says() {
    let (stack, rotel) = start(limits());
    (0..30).for_each(|nth| exchange(&stack, nth));
    let records = compare(&stack, &rotel, 30);
    // The comparison would hold for records that say nothing: some of what they say, spelled out.
    let with = |key: &str, value: &Value| records.values().filter(|record| record.attributes[key] == *value).count();
    assert_eq!(with("gen_ai.usage.reasoning.output_tokens", &json!(5)), 5);
    assert_eq!(with("gen_ai.usage.cache_write.input_tokens", &json!(7)), 5);
    assert_eq!(with("meterr.tenant", &json!("acme \"north\", ünited")), 25);
    assert_eq!(with("meterr.labels.team", &json!("red")), 30);
    assert_eq!(with("meterr.outcome", &json!("rejected")), 5);
    assert_eq!(records.values().filter(|record| record.trace_id == TRACE).count(), 15);
    let refused = records.values().find(|record| record.attributes["meterr.outcome"] == "rejected").expect("one");
    let limits = refused.attributes["meterr.limits"].as_array().expect("limits");
    assert!(limits.iter().any(|limit| limit["id"] == "spent" && limit["decision"] == "rejected"), "{limits:?}");
    stack.wait_for("no heartbeat with all events came", |_| {
        let logs = rotel.logs();
        let beats = logs.iter().filter(|record| record.event_name == "ai.meterr.heartbeat");
        // Each worker that had an exchange beats: the newest of each.
        let newest: BTreeMap<&str, u64> = beats
            .map(|beat| {
                let writer = beat.attributes["meterr.writer"].as_str().expect("a writer");
                (writer, beat.attributes["meterr.delivered"].as_u64().expect("a count"))
            })
            .collect();
        newest.values().sum::<u64>() >= 30
    });
    println!("{} log records and {} of heartbeats and alerts", records.len(), rotel.logs().len() - records.len());
}

#[test]
fn ok_a_collector_that_was_away_gets_all() {
    let (stack, mut rotel) = start(limits());
    (0..12).for_each(|nth| exchange(&stack, nth));
    compare(&stack, &rotel, 12);
    rotel.stop();
    (12..42).for_each(|nth| exchange(&stack, nth));
    let delivered = || stack.prometheus().count("meterr_events_total", &[("result", "delivered")]);
    assert!(delivered() < 42, "somebody took events for it");
    rotel.run().expect("its old port");
    compare(&stack, &rotel, 42);
}

#[test]
fn err_a_path_that_it_has_not_holds_all() {
    // 404 is held, not condemned: an operator can mend that.
    let port = free_port().expect("a port");
    let sink = json!({ "format": "otlp_logs", "path": "/v1/lines", "retry": { "max_ms": 100 } });
    let options = Options { ports: [0, 0, 0, port], more: json!({ "sink": sink }), ..Options::default() };
    let stack = Stack::start(&options);
    stack.kill_collector();
    let rotel = Rotel::start(port).expect("rotel");
    exchange(&stack, 1);
    let counted = |name: &str, result: &str| stack.prometheus().count(name, &[("result", result)]);
    stack.wait_for("nothing was tried", |_| counted("meterr_callouts_total", "retry") >= 2);
    assert_eq!((counted("meterr_events_total", "dead_lettered"), rotel.logs().len()), (0, 0));
}

#[test]
fn ok_envoys_span_arrives_with_what_was_used() {
    let rotel = Rotel::start(free_port().expect("a port")).expect("rotel");
    let files = tempfile::tempdir().expect("a directory");
    let stack = Stack::example("tracing.yaml", files.path(), &[], |file| {
        let clusters = file["static_resources"]["clusters"].as_array_mut().expect("clusters");
        let traces = clusters.iter_mut().find(|cluster| cluster["name"] == "traces").expect("that cluster");
        traces["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
            json!({ "address": "127.0.0.1", "port_value": rotel.http.port() });
        // Spans go out in batches, by default every five seconds.
        file["layered_runtime"] = json!({ "layers": [{ "name": "soon", "static_layer": {
            "tracing": { "opentelemetry": { "flush_interval_ms": 100, "min_flush_spans": 1 } } } }] });
    });
    let call = stack.post(CHAT).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    let reply = call.tell(told(&json!({ "input": 1_234, "output": 56 }))).send(&chat("gpt-4o-mini", true));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let event = stack.events(1).remove(0);
    // Envoy has a span of the upstream request too, kind CLIENT.
    let server = || rotel.spans().into_iter().find(|span| span.kind == 2);
    stack.wait_for("no span came", |_| server().is_some());
    let span = server().expect("it came");
    assert_eq!([&*span.trace_id, &*span.parent_span_id], [TRACE, PARENT], "it is part of the client's trace");
    assert_eq!(span.resource["service.name"], "llm-gateway");
    let data = &event["data"];
    assert_eq!([&data["trace_id"], &data["span_id"]], [&json!(TRACE), &json!(PARENT)]);
    for (name, value) in [
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.response.model", data["response_model"].clone()),
        ("gen_ai.usage.input_tokens", json!("1234")),
        ("gen_ai.usage.output_tokens", json!("56")),
        ("meterr.tenant", data["tenant"].clone()),
        ("meterr.outcome", json!("completed")),
        ("meterr.usage_status", json!("reported")),
        // 1234 × $0.15 + 56 × $0.60 a million.
        ("meterr.cost_microusd", json!("219")),
    ] {
        assert_eq!(span.attributes[name], value, "{name} in {:#}", span.attributes);
    }
    assert_eq!(rotel.complaints(), Vec::<String>::new());
    stack.finish();
}
