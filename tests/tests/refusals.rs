//! A flood of refusals with `sink.rejected: summary_per_minute`, in the real Envoy.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use meterr_tests::{
    calls::chat,
    stack::{Options, Stack},
    traffic::reconcile,
};
use serde_json::{Value, json};

const PATH: &str = "/openai/v1/chat/completions";
const REJECTED: &str = "ai.meterr.rejected.v1";

fn start() -> Stack {
    let few = json!({ "id": "few", "per": ["tenant"], "unit": "requests", "amount": 2, "window": { "kind": "fixed", "per": "day" } });
    let more = json!({ "sink": { "rejected": "summary_per_minute" } });
    Stack::start(&Options { limits: json!([few]), more, ..Options::default() })
}

/// Two requests that are served, and all others refused.
fn flood(stack: &Stack, tenant: &str, requests: usize) {
    for nth in 0..requests {
        let reply = stack.post(PATH).header("x-tenant", tenant).send(&chat("gpt-4o-mini", false));
        assert_eq!(reply.status, if nth < 2 { 200 } else { 429 });
        assert!(reply.header("x-meterr-id").is_some());
    }
}

fn secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn summaries(stack: &Stack) -> Vec<Value> {
    stack.events_of(REJECTED)
}

fn sum(summaries: &[Value], tenant: &str) -> u64 {
    let of_tenant = summaries.iter().filter(|event| event["subject"] == tenant);
    of_tenant.filter_map(|event| event["data"]["count"].as_u64()).sum()
}

#[test]
fn ok_a_minute_is_told_of_when_it_is_over() {
    let stack = start();
    let begun = secs() / 60;
    flood(&stack, "acme", 202);
    flood(&stack, "globex", 12);
    let over = secs() / 60 + 1;
    assert_eq!(stack.events(4).len(), 4, "those that were served");
    // The clock's own minute: there is nothing to hurry it with.
    while secs() <= over * 60 {
        thread::sleep(Duration::from_millis(200));
    }
    stack.wait_for("the summary did not come", |stack| {
        let told = summaries(stack);
        sum(&told, "acme") == 200 && sum(&told, "globex") == 10
    });
    let told = summaries(&stack);
    // One for each tenant, unless a minute was over in between.
    assert!(told.len() as u64 <= 2 * (over - begun), "{told:#?}");
    for event in &told {
        let data = &event["data"];
        assert_eq!([&data["provider"], &data["limit"], &data["outcome"]], ["openai", "few", "rejected"], "{event:#}");
        assert_eq!(data["billable"], false);
        assert!(data["first_at"].as_str() <= data["last_at"].as_str(), "{event:#}");
    }
    assert_eq!(stack.gaps(), Vec::<Value>::new());
    assert_eq!(stack.prometheus().count("meterr_requests_total", &[("outcome", "rejected")]), 210);
    // The access log has each refusal, and reconcile leaves those alone.
    let lines = stack.access_log(214);
    assert_eq!(lines.len(), 214);
    let log = stack.logs().join("access.log");
    let (status, text) = reconcile(&[&log], stack.collector_port(), &[]);
    assert!(status == Some(0) && text.contains("4 there already, 0 sent"), "{text}");
    assert!(text.contains("210 refusals that summaries tell of"), "{text}");
    assert_eq!(stack.events_so_far().len(), 4);
    stack.finish();
}

#[test]
fn ok_the_end_of_envoy_tells_the_rest() {
    let mut stack = start();
    stack.kill_collector();
    flood(&stack, "acme", 52);
    let [log, envoy_log] = ["access.log", "envoy.log"].map(|name| stack.logs().join(name));
    stack.stop_envoy();
    stack.revive_collector();
    let (status, text) = reconcile(&[&log, &envoy_log], stack.collector_port(), &[]);
    assert_eq!(status, Some(0), "{text}");
    let told = summaries(&stack);
    assert_eq!((sum(&told, "acme"), stack.events_so_far().len()), (50, 2), "{told:#?}");
}
