//! A configuration that changes, and an Envoy that another takes over from, while exchanges are in flight: one event each.

use std::{collections::BTreeSet, net::SocketAddr, thread, time::Duration};

use meterr_tests::{
    calls::chat,
    stack::{Options, Stack},
    traffic::{Balance, Traffic, reconcile},
    watched::Part,
};
use serde_json::{Value, json};

/// Long enough that open connections outlive the change that they began before, short enough that a test sees old configurations end.
const DRAIN: [&str; 2] = ["--drain-time-s", "2"];

/// The provider has served so many more.
fn serve(stack: &Stack, more: u64) {
    let until = stack.provider().exchanges() + more;
    stack.wait_for("nothing is served any more", |stack| stack.provider().exchanges() >= until);
}

/// The label that a generation's events have.
fn generation(event: &Value) -> &str {
    event["data"]["labels"]["generation"].as_str().unwrap_or("0")
}

/// All of these have come, without anybody's help.
fn wait_for_all(stack: &Stack) {
    let ledger = stack.provider().ledger();
    stack.wait_for("an event is missing", |stack| Balance::of(&ledger, &stack.events_so_far()).lost.is_empty());
}

/// One event for each exchange that the provider has served, without gaps, and the access log has nothing that the collector has not.
fn assert_one_each(stack: &Stack) -> Vec<Value> {
    wait_for_all(stack);
    let events = stack.events_so_far();
    let balance = Balance::of(&stack.provider().ledger(), &events);
    let gaps = stack.gaps();
    println!("{balance:?}; {} gaps; {} sent twice and kept once", gaps.len(), stack.collector_stats()["duplicates"]);
    assert!(balance.twice.is_empty() && balance.invented.is_empty() && balance.missing == 0, "{balance:?}");
    assert!(balance.served > 50, "there was traffic");
    assert!(gaps.is_empty(), "{gaps:?}");
    let (status, told) = reconcile(&[&stack.logs().join("access.log")], stack.collector_port(), &["--dry-run"]);
    assert_eq!(status, Some(0), "something would be sent: {told}");
    events
}

/// A stream that is open for longer than any configuration: a listener's end cuts it, a filter's does not.
fn outlive(listener: SocketAddr, nth: usize) {
    let request = reqwest::blocking::Client::new()
        .post(format!("http://{listener}/openai/v1/chat/completions"))
        .header("authorization", "Bearer sk-test")
        .header("x-request-id", format!("long-{nth}"))
        .header("x-test", json!({ "chunks": 200, "delay_ms": 25 }).to_string());
    let _cut = request.body(chat("gpt-4o-mini", true).to_string()).send().and_then(|answer| answer.bytes());
}

fn changes(part: &'static [Part]) {
    let mut stack = Stack::start(&Options { watched: part, arguments: &DRAIN, ..Options::default() });
    let listener = stack.envoy().listener;
    let traffic = Traffic::start(8, move || listener);
    let long: Vec<_> = (0..4).map(|nth| thread::spawn(move || outlive(listener, nth))).collect();
    for number in 1..=5 {
        serve(&stack, 30);
        stack.change_generation(part[0], number);
        // Old connections go on with the old one for a while.
        let name = number.to_string();
        let has = |stack: &Stack| stack.events_so_far().iter().any(|event| generation(event) == name);
        stack.wait_for("no event of the generation", has);
    }
    let _begun = traffic.stop();
    long.into_iter().for_each(|stream| stream.join().expect("it ends"));
    // The old root contexts have ended, too.
    thread::sleep(Duration::from_secs(3));
    let events = assert_one_each(&stack);
    let generations: BTreeSet<&str> = events.iter().map(generation).collect();
    assert_eq!(generations, BTreeSet::from(["0", "1", "2", "3", "4", "5"]));
    let is_long = |event: &&Value| event["data"]["request_id"].as_str().is_some_and(|id| id.starts_with("long-"));
    let long: Vec<_> = events.iter().filter(is_long).map(|event| &event["data"]).collect();
    println!("streams that outlived their configuration:");
    long.iter().for_each(|data| println!("{} {} {}", data["outcome"], data["reason"], data["usage_status"]));
    assert_eq!(long.len(), 4);
    for data in long {
        assert!(data["outcome"] == "completed" || data["reason"] == "proxy_disconnect", "{data}");
    }
    stack.finish();
}

#[test]
fn ok_a_listener_that_changes_costs_no_event() {
    changes(&[Part::Listener]);
}

#[test]
fn ok_a_filter_that_changes_costs_no_event() {
    changes(&[Part::Filter]);
}

/// What waits for a collector that is away passes from one configuration to the next.
#[test]
fn ok_what_waits_outlives_its_configuration() {
    let mut stack = Stack::start(&Options { watched: &[Part::Filter], arguments: &DRAIN, ..Options::default() });
    let listener = stack.envoy().listener;
    stack.kill_collector();
    let traffic = Traffic::start(4, move || listener);
    serve(&stack, 40);
    stack.change_generation(Part::Filter, 1);
    serve(&stack, 40);
    let _begun = traffic.stop();
    stack.change_generation(Part::Filter, 2);
    stack.revive_collector();
    assert_one_each(&stack);
    stack.finish();
}

/// For hot restarts: the old process goes on for a while, then it ends.
const HANDOVER: [&str; 4] = ["--drain-time-s", "2", "--parent-shutdown-time-s", "4"];

#[test]
fn ok_a_hot_restart_costs_no_event() {
    let mut stack = Stack::start(&Options { hot_restart: true, arguments: &HANDOVER, ..Options::default() });
    let listener = stack.envoy().listener;
    let traffic = Traffic::start(8, move || listener);
    serve(&stack, 50);
    let old = stack.hot_restart();
    assert_eq!(stack.envoy().listener, listener, "the socket was taken over");
    stack.wait_for("the old process does not end", |_| !old.is_running());
    let _begun = traffic.stop();
    drop(old);
    assert_one_each(&stack);
    stack.finish();
}

/// Shared memory is not handed over: what the old process could not deliver, its access log has.
#[test]
fn ok_a_hot_restart_while_the_collector_is_away_leaves_it_to_the_access_log() {
    let mut stack = Stack::start(&Options { hot_restart: true, arguments: &HANDOVER, ..Options::default() });
    let listener = stack.envoy().listener;
    stack.kill_collector();
    let traffic = Traffic::start(4, move || listener);
    serve(&stack, 50);
    let old = stack.hot_restart();
    stack.wait_for("the old process does not end", |_| !old.is_running());
    let _begun = traffic.stop();
    drop(old);
    stack.revive_collector();
    stack.end_envoy();
    let before = stack.events_so_far().len();
    let (status, told) = reconcile(&[&stack.logs().join("access.log")], stack.collector_port(), &[]);
    assert_eq!(status, Some(0), "{told}");
    let balance = Balance::of(&stack.provider().ledger(), &stack.events_so_far());
    println!("{before} events came by themselves; {told}; {balance:?}");
    assert!(balance.lost.is_empty() && balance.twice.is_empty() && balance.invented.is_empty(), "{balance:?}");
    assert!(balance.served > 50 && balance.missing == 0, "{balance:?}");
    assert_eq!(stack.gaps_so_far(), Vec::<Value>::new());
}
