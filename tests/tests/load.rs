//! Traffic at a steady rate while the collector goes away and comes back: nothing is lost, nothing counts twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    stack::{Options, Stack},
    traffic::Exchange,
};
use serde_json::json;

/// Exchanges that are begun in a second.
const RATE: u64 = 300;

/// How long the collector is away: a minute in `scripts/test --all`.
fn outage() -> Duration {
    let told = std::env::var("METERR_OUTAGE_SECS").ok().and_then(|secs| secs.parse().ok());
    Duration::from_secs(told.unwrap_or(5))
}

/// Replies, streams of both dialects, and every eighth a stream that the client leaves.
fn kind(nth: u64) -> Exchange {
    let behaviour = json!({ "chunks": 5, "delay_ms": 1 });
    match (nth % 8, nth % 3) {
        (7, _) => Exchange::left("gpt-4o-mini", json!({ "chunks": 200, "delay_ms": 5 })),
        (_, 0) => Exchange::openai("gpt-4o-mini", false, behaviour),
        (_, 1) => Exchange::openai("gpt-4o-mini", true, behaviour),
        _ => Exchange::anthropic(true, behaviour),
    }
}

#[test]
fn ok_a_collector_that_is_away_under_load_costs_no_event() {
    let stack = Stack::start(&Options::default());
    let (begun, served) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let client = reqwest::Client::builder().http1_only().timeout(Duration::from_secs(60)).build().expect("a client");
    let listener = stack.envoy().listener;
    let before = Duration::from_secs(2);
    let total = before + outage() + before;
    let load = {
        let (begun, served) = (Arc::clone(&begun), Arc::clone(&served));
        runtime.spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
            // A busy machine gets what it can take: the rate is a bound, not a duty.
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut all = tokio::task::JoinSet::new();
            let started = Instant::now();
            while started.elapsed() < total {
                beat.tick().await;
                let nth = begun.fetch_add(1, Ordering::Relaxed);
                let (client, served) = (client.clone(), Arc::clone(&served));
                all.spawn(async move {
                    if kind(nth).send(&client, listener, (nth % 5, 0), None).await.is_ok_and(|status| status == 200) {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while all.join_next().await.is_some() {}
        })
    };
    thread::sleep(before);
    stack.kill_collector();
    thread::sleep(outage());
    stack.revive_collector();
    runtime.block_on(load).expect("the load ends by itself");
    let begun = begun.load(Ordering::Relaxed);
    assert_eq!(begun, served.load(Ordering::Relaxed), "every exchange was served\n{}", stack.envoy_log());
    let events = stack.events(usize::try_from(begun).expect("a small number"));
    let aborted = events.iter().filter(|event| event["data"]["outcome"] == "client_aborted").count();
    let gaps = stack.gaps();
    let stats = stack.collector_stats();
    let secs = outage().as_secs();
    println!(
        "collector away for {secs} s: {begun} exchanges ({aborted} left by their client), {} distinct events, {} gaps, \
         {} sent twice and kept once",
        stats["events"],
        gaps.len(),
        stats["duplicates"]
    );
    assert!(gaps.is_empty(), "{gaps:?}");
    assert!(aborted > 0, "some clients left");
    stack.finish();
}
