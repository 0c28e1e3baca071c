//! Limits: reserve, then settle.
//!
//! Limits that count by the same descriptor share one record in the store: one read and one swap decide them all. Several such groups are
//! taken in a fixed order and released in reverse on the first refusal, so that a refused request leaves no trace.

use std::rc::Rc;

mod group;
mod record;
pub mod reply;
mod reservation;
mod slot;
pub mod spec;
#[cfg(test)]
mod tests;
mod window;

pub use group::{Demand, Limits, Subject};
pub use reservation::{Charge, Reservation, Settled, Unsettled};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Exchanges.
    Requests,
    /// Input plus output tokens.
    Tokens,
}

impl Unit {
    /// The word in events, messages and the configuration.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// What one limit said about one exchange: an entry of the event's `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Limit id.
    pub id: Rc<str>,
    /// Its unit.
    pub unit: Unit,
    /// Its amount for this descriptor.
    pub amount: u64,
    /// Held at admission.
    pub held: u64,
    /// Settled in the end.
    pub settled: u64,
    /// Amount less settled and held, after this exchange; negative is debt.
    pub remaining: i64,
    /// When the window ends, seconds since the epoch.
    pub reset_at: u64,
    /// `admitted`, `rejected` or `store_error`; `charged` where the limit was not asked again: on a connection that it admitted before.
    pub decision: &'static str,
}

/// What the limits say to a request.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// It may go on; the reservation must be settled.
    Admitted {
        /// What was taken from each limit.
        reservation: Reservation,
        /// A worst case could not be bounded.
        unbounded: bool,
    },
    /// It may not, and nothing was taken.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A short window is full.
    RateLimit,
    /// A window of a day or longer is full.
    Budget,
    /// The request alone is larger than the whole amount.
    RequestExceedsLimit,
    /// What the request can consume cannot be bounded.
    Unbounded,
    /// Counters could not be read or written.
    Store,
}

impl RefusalKind {
    /// The event's `reason`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit_exceeded",
            Self::Budget => "budget_exceeded",
            Self::RequestExceedsLimit => "request_exceeds_limit",
            Self::Unbounded => "unbounded_request",
            Self::Store => "store_error",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub kind: RefusalKind,
    /// What each applicable limit says.
    pub states: Vec<LimitState>,
    /// The limit that is named: among those that refuse, the one with the longest wait.
    pub limit: LimitState,
}
