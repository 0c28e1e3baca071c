//! Very many exchanges through one Envoy: its memory stops growing, and none of them is lost.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    stack::{Options, Stack},
    traffic::{Clients, Exchange},
};
use serde_json::json;

const CLIENTS: u64 = 32;
/// Looks at the memory, from beginning to end.
const LOOKS: u64 = 20;
/// What memory may grow by from the middle to the end, in KiB: what an allocator keeps moves up and down by as much.
const FLAT_KIB: u64 = 8 * 1_024;

/// How many: a million in `scripts/test --all`.
fn exchanges() -> u64 {
    std::env::var("METERR_SOAK_EXCHANGES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}

/// What passes: replies and streams of two dialects, compressed ones, errors, streams that end in an error, clients that leave, refusals.
fn kind(nth: u64) -> Exchange {
    match nth % 10 {
        0 | 1 => Exchange::openai("gpt-4o-mini", false, json!({ "input": nth % 2_000, "output": nth % 700 })),
        2 | 3 => Exchange::openai("gpt-4o-mini", true, json!({ "chunks": 10 })),
        4 => Exchange::anthropic(true, json!({ "chunks": 10, "cached": 20 })),
        5 => Exchange::anthropic(false, json!({ "gzip": true })),
        6 => Exchange::openai("gpt-4o", false, json!({ "status": 500 })),
        7 => Exchange::openai("gpt-4o", true, json!({ "chunks": 5, "error_mid_stream": true })),
        8 => Exchange::left("gpt-4o", json!({ "chunks": 100, "delay_ms": 2 })),
        _ => Exchange::openai("o3", false, json!({})),
    }
}

#[test]
fn ok_memory_is_flat_however_long_it_runs() {
    let limits = json!([
        { "id": "tokens", "per": ["tenant"], "unit": "tokens", "amount": 1_000_000_000, "notify_at": [] },
        { "id": "none", "per": ["key"], "unit": "requests", "amount": 1, "notify_at": [], "match": { "model": ["o3"] } },
        { "id": "slots", "unit": "concurrent_requests", "amount": 1_000, "notify_at": [] },
    ]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    let total = exchanges();
    let started = Instant::now();
    let call = |nth| (kind(nth), (nth % 5_000, nth % 500));
    let (clients, next) = Clients::send_each(CLIENTS, 0..total, stack.envoy().listener, call, |nth, done| {
        // A stream that ends in an error may be cut for the client too.
        assert!(done.is_ok() || nth % 10 == 7, "{nth}: {done:?}");
    });
    let mut sizes = Vec::new();
    for look in 1..=LOOKS {
        while next.load(Ordering::Relaxed) < total * look / LOOKS {
            assert!(started.elapsed() < Duration::from_secs(3_600), "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        sizes.push(stack.envoy().kib("VmRSS").expect("it runs"));
    }
    clients.join();
    let secs = started.elapsed().as_secs_f64();
    let accepted = || stack.prometheus().count("meterr_requests_total", &[]);
    stack.wait_for("not all exchanges are counted", |_| accepted() >= total);
    let stats = || stack.collector_stats();
    stack.wait_for("not all events came", |_| {
        // The collector counts by looking at each.
        thread::sleep(Duration::from_millis(total / 500));
        stats()["events"].as_u64() >= Some(total)
    });
    let events = stats();
    println!("{total} exchanges in {secs:.0} s; Envoy's memory in MiB after each twentieth of them:");
    println!("{}", sizes.iter().map(|kib| (kib / 1_024).to_string()).collect::<Vec<_>>().join(" "));
    println!("{} events, {} came twice", events["events"], events["duplicates"]);
    assert_eq!(events["events"], json!(total));
    let half = usize::try_from(LOOKS / 2).expect("small");
    let (middle, end) = (sizes[half - 1], sizes[sizes.len() - 1]);
    assert!(end <= middle + FLAT_KIB, "it grew from {middle} to {end} KiB in the second half");
    stack.finish();
}
