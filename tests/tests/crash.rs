//! VMs that die under load, by panics and for want of memory: no settled event is lost, and what was in flight is found in the access log.
//! Wants target/crash.wasm (`scripts/build --crash`).

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    calls::chat,
    chaos::schedule::PLACES,
    stack::{Options, Stack},
    traffic::{Balance, Traffic, reconcile},
};
use serde_json::Value;

/// How many crashes are forced: 50 unless told otherwise.
fn crashes() -> usize {
    std::env::var("METERR_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(50)
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().filter_map(|event| event["id"].as_str()).map(str::to_owned).collect()
}

/// Events that stand in the access log, thus were settled.
fn settled(stack: &Stack) -> BTreeSet<String> {
    let log = stack.envoy().access_log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = lines.filter_map(|line| serde_json::from_str(line["meterr"].as_str()?).ok());
    ids(&events.collect::<Vec<Value>>())
}

#[test]
fn ok_vms_that_die_under_load_cost_no_event() {
    let stack = Stack::start(&Options { module: "target/crash.wasm", ..Options::default() });
    let listener = stack.envoy().listener;
    let traffic = Traffic::start(8, move || listener);
    let died = || stack.envoy_log().matches("meterr panicked at").count();
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    let begun = Instant::now();
    let mut asked = 0;
    while died() < crashes() {
        assert!(begun.elapsed() < Duration::from_secs(300), "{} crashes", died());
        // Once for want of memory, which is no panic; it takes a gigabyte for a moment.
        let at = if asked == 3 { "response_body:memory" } else { PLACES[asked % PLACES.len()] };
        let request = client
            .post(format!("http://{listener}/openai/v1/chat/completions"))
            .header("authorization", "Bearer sk-test")
            .header("x-request-id", format!("crash-{asked}"))
            .header("x-crash-for-tests", at);
        // It may be cut, refused as the VM is still dead, or end before the VM does.
        let _answer = request.body(chat("gpt-4o-mini", asked % 2 == 1).to_string()).send().and_then(|it| it.bytes());
        asked += 1;
        thread::sleep(Duration::from_millis(150));
    }
    let requests = traffic.stop();
    let log = stack.envoy_log();
    let (panics, starved) = (died(), log.matches("memory allocation of").count());
    // By the filter alone: a new root context adopts what a dead one has left, once the lease is over.
    let settled = settled(&stack);
    stack.wait_for("not all settled events came", |stack| settled.is_subset(&ids(&stack.events_so_far())));
    let before = stack.events_so_far().len();
    let (status, told) = reconcile(&[&stack.logs().join("access.log")], stack.collector_port(), &[]);
    assert_eq!(status, Some(0), "{told}");
    let events = stack.events_so_far();
    let balance = Balance::of(&stack.provider().ledger(), &events);
    let gaps = stack.gaps();
    println!(
        "{panics} panics, {starved} ends of memory, {requests} requests of 8 clients; {} events settled",
        settled.len()
    );
    println!("{before} events came by themselves; reconcile: {told}");
    println!("{balance:?}; {} gaps; {} sent twice and kept once", gaps.len(), stack.collector_stats()["duplicates"]);
    assert!(balance.served > 100, "there was load");
    assert!(balance.lost.is_empty() && balance.twice.is_empty() && balance.invented.is_empty(), "{balance:?}");
    assert_eq!(balance.metered, balance.served);
    assert!(gaps.is_empty(), "{gaps:?}");
    // Reconciling again changes nothing.
    let (status, told) = reconcile(&[&stack.logs().join("access.log")], stack.collector_port(), &[]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains(", 0 sent ("), "{told}");
}
