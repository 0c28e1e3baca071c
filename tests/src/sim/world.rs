//! The process itself: workers act one at a time, but in the middle of each other's callbacks.

use std::cell::{Cell, RefCell};

use meterr_core::{
    effect::{Callout, Effect, Verdict},
    host::{Host, NoProperties},
    metric::Metric,
    random::Random,
    service::Service,
    store::{SharedStore, StoreError, Version},
    time::Timestamp,
};
use serde_json::Value;

use super::{
    Plan, Tally, Violation,
    collector::Collector,
    reference::{Claim, Reference, Subject, When},
    scene::Scene,
    store::{LEARNED, LIMITS, RINGS, Shared},
    stream::Stream,
};

/// Deepest nesting of callbacks in the middle of others.
const MAX_DEPTH: usize = 2;

/// A worker: a root context and its streams.
#[derive(Debug)]
pub struct Worker {
    pub(super) service: Service,
    pub(super) streams: Vec<Stream>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) generation: u64,
}

/// A settlement that the store did not take.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) exchange: u64,
    pub(super) claims: Vec<Claim>,
    pub(super) subject: Subject,
    pub(super) tokens: u64,
    /// It may have been taken on a later try.
    pub(super) in_doubt: bool,
}

/// A POST that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) worker: usize,
    pub(super) generation: u64,
    pub(super) callout: Callout,
}

/// A simulated process.
#[derive(Debug)]
pub struct World {
    pub(super) plan: Plan,
    pub(super) scene: Scene,
    pub(super) store: Shared,
    pub(super) workers: Vec<RefCell<Worker>>,
    pub(super) reference: RefCell<Reference>,
    pub(super) collector: RefCell<Collector>,
    pub(super) under_way: RefCell<Vec<UnderWay>>,
    /// Root contexts for requests that are tried: on an empty store, and on copies of the store.
    pub(super) triers: [RefCell<Service>; 2],
    pub(super) tally: RefCell<Tally>,
    pub(super) collector_is_well: Cell<bool>,
    /// Milliseconds since the epoch, and the latest that there ever was.
    pub(super) now: Cell<u64>,
    pub(super) latest: Cell<u64>,
    random: RefCell<Random>,
    next: Cell<u64>,
    step: Cell<usize>,
    interruptions: Cell<u64>,
    errors: Cell<u64>,
    /// Nothing goes wrong any more.
    pub(super) is_calm: Cell<bool>,
    is_undisturbed: Cell<bool>,
    broken: RefCell<Option<Violation>>,
}

/// What a callback did, as far as a host can see.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub(super) decisions: Vec<(String, &'static str)>,
    pub(super) events: Vec<Value>,
    /// Nobody acted in between.
    pub(super) is_whole: bool,
    /// The store did not fail.
    pub(super) is_clean: bool,
    pub(super) is_deferred: bool,
    pub(super) when: Option<When>,
    /// What it read of what was learned.
    pub(super) learned: Shared,
}

impl World {
    /// The beginning of a run.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let scene = Scene::new(&mut random, plan.queue_bytes);
        let now = 1_790_000_000_000 + random.up_to(86_400_000);
        Self {
            store: Shared::new(plan.flaw),
            workers: (0..plan.workers).map(|_| RefCell::new(worker(&scene, random.next(), 0))).collect(),
            reference: RefCell::new(Reference::new(scene.rules.clone())),
            collector: RefCell::default(),
            under_way: RefCell::default(),
            triers: [0, 1].map(|seed| RefCell::new(service(&scene, seed))),
            tally: RefCell::default(),
            collector_is_well: Cell::new(true),
            now: Cell::new(now),
            latest: Cell::new(now),
            random: RefCell::new(random),
            next: Cell::new(0),
            step: Cell::new(0),
            interruptions: Cell::new(0),
            errors: Cell::new(0),
            is_calm: Cell::new(false),
            is_undisturbed: Cell::new(false),
            broken: RefCell::new(None),
            plan: plan.clone(),
            scene,
        }
    }

    /// Plays to the end.
    ///
    /// # Errors
    /// The first law that did not hold.
    pub fn play(self) -> Result<Tally, Violation> {
        for step in 0..self.plan.steps {
            self.step.set(step);
            self.act(0);
            self.law("delivery", self.collector.borrow().check());
            if let Some(violation) = self.broken.borrow_mut().take() {
                return Err(violation);
            }
        }
        self.end();
        if let Some(violation) = self.broken.borrow_mut().take() {
            return Err(violation);
        }
        let mut tally = *self.tally.borrow();
        tally.interruptions = self.interruptions.get();
        let collector = self.collector.borrow();
        (tally.events, tally.again, tally.empty) = (collector.totals(), collector.again, collector.empty);
        tally.homeless = collector.homeless();
        Ok(tally)
    }

    /// A number from 0 to `max`, both included.
    pub(super) fn up_to(&self, max: u64) -> u64 {
        self.random.borrow_mut().up_to(max)
    }

    /// Whether something happens that does so `rate` times in a thousand.
    pub(super) fn happens(&self, rate: u64) -> bool {
        !self.is_calm.get() && self.up_to(999) < rate
    }

    /// Runs something that no other worker interrupts.
    pub(super) fn undisturbed(&self, run: impl FnOnce(&Self)) {
        let before = self.is_undisturbed.replace(true);
        run(self);
        self.is_undisturbed.set(before);
    }

    pub(super) fn with_random<T>(&self, run: impl FnOnce(&mut Random) -> T) -> T {
        run(&mut self.random.borrow_mut())
    }

    pub(super) fn fresh(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    pub(super) fn set_clock(&self, now: u64) {
        self.now.set(now);
        self.latest.set(self.latest.get().max(now));
    }

    /// Notes a law that does not hold; the first one counts.
    pub(super) fn law(&self, law: &'static str, result: Result<(), String>) {
        if let Err(seen) = result {
            self.broken.borrow_mut().get_or_insert(Violation { law, seen, step: self.step.get() });
        }
    }

    pub(super) fn new_worker(&self, generation: u64) -> Worker {
        worker(&self.scene, self.with_random(Random::next), generation)
    }

    /// Runs one callback of a worker and carries out its effects.
    pub(super) fn callback(
        &self,
        index: usize,
        worker: &mut Worker,
        depth: usize,
        run: impl FnOnce(&mut Worker, &mut Host<'_>) -> Verdict,
    ) -> (Verdict, Ran) {
        // What a callback knows of what was learned is then what it reads, which the judge sees.
        worker.service.forget_learned();
        let (interruptions, errors, now) = (self.interruptions.get(), self.errors.get(), self.now.get());
        let mut effects = Vec::new();
        let store = Disturbed { world: self, depth, learned: Shared::default() };
        let mut host =
            Host { store: &store, properties: &NoProperties, now: Timestamp::from_millis(now), effects: &mut effects };
        let verdict = run(worker, &mut host);
        let mut ran = Ran {
            is_whole: depth == 0 && self.interruptions.get() == interruptions,
            is_clean: self.errors.get() == errors,
            when: Some(When { now, until: self.now.get() }),
            learned: store.learned,
            ..Ran::default()
        };
        for effect in effects {
            self.carry_out(index, worker, effect, &mut ran);
        }
        (verdict, ran)
    }

    /// Runs a callback of the root context.
    pub(super) fn root_callback(
        &self,
        index: usize,
        worker: &mut Worker,
        depth: usize,
        run: impl FnOnce(&mut Service, &mut Host<'_>),
    ) -> Ran {
        let (_continue, ran) = self.callback(index, worker, depth, |worker, host| {
            run(&mut worker.service, host);
            Verdict::Continue
        });
        ran
    }

    fn carry_out(&self, index: usize, worker: &Worker, effect: Effect, ran: &mut Ran) {
        let mut collector = self.collector.borrow_mut();
        match effect {
            Effect::Callout(callout) => {
                self.under_way.borrow_mut().push(UnderWay { worker: index, generation: worker.generation, callout });
            }
            Effect::Measure(Metric::Events(result), number) => collector.count(result, number),
            Effect::Measure(Metric::LimitDecisions(limit, decision), _) => {
                ran.decisions.push((limit.to_string(), decision));
            }
            Effect::Measure(Metric::Errors("settle_deferred"), _) => ran.is_deferred = true,
            Effect::Measure(Metric::Errors("settle_lost"), _) => {
                self.law("conservation", Err("a settlement was given up".to_owned()));
            }
            Effect::Log(_, text) => {
                if let Some(json) = text.strip_prefix("meterr dead letter: ") {
                    self.law("delivery", collector.bury(json));
                }
            }
            Effect::SetFilterState("meterr", bytes) => match serde_json::from_slice::<Value>(&bytes) {
                Ok(event) => {
                    self.law("delivery", collector.accept(&event, bytes.into_owned()));
                    ran.events.push(event);
                }
                Err(error) => self.law("event", Err(format!("{error}: {}", String::from_utf8_lossy(&bytes)))),
            },
            _ => {}
        }
    }

    /// What happens before an operation on the store.
    fn disturb(&self, depth: usize, key: &[u8], writes: bool) -> Result<(), StoreError> {
        let faults = self.plan.faults;
        let [limits, rings, learned] = [LIMITS, RINGS, LEARNED].map(|prefix| key.starts_with(prefix));
        // A tick reads all rings: it would be interrupted for ever.
        let rate = if rings || learned { faults.interruptions / 6 } else { faults.interruptions };
        if depth < MAX_DEPTH && !self.is_undisturbed.get() && self.happens(rate) {
            self.interruptions.set(self.interruptions.get() + 1);
            let mut acts = 1 + self.up_to(2);
            if self.happens(faults.leaps) {
                // The process stood still, and this worker is the last to wake up.
                self.set_clock(self.now.get() + 10_000 + self.up_to(60_000));
                acts += 20;
            }
            (0..acts).for_each(|_| self.act(depth + 1));
        }
        if (limits && self.happens(faults.limit_errors)) || (rings && self.happens(faults.ring_errors)) {
            self.errors.set(self.errors.get() + 1);
            return Err(StoreError::Host(10));
        }
        // Whoever learns does without: nothing else may come of it.
        if learned && self.happens(faults.limit_errors) {
            return Err(StoreError::Host(10));
        }
        if (limits || learned) && writes && self.happens(faults.conflicts) { Err(StoreError::Conflict) } else { Ok(()) }
    }
}

fn worker(scene: &Scene, seed: u64, generation: u64) -> Worker {
    Worker { service: service(scene, seed), streams: Vec::new(), deferred: Vec::new(), generation }
}

/// A root context of that configuration.
fn service(scene: &Scene, seed: u64) -> Service {
    let env = |name: &str| scene.key.filter(|_| name == "METERR_CREDENTIAL_KEY").map(str::to_owned);
    match Service::configure(&scene.text, Some("sim"), seed, &env) {
        Ok(service) => service,
        Err(problems) => panic!("the configuration of the simulation is wrong: {problems}"),
    }
}

/// The store as one callback sees it: between any two operations other workers may act.
struct Disturbed<'w> {
    world: &'w World,
    depth: usize,
    /// What was read of what was learned.
    learned: Shared,
}

impl SharedStore for Disturbed<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.world.disturb(self.depth, key, false)?;
        let found = self.world.store.read(key)?;
        if let (true, Some((value, _))) = (key.starts_with(LEARNED), &found) {
            self.learned.write(key, value)?;
        }
        Ok(found)
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        self.world.disturb(self.depth, key, true)?;
        self.world.store.swap(key, value, version)
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.world.disturb(self.depth, key, true)?;
        self.world.store.create(key, value)
    }

    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.world.disturb(self.depth, key, true)?;
        self.world.store.write(key, value)
    }
}
