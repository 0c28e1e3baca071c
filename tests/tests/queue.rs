//! A queue of events at its bound, in the real Envoy: what happens to requests and events, and how much memory it takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use meterr_tests::{
    stack::{Options, Stack},
    traffic::{Clients, Exchange},
};
use serde_json::{Value, json};

const CLIENTS: u64 = 16;
/// What Envoy may take beside `sink.queue.max_bytes`, in KiB: the README says so too.
const BESIDE_KIB: u64 = 16 * 1_024;

/// `sink.queue.max_bytes`: the default in `scripts/test --all`.
fn max_bytes() -> u64 {
    let told = std::env::var("METERR_QUEUE_MIB").ok().and_then(|mib| mib.parse::<u64>().ok());
    told.unwrap_or(8) << 20
}

fn start(on_full: &str) -> Stack {
    let queue = json!({ "max_bytes": max_bytes(), "on_full": on_full });
    Stack::start(&Options { more: json!({ "sink": { "queue": queue } }), ..Options::default() })
}

fn resident_kib(stack: &Stack) -> u64 {
    stack.envoy().kib("VmRSS").expect("it runs")
}

/// What came of some exchanges.
#[derive(Debug, Default)]
struct Tally {
    served: u64,
    refused: u64,
    /// The most memory that Envoy had meanwhile.
    peak_kib: u64,
    /// The most bytes that it said are in the queue.
    queue_bytes: u64,
}

fn exchanges(stack: &Stack, total: u64) -> Tally {
    let [served, refused] = [0; 2].map(|_| Arc::new(AtomicU64::new(0)));
    let counts = (Arc::clone(&served), Arc::clone(&refused));
    let call = |nth| (Exchange::openai("gpt-4o-mini", false, json!({})), (nth % 50, nth % 50));
    let (clients, _) = Clients::send_each(CLIENTS, 0..total, stack.envoy().listener, call, move |_, status| {
        let count = match status.expect("an answer").as_u16() {
            200 => &counts.0,
            503 => &counts.1,
            other => panic!("status {other}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
    });
    let mut tally = Tally::default();
    while !clients.are_done() {
        tally.peak_kib = tally.peak_kib.max(resident_kib(stack));
        tally.queue_bytes = tally.queue_bytes.max(stack.prometheus().count("meterr_event_queue_bytes", &[]));
        thread::sleep(Duration::from_millis(100));
    }
    clients.join();
    (tally.served, tally.refused) = (served.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    tally
}

/// Fills the queue of a system to its bound, and beyond: memory before, and what came of it.
fn overfill(stack: &Stack) -> (u64, Tally) {
    // Everything that an exchange needs is there already when memory is looked at first.
    let warm = exchanges(stack, 2_000);
    assert_eq!(warm.served, 2_000);
    assert_eq!(stack.events(2_000).len(), 2_000);
    let before = resident_kib(stack);
    stack.kill_collector();
    // An event has some 1,300 bytes, and takes 512 more.
    let tally = exchanges(stack, max_bytes() / 1_300 * 2);
    let grown = tally.peak_kib.saturating_sub(before);
    println!(
        "queue of {} KiB: {} served, {} refused; {} KiB waited at most; Envoy took {before} KiB before, {grown} KiB more at most",
        max_bytes() / 1_024,
        tally.served,
        tally.refused,
        tally.queue_bytes / 1_024
    );
    (grown, tally)
}

fn counted(stack: &Stack, result: &str) -> u64 {
    stack.prometheus().count("meterr_events_total", &[("result", result)])
}

/// Numbers that no event has.
fn missing(gaps: &[Value]) -> u64 {
    gaps.iter().map(|gap| gap["to"].as_u64().expect("a number") - gap["from"].as_u64().expect("a number") + 1).sum()
}

#[test]
fn ok_the_oldest_events_make_room_and_memory_is_bounded() {
    let stack = start("drop_oldest");
    let (grown, tally) = overfill(&stack);
    assert_eq!(tally.refused, 0);
    let dropped = counted(&stack, "dropped");
    assert!(dropped > tally.served / 4, "{dropped} of {tally:?}");
    assert!(grown <= max_bytes() / 1_024 + BESIDE_KIB, "{grown} KiB");
    assert!(tally.queue_bytes <= max_bytes(), "{tally:?}");
    stack.revive_collector();
    let left = usize::try_from(2_000 + tally.served - dropped).expect("small");
    assert_eq!(stack.events(left).len(), left);
    assert_eq!(missing(&stack.gaps()), dropped, "each that was dropped is a gap, and nothing else is");
    assert_eq!((counted(&stack, "accepted"), counted(&stack, "dead_lettered")), (2_000 + tally.served, 0));
    stack.finish();
}

#[test]
fn err_requests_are_refused_and_memory_is_bounded() {
    let stack = start("reject_requests");
    let (grown, tally) = overfill(&stack);
    assert!(tally.refused > tally.served / 4, "{tally:?}");
    assert!(tally.served * 1_800 > max_bytes() / 2, "the queue was not full: {tally:?}");
    assert!(grown <= max_bytes() / 1_024 + BESIDE_KIB, "{grown} KiB");
    assert!(tally.queue_bytes <= max_bytes(), "{tally:?}");
    stack.revive_collector();
    let served = usize::try_from(2_000 + tally.served).expect("small");
    assert_eq!(stack.events(served).len(), served, "all that were served are told of");
    assert_eq!((counted(&stack, "dropped"), counted(&stack, "dead_lettered")), (tally.refused, 0));
    assert_eq!(stack.gaps(), Vec::<Value>::new());
    stack.finish();
}
