//! Limits: reserve, then settle.

pub mod spec;

use std::rc::Rc;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Exchanges.
    Requests,
    /// Input plus output tokens.
    Tokens,
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
    /// `admitted`, `rejected` or `store_error`.
    pub decision: &'static str,
}
