//! Events as OpenMeter wants them: the strict stand-in of its documented rules takes all that the real Envoy sends it.

use meterr_tests::{
    calls::{chat, messages, told},
    collector::openmeter::{OpenMeter, PATH},
    otlp::free_port,
    stack::{Options, Stack},
};
use serde_json::{Value, json};

const CHAT: &str = "/openai/v1/chat/completions";
const USAGE: &str = "ai.meterr.usage.v1";

/// A system whose collector is that stand-in.
fn start(token: &str) -> (Stack, OpenMeter) {
    let port = free_port().expect("a port");
    let headers = json!({ "authorization": { "value": "Bearer om-test" } });
    let sink = json!({ "path": PATH, "headers": headers, "retry": { "max_ms": 100 } });
    // Three requests an hour for one of the tenants: its refusals and alerts are events too.
    let few = json!({ "id": "few", "per": ["tenant"], "match": { "tenant": ["few"] }, "unit": "requests", "amount": 3,
                      "window": { "kind": "fixed", "per": "hour" } });
    let options =
        Options { ports: [0, 0, 0, port], limits: json!([few]), more: json!({ "sink": sink }), ..Options::default() };
    let stack = Stack::start(&options);
    stack.kill_collector();
    (stack, OpenMeter::start(port, token).expect("the port of the collector that went"))
}

fn usage(server: &OpenMeter) -> Vec<Value> {
    server.events().into_iter().filter(|event| event["type"] == USAGE).collect()
}

#[test]
fn ok_it_takes_every_event_once_and_its_meters_add_up() {
    let (stack, server) = start("om-test");
    for nth in 0..10_u64 {
        let cached = told(&json!({ "input": 100 + nth, "output": 7, "cached": 3 }));
        assert_eq!(
            stack.post(CHAT).header("x-tenant", "acme").tell(cached).send(&chat("gpt-4o-mini", false)).status,
            200
        );
        let call = stack.post("/anthropic/v1/messages").header("x-tenant", "ünited \"north\"").header("x-team", "red");
        assert_eq!(call.send(&messages(true)).status, 200);
        let failed = stack.post(CHAT).tell(told(&json!({ "status": 503 }))).send(&chat("gpt-4o", false)).status;
        assert_eq!(failed, 503);
        let status = stack.post(CHAT).header("x-tenant", "few").send(&chat("gpt-4o-mini", true)).status;
        assert_eq!(status, if nth < 3 { 200 } else { 429 });
    }
    stack.wait_for("not all events came", |_| usage(&server).len() >= 40);
    let kinds = |kind: &str| server.events().iter().filter(|event| event["type"] == kind).count();
    stack.wait_for("no heartbeat came", |_| kinds("ai.meterr.heartbeat.v1") > 0);
    assert!(kinds("ai.meterr.limit.v1") > 0, "the tenant was warned of");
    assert_eq!((usage(&server).len(), server.problems(), server.duplicates()), (40, Vec::new(), 0));
    // A meter over a wide event: one for each member that is billed.
    let tokens = server.sum(USAGE, "input_tokens", "tenant");
    assert_eq!(tokens["acme"], (0..10).map(|nth| f64::from(100 + nth)).sum::<f64>());
    assert_eq!(server.sum(USAGE, "output_tokens", "request_model")["gpt-4o-mini"], 70.0 + 3.0 * 34.0);
    // (97 + n) × $0.15 + 3 × $0.075 + 7 × $0.60 a million.
    let cost = server.sum(USAGE, "cost_usd", "tenant")["acme"];
    assert!((cost - (1_015.0 * 0.15 + 30.0 * 0.075 + 70.0 * 0.6) / 1e6).abs() < 1e-12, "{cost}");
    let [batches, single] = server.posts();
    println!("{} events in {batches} batches, 0 refused", server.events().len());
    assert_eq!(single, 0);
}

#[test]
fn ok_a_batch_of_which_it_took_a_part_is_split_and_counts_once() {
    let (stack, server) = start("om-test");
    drop(server);
    let port = stack.collector_port();
    // All of them wait, and then leave together.
    for nth in 0..24 {
        let tenant = if nth == 11 { "refused" } else { "acme" };
        assert_eq!(stack.post(CHAT).header("x-tenant", tenant).send(&chat("gpt-4o-mini", false)).status, 200);
    }
    let server = OpenMeter::start(port, "om-test").expect("the same port");
    server.refuse_subject("refused");
    let counted = |result: &str| stack.prometheus().count("meterr_events_total", &[("result", result)]);
    stack.wait_for("not all events are done", |_| counted("delivered") + counted("dead_lettered") == 24);
    assert_eq!((counted("dead_lettered"), usage(&server).len()), (1, 23));
    assert!(!server.problems().is_empty(), "it was alone in its batch from the beginning");
    let letter = stack.envoy_log();
    let letters: Vec<&str> = letter.lines().filter(|line| line.contains("meterr dead letter: ")).collect();
    assert!(letters.len() == 1 && letters[0].contains(r#""subject":"refused""#), "{letters:?}");
    println!("{} POSTs refused, {} events sent twice and kept once", server.problems().len(), server.duplicates());
}

#[test]
fn err_a_wrong_token_holds_all() {
    let (stack, server) = start("another");
    assert_eq!(stack.post(CHAT).send(&chat("gpt-4o-mini", false)).status, 200);
    let counted = |name: &str, result: &str| stack.prometheus().count(name, &[("result", result)]);
    stack.wait_for("nothing was tried", |_| counted("meterr_callouts_total", "retry") >= 2);
    assert_eq!(counted("meterr_events_total", "dead_lettered"), 0);
    let port = stack.collector_port();
    drop(server);
    let server = OpenMeter::start(port, "om-test").expect("the same port");
    stack.wait_for("it did not come", |_| usage(&server).len() == 1);
    assert!(!stack.envoy_log().contains("om-test"), "the token is nowhere");
}
