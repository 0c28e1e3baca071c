//! What was taken from the limits, and giving it back: by the truth when the exchange settles, in full when it is refused.

use std::rc::Rc;

use super::{
    LimitState, Unit,
    cell::{Cell, Mark},
    group::{Limits, MAX_TRIES},
    record::Hash,
    slot::{self, Place},
    spec::{Dimension, LimitSpec},
    want::remaining,
};
use crate::{
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// What was taken from one limit.
#[derive(Clone, Debug)]
pub(super) struct LimitHold {
    /// Its place in the group.
    pub(super) limit: usize,
    pub(super) amount: u64,
    pub(super) held: u64,
    pub(super) charged: u64,
    /// Bits of the parts that it passed first.
    pub(super) told: u64,
    /// Where it was taken from.
    pub(super) mark: Mark,
}

/// What was taken from one record.
#[derive(Clone, Debug)]
pub(super) struct GroupHold {
    pub(super) group: usize,
    pub(super) key: Vec<u8>,
    pub(super) hash: Hash,
    pub(super) limits: Vec<LimitHold>,
}

/// What came of taking from one record.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hold: GroupHold,
    pub(super) states: Vec<LimitState>,
    pub(super) alerts: Vec<Alert>,
    pub(super) slot: Option<SlotUse>,
}

/// What an exchange consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Input plus output tokens.
    pub tokens: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Money, in units of 1e-12 USD.
    pub usd: u64,
}

impl Charge {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            usd: self.usd.saturating_add(other.usd),
        }
    }

    const fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::InputTokens => self.input,
            Unit::OutputTokens => self.output,
            Unit::Usd => self.usd,
            // Requests are charged when they are admitted; slots are only held.
            Unit::Requests | Unit::ConcurrentRequests => 0,
        }
    }
}

/// A counter has passed a part of its amount, for the first time in its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The limit at that moment.
    pub state: LimitState,
    /// What it counts by.
    pub per: Rc<[Dimension]>,
    /// The part, in millionths.
    pub part: u64,
    /// What is counted.
    pub used: u64,
}

impl Alert {
    pub(super) fn new(state: &LimitState, per: &Rc<[Dimension]>, (part, used): (u64, u64)) -> Self {
        Self { state: state.clone(), per: Rc::clone(per), part, used }
    }
}

/// What became of a descriptor that had no counter yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotUse {
    /// It got one that nobody had before.
    Created,
    /// It shares one, because there are no more.
    Shared,
}

impl SlotUse {
    pub(super) fn of(place: &Place) -> Option<Self> {
        if place.record.hash == Hash::default() {
            return Some(Self::Shared);
        }
        if place.version.is_none() { Some(Self::Created) } else { None }
    }

    /// The word in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Shared => "shared",
        }
    }
}

/// What an admitted exchange took from its limits. To be settled once.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    limits: Limits,
    holds: Vec<GroupHold>,
    pub(super) states: Vec<LimitState>,
    alerts: Vec<Alert>,
    slots: Vec<(Rc<str>, SlotUse)>,
}

/// How settling went.
#[derive(Debug)]
#[must_use]
pub struct Settled {
    /// What each limit says in the end.
    pub states: Vec<LimitState>,
    /// What passed a part of its amount by it.
    pub alerts: Vec<Alert>,
    /// What the store did not take.
    pub unsettled: Option<Unsettled>,
}

/// What the store did not take: a settlement, or giving back what a refused request had taken. To be tried again.
#[derive(Debug)]
#[must_use]
pub struct Unsettled {
    limits: Limits,
    holds: Vec<(GroupHold, Option<Charge>)>,
}

impl Reservation {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, holds: Vec::new(), states: Vec::new(), alerts: Vec::new(), slots: Vec::new() }
    }

    pub(super) fn add(&mut self, held: Held) {
        let Held { hold, states, mut alerts, slot } = held;
        if let Some(slot) = slot {
            self.slots.extend(states.iter().map(|state| (Rc::clone(&state.id), slot)));
        }
        self.alerts.append(&mut alerts);
        self.holds.push(hold);
        self.states.extend(states);
    }

    /// What each applicable limit said.
    #[must_use]
    pub fn states(&self) -> &[LimitState] {
        &self.states
    }

    /// What passed a part of its amount by being taken.
    pub fn take_alerts(&mut self) -> Vec<Alert> {
        core::mem::take(&mut self.alerts)
    }

    /// Limits whose descriptor got a new counter, or none of its own.
    pub fn take_slot_uses(&mut self) -> Vec<(Rc<str>, SlotUse)> {
        core::mem::take(&mut self.slots)
    }

    /// Takes the slots of limits of concurrent requests out, for an exchange that settles in parts and ends later than the first of them.
    pub fn take_slots(&mut self) -> Option<Self> {
        let mut slots = Self::new(self.limits.clone());
        for hold in &mut self.holds {
            let Some(group) = self.limits.0.get(hold.group) else { continue };
            let is_slot = |hold: &LimitHold| {
                group.limits.get(hold.limit).is_some_and(|limit| limit.spec.unit == Unit::ConcurrentRequests)
            };
            let (held, rest): (Vec<LimitHold>, Vec<LimitHold>) = hold.limits.drain(..).partition(is_slot);
            hold.limits = rest;
            if !held.is_empty() {
                slots.holds.push(GroupHold { limits: held, ..hold.clone() });
            }
        }
        self.holds.retain(|hold| !hold.limits.is_empty());
        if slots.holds.is_empty() { None } else { Some(slots) }
    }

    /// Replaces what was held by the truth, in the windows that it was taken from.
    pub fn settle(self, charge: Charge, store: &dyn SharedStore, now: Timestamp) -> Settled {
        let Self { limits, holds, mut states, .. } = self;
        let mut alerts = Vec::new();
        let mut failed = Vec::new();
        for hold in holds {
            let mut results = Vec::new();
            let done = update(&limits, &hold, store, now, &mut |at, spec, cell| {
                if at == 0 {
                    // A lost swap runs this again: only its last results count.
                    results.clear();
                }
                let Some(limit) = hold.limits.get(at) else { return };
                let truth = charge.of(spec.unit);
                cell.settle(spec.window, limit.mark, limit.held, truth);
                let passed = cell.newly_passed(spec.window, limit.amount, &spec.notify_at, now);
                let left = remaining(limit.amount, cell.used(spec.window, now));
                results.push((
                    Rc::clone(&spec.id),
                    truth.saturating_add(limit.charged),
                    left,
                    cell.reset_at(spec.window, now),
                    passed,
                ));
            });
            if done.is_err() {
                failed.push((hold, Some(charge)));
                continue;
            }
            let per = limits.0.get(hold.group).map(|group| Rc::clone(&group.per)).unwrap_or_default();
            for (id, settled, left, reset_at, passed) in results {
                let Some(state) = states.iter_mut().find(|state| Rc::ptr_eq(&state.id, &id)) else { continue };
                (state.settled, state.remaining, state.reset_at) = (settled, left, reset_at);
                alerts.extend(passed.map(|passed| Alert::new(state, &per, passed)));
            }
        }
        Settled { states, alerts, unsettled: Unsettled::some(limits, failed) }
    }

    /// Keeps what is held from being taken for what a dead VM has left. What the store does not take is tried again in the next epoch.
    pub fn renew(&mut self, store: &dyn SharedStore, now: Timestamp) {
        for hold in &mut self.holds {
            let mut marks: Vec<Mark> = hold.limits.iter().map(|limit| limit.mark).collect();
            let done = update(&self.limits, hold, store, now, &mut |at, spec, cell| {
                if let (Some(mark), Some(limit)) = (marks.get_mut(at), hold.limits.get(at)) {
                    *mark = cell.renew(spec.window, limit.mark, limit.held);
                }
            });
            if done.is_ok() {
                for (limit, mark) in hold.limits.iter_mut().zip(marks) {
                    limit.mark = mark;
                }
            }
        }
    }

    /// Gives everything back, in reverse order.
    pub(super) fn release(self, store: &dyn SharedStore, now: Timestamp) -> Option<Unsettled> {
        let mut failed = Vec::new();
        for hold in self.holds.into_iter().rev() {
            if give_back(&self.limits, &hold, None, store, now).is_err() {
                failed.push((hold, None));
            }
        }
        Unsettled::some(self.limits, failed)
    }
}

impl Unsettled {
    fn some(limits: Limits, holds: Vec<(GroupHold, Option<Charge>)>) -> Option<Self> {
        if holds.is_empty() { None } else { Some(Self { limits, holds }) }
    }

    pub(super) fn both(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        match (first, second) {
            (Some(first), Some(second)) => {
                let holds = [first.holds, second.holds].concat();
                Some(Self { limits: first.limits, holds })
            }
            (first, second) => first.or(second),
        }
    }

    /// Tries again; what the store still does not take comes back.
    #[must_use]
    pub fn retry(self, store: &dyn SharedStore, now: Timestamp) -> Option<Self> {
        let Self { limits, mut holds } = self;
        holds.retain(|(hold, charge)| give_back(&limits, hold, *charge, store, now).is_err());
        Self::some(limits, holds)
    }
}

/// Replaces what was held by the truth, or gives all of it back.
fn give_back(
    limits: &Limits,
    hold: &GroupHold,
    charge: Option<Charge>,
    store: &dyn SharedStore,
    now: Timestamp,
) -> Result<(), StoreError> {
    update(limits, hold, store, now, &mut |at, spec, cell| {
        let Some(limit) = hold.limits.get(at) else { return };
        match charge {
            Some(charge) => cell.settle(spec.window, limit.mark, limit.held, charge.of(spec.unit)),
            None => cell.undo(spec.window, limit.mark, limit.held, limit.charged, limit.told),
        }
    })
}

/// Changes the cells of one record by compare-and-swap. `change` is told which of the holds a cell belongs to; it may run more than once.
fn update(
    limits: &Limits,
    hold: &GroupHold,
    store: &dyn SharedStore,
    now: Timestamp,
    change: &mut dyn FnMut(usize, &LimitSpec, &mut Cell),
) -> Result<(), StoreError> {
    let Some(group) = limits.0.get(hold.group) else { return Ok(()) };
    for _ in 0..MAX_TRIES {
        let mut place = slot::locate(store, &group.table, group.slots, hold.hash, Some(&hold.key), now)?;
        for (at, limit_hold) in hold.limits.iter().enumerate() {
            let Some(limit) = group.limits.get(limit_hold.limit) else { continue };
            change(at, &limit.spec, place.record.cell(limit.tag, limit.spec.window, now));
        }
        match place.write(store) {
            Err(StoreError::Conflict) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict)
}
