//! Workers over one store: they act in the middle of each other's callbacks, lose swaps, die, and their clock jumps.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use meterr_core::{
    limit::{
        Admission, Alert, LimitState, Limits, Refusal, RefusalKind, Reservation, Unit,
        spec::{Calendar, Dimension, Fallback, LimitSpec, Match, OnExceed, Override, Reserve, Window},
    },
    random::Random,
    store::{MemoryStore, SharedStore, StoreError, Version},
    time::Timestamp,
};

use super::{
    Violation,
    counter::{Change, Counter},
    request::{Flat, Request, Want, only_reports},
};

/// Deepest nesting of callbacks in the middle of others.
const MAX_DEPTH: usize = 3;
/// Most exchanges that are open.
const MAX_OPEN: usize = 40;

/// What goes wrong, times in a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Between two operations on the store, another worker acts.
    pub interruptions: u64,
    /// A swap is lost.
    pub conflicts: u64,
    /// Some open exchanges are forgotten with their VM.
    pub crashes: u64,
    /// The clock goes back.
    pub back: u64,
}

impl Faults {
    /// All that can happen.
    pub const ALL: Self = Self { interruptions: 120, conflicts: 80, crashes: 3, back: 4 };
    /// Nothing: each callback is judged.
    pub const NONE: Self = Self { interruptions: 0, conflicts: 0, crashes: 0, back: 0 };
}

/// What a run did: how much its silence is worth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Exchanges that were admitted.
    pub admitted: u64,
    /// … refused.
    pub refused: u64,
    /// … settled.
    pub settled: u64,
    /// Refusals whose wait was tried out.
    pub waits: u64,
    /// Remainders that were compared.
    pub remainders: u64,
    /// Parts of amounts that were told.
    pub alerts: u64,
    /// Callbacks in the middle of others.
    pub interruptions: u64,
    /// Counters.
    pub counters: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.settled += other.settled;
        self.waits += other.waits;
        self.remainders += other.remainders;
        self.alerts += other.alerts;
        self.interruptions += other.interruptions;
        self.counters += other.counters;
    }
}

/// What is told of one limit: to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    remaining: i64,
    would_reject: Option<bool>,
    alert: Option<u64>,
}

#[derive(Debug)]
enum Doing {
    Admit,
    Settle,
    Renew,
}

/// What happened to counters, by their limit.
type Changes = Vec<(usize, Change)>;

/// A callback that is under way.
#[derive(Debug)]
struct Op {
    id: u64,
    doing: Doing,
    request: Request,
    /// Keys of records that it has written, and what that changed, in order.
    written: Vec<(Vec<u8>, Changes)>,
    /// Records that it settles or renews, in order.
    groups: Vec<usize>,
    told: BTreeMap<usize, Told>,
}

#[derive(Debug)]
struct Open {
    id: u64,
    request: Request,
    groups: Vec<usize>,
    reservation: Reservation,
}

/// A simulated process.
#[derive(Debug)]
pub struct World {
    rules: Vec<LimitSpec>,
    groups: Vec<Vec<usize>>,
    limits: Limits,
    store: MemoryStore,
    counters: RefCell<BTreeMap<(usize, String), Counter>>,
    under_way: RefCell<Vec<Op>>,
    open: RefCell<Vec<Open>>,
    faults: Faults,
    now: Cell<Timestamp>,
    /// As late as it ever was.
    latest: Cell<Timestamp>,
    next: Cell<u64>,
    acts: Cell<u64>,
    random: RefCell<Random>,
    tally: RefCell<Tally>,
    broken: RefCell<Option<String>>,
}

fn rules(random: &mut Random) -> Vec<LimitSpec> {
    let mut pick = |most: usize| usize::try_from(random.up_to(most as u64 - 1)).expect("small");
    let units =
        [Unit::Requests, Unit::Tokens, Unit::InputTokens, Unit::OutputTokens, Unit::Usd, Unit::ConcurrentRequests];
    let calendars =
        [Calendar::Second, Calendar::Minute, Calendar::Hour, Calendar::Day, Calendar::Week, Calendar::Month];
    let pers: [&[Dimension]; 6] = [
        &[],
        &[Dimension::Tenant],
        &[Dimension::Tenant, Dimension::User],
        &[Dimension::Key, Dimension::Model],
        &[Dimension::Provider],
        &[Dimension::Label(Rc::from("team"))],
    ];
    let count = 1 + pick(6);
    let mut all = Vec::new();
    for nth in 0..count {
        let unit = units[pick(6)];
        let window = match (unit, pick(3)) {
            (Unit::ConcurrentRequests, _) => Window::Open,
            (_, 0) => Window::Fixed(calendars[pick(6)]),
            (_, 1) => Window::Sliding { secs: [1, 10, 60, 300][pick(4)] },
            // Whole nanoseconds for a unit.
            _ => Window::Bucket { per_sec: [1, 2, 5, 20][pick(4)] },
        };
        let scale = match unit {
            Unit::Requests | Unit::ConcurrentRequests => 6,
            Unit::Usd => 3_000,
            _ => 600,
        };
        let amount = 1 + pick(scale) as u64;
        let is_tenants = pers[pick(6)].contains(&Dimension::Tenant);
        let per = if is_tenants { pers[1 + pick(2)] } else { pers[[0, 3, 4, 5][pick(4)]] };
        let model = ["gpt*", "o3*"][pick(2)].to_owned();
        let applies = match pick(4) {
            0 => Match { model: vec![model], ..Match::default() },
            1 if is_tenants => Match { tenant: vec!["acme".to_owned()], ..Match::default() },
            _ => Match::default(),
        };
        let big = Override { of: Match { tenant: vec!["big".to_owned()], ..Match::default() }, amount: amount * 3 };
        all.push(LimitSpec {
            id: Rc::from(format!("limit-{nth}")),
            per: per.to_vec(),
            applies,
            unit,
            amount,
            overrides: if is_tenants && pick(2) == 0 { vec![big] } else { Vec::new() },
            window,
            reserve: [Reserve::Expected, Reserve::WorstCase, Reserve::None][pick(3)],
            assume_output_tokens: 30,
            on_unbounded: Fallback::Allow,
            on_unpriced: Fallback::Allow,
            on_exceed: if pick(6) == 0 { OnExceed::ReportOnly } else { OnExceed::Reject },
            on_store_error: Fallback::Reject,
            max_descriptors: 65_536,
            notify_at: [&[][..], &[500_000, 1_000_000], &[800_000]][pick(3)].to_vec(),
        });
    }
    all
}

/// Limits that count by the same descriptor stand in one record.
fn groups(rules: &[LimitSpec]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        match groups.iter_mut().find(|group| rules[group[0]].per == rule.per) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

impl World {
    /// The beginning of a run.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Random::new(seed);
        let rules = rules(&mut random);
        let now = Timestamp::from_millis(1_790_000_000_000 + random.up_to(86_400_000));
        Self {
            groups: groups(&rules),
            limits: Limits::compile(&rules),
            rules,
            store: MemoryStore::default(),
            counters: RefCell::default(),
            under_way: RefCell::default(),
            open: RefCell::default(),
            faults,
            now: Cell::new(now),
            latest: Cell::new(now),
            next: Cell::new(0),
            acts: Cell::new(0),
            random: RefCell::new(random),
            tally: RefCell::default(),
            broken: RefCell::new(None),
        }
    }

    pub(super) fn play(self, steps: u64) -> Result<Tally, Violation> {
        for step in 0..steps {
            if self.happens(self.faults.crashes) {
                self.open.borrow_mut().retain(|_| self.up_to(2) > 0);
            }
            self.pass_time();
            self.act(0);
            if let Some(seen) = self.broken.borrow_mut().take() {
                return Err(Violation { seen, step });
            }
        }
        let mut tally = *self.tally.borrow();
        tally.counters = self.counters.borrow().len() as u64;
        Ok(tally)
    }

    fn up_to(&self, max: u64) -> u64 {
        self.random.borrow_mut().up_to(max)
    }

    fn happens(&self, rate: u64) -> bool {
        self.up_to(999) < rate
    }

    fn law(&self, holds: bool, seen: impl FnOnce() -> String) {
        if !holds {
            self.broken.borrow_mut().get_or_insert_with(|| format!("{} at {:?}", seen(), self.now.get()));
        }
    }

    fn pass_time(&self) {
        let now = self.now.get();
        if self.happens(self.faults.back) {
            self.now.set(Timestamp(now.0 - self.up_to(3_000) * 1_000_000_000));
            return;
        }
        let millis = match self.up_to(999) {
            0..500 => self.up_to(50),
            500..900 => self.up_to(1_500),
            900..980 => self.up_to(40_000),
            980..996 => self.up_to(1_500_000),
            _ => self.up_to(40 * 86_400_000),
        };
        self.now.set(Timestamp(now.0 + millis * 1_000_000 + self.up_to(999_999)));
        self.latest.set(self.latest.get().max(self.now.get()));
    }

    /// One callback of some worker.
    fn act(&self, depth: usize) {
        self.acts.set(self.acts.get() + 1);
        let what = self.up_to(9);
        let opened = self.open.borrow().len();
        if opened == 0 || (what < 5 && opened < MAX_OPEN) {
            return self.admit(depth);
        }
        let at = usize::try_from(self.up_to(opened as u64 - 1)).expect("small");
        let mut open = self.open.borrow_mut().swap_remove(at);
        if what == 9 {
            self.begin(open.id, Doing::Renew, &open.request, &open.groups);
            open.reservation.renew(&self.disturbed(depth), self.now.get());
            self.finish();
            self.open.borrow_mut().push(open);
        } else {
            self.settle(open, depth);
        }
    }

    const fn disturbed(&self, depth: usize) -> Disturbed<'_> {
        Disturbed { world: self, depth }
    }

    fn begin(&self, id: u64, doing: Doing, request: &Request, groups: &[usize]) {
        let (request, groups) = (request.clone(), groups.to_vec());
        self.under_way.borrow_mut().push(Op { id, doing, request, written: Vec::new(), groups, told: BTreeMap::new() });
    }

    fn finish(&self) -> Op {
        self.under_way.borrow_mut().pop().expect("it was begun")
    }

    fn admit(&self, depth: usize) {
        let request = self.random.borrow_mut().clone();
        let request = {
            let mut random = request;
            let made = Request::new(&mut random);
            *self.random.borrow_mut() = random;
            made
        };
        self.next.set(self.next.get() + 1);
        let (id, acts, now) = (self.next.get(), self.acts.get(), self.now.get());
        let before = self.acts.get();
        let groups: Vec<usize> =
            (0..self.groups.len()).filter(|group| !self.applicable(*group, &request).is_empty()).collect();
        self.begin(id, Doing::Admit, &request, &groups);
        let admission = self.limits.admit(&request.subject(), &request.demand, &Flat, &self.disturbed(depth), now);
        let op = self.finish();
        let is_alone = depth == 0 && self.acts.get() == acts && before == acts;
        match admission {
            Admission::Admitted { mut reservation, unsettled, .. } => {
                self.tally.borrow_mut().admitted += 1;
                self.law(unsettled.is_none() && op.written.len() == groups.len(), || {
                    format!("taken from some: {op:?}")
                });
                let alerts = reservation.take_alerts();
                self.compare(&op, reservation.states(), &alerts);
                self.open.borrow_mut().push(Open { id, request, groups, reservation });
            }
            Admission::Refused(refusal) => {
                self.tally.borrow_mut().refused += 1;
                let kept = refusal.unsettled.is_some() || !op.written.is_empty();
                // Who finds room each time that it looks for why it was refused, and is refused again, gives up.
                let has_given_up = refusal.kind == RefusalKind::Store && is_alone;
                self.law(!kept && !has_given_up, || format!("something was kept: {op:?} {refusal:?}"));
                if is_alone {
                    self.judge_refusal(&request, &refusal, now);
                }
            }
        }
    }

    fn settle(&self, open: Open, depth: usize) {
        self.begin(open.id, Doing::Settle, &open.request, &open.groups);
        let settled = open.reservation.settle(open.request.truth, &self.disturbed(depth), self.now.get());
        let op = self.finish();
        self.tally.borrow_mut().settled += 1;
        self.law(settled.unsettled.is_none() && op.written.len() == open.groups.len(), || {
            format!("not settled: {op:?}")
        });
        self.compare(&op, &settled.states, &settled.alerts);
    }

    /// What was told is what the model says of the moments at which it was written.
    fn compare(&self, op: &Op, states: &[LimitState], alerts: &[Alert]) {
        for (rule, told) in &op.told {
            let id = &self.rules[*rule].id;
            let state = states.iter().find(|state| state.id == *id);
            self.tally.borrow_mut().remainders += 1;
            self.law(
                state.is_some_and(|state| {
                    let would_reject = told.would_reject.is_none() || state.would_reject == told.would_reject;
                    state.remaining == told.remaining && would_reject
                }),
                || format!("{id} has {told:?}, {state:?}: {op:?} {:?}", self.rules[*rule]),
            );
            let parts: Vec<u64> = alerts.iter().filter(|alert| alert.state.id == *id).map(|alert| alert.part).collect();
            let expected: Vec<u64> = told.alert.into_iter().collect();
            self.tally.borrow_mut().alerts += expected.len() as u64;
            self.law(parts == expected, || {
                format!("{id} told {parts:?} for {expected:?}: {op:?} {:?}", self.rules[*rule])
            });
        }
        self.law(states.len() == op.told.len(), || format!("{states:?} for {op:?}"));
    }

    fn applicable(&self, group: usize, request: &Request) -> Vec<usize> {
        self.groups[group].iter().copied().filter(|rule| request.applies(&self.rules[*rule])).collect()
    }

    fn counter<T>(&self, rule: usize, request: &Request, run: impl FnOnce(&mut Counter) -> T) -> T {
        let mut counters = self.counters.borrow_mut();
        run(counters.entry((rule, request.descriptor(&self.rules[rule]))).or_default())
    }

    /// What is left at an instant, without any trace of having asked; and whether the request would exceed it.
    fn look(&self, rule: usize, request: &Request, want: &Want, now: Timestamp) -> (i64, bool) {
        let spec = &self.rules[rule];
        let mut counter = self.counter(rule, request, |counter| counter.clone());
        counter.touch(spec.window, now);
        let used = counter.used(spec.window, now);
        let exceeds = want.never || used >= want.amount || used + want.hold + want.charge > want.amount;
        (i64::try_from(want.amount).expect("small") - i64::try_from(used).expect("small"), exceeds)
    }

    /// A record was written by the callback that is under way.
    fn wrote(&self, key: &[u8]) {
        let mut under_way = self.under_way.borrow_mut();
        let op = under_way.last_mut().expect("somebody writes");
        let now = self.now.get();
        let nth = op.written.len();
        if matches!(op.doing, Doing::Admit)
            && let Some((_, changes)) = op.written.pop_if(|(last, _)| last == key)
        {
            for (rule, change) in changes {
                let want = op.request.want(&self.rules[rule]);
                self.counter(rule, &op.request, |counter| {
                    counter.undo(op.id, &self.rules[rule], want.hold, want.charge, &change, now);
                });
                op.told.remove(&rule);
            }
            return;
        }
        let Some(group) = op.groups.get(nth).copied() else {
            return self.law(false, || format!("one write too many: {op:?}"));
        };
        let mut changes = Vec::new();
        for rule in self.applicable(group, &op.request) {
            let (spec, want) = (&self.rules[rule], op.request.want(&self.rules[rule]));
            let (_, exceeds) = self.look(rule, &op.request, &want, now);
            let (id, request) = (op.id, &op.request);
            let change = self.counter(rule, request, |counter| match op.doing {
                Doing::Admit => {
                    counter.is_loose |= !want.is_bounded || only_reports(spec);
                    Some(counter.take(id, spec, want.amount, want.hold, want.charge, now))
                }
                Doing::Settle => Some(counter.settle(id, spec, want.amount, request.truth(spec.unit), now)),
                Doing::Renew => {
                    counter.renew(id, spec, now);
                    None
                }
            });
            let Some(change) = change else { continue };
            let is_loose = self.counter(rule, request, |counter| counter.is_loose);
            // While the clock is behind, the window before weighs more again than it did.
            let is_behind = now < self.latest.get();
            self.law(is_loose || is_behind || change.remaining >= 0, || {
                format!("{spec:?} is exceeded: {change:?} {request:?}")
            });
            let is_admission = matches!(op.doing, Doing::Admit);
            self.law(!is_admission || !exceeds || only_reports(spec), || {
                format!("admitted past {spec:?}: {request:?}")
            });
            let would_reject = only_reports(spec).then_some(exceeds).filter(|_| is_admission);
            op.told.insert(rule, Told { remaining: change.remaining, would_reject, alert: change.told });
            changes.push((rule, change));
        }
        op.written.push((key.to_vec(), changes));
    }

    /// Nobody acted meanwhile: the refusal is right, what it tells is right, and so is the wait.
    fn judge_refusal(&self, request: &Request, refusal: &Refusal, now: Timestamp) {
        let mut refusing = Vec::new();
        for group in 0..self.groups.len() {
            for rule in self.applicable(group, request) {
                let (spec, want) = (&self.rules[rule], request.want(&self.rules[rule]));
                let (remaining, exceeds) = self.look(rule, request, &want, now);
                let state = refusal.states.iter().find(|state| state.id == spec.id);
                self.tally.borrow_mut().remainders += 1;
                let expected = if exceeds && !only_reports(spec) { "rejected" } else { "passed" };
                self.law(state.is_some_and(|state| (state.remaining, state.decision) == (remaining, expected)), || {
                    format!("{} has {remaining}, {expected}: {state:?} of {spec:?} {request:?}", spec.id)
                });
                if exceeds && !only_reports(spec) {
                    refusing.push((rule, want));
                }
            }
        }
        self.law(!refusing.is_empty(), || format!("refused for nothing: {refusal:?} {request:?}"));
        let is_hopeless = refusing.iter().any(|(_, want)| want.never);
        self.law(is_hopeless == matches!(refusal.kind, RefusalKind::RequestExceedsLimit), || {
            format!("{refusal:?} for {refusing:?}")
        });
        let has_slots = refusing.iter().any(|(rule, _)| self.rules[*rule].window == Window::Open);
        if is_hopeless || has_slots {
            return;
        }
        self.tally.borrow_mut().waits += 1;
        let wait = refusal.wait_ms;
        let after = |ms: u64| {
            // On a copy of each counter: nobody else is admitted meanwhile.
            let later = now.plus_millis(ms);
            !refusing.iter().any(|(rule, want)| self.look(*rule, request, want, later).1)
        };
        self.law(after(wait), || format!("{wait} ms are not enough: {refusal:?} {request:?}"));
        // Holds that grow too old in between give quota back sooner than the window does.
        if now.secs() / 900 == now.plus_millis(wait).secs() / 900 {
            self.law(!after(wait - 1), || format!("{wait} ms are too long: {refusal:?} {request:?}"));
        }
    }
}

/// The store as one callback sees it.
struct Disturbed<'w> {
    world: &'w World,
    depth: usize,
}

impl Disturbed<'_> {
    fn disturb(&self) {
        let world = self.world;
        if self.depth < MAX_DEPTH && world.happens(world.faults.interruptions) {
            world.tally.borrow_mut().interruptions += 1;
            (0..=world.up_to(2)).for_each(|_| world.act(self.depth + 1));
        }
    }

    fn write(&self, key: &[u8], write: impl FnOnce(&MemoryStore) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.disturb();
        if self.world.happens(self.world.faults.conflicts) {
            return Err(StoreError::Conflict);
        }
        write(&self.world.store)?;
        self.world.wrote(key);
        Ok(())
    }
}

impl SharedStore for Disturbed<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.disturb();
        self.world.store.read(key)
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        self.write(key, |store| store.swap(key, value, version))
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(key, |store| store.create(key, value))
    }

    fn write(&self, _key: &[u8], _value: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Host(12))
    }
}
