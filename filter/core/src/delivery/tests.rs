use core::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::{
    spec::{OnFull, Rejected, Sink},
    *,
};
use crate::{
    effect::{Callout, Effect},
    event::format::Format,
    metric::Metric,
    store::{MemoryStore, SharedStore, StoreError, Version},
    time::Timestamp,
};

mod answers;
mod control;
mod faults;
mod owners;

fn sink() -> Sink {
    Sink {
        cluster: "collector".to_owned(),
        authority: "collector.local".to_owned(),
        path: "/v1/events".to_owned(),
        format: Format::CloudEvents,
        gzip: false,
        headers: Vec::new(),
        timeout_ms: 5_000,
        batch_events: 4,
        batch_bytes: 10_000,
        batch_delay_ms: 50,
        retry_base_ms: 100,
        retry_max_ms: 2_000,
        give_up_after_secs: 86_400,
        queue_bytes: 1 << 20,
        on_full: OnFull::DropOldest,
        rejected: Rejected::Each,
        heartbeat_secs: 60,
    }
}

/// A store that may refuse changes of heads, as if somebody had been faster.
#[derive(Default)]
struct Store {
    memory: MemoryStore,
    refuses_heads: Cell<bool>,
    /// How often it was read, how many bytes that copied, and how often it was written.
    asked: Cell<(u64, u64, u64)>,
}

impl SharedStore for Store {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let found = self.memory.read(key)?;
        let (reads, bytes, writes) = self.asked.get();
        self.asked.set((reads + 1, bytes + found.as_ref().map_or(0, |(value, _)| value.len() as u64), writes));
        Ok(found)
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        if self.refuses_heads.get() && key.ends_with(b"/h") {
            return Err(StoreError::Conflict);
        }
        let (reads, bytes, writes) = self.asked.get();
        self.asked.set((reads, bytes, writes + 1));
        self.memory.swap(key, value, version)
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.memory.create(key, value)
    }

    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.memory.write(key, value)
    }
}

/// Workers of one process and a collector.
struct World {
    store: Store,
    workers: Vec<Option<Exporter>>,
    now: Timestamp,
    made: u64,
    seed: u64,
    under_way: Vec<(usize, Callout)>,
    /// Distinct events that the collector has, and how often it got one again.
    collected: BTreeSet<u64>,
    by_writer: BTreeMap<String, BTreeSet<u64>>,
    counts: BTreeMap<&'static str, u64>,
    dead: BTreeSet<u64>,
    sink: Sink,
}

impl World {
    fn new(workers: usize, sink: Sink) -> Self {
        let mut world = Self {
            store: Store::default(),
            workers: Vec::new(),
            now: Timestamp::from_secs(1_800_000_000),
            made: 0,
            seed: 1,
            under_way: Vec::new(),
            collected: BTreeSet::new(),
            by_writer: BTreeMap::new(),
            counts: BTreeMap::new(),
            dead: BTreeSet::new(),
            sink,
        };
        for _ in 0..workers {
            let worker = world.exporter();
            world.workers.push(Some(worker));
        }
        world
    }

    fn exporter(&mut self) -> Exporter {
        self.seed += 1;
        Exporter::new(self.sink.clone(), "urn:meterr:n".to_owned(), self.seed)
    }

    fn take(&mut self, worker: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Callout(callout) => self.under_way.push((worker, callout)),
                Effect::Measure(Metric::Events(result), number) => *self.counts.entry(result).or_default() += number,
                Effect::Log(_, text) => {
                    let json = text.strip_prefix("meterr dead letter: ").expect("only dead letters are logged");
                    let event: Value = serde_json::from_str(json).expect("JSON");
                    self.dead.insert(event["n"].as_u64().expect("a number"));
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self, worker: usize) {
        self.accept_as(worker, Kind::Usage);
    }

    fn accept_as(&mut self, worker: usize, kind: Kind) {
        let Some(exporter) = &mut self.workers[worker] else { return };
        self.made += 1;
        let made = self.made;
        let mut effects = Vec::new();
        exporter.accept(&self.store, self.now, &mut effects, kind, &mut |writer, seq| {
            format!(r#"{{"n":{made},"type":"usage","writer":"{writer:x}","seq":{seq},"pad":"{:0>400}"}}"#, 0)
                .into_bytes()
        });
        self.take(worker, effects);
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
        for worker in 0..self.workers.len() {
            let Some(exporter) = &mut self.workers[worker] else { continue };
            let mut effects = Vec::new();
            exporter.on_tick(&self.store, self.now, &mut effects);
            self.take(worker, effects);
        }
    }

    /// The collector takes a POST; what a VM that died had asked for still arrives.
    fn arrive(&mut self, callout: &Callout) {
        let events: Vec<Value> = serde_json::from_slice(&callout.body).expect("an array of JSON");
        for event in events.iter().filter(|event| event["type"] == "usage") {
            self.collected.insert(event["n"].as_u64().expect("a number"));
            let writer = event["writer"].as_str().expect("a text").to_owned();
            self.by_writer.entry(writer).or_default().insert(event["seq"].as_u64().expect("a number"));
        }
    }

    fn answer(&mut self, which: usize, status: Option<u32>) {
        if self.under_way.is_empty() {
            return;
        }
        let (worker, callout) = self.under_way.remove(which % self.under_way.len());
        if status.is_some_and(|status| status < 300) {
            self.arrive(&callout);
        }
        let Some(exporter) = &mut self.workers[worker] else { return };
        let mut effects = Vec::new();
        exporter.on_callout_response(callout.token, status, None, &self.store, self.now, &mut effects);
        self.take(worker, effects);
    }

    fn crash(&mut self, worker: usize) {
        let fresh = self.exporter();
        self.workers[worker] = Some(fresh);
        self.under_way.retain(|(owner, _)| *owner != worker);
    }

    /// The collector is healthy for long enough.
    fn settle(&mut self) {
        for _ in 0..400 {
            self.wait(100);
            while !self.under_way.is_empty() {
                self.answer(0, Some(204));
            }
        }
    }

    fn count(&self, result: &str) -> u64 {
        self.counts.get(result).copied().unwrap_or(0)
    }
}

#[test]
fn ok_events_arrive_within_the_delay_and_in_batches() {
    let mut world = World::new(1, sink());
    world.accept(0);
    world.accept(0);
    assert!(world.under_way.is_empty());
    world.wait(25);
    assert_eq!(world.under_way.len(), 1, "one batch of two");
    world.answer(0, Some(200));
    for _ in 0..4 {
        world.accept(0);
    }
    assert_eq!(world.under_way.len(), 1, "a full batch waits for no tick");
    world.answer(0, Some(200));
    assert_eq!((world.collected.len(), world.count("delivered")), (6, 6));
}

#[test]
fn ok_a_collector_that_is_down_is_probed_and_loses_nothing() {
    let mut world = World::new(1, sink());
    let mut attempts = 0;
    for step in 0..600 {
        if step < 100 {
            world.accept(0);
        }
        world.wait(50);
        attempts += world.under_way.len();
        while !world.under_way.is_empty() {
            world.answer(0, Some(503));
        }
    }
    assert!(attempts < 80, "{attempts} attempts in half a minute");
    world.settle();
    assert_eq!((world.collected.len(), world.count("delivered")), (100, 100));
}

#[test]
fn ok_a_condemned_batch_is_split_until_the_guilty_are_alone() {
    let mut world = World::new(1, Sink { batch_events: 16, ..sink() });
    for _ in 0..16 {
        world.accept(0);
    }
    for _ in 0..100 {
        while let Some((_, callout)) = world.under_way.first() {
            let guilty = String::from_utf8_lossy(&callout.body).contains("\"n\":11,");
            world.answer(0, Some(if guilty { 422 } else { 200 }));
        }
        world.wait(50);
    }
    assert_eq!(world.dead, BTreeSet::from([11]));
    assert_eq!((world.collected.len(), world.count("delivered"), world.count("dead_lettered")), (15, 15, 1));
}

#[test]
fn ok_a_full_queue_drops_the_oldest_and_counts() {
    let mut world = World::new(1, Sink { queue_bytes: 65_536, ..sink() });
    for _ in 0..300 {
        world.accept(0);
        world.wait(30);
        while !world.under_way.is_empty() {
            world.answer(0, None);
        }
    }
    let dropped = world.count("dropped");
    assert!(dropped > 100, "{dropped}");
    world.settle();
    assert_eq!(world.collected.len() as u64, 300 - dropped);
    assert!(world.collected.contains(&300) && !world.collected.contains(&1));
}

#[test]
fn ok_what_is_too_old_is_given_up() {
    let mut world = World::new(1, Sink { give_up_after_secs: 60, ..sink() });
    world.accept(0);
    for _ in 0..70 {
        world.wait(1_000);
        world.answer(0, Some(500));
    }
    assert_eq!(world.dead, BTreeSet::from([1]));
    assert_eq!(world.count("dead_lettered"), 1);
}

#[test]
fn ok_at_shutdown_the_rest_is_told_and_left_for_others() {
    let mut world = World::new(2, sink());
    world.accept(0);
    let mut worker = world.workers[0].take().expect("there");
    let unsent = worker.drain_for_shutdown(&world.store, world.now);
    assert_eq!(unsent.len(), 1);
    world.settle();
    assert_eq!(world.collected.len(), 1, "the other worker sent it");
}

#[derive(Clone, Debug)]
enum Act {
    Accept(usize, usize),
    Wait(u64),
    Answer(usize, Option<u32>),
    Crash(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let status = prop_oneof![3 => Just(Some(204)), 1 => Just(Some(503)), 1 => Just(Some(429)), 1 => Just(None)];
    let act = prop_oneof![
        6 => (0..3_usize, 1..6_usize).prop_map(|(worker, count)| Act::Accept(worker, count)),
        4 => (1..400_u64).prop_map(Act::Wait),
        1 => (5_000..15_000_u64).prop_map(Act::Wait),
        5 => (0..8_usize, status).prop_map(|(which, status)| Act::Answer(which, status)),
        1 => (0..3_usize).prop_map(Act::Crash),
    ];
    prop::collection::vec(act, 0..80)
}

proptest! {
    /// Nothing is lost, whatever answers come and whichever VMs die; sequence numbers have no gap; and while no VM dies,
    /// accepted = delivered + queued at every moment.
    #[test]
    fn nothing_is_lost(acts in acts()) {
        let mut world = World::new(3, sink());
        let crashes = acts.iter().any(|act| matches!(act, Act::Crash(_)));
        for act in acts {
            match act {
                Act::Accept(worker, count) => (0..count).for_each(|nth| {
                    world.accept_as(worker, if nth == 3 { Kind::Control } else { Kind::Usage });
                }),
                Act::Wait(millis) => world.wait(millis),
                Act::Answer(which, status) => world.answer(which, status),
                Act::Crash(worker) => world.crash(worker),
            }
        }
        world.settle();
        let all: BTreeSet<u64> = (1..=world.made).collect();
        prop_assert_eq!(&world.collected, &all);
        prop_assert_eq!(world.count("accepted"), world.made);
        if !crashes {
            prop_assert_eq!(world.count("delivered"), world.made);
        }
        for (writer, seqs) in &world.by_writer {
            let first = *seqs.first().expect("not empty");
            let last = *seqs.last().expect("not empty");
            prop_assert_eq!(first, 1, "writer {} begins at 1", writer);
            prop_assert_eq!(seqs.len() as u64, last, "writer {} has no gap", writer);
        }
    }
}
