//! Admission: which limits apply, what each wants, and taking it from all or none.

use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::{
    Admission, LimitState, Refusal, RefusalKind, Unit,
    record::{Cell, Hash},
    reservation::{GroupHold, LimitHold, Reservation},
    slot::{self, Place},
    spec::{Dimension, Fallback, LimitSpec, Match, Reserve, Window},
};
use crate::{
    glob,
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// Most attempts to swap one record. Each loss means that somebody else got through; past it the store counts as failing, and the limit's
/// `on_store_error` decides.
pub(super) const MAX_TRIES: u32 = 32;

/// Before all keys of limits, apart from other plugins in the same namespace; the number is the record's layout.
const TABLE: &[u8] = b"meterr/l1/";

/// What stands for a value that is missing.
const UNKNOWN: &str = "unknown";

/// Who a request belongs to, as limits see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who pays.
    pub tenant: &'a str,
    /// Keyed hash of the credential.
    pub key: Option<&'a str>,
    /// Provider id.
    pub provider: &'a str,
    /// Model as asked for, if it is known yet.
    pub model: Option<&'a str>,
}

impl Subject<'_> {
    fn value(&self, dimension: Dimension) -> &str {
        match dimension {
            Dimension::Tenant => self.tenant,
            Dimension::Key => self.key.unwrap_or(UNKNOWN),
            Dimension::Provider => self.provider,
            Dimension::Model => self.model.unwrap_or(UNKNOWN),
        }
    }

    fn is(&self, wanted: &Match) -> bool {
        let any = |globs: &[String], value: &str| {
            globs.is_empty() || globs.iter().any(|glob| glob::matches(glob.as_bytes(), value.as_bytes()))
        };
        any(&wanted.tenant, self.tenant)
            && any(&wanted.provider, self.provider)
            && any(&wanted.model, self.model.unwrap_or(UNKNOWN))
    }
}

/// What a request may consume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Input tokens to expect.
    pub input_estimate: u64,
    /// Output tokens to expect, all choices together, where that was learned.
    pub output_estimate: Option<u64>,
    /// The request's own cap on output tokens, all choices together.
    pub output_cap: Option<u64>,
    /// The most input tokens that it can be.
    pub input_bound: Option<u64>,
}

impl Demand {
    const fn expected(&self, assume_output: u64) -> u64 {
        let output = match (self.output_estimate, self.output_cap) {
            (Some(usual), Some(cap)) if usual > cap => cap,
            (Some(usual), _) => usual,
            (None, Some(cap)) => cap,
            (None, None) => assume_output,
        };
        self.input_estimate.saturating_add(output)
    }

    fn worst_case(&self) -> Option<u64> {
        Some(self.input_bound?.saturating_add(self.output_cap?))
    }
}

/// All limits of a configuration.
#[derive(Clone, Debug)]
pub struct Limits(pub(super) Rc<Vec<Group>>);

/// Limits that count by the same descriptor.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) table: Vec<u8>,
    pub(super) slots: u32,
    per: Vec<Dimension>,
    pub(super) limits: Vec<Limit>,
}

#[derive(Debug)]
pub(super) struct Limit {
    pub(super) spec: LimitSpec,
    pub(super) tag: u64,
}

/// What one limit wants of one request.
#[derive(Clone, Copy, Debug)]
struct Want<'g> {
    at: usize,
    limit: &'g Limit,
    amount: u64,
    hold: u64,
    /// Counted at once, for ever: requests.
    charge: u64,
    verdict: Option<RefusalKind>,
    is_unbounded: bool,
}

impl Limit {
    fn amount(&self, subject: &Subject<'_>) -> u64 {
        let other = self.spec.overrides.iter().find(|other| subject.is(&other.of));
        other.map_or(self.spec.amount, |other| other.amount)
    }

    pub(super) const fn window(&self, now: Timestamp) -> (u64, u64) {
        let Window::Fixed(calendar) = self.spec.window;
        calendar.window(now)
    }

    const fn kind(&self) -> RefusalKind {
        let Window::Fixed(calendar) = self.spec.window;
        if calendar.is_long() { RefusalKind::Budget } else { RefusalKind::RateLimit }
    }

    fn want(&self, at: usize, subject: &Subject<'_>, demand: &Demand) -> Want<'_> {
        let amount = self.amount(subject);
        let want = Want { at, limit: self, amount, hold: 0, charge: 0, verdict: None, is_unbounded: false };
        let expected = demand.expected(self.spec.assume_output_tokens).min(amount);
        match (self.spec.unit, self.spec.reserve) {
            (Unit::Requests, _) => Want { charge: 1, ..want },
            (Unit::Tokens, Reserve::None) => want,
            (Unit::Tokens, Reserve::Expected) => Want { hold: expected, ..want },
            (Unit::Tokens, Reserve::WorstCase) => match demand.worst_case() {
                Some(worst) if worst > amount => Want { verdict: Some(RefusalKind::RequestExceedsLimit), ..want },
                Some(worst) => Want { hold: worst, ..want },
                None if self.spec.on_unbounded == Fallback::Reject => {
                    Want { verdict: Some(RefusalKind::Unbounded), ..want }
                }
                None => Want { hold: expected, is_unbounded: true, ..want },
            },
        }
    }
}

impl Want<'_> {
    /// Why the limit refuses, given what it knows.
    const fn refuses(&self, cell: &Cell) -> Option<RefusalKind> {
        if self.verdict.is_some() {
            return self.verdict;
        }
        let used = cell.used();
        let wanted = self.hold.saturating_add(self.charge);
        if used >= self.amount || used.saturating_add(wanted) > self.amount { Some(self.limit.kind()) } else { None }
    }

    fn state(&self, cell: &Cell, decision: &'static str) -> LimitState {
        LimitState {
            id: Rc::clone(&self.limit.spec.id),
            unit: self.limit.spec.unit,
            amount: self.amount,
            held: 0,
            settled: 0,
            remaining: remaining(self.amount, cell),
            reset_at: cell.end,
            decision,
        }
    }

    fn unknown(&self, now: Timestamp) -> LimitState {
        let mut cell = Cell::default();
        cell.roll(self.limit.window(now), now);
        self.state(&cell, "store_error")
    }
}

/// What is left of an amount; negative is debt.
pub(super) fn remaining(amount: u64, cell: &Cell) -> i64 {
    let left = i128::from(amount) - i128::from(cell.used());
    i64::try_from(left).unwrap_or(i64::MIN)
}

enum Taken {
    Held(GroupHold, Vec<LimitState>),
    Refused,
    Failed,
}

impl Limits {
    /// Makes limits ready. Those that count by the same descriptor and bound form a group.
    #[must_use]
    pub fn compile(specs: &[LimitSpec]) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for spec in specs {
            let limit = Limit { tag: tag(&spec.id), spec: spec.clone() };
            match groups.iter_mut().find(|group| group.per == spec.per && group.slots == spec.max_descriptors) {
                Some(group) => group.limits.push(limit),
                None => {
                    let names: Vec<u8> = spec.per.iter().map(|dimension| *dimension as u8 + b'0').collect();
                    let table = [TABLE, &names, b"/", &spec.max_descriptors.to_le_bytes()].concat();
                    groups.push(Group {
                        table,
                        slots: spec.max_descriptors.max(1),
                        per: spec.per.clone(),
                        limits: vec![limit],
                    });
                }
            }
        }
        Self(Rc::new(groups))
    }

    /// Whether the answer to a request of this subject needs its body.
    #[must_use]
    pub fn needs_body(&self, subject: &Subject<'_>) -> bool {
        self.0.iter().flat_map(|group| &group.limits).any(|Limit { spec, .. }| {
            let known = Match { model: Vec::new(), ..spec.applies.clone() };
            let by_model = !spec.applies.model.is_empty() || spec.per.contains(&Dimension::Model);
            subject.is(&known) && (by_model || spec.holds_estimate())
        })
    }

    /// Whether any limit that may apply to this subject holds an estimate.
    #[must_use]
    pub fn wants_estimate(&self, subject: &Subject<'_>) -> bool {
        self.0
            .iter()
            .flat_map(|group| &group.limits)
            .any(|Limit { spec, .. }| spec.holds_estimate() && subject.is(&spec.applies))
    }

    /// Takes what a request needs from all limits that apply to it, or from none.
    pub fn admit(&self, subject: &Subject<'_>, demand: &Demand, store: &dyn SharedStore, now: Timestamp) -> Admission {
        let mut reservation = Reservation::new(self.clone());
        let mut unbounded = false;
        for (nth, group) in self.0.iter().enumerate() {
            let wants = group.wants(subject, demand);
            if wants.is_empty() {
                continue;
            }
            unbounded |= wants.iter().any(|want| want.is_unbounded);
            // What can never fit is refused whatever the counters say, and even if they say nothing.
            if let Some(want) = wants.iter().find(|want| want.verdict.is_some()) {
                reservation.release(store, now);
                let states = wants.iter().map(|want| want.unknown(now)).collect();
                let told = self.refusal(subject, demand, store, now);
                return match (told, want.verdict) {
                    (Admission::Refused(refusal), _) if refusal.kind != RefusalKind::Store => {
                        Admission::Refused(refusal)
                    }
                    (_, Some(kind)) => Admission::Refused(Refusal { kind, states, limit: want.unknown(now) }),
                    (told, None) => told,
                };
            }
            match group.take(nth, &wants, subject, store, now) {
                Taken::Held(hold, states) => reservation.add(hold, states),
                Taken::Failed if wants.iter().all(|want| want.limit.spec.on_store_error == Fallback::Allow) => {
                    reservation.states.extend(wants.iter().map(|want| want.unknown(now)));
                }
                Taken::Failed => {
                    reservation.release(store, now);
                    let states: Vec<LimitState> = wants.iter().map(|want| want.unknown(now)).collect();
                    let strict = wants.iter().position(|want| want.limit.spec.on_store_error == Fallback::Reject);
                    if let Some(limit) = strict.and_then(|at| states.get(at)).cloned() {
                        return Admission::Refused(Refusal { kind: RefusalKind::Store, states, limit });
                    }
                    return self.refusal(subject, demand, store, now);
                }
                Taken::Refused => {
                    reservation.release(store, now);
                    return self.refusal(subject, demand, store, now);
                }
            }
        }
        Admission::Admitted { reservation, unbounded }
    }

    /// What all applicable limits say, without taking anything: the longest wait is the one to tell.
    fn refusal(&self, subject: &Subject<'_>, demand: &Demand, store: &dyn SharedStore, now: Timestamp) -> Admission {
        let mut states = Vec::new();
        let mut worst: Option<(RefusalKind, LimitState)> = None;
        for group in self.0.iter() {
            let wants = group.wants(subject, demand);
            if wants.is_empty() {
                continue;
            }
            let mut place = group.locate(subject, store, None, now).ok();
            for want in &wants {
                let Some(place) = &mut place else {
                    states.push(want.unknown(now));
                    continue;
                };
                let cell = *place.record.cell(want.limit.tag, want.limit.window(now), now);
                let refuses = want.refuses(&cell);
                let state = want.state(&cell, if refuses.is_some() { "rejected" } else { "admitted" });
                if let Some(kind) = refuses
                    && worst.as_ref().is_none_or(|(other, told)| rank(kind, &state) > rank(*other, told))
                {
                    worst = Some((kind, state.clone()));
                }
                states.push(state);
            }
        }
        match worst {
            Some((kind, limit)) => Admission::Refused(Refusal { kind, states, limit }),
            // Quota came back between the two looks, or the store failed on the second: the refusal is told as a short wait.
            None => match states.first().cloned() {
                Some(limit) => Admission::Refused(Refusal { kind: RefusalKind::Store, states, limit }),
                None => Admission::Admitted { reservation: Reservation::new(self.clone()), unbounded: false },
            },
        }
    }
}

/// What no wait helps against comes first, then the longest wait.
const fn rank(kind: RefusalKind, state: &LimitState) -> (bool, u64) {
    (matches!(kind, RefusalKind::RequestExceedsLimit | RefusalKind::Unbounded), state.reset_at)
}

impl Group {
    fn wants(&self, subject: &Subject<'_>, demand: &Demand) -> Vec<Want<'_>> {
        let applies = |(at, limit): (usize, &'_ Limit)| {
            if subject.is(&limit.spec.applies) { Some(at) } else { None }
        };
        let at: Vec<usize> = self.limits.iter().enumerate().filter_map(applies).collect();
        at.into_iter().filter_map(|at| Some(self.limits.get(at)?.want(at, subject, demand))).collect()
    }

    fn hash(&self, subject: &Subject<'_>) -> Hash {
        let mut digest = Sha256::new();
        for dimension in &self.per {
            let value = subject.value(*dimension);
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(value);
        }
        let mut hash = Hash::default();
        for (to, from) in hash.iter_mut().zip(digest.finalize()) {
            *to = from;
        }
        // All zeros mean the shared slot.
        if hash == Hash::default() { [1; 16] } else { hash }
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
            let mut states = Vec::new();
            for want in wants {
                let cell = place.record.cell(want.limit.tag, want.limit.window(now), now);
                if want.refuses(cell).is_some() {
                    return Taken::Refused;
                }
                let epoch = cell.hold(want.hold);
                cell.settled = cell.settled.saturating_add(want.charge);
                hold.limits.push(LimitHold {
                    limit: want.at,
                    amount: want.amount,
                    held: want.hold,
                    charged: want.charge,
                    window: (cell.start, cell.end),
                    epoch,
                });
                let held = want.hold.saturating_add(want.charge);
                states.push(LimitState { held, ..want.state(cell, "admitted") });
            }
            match place.write(store) {
                Ok(()) => return Taken::Held(hold, states),
                Err(StoreError::Conflict) => hint = Some(place.key),
                Err(StoreError::Host(_)) => return Taken::Failed,
            }
        }
        Taken::Failed
    }
}

/// A limit's name in records.
fn tag(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    digest.first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes)).max(1)
}
