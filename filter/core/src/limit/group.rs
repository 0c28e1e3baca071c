//! Admission: which limits apply, and taking what they want from all or none.

use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::{
    Admission, LimitState, Refusal, RefusalKind, Unit,
    cell::Cell,
    hashes::Hashes,
    record::Hash,
    reservation::{Alert, GroupHold, Held, LimitHold, Reservation, SlotUse, Unsettled},
    slot::{self, Place},
    spec::{Dimension, Fallback, LimitSpec, Match, OnExceed},
    want::{Demand, Limit, Pricing, Subject, Want},
    window,
};
use crate::{
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// Most attempts to swap one record. Each loss means that somebody else got through; past it the store counts as failing, and the limit's
/// `on_store_error` decides.
pub(super) const MAX_TRIES: u32 = 32;

/// Most times that a request is tried again because quota came back between its refusal and the look at why.
const MAX_LOOKS: u32 = 4;

/// Before all keys of limits, apart from other plugins in the same namespace; the number is the record's layout.
const TABLE: &[u8] = b"meterr/l2/";

/// The decision of a limit that was not asked.
const CHARGED: &str = "charged";

/// All limits of a configuration.
#[derive(Clone, Debug)]
pub struct Limits(pub(super) Rc<Vec<Group>>);

/// Limits that count by the same descriptor.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) table: Vec<u8>,
    pub(super) slots: u32,
    pub(super) per: Rc<[Dimension]>,
    pub(super) limits: Vec<Limit>,
    pub(super) hashes: Hashes,
}

/// One counter: a limit and a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Counter {
    tag: u64,
    descriptor: Hash,
}

impl Counter {
    /// What a provider has said of its own limits: no limit has this tag but by a chance of 1 in 2^64.
    #[must_use]
    pub(crate) const fn of_provider(subject: [u8; 16]) -> Self {
        Self { tag: 0, descriptor: subject }
    }
}

#[cfg(test)]
impl Counter {
    pub(super) const fn for_tests(tag: u64) -> Self {
        Self { tag, descriptor: [0; 16] }
    }
}

/// Where a request that is refused may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// What it waits for.
    pub counter: Counter,
    /// Longest wait, in milliseconds.
    pub max_wait_ms: u64,
    /// Most that wait for that counter.
    pub max_waiting: usize,
}

/// A request, as the limits are asked about it.
#[derive(Clone, Copy)]
struct Request<'a> {
    subject: &'a Subject<'a>,
    demand: &'a Demand,
    pricing: &'a dyn Pricing,
}

/// Prices for what is not held: nobody asks for them.
struct Free;

impl Pricing for Free {
    fn cost(&self, _input: u64, _output: u64, _at_most: bool) -> Option<u64> {
        Some(0)
    }
}

enum Taken {
    Held(Held),
    Refused,
    Failed,
}

enum Attempt {
    Admitted(Reservation, bool),
    Refused(Reservation),
    /// The store failed, and this limit insists on it.
    Failed(Reservation, Vec<LimitState>, LimitState),
}

impl Limits {
    /// Makes limits ready. Those that count by the same descriptor and bound form a group.
    #[must_use]
    #[inline(never)]
    pub fn compile(specs: &[LimitSpec]) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for spec in specs {
            let limit = Limit { tag: tag(spec), spec: spec.clone() };
            match groups.iter_mut().find(|group| *group.per == *spec.per && group.slots == spec.max_descriptors) {
                Some(group) => group.limits.push(limit),
                None => groups.push(Group {
                    table: table(&spec.per, spec.max_descriptors),
                    slots: spec.max_descriptors.max(1),
                    per: Rc::from(spec.per.clone()),
                    limits: vec![limit],
                    hashes: Hashes::default(),
                }),
            }
        }
        Self(Rc::new(groups))
    }

    /// Whether the answer to a request of this subject needs its body.
    #[must_use]
    pub fn needs_body(&self, subject: &Subject<'_>) -> bool {
        self.0.iter().flat_map(|group| &group.limits).any(|limit| {
            let known = Match { model: Vec::new(), ..limit.spec.applies.clone() };
            limit.needs_body() && subject.is(&known)
        })
    }

    /// Whether any limit that applies to this subject holds an estimate.
    #[must_use]
    pub fn wants_estimate(&self, subject: &Subject<'_>) -> bool {
        let mut limits = self.0.iter().flat_map(|group| &group.limits);
        limits.any(|limit| limit.spec.holds_estimate() && subject.is(&limit.spec.applies))
    }

    /// Where requests of this subject may have to wait.
    #[must_use]
    pub fn queues(&self, subject: &Subject<'_>) -> Vec<QueuePlace> {
        let places = self.0.iter().flat_map(|group| {
            let limits = group.limits.iter().filter(|limit| limit.queues() && subject.is(&limit.spec.applies));
            limits.filter_map(|limit| limit.queue(group.hash(subject)))
        });
        places.collect()
    }

    /// Takes what a request needs from all limits that apply to it, or from none.
    pub fn admit(
        &self,
        subject: &Subject<'_>,
        demand: &Demand,
        pricing: &dyn Pricing,
        store: &dyn SharedStore,
        now: Timestamp,
    ) -> Admission {
        let request = Request { subject, demand, pricing };
        let mut unsettled: Option<Unsettled> = None;
        let mut last = None;
        for _ in 0..MAX_LOOKS {
            match self.attempt(request, store, now) {
                Attempt::Admitted(reservation, unbounded) => {
                    return Admission::Admitted { reservation, unbounded, unsettled };
                }
                Attempt::Refused(reservation) => {
                    unsettled = Unsettled::both(unsettled, reservation.release(store, now));
                    match self.explain(request, store, now) {
                        Ok(refusal) => return Admission::Refused(Refusal { unsettled, ..refusal }),
                        Err(states) => last = states.first().cloned().map(|limit| (states, limit)),
                    }
                }
                Attempt::Failed(reservation, states, limit) => {
                    unsettled = Unsettled::both(unsettled, reservation.release(store, now));
                    last = Some((states, limit));
                    break;
                }
            }
        }
        let Some((states, limit)) = last else {
            return Admission::Admitted { reservation: Reservation::new(self.clone()), unbounded: false, unsettled };
        };
        Admission::Refused(Refusal { kind: RefusalKind::Store, states, limit, wait_ms: 1_000, queue: None, unsettled })
    }

    /// Which limit counts there.
    #[must_use]
    pub fn of_counter(&self, counter: &Counter) -> Option<Rc<str>> {
        let mut all = self.0.iter().flat_map(|group| &group.limits);
        all.find(|limit| limit.tag == counter.tag).map(|limit| Rc::clone(&limit.spec.id))
    }

    /// The refusal of a request that others wait before for that counter, whether there is room or not. Nothing is taken.
    #[must_use]
    pub fn refusal(
        &self,
        counter: &Counter,
        subject: &Subject<'_>,
        demand: &Demand,
        pricing: &dyn Pricing,
        store: &dyn SharedStore,
        now: Timestamp,
    ) -> Option<Refusal> {
        let states = match self.explain(Request { subject, demand, pricing }, store, now) {
            Ok(refusal) => return Some(refusal),
            Err(states) => states,
        };
        // There is room, but those who wait have a right to it.
        let id = self.of_counter(counter)?;
        let limit = states.iter().find(|state| state.id == id).cloned()?;
        let kind = RefusalKind::RateLimit;
        let queue = self.queues(subject).into_iter().find(|place| place.counter == *counter);
        Some(Refusal { kind, states, limit, wait_ms: 1_000, queue, unsettled: None })
    }

    fn attempt(&self, request: Request<'_>, store: &dyn SharedStore, now: Timestamp) -> Attempt {
        let mut reservation = Reservation::new(self.clone());
        let mut unbounded = false;
        for (nth, group) in self.0.iter().enumerate() {
            let wants = group.wants(request);
            if wants.is_empty() {
                continue;
            }
            // What can never fit is refused whatever the counters say, and even if they say nothing.
            if wants.iter().any(|want| want.verdict.is_some() && !want.limit.only_reports()) {
                return Attempt::Refused(reservation);
            }
            unbounded |= wants.iter().any(|want| want.is_unbounded);
            match group.take(nth, &wants, "admitted", request.subject, store, now) {
                Taken::Held(held) => reservation.add(held),
                Taken::Refused => return Attempt::Refused(reservation),
                Taken::Failed => {
                    let states: Vec<LimitState> = wants.iter().map(|want| want.unknown(now)).collect();
                    let insists = |want: &Want<'_>| {
                        want.limit.spec.on_store_error == Fallback::Reject && !want.limit.only_reports()
                    };
                    if let Some(limit) = wants.iter().position(insists).and_then(|at| states.get(at)).cloned() {
                        return Attempt::Failed(reservation, states, limit);
                    }
                    reservation.states.extend(states);
                }
            }
        }
        Attempt::Admitted(reservation, unbounded)
    }

    /// What comes after the first response on a connection that was admitted: no limit is asked and nothing is held; all of it is charged
    /// when it settles, as debt if there is no room. `is_request` says that it counts as an exchange of its own. Slots are not taken again:
    /// the connection has its own.
    pub fn charge_later(
        &self,
        subject: &Subject<'_>,
        is_request: bool,
        store: &dyn SharedStore,
        now: Timestamp,
    ) -> Reservation {
        let mut reservation = Reservation::new(self.clone());
        let request = Request { subject, demand: &Demand::default(), pricing: &Free };
        for (nth, group) in self.0.iter().enumerate() {
            let mut wants = group.wants(request);
            wants.retain(|want| match want.limit.spec.unit {
                Unit::ConcurrentRequests => false,
                Unit::Requests => is_request,
                Unit::Tokens | Unit::InputTokens | Unit::OutputTokens | Unit::Usd => true,
            });
            for want in &mut wants {
                (want.hold, want.verdict) = (0, None);
            }
            if wants.is_empty() {
                continue;
            }
            match group.take(nth, &wants, CHARGED, subject, store, now) {
                Taken::Held(held) => reservation.add(held),
                Taken::Refused | Taken::Failed => {
                    reservation.states.extend(wants.iter().map(|want| want.unknown(now)));
                }
            }
        }
        reservation
    }

    /// What all applicable limits say, without taking anything: the longest wait is the one to tell. If none refuses any more, only what
    /// they say.
    fn explain(
        &self,
        request: Request<'_>,
        store: &dyn SharedStore,
        now: Timestamp,
    ) -> Result<Refusal, Vec<LimitState>> {
        let mut states = Vec::new();
        let mut worst: Option<(RefusalKind, u64, LimitState)> = None;
        let mut queue = None;
        let mut all_may_wait = true;
        for group in self.0.iter() {
            let wants = group.wants(request);
            if wants.is_empty() {
                continue;
            }
            let mut place = group.locate(request.subject, store, None, now).ok();
            for want in &wants {
                let Some(cell) = want.cell(place.as_mut(), now).or_else(|| want.verdict.map(|_| want.fresh(now)))
                else {
                    states.push(want.unknown(now));
                    continue;
                };
                let exceeds = want.exceeds(&cell, now);
                let refuses = exceeds.filter(|_| !want.limit.only_reports());
                let decision = if refuses.is_some() { "rejected" } else { "passed" };
                let state = want.state(&cell, decision, exceeds.is_some(), now);
                states.push(state.clone());
                let Some(kind) = refuses else { continue };
                let wait_ms = want.wait_ms(&cell, now);
                let place = want.queue(group.hash(request.subject));
                all_may_wait &= place.is_some();
                if worst.as_ref().is_none_or(|(other, told, _)| rank(kind, wait_ms) > rank(*other, *told)) {
                    (worst, queue) = (Some((kind, wait_ms, state)), place);
                }
            }
        }
        let Some((kind, wait_ms, limit)) = worst else { return Err(states) };
        let queue = queue.filter(|_| all_may_wait);
        Ok(Refusal { kind, states, limit, wait_ms, queue, unsettled: None })
    }
}

impl Want<'_> {
    fn cell(&self, place: Option<&mut Place>, now: Timestamp) -> Option<Cell> {
        Some(*place?.record.cell(self.limit.tag, self.limit.spec.window, now))
    }

    fn fresh(&self, now: Timestamp) -> Cell {
        let mut cell = Cell::default();
        cell.roll(self.limit.spec.window, now);
        cell
    }

    /// Where the request may wait for this limit.
    fn queue(&self, descriptor: Hash) -> Option<QueuePlace> {
        if self.verdict.is_some() { None } else { self.limit.queue(descriptor) }
    }
}

impl Limit {
    const fn queue(&self, descriptor: Hash) -> Option<QueuePlace> {
        match self.spec.on_exceed {
            OnExceed::Queue { max_wait_ms, max_waiting } => {
                let counter = Counter { tag: self.tag, descriptor };
                Some(QueuePlace { counter, max_wait_ms, max_waiting })
            }
            OnExceed::Reject | OnExceed::ReportOnly => None,
        }
    }
}

/// What no wait helps against comes first, then the longest wait.
const fn rank(kind: RefusalKind, wait_ms: u64) -> (bool, u64) {
    (matches!(kind, RefusalKind::RequestExceedsLimit | RefusalKind::Unbounded | RefusalKind::Unpriced), wait_ms)
}

impl Group {
    fn wants(&self, request: Request<'_>) -> Vec<Want<'_>> {
        let Request { subject, demand, pricing } = request;
        let limits = self.limits.iter().enumerate().filter(|(_, limit)| subject.is(&limit.spec.applies));
        limits.map(|(at, limit)| limit.want(at, subject, demand, pricing)).collect()
    }

    fn hash(&self, subject: &Subject<'_>) -> Hash {
        self.hashes.of(self.per.iter().map(|dimension| subject.value(dimension)))
    }

    fn locate(
        &self,
        subject: &Subject<'_>,
        store: &dyn SharedStore,
        hint: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Place, StoreError> {
        slot::locate(store, &self.table, self.slots, self.hash(subject), hint, now)
    }

    fn take(
        &self,
        nth: usize,
        wants: &[Want<'_>],
        decision: &'static str,
        subject: &Subject<'_>,
        store: &dyn SharedStore,
        now: Timestamp,
    ) -> Taken {
        let hash = self.hash(subject);
        let mut hint = None;
        for _ in 0..MAX_TRIES {
            let Ok(mut place) = slot::locate(store, &self.table, self.slots, hash, hint.as_deref(), now) else {
                return Taken::Failed;
            };
            let mut hold = GroupHold { group: nth, key: place.key.clone(), hash, limits: Vec::new() };
            let (mut states, mut alerts) = (Vec::with_capacity(wants.len()), Vec::new());
            for want in wants {
                let spec = &want.limit.spec;
                let cell = place.record.cell(want.limit.tag, spec.window, now);
                let exceeds = decision != CHARGED && want.exceeds(cell, now).is_some();
                if exceeds && !want.limit.only_reports() {
                    return Taken::Refused;
                }
                let told_before = cell.notified;
                let mark = cell.take(spec.window, want.hold, want.charge, now);
                let passed = cell.newly_passed(spec.window, want.amount, &spec.notify_at, now);
                let state = LimitState { held: want.taken(), ..want.state(cell, decision, exceeds, now) };
                alerts.extend(passed.map(|passed| Alert::new(&state, &self.per, passed)));
                let (held, charged, told) = (want.hold, want.charge, cell.notified & !told_before);
                hold.limits.push(LimitHold { limit: want.at, amount: want.amount, held, charged, told, mark });
                states.push(state);
            }
            match place.write(store) {
                Ok(()) => return Taken::Held(Held { hold, states, alerts, slot: SlotUse::of(&place) }),
                Err(StoreError::Conflict) => hint = Some(place.key),
                Err(StoreError::Host(_)) => return Taken::Failed,
            }
        }
        Taken::Failed
    }
}

/// A limit's name in records. With its window in it, since what a counter's numbers mean depends on that.
fn tag(spec: &LimitSpec) -> u64 {
    let digest = Sha256::digest([spec.id.as_bytes(), b"\0", &window::name(spec.window)].concat());
    digest.first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes)).max(1)
}

/// Before the keys of all counters of a group.
fn table(per: &[Dimension], slots: u32) -> Vec<u8> {
    let mut table = TABLE.to_vec();
    for dimension in per {
        match dimension {
            Dimension::Tenant => table.push(b't'),
            Dimension::User => table.push(b'u'),
            Dimension::Key => table.push(b'k'),
            Dimension::Provider => table.push(b'p'),
            Dimension::Model => table.push(b'm'),
            Dimension::Label(name) => {
                table.push(b'l');
                table.extend_from_slice(name.as_bytes());
                table.push(b',');
            }
        }
    }
    table.push(b'/');
    table.extend_from_slice(&slots.to_le_bytes());
    table
}
