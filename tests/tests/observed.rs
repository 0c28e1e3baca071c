//! What the filter says of its own delivery, in the real Envoy: every metric about events, and the heartbeats of each writer.

use std::collections::BTreeMap;

use meterr_tests::{
    calls::chat,
    stack::{Options, Stack},
};
use serde_json::{Value, json};

const PATH: &str = "/openai/v1/chat/completions";
const HEARTBEAT: &str = "ai.meterr.heartbeat.v1";

fn exchanges(stack: &Stack, count: usize) {
    for _ in 0..count {
        assert_eq!(stack.post(PATH).header("x-tenant", "acme").send(&chat("gpt-4o-mini", false)).status, 200);
    }
}

fn events(stack: &Stack) -> [u64; 4] {
    let metrics = stack.prometheus();
    let count = |result| metrics.count("meterr_events_total", &[("result", result)]);
    ["accepted", "delivered", "dead_lettered", "dropped"].map(count)
}

fn gauge(stack: &Stack, name: &str) -> u64 {
    stack.prometheus().count(name, &[])
}

fn callouts(stack: &Stack, result: &str) -> u64 {
    stack.prometheus().count("meterr_callouts_total", &[("result", result)])
}

/// The newest heartbeat of each writer, by writer.
fn heartbeats(stack: &Stack) -> BTreeMap<String, Value> {
    let beats = stack.events_of(HEARTBEAT).into_iter();
    beats.map(|beat| (beat["subject"].as_str().expect("a writer").to_owned(), beat["data"].clone())).collect()
}

fn sum(beats: &BTreeMap<String, Value>, name: &str) -> u64 {
    beats.values().map(|beat| beat[name].as_u64().unwrap_or_else(|| panic!("{name} in {beat}"))).sum()
}

#[test]
fn ok_metrics_and_heartbeats_tell_where_each_event_is() {
    let stack = Stack::start(&Options::default());
    // All is well: nothing waits.
    exchanges(&stack, 20);
    stack.wait_for("not all are delivered", |stack| events(stack) == [20, 20, 0, 0]);
    stack.wait_for("the queue is not empty", |stack| {
        gauge(stack, "meterr_event_queue_bytes") == 0 && gauge(stack, "meterr_event_oldest_ms") == 0
    });
    stack.wait_for("not each was timed", |stack| gauge(stack, "meterr_event_delivery_ms_count") == 20);
    assert!(callouts(&stack, "delivered") > 0);
    assert_eq!(["retry", "condemned", "not_started"].map(|result| callouts(&stack, result)), [0; 3]);

    // The collector is away: they wait, and are tried.
    stack.kill_collector();
    exchanges(&stack, 10);
    let waiting = || stack.access_log(30).iter().skip(20).map(|line| line["meterr"].as_str().map_or(0, str::len)).sum();
    let bytes: usize = waiting();
    stack.wait_for("the queue is empty", |stack| gauge(stack, "meterr_event_queue_bytes") == bytes as u64);
    stack.wait_for("the oldest grows no older", |stack| gauge(stack, "meterr_event_oldest_ms") > 1_500);
    stack.wait_for("nothing was tried again", |stack| callouts(stack, "retry") > 1);
    assert_eq!(events(&stack), [30, 20, 0, 0]);

    // It comes back, and takes none of them.
    stack.revive_collector();
    stack.collector_mode(&json!({ "mode": "422" }));
    stack.wait_for("they are not condemned", |stack| events(stack) == [30, 20, 10, 0]);
    assert!(callouts(&stack, "condemned") >= 10);
    stack.collector_mode(&json!({ "mode": "ok" }));
    exchanges(&stack, 5);
    stack.wait_for("not all are delivered", |stack| events(stack) == [35, 25, 10, 0]);

    // What heartbeats say adds up for each writer, and all together to what the metrics say.
    stack.wait_for("no heartbeat tells the end", |stack| {
        let beats = heartbeats(stack);
        ["accepted", "delivered", "dead_lettered", "dropped", "queued"].map(|name| sum(&beats, name))
            == [35, 25, 10, 0, 0]
    });
    for (writer, beat) in heartbeats(&stack) {
        let number = |name: &str| beat[name].as_u64().expect("a number");
        assert_eq!(beat["writer"], writer);
        assert_eq!(
            number("accepted"),
            number("delivered") + number("dead_lettered") + number("dropped") + number("queued")
        );
        assert_eq!(number("seq"), number("accepted"), "the last number is that of events so far");
        assert_eq!(beat["schema"], 1);
    }
    // A writer that is silent would be noticed: each beats again, whatever there is to tell.
    let before = stack.events_of(HEARTBEAT).len();
    stack.wait_for("no heart beats", |stack| stack.events_of(HEARTBEAT).len() >= before + heartbeats(stack).len());
    // Dead letters have numbers that the collector never gets.
    let missing = |gap: &Value| gap["to"].as_u64().unwrap_or(0) + 1 - gap["from"].as_u64().unwrap_or(0);
    assert_eq!(stack.gaps().iter().map(missing).sum::<u64>(), 10);
    stack.finish();
}

#[test]
fn ok_alerts_have_writers_and_heartbeats_of_their_own() {
    let two = json!({ "id": "two", "per": ["tenant"], "unit": "requests", "amount": 10, "notify_at": [0.2, 0.5],
                      "window": { "kind": "fixed", "per": "day" } });
    let stack = Stack::start(&Options { limits: json!([two]), ..Options::default() });
    exchanges(&stack, 8);
    let alerts = stack.alerts(2);
    let of = |event: &Value| event["writer"].as_str().expect("a writer").to_owned();
    let usage: Vec<String> = stack.events(8).iter().map(|event| of(&event["data"])).collect();
    assert!(alerts.iter().all(|alert| !usage.contains(&of(alert))), "{alerts:?}");
    stack.wait_for("no heartbeat tells of the alerts", |stack| {
        let beats = heartbeats(stack);
        let of_alerts: BTreeMap<_, _> = beats.into_iter().filter(|(writer, _)| !usage.contains(writer)).collect();
        sum(&of_alerts, "delivered") == 2 && sum(&of_alerts, "seq") == 2
    });
    assert_eq!(stack.gaps(), Vec::<Value>::new());
    stack.finish();
}

#[test]
fn err_a_cluster_that_is_not_there_and_requests_without_events_are_counted() {
    let more = json!({ "sink": { "cluster": "nobody" } });
    let stack = Stack::start(&Options { more, ..Options::default() });
    exchanges(&stack, 1);
    stack.wait_for("nothing was tried", |stack| callouts(stack, "not_started") > 1);
    assert_eq!((events(&stack), callouts(&stack, "delivered")), ([1, 0, 0, 0], 0));
    stack.get("/openai/v1/models").fetch();
    stack.wait_for("it is not counted", |stack| {
        stack.prometheus().count("meterr_unmetered_total", &[("reason", "other_path")]) == 1
    });
}
