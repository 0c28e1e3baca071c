//! Limits as the operator defines them, after validation.

use std::rc::Rc;

use super::Unit;

/// One part of the descriptor that a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Who pays.
    Tenant,
    /// End user.
    User,
    /// Keyed hash of the credential.
    Key,
    /// Provider id.
    Provider,
    /// Model as asked for.
    Model,
    /// A label, by its name.
    Label(Rc<str>),
}

/// Fixed windows of the UTC calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// Every second.
    Second,
    /// Every minute.
    Minute,
    /// Every hour.
    Hour,
    /// Every day.
    Day,
    /// ISO weeks, from Monday.
    Week,
    /// Calendar months.
    Month,
}

/// How a limit forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Starts from zero at each calendar edge.
    Fixed(Calendar),
    /// The last so many seconds: what was counted in the window before weighs as much as it still overlaps.
    Sliding {
        /// Length, 1 to 31 days.
        secs: u64,
    },
    /// A bucket that leaks: the amount is its size.
    Bucket {
        /// Units that flow out in a second, at least 1.
        per_sec: u64,
    },
    /// Nothing is forgotten: what is under way counts. Only for [`Unit::ConcurrentRequests`].
    Open,
}

/// What admission holds until the truth is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Input estimate plus expected output, clamped to the amount.
    Expected,
    /// The most that the request can consume.
    WorstCase,
    /// Nothing: only check that the limit is not exceeded yet.
    None,
}

/// A yes or no for a case that cannot be decided properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Let the request through.
    Allow,
    /// Refuse it.
    Reject,
}

/// What happens to a request that finds the limit exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExceed {
    /// It is refused.
    Reject,
    /// It waits for its turn, within these bounds; past them it is refused.
    Queue {
        /// Longest wait, in milliseconds.
        max_wait_ms: u64,
        /// Most requests that wait for one counter, in one worker.
        max_waiting: usize,
    },
    /// It goes on, is counted, and is told.
    ReportOnly,
}

/// Which exchanges a limit applies to. An empty list of globs means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Globs over the tenant.
    pub tenant: Vec<String>,
    /// Globs over the end user.
    pub user: Vec<String>,
    /// Globs over the key id.
    pub key: Vec<String>,
    /// Globs over the provider id.
    pub provider: Vec<String>,
    /// Globs over the model as asked for.
    pub model: Vec<String>,
    /// Globs over labels, by name.
    pub labels: Vec<(String, Vec<String>)>,
}

/// Another amount for some descriptors: the first whose given values all match applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Which descriptors.
    pub of: Match,
    /// Their amount.
    pub amount: u64,
}

/// One configured limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSpec {
    /// Unique id, 1 to 64 characters of `[A-Za-z0-9_.-]`.
    pub id: Rc<str>,
    /// Sorted, without duplicates; empty means one counter.
    pub per: Vec<Dimension>,
    /// Where it applies.
    pub applies: Match,
    /// What is counted.
    pub unit: Unit,
    /// How much, 1 to 2^53; of [`Unit::Usd`] in units of 1e-12 USD.
    pub amount: u64,
    /// Other amounts.
    pub overrides: Vec<Override>,
    /// Until when.
    pub window: Window,
    /// What admission holds.
    pub reserve: Reserve,
    /// Output tokens to expect where the request states no cap.
    pub assume_output_tokens: u64,
    /// `worst_case` only: what to do with a request that cannot be bounded.
    pub on_unbounded: Fallback,
    /// `usd` only: what to do with a request whose price is not known.
    pub on_unpriced: Fallback,
    /// What happens past the amount.
    pub on_exceed: OnExceed,
    /// What to do when the store fails.
    pub on_store_error: Fallback,
    /// Most descriptors that get a counter of their own.
    pub max_descriptors: u32,
    /// Parts of the amount, in millionths and in rising order, whose passing is told once in a window.
    pub notify_at: Vec<u64>,
}
