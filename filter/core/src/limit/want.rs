//! What one limit wants of one request.

use std::rc::Rc;

use super::{
    LimitState, RefusalKind, Unit,
    cell::Cell,
    spec::{Dimension, Fallback, LimitSpec, Match, OnExceed, Reserve},
    window,
};
use crate::{glob, time::Timestamp};

/// What stands for a value that is missing.
const UNKNOWN: &str = "unknown";

/// Who a request belongs to, as limits see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who pays.
    pub tenant: &'a str,
    /// End user.
    pub user: Option<&'a str>,
    /// Keyed hash of the credential.
    pub key: Option<&'a str>,
    /// Provider id.
    pub provider: &'a str,
    /// Model as asked for, if it is known yet.
    pub model: Option<&'a str>,
    /// Labels that have a value.
    pub labels: &'a [(String, String)],
}

impl Subject<'_> {
    /// The value that a limit counts by.
    #[must_use]
    pub fn value(&self, dimension: &Dimension) -> &str {
        match dimension {
            Dimension::Tenant => self.tenant,
            Dimension::User => self.user.unwrap_or(UNKNOWN),
            Dimension::Key => self.key.unwrap_or(UNKNOWN),
            Dimension::Provider => self.provider,
            Dimension::Model => self.model.unwrap_or(UNKNOWN),
            Dimension::Label(name) => self.label(name),
        }
    }

    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(other, _)| other == name).map_or(UNKNOWN, |(_, value)| value)
    }

    pub(super) fn is(&self, wanted: &Match) -> bool {
        let any = |globs: &[String], value: &str| {
            globs.is_empty() || globs.iter().any(|glob| glob::matches(glob.as_bytes(), value.as_bytes()))
        };
        any(&wanted.tenant, self.tenant)
            && any(&wanted.user, self.user.unwrap_or(UNKNOWN))
            && any(&wanted.key, self.key.unwrap_or(UNKNOWN))
            && any(&wanted.provider, self.provider)
            && any(&wanted.model, self.model.unwrap_or(UNKNOWN))
            && wanted.labels.iter().all(|(name, globs)| any(globs, self.label(name)))
    }
}

/// What a request may consume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Input tokens to expect.
    pub input_estimate: u64,
    /// The request's own cap on output tokens, all choices together.
    pub output_cap: Option<u64>,
    /// The most input tokens that it can be.
    pub input_bound: Option<u64>,
}

impl Demand {
    /// Input and output tokens to expect.
    fn expected(&self, assume_output: u64) -> (u64, u64) {
        (self.input_estimate, self.output_cap.unwrap_or(assume_output))
    }
}

/// What tokens cost.
pub trait Pricing {
    /// What so many input and output tokens of this request cost, in units of 1e-12 USD; with `at_most`, whatever kind of input they turn out to
    /// be. `None` if no price is known.
    fn cost(&self, input: u64, output: u64, at_most: bool) -> Option<u64>;
}

/// A limit, ready for use.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) spec: LimitSpec,
    pub(super) tag: u64,
}

/// What one limit wants of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'g> {
    /// The limit's place in its group.
    pub(super) at: usize,
    pub(super) limit: &'g Limit,
    pub(super) amount: u64,
    /// Taken until the truth is known.
    pub(super) hold: u64,
    /// Counted at once, for ever: requests.
    pub(super) charge: u64,
    /// Why it is refused whatever the counter says.
    pub(super) verdict: Option<RefusalKind>,
    pub(super) is_unbounded: bool,
}

impl Limit {
    fn amount(&self, subject: &Subject<'_>) -> u64 {
        let other = self.spec.overrides.iter().find(|other| subject.is(&other.of));
        other.map_or(self.spec.amount, |other| other.amount)
    }

    /// Why it refuses when it is exceeded.
    fn kind(&self) -> RefusalKind {
        let is_budget = self.spec.unit == Unit::Usd || window::is_long(self.spec.window);
        if is_budget { RefusalKind::Budget } else { RefusalKind::RateLimit }
    }

    pub(super) fn only_reports(&self) -> bool {
        self.spec.on_exceed == OnExceed::ReportOnly
    }

    /// Whether requests may wait for it.
    pub(super) const fn queues(&self) -> bool {
        matches!(self.spec.on_exceed, OnExceed::Queue { .. })
    }

    /// Whether a decision needs the body: because what it wants depends on it, or because a request that may have to wait is held whole.
    pub(super) fn needs_body(&self) -> bool {
        let spec = &self.spec;
        let by_model = !spec.applies.model.is_empty() || spec.per.contains(&Dimension::Model);
        let by_content = match spec.unit {
            Unit::Requests | Unit::ConcurrentRequests => false,
            Unit::Usd => spec.reserve != Reserve::None || spec.on_unpriced == Fallback::Reject,
            Unit::Tokens | Unit::InputTokens | Unit::OutputTokens => spec.reserve != Reserve::None,
        };
        let by_amount = spec.overrides.iter().any(|other| !other.of.model.is_empty());
        by_model || by_content || by_amount || self.queues()
    }

    pub(super) fn want(&self, at: usize, subject: &Subject<'_>, demand: &Demand, pricing: &dyn Pricing) -> Want<'_> {
        let amount = self.amount(subject);
        let mut want = Want { at, limit: self, amount, hold: 0, charge: 0, verdict: None, is_unbounded: false };
        match (self.spec.unit, self.spec.reserve) {
            (Unit::Requests, _) => want.charge = 1,
            (Unit::ConcurrentRequests, _) => want.hold = 1,
            (unit, reserve) => {
                let (input, output) = demand.expected(self.spec.assume_output_tokens);
                let expected = of_unit(unit, input, output, false, pricing);
                if expected.is_none() && self.spec.on_unpriced == Fallback::Reject {
                    want.verdict = Some(RefusalKind::Unpriced);
                }
                let expected = expected.unwrap_or(0).min(amount);
                match reserve {
                    Reserve::None => {}
                    Reserve::Expected => want.hold = expected,
                    Reserve::WorstCase => self.bound(&mut want, expected, demand, pricing),
                }
            }
        }
        want
    }

    fn bound(&self, want: &mut Want<'_>, expected: u64, demand: &Demand, pricing: &dyn Pricing) {
        let worst = match self.spec.unit {
            Unit::InputTokens => demand.input_bound,
            Unit::OutputTokens => demand.output_cap,
            unit => demand.input_bound.zip(demand.output_cap).map(|(input, output)| {
                // What has no price cannot exceed a budget: `on_unpriced` has let it through.
                of_unit(unit, input, output, true, pricing).unwrap_or(0)
            }),
        };
        match worst {
            Some(worst) if worst > want.amount => want.verdict = Some(RefusalKind::RequestExceedsLimit),
            Some(worst) => want.hold = worst,
            None if self.spec.on_unbounded == Fallback::Reject => want.verdict = Some(RefusalKind::Unbounded),
            None => (want.hold, want.is_unbounded) = (expected, true),
        }
        if self.only_reports() && want.verdict.is_some() {
            want.hold = expected;
        }
    }
}

/// Tokens in the unit of a limit; `None` if they have no price.
fn of_unit(unit: Unit, input: u64, output: u64, at_most: bool, pricing: &dyn Pricing) -> Option<u64> {
    match unit {
        Unit::Usd => pricing.cost(input, output, at_most),
        Unit::InputTokens => Some(input),
        Unit::OutputTokens => Some(output),
        Unit::Tokens | Unit::Requests | Unit::ConcurrentRequests => Some(input.saturating_add(output)),
    }
}

impl Want<'_> {
    /// Why the limit would refuse, given what it knows.
    pub(super) fn exceeds(&self, cell: &Cell, now: Timestamp) -> Option<RefusalKind> {
        if self.verdict.is_some() {
            return self.verdict;
        }
        let used = cell.used(self.limit.spec.window, now);
        let is_full = used >= self.amount || used.saturating_add(self.taken()) > self.amount;
        if is_full { Some(self.limit.kind()) } else { None }
    }

    /// All that it takes at admission.
    pub(super) const fn taken(&self) -> u64 {
        self.hold.saturating_add(self.charge)
    }

    /// Milliseconds until it fits, if nobody else is admitted.
    pub(super) fn wait_ms(&self, cell: &Cell, now: Timestamp) -> u64 {
        cell.wait_ms(self.limit.spec.window, self.taken(), self.amount, now)
    }

    pub(super) fn state(&self, cell: &Cell, decision: &'static str, exceeds: bool, now: Timestamp) -> LimitState {
        let window = self.limit.spec.window;
        LimitState {
            id: Rc::clone(&self.limit.spec.id),
            unit: self.limit.spec.unit,
            amount: self.amount,
            held: 0,
            settled: 0,
            remaining: remaining(self.amount, cell.used(window, now)),
            reset_at: cell.reset_at(window, now),
            decision,
            would_reject: if self.limit.only_reports() { Some(exceeds) } else { None },
            window_secs: window::secs(window, self.amount, now),
        }
    }

    /// The state where the counter cannot be read.
    pub(super) fn unknown(&self, now: Timestamp) -> LimitState {
        let mut cell = Cell::default();
        cell.roll(self.limit.spec.window, now);
        self.state(&cell, "store_error", false, now)
    }
}

/// What is left of an amount; negative is debt.
pub(super) fn remaining(amount: u64, used: u64) -> i64 {
    let left = i128::from(amount) - i128::from(used);
    i64::try_from(left).unwrap_or(i64::MIN)
}
