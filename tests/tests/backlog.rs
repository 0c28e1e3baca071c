//! Very many exchanges, with the collector away for the first half: all events arrive, none counts twice, and Envoy's memory has held them.

use std::{
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    stack::{Options, Stack},
    traffic::{Clients, Exchange},
};
use serde_json::json;

const CLIENTS: u64 = 32;
/// What an event may take in the queue. The queue is told to have room for as many as must wait, and half as many again: each worker fills rings
/// of its own.
const BYTES: u64 = 3_072;

/// How many: a hundred thousand in `scripts/test --all`.
fn exchanges() -> u64 {
    std::env::var("METERR_BACKLOG_EXCHANGES").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000)
}

/// Replies and streams of both dialects.
fn kind(nth: u64) -> Exchange {
    match nth % 4 {
        0 | 1 => Exchange::openai("gpt-4o-mini", false, json!({ "input": nth % 2_000, "output": 1 + nth % 700 })),
        2 => Exchange::openai("gpt-4o-mini", true, json!({ "chunks": 3 })),
        _ => Exchange::anthropic(true, json!({ "chunks": 3 })),
    }
}

#[test]
fn ok_a_backlog_of_half_of_all_events_arrives() {
    let total = exchanges();
    let queue = json!({ "sink": { "queue": { "max_bytes": (total / 2 * BYTES).max(33_554_432) } } });
    let stack = Stack::start(&Options { more: queue, ..Options::default() });
    let kib = |name| stack.envoy().kib(name).expect("it runs");
    let before = kib("VmRSS");
    stack.kill_collector();
    let started = Instant::now();
    let send = |numbers| {
        let call = |nth| (kind(nth), (nth % 50, nth % 5));
        let served = |nth, status: reqwest::Result<_>| assert_eq!(status.expect("it is served"), 200, "{nth}");
        Clients::send_each(CLIENTS, numbers, stack.envoy().listener, call, served).0.join();
    };
    send(0..total / 2);
    let queued = || stack.prometheus().count("meterr_event_queue_bytes", &[]);
    // The gauge is set once a second. No event is that small.
    stack.wait_for("the gauge does not tell what waits", |_| queued() > total / 2 * 500);
    let (parked, bytes, at_half) = (started.elapsed(), queued(), kib("VmRSS"));
    stack.revive_collector();
    send(total / 2..total);
    let served = started.elapsed();
    let events = || stack.collector_stats()["events"].as_u64().unwrap_or(0);
    let (mut last, mut since) = (events(), Instant::now());
    // As long as events come, they come.
    while last < total && since.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(total / 500 + 20));
        if events() > last {
            (last, since) = (events(), Instant::now());
        }
    }
    let arrived = started.elapsed();
    let (stats, gaps, peak) = (stack.collector_stats(), stack.gaps(), kib("VmHWM"));
    println!(
        "{total} exchanges in {:.0} s, the collector away for the first {:.0} s; all events there {:.1} s after the last exchange",
        served.as_secs_f64(),
        parked.as_secs_f64(),
        (arrived - served).as_secs_f64()
    );
    println!("{bytes} bytes waited; Envoy's memory: {before} KiB before, {at_half} KiB then, {peak} KiB at its peak");
    println!(
        "{} distinct events, {} came twice and are kept once, {} gaps",
        stats["events"],
        stats["duplicates"],
        gaps.len()
    );
    let dropped = stack.prometheus().count("meterr_events_total", &[("result", "dropped")]);
    assert_eq!((stats["events"].as_u64(), dropped), (Some(total), 0));
    assert!(gaps.is_empty(), "{gaps:?}");
    assert_eq!(stack.provider().exchanges(), total);
    stack.finish();
}
