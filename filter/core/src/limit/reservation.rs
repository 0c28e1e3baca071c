//! What was taken from the limits, and giving it back: by the truth when the exchange settles, in full when it is refused.

use super::{
    LimitState, Unit,
    group::{Limits, MAX_TRIES, remaining},
    record::Hash,
    slot,
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
    /// The window that it was taken from.
    pub(super) window: (u64, u64),
    pub(super) epoch: u64,
}

/// What was taken from one record.
#[derive(Clone, Debug)]
pub(super) struct GroupHold {
    pub(super) group: usize,
    pub(super) key: Vec<u8>,
    pub(super) hash: Hash,
    pub(super) limits: Vec<LimitHold>,
}

/// What an exchange consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Input plus output tokens.
    pub tokens: u64,
}

/// What an admitted exchange took from its limits. To be settled once.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    limits: Limits,
    holds: Vec<GroupHold>,
    pub(super) states: Vec<LimitState>,
}

/// How settling went.
#[derive(Debug)]
#[must_use]
pub struct Settled {
    /// What each limit says in the end.
    pub states: Vec<LimitState>,
    /// What the store did not take.
    pub unsettled: Option<Unsettled>,
}

/// A settlement that the store did not take; to be tried again.
#[derive(Debug)]
#[must_use]
pub struct Unsettled {
    limits: Limits,
    holds: Vec<GroupHold>,
    charge: Charge,
}

impl Reservation {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, holds: Vec::new(), states: Vec::new() }
    }

    pub(super) fn add(&mut self, hold: GroupHold, states: Vec<LimitState>) {
        self.holds.push(hold);
        self.states.extend(states);
    }

    /// What each applicable limit said.
    #[must_use]
    pub fn states(&self) -> &[LimitState] {
        &self.states
    }

    /// Values of `ratelimit-policy` and `ratelimit` (IETF draft-ietf-httpapi-ratelimit-headers) for the tightest limit.
    #[must_use]
    pub fn ratelimit_headers(&self, now: Timestamp) -> Option<(String, String)> {
        let holds = self.holds.iter().flat_map(|group| &group.limits);
        let left = |state: &LimitState| u64::try_from(state.remaining).unwrap_or(0);
        let admitted = self.states.iter().filter(|state| state.decision == "admitted");
        let (hold, state) = holds.zip(admitted).min_by(|(_, a), (_, b)| {
            // The smaller of two fractions, without dividing.
            let a_left = u128::from(left(a)) * u128::from(b.amount);
            a_left.cmp(&(u128::from(left(b)) * u128::from(a.amount)))
        })?;
        let (id, amount) = (&state.id, state.amount);
        let secs = hold.window.1.saturating_sub(hold.window.0);
        let resets = hold.window.1.saturating_sub(now.secs());
        Some((format!("\"{id}\";q={amount};w={secs}"), format!("\"{id}\";r={};t={resets}", left(state))))
    }

    /// Replaces what was held by the truth, in the windows that it was taken from.
    pub fn settle(self, charge: Charge, store: &dyn SharedStore, now: Timestamp) -> Settled {
        let Self { limits, holds, mut states } = self;
        let failed = settle(&limits, holds, charge, store, now, &mut |id, settled, remaining| {
            if let Some(state) = states.iter_mut().find(|state| state.id.as_ref() == id) {
                state.settled = settled;
                state.remaining = remaining;
            }
        });
        let unsettled = if failed.is_empty() { None } else { Some(Unsettled { limits, holds: failed, charge }) };
        Settled { states, unsettled }
    }

    /// Gives everything back, in reverse order. What the store does not take expires with its epoch.
    pub(super) fn release(self, store: &dyn SharedStore, now: Timestamp) {
        for hold in self.holds.iter().rev() {
            let _expires = update(&self.limits, hold, store, now, &mut |limit, cell, same_window, _| {
                if same_window {
                    cell.release(limit.held, limit.epoch);
                    cell.settled = cell.settled.saturating_sub(limit.charged);
                }
            });
        }
    }
}

impl Unsettled {
    /// Tries again; what the store still does not take comes back.
    #[must_use]
    pub fn retry(self, store: &dyn SharedStore, now: Timestamp) -> Option<Self> {
        let Self { limits, holds, charge } = self;
        let failed = settle(&limits, holds, charge, store, now, &mut |_, _, _| {});
        if failed.is_empty() { None } else { Some(Self { limits, holds: failed, charge }) }
    }
}

/// Settles each group and gives back those that the store did not take.
fn settle(
    limits: &Limits,
    holds: Vec<GroupHold>,
    charge: Charge,
    store: &dyn SharedStore,
    now: Timestamp,
    told: &mut dyn FnMut(&str, u64, i64),
) -> Vec<GroupHold> {
    let mut failed = Vec::new();
    for hold in holds {
        let mut results = Vec::new();
        let done = update(limits, &hold, store, now, &mut |limit, cell, same_window, spec| {
            let truth = match spec.unit {
                Unit::Requests => 0,
                Unit::Tokens => charge.tokens,
            };
            let owed = if same_window {
                cell.release(limit.held, limit.epoch);
                truth
            } else {
                // A refund never lands in another window; what was not held does.
                truth.saturating_sub(limit.held)
            };
            cell.settled = cell.settled.saturating_add(owed);
            let settled = truth.saturating_add(limit.charged);
            results.push((std::rc::Rc::clone(&spec.id), settled, remaining(limit.amount, cell)));
        });
        match done {
            Ok(()) => {
                // A lost swap runs the closure again: only its last results count.
                let from = results.len().saturating_sub(hold.limits.len());
                for (id, settled, left) in results.iter().skip(from) {
                    told(id, *settled, *left);
                }
            }
            Err(_) => failed.push(hold),
        }
    }
    failed
}

/// Changes the cells of one record by compare-and-swap. `change` may run more than once.
fn update(
    limits: &Limits,
    hold: &GroupHold,
    store: &dyn SharedStore,
    now: Timestamp,
    change: &mut dyn FnMut(&LimitHold, &mut super::record::Cell, bool, &super::spec::LimitSpec),
) -> Result<(), StoreError> {
    let Some(group) = limits.0.get(hold.group) else { return Ok(()) };
    for _ in 0..MAX_TRIES {
        let mut place = slot::locate(store, &group.table, group.slots, hold.hash, Some(&hold.key), now)?;
        for limit_hold in &hold.limits {
            let Some(limit) = group.limits.get(limit_hold.limit) else { continue };
            let cell = place.record.cell(limit.tag, limit.window(now), now);
            let same_window = cell.start == limit_hold.window.0;
            change(limit_hold, cell, same_window, &limit.spec);
        }
        match place.write(store) {
            Err(StoreError::Conflict) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict)
}
