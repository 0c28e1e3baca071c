//! Limits: reserve, then settle.
//!
//! Limits that count by the same descriptor share one record in the store: one read and one swap decide them all. Several such groups are
//! taken in a fixed order and released in reverse on the first refusal, so that a refused request leaves no trace.

use std::rc::Rc;

use crate::price::PicoUsd;

mod cell;
mod group;
mod hashes;
pub mod headers;
pub mod queue;
mod record;
pub mod reply;
mod reservation;
mod slot;
pub mod spec;
#[cfg(test)]
mod tests;
mod want;
mod window;

pub use cell::EPOCH_SECS;
pub use group::{Counter, Limits, QueuePlace};
pub use reservation::{Alert, Charge, Reservation, Settled, SlotUse, Unsettled};
pub use want::{Demand, Pricing, Subject};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Exchanges.
    Requests,
    /// Input plus output tokens.
    Tokens,
    /// Input tokens, those of caches included.
    InputTokens,
    /// Output tokens, reasoning included.
    OutputTokens,
    /// Money; amounts are in units of 1e-12 USD.
    Usd,
    /// Exchanges that are under way.
    ConcurrentRequests,
}

impl Unit {
    /// The word in events, messages and the configuration.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Usd => "usd",
            Self::ConcurrentRequests => "concurrent_requests",
        }
    }

    /// A number of this unit as people read it: money as a plain decimal of USD.
    #[must_use]
    pub fn show(self, number: i64) -> String {
        if self == Self::Usd {
            let sign = if number < 0 { "-" } else { "" };
            format!("{sign}{}", PicoUsd(number.unsigned_abs().into()))
        } else {
            number.to_string()
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
    /// By when all that is counted now is forgotten, seconds since the epoch.
    pub reset_at: u64,
    /// `admitted`; `rejected`; `passed`: there was room, but another limit refused; `store_error`; or `charged`: the limit was not asked again, on a
    /// connection that it had admitted.
    pub decision: &'static str,
    /// Of a limit that only reports: whether it would have refused.
    pub would_reject: Option<bool>,
    /// Seconds in which the amount can be used up once.
    pub window_secs: Option<u64>,
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
        /// What was taken by an attempt before and the store did not take back.
        unsettled: Option<Unsettled>,
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
    /// What the request costs is not known.
    Unpriced,
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
            Self::Unpriced => "unpriced_model",
            Self::Store => "store_error",
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub kind: RefusalKind,
    /// What each applicable limit says.
    pub states: Vec<LimitState>,
    /// The limit that is named: among those that refuse, the one with the longest wait.
    pub limit: LimitState,
    /// Milliseconds after which the request fits, if nobody else is admitted. Means nothing where no wait helps.
    pub wait_ms: u64,
    /// Where the request may wait instead: only if every limit that refuses lets it.
    pub queue: Option<QueuePlace>,
    /// What was taken before the refusal and the store did not take back.
    pub unsettled: Option<Unsettled>,
}
