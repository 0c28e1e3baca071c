//! Configuration: JSON in, a compiled and immutable [`Config`] out.

use crate::{delivery::spec::Sink, identity::Identity, limit::spec::LimitSpec, price::Adjustments, provider::Row, tag::Tags};

/// What to do with a host that no row knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Meter what looks like a known dialect, change nothing.
    Detect,
    /// Let it pass unmetered.
    Pass,
    /// Answer 404.
    Reject,
}

/// A valid configuration. Nothing in it can be wrong any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who pays.
    pub identity: Identity,
    /// Unknown hosts.
    pub unknown: Unknown,
    /// Authorities that take the prefix form, besides IP literals; lower case, no port.
    pub prefix_authorities: Vec<String>,
    /// Rows of the operator; one with the id of a built-in row replaces it.
    pub extra: Vec<Row>,
    /// Limits in the order given.
    pub limits: Vec<LimitSpec>,
    /// Price overrides and discounts.
    pub prices: Adjustments,
    /// Where events go.
    pub sink: Sink,
    /// How exchanges are tagged.
    pub tags: Tags,
    /// Whether headers may be held until the body was seen.
    pub header_hold: bool,
    /// Longest body that is held, in bytes.
    pub max_hold_bytes: u64,
}
