//! Configuration: JSON in, a compiled and immutable [`Config`] out.
//!
//! The text is parsed into a JSON tree and walked by hand, so that every problem is found in one go and named with its path. Keys,
//! types, ranges and defaults stand in one table, from which [`reference()`] makes the README's.

use serde_json::Value;

use crate::{
    backpressure, delivery::spec::Sink, identity::Identity, limit::spec::LimitSpec, price::Adjustments, protobuf,
    provider::Row, tag::Tags,
};

mod compile;
mod keys;
mod limits;
mod nearest;
mod problem;
mod reference;
mod text;
mod walk;

pub use problem::{Problem, Problems};
pub use reference::reference;

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
    /// Authorities that take the prefix form, besides IP literals; lower case. One with a port means only that port.
    pub prefix_authorities: Vec<String>,
    /// Rows of the operator; one with the id of a built-in row replaces it.
    pub extra: Vec<Row>,
    /// What to do while a provider says to wait.
    pub backpressure: backpressure::Mode,
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

impl Config {
    /// Reads the plugin's `configuration`: a `google.protobuf.Struct`, as JSON or in binary, or the text of a `StringValue`.
    ///
    /// Nothing at all reads as `{}`. `env` gives the variables of the VM's environment; an empty value counts as absent.
    ///
    /// # Errors
    /// Every problem of the text at once. Values that may be secrets are not repeated.
    #[inline(never)]
    pub fn parse(text: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let walk = walk::Walk::new(env);
        let text = if text.trim_ascii().is_empty() { b"{}" } else { text };
        let document = match serde_json::from_slice::<Value>(text).map_err(|error| (error, protobuf::document(text))) {
            Ok(document) | Err((_, Some(document))) => document,
            Err((error, None)) => {
                let found = format!("malformed JSON at line {}, column {}", error.line(), error.column());
                walk.report("", found, "one JSON object");
                return Err(Problems::new(walk.into_problems()));
            }
        };
        let config = compile::config(&walk, &walk.root(&document));
        let problems = walk.into_problems();
        if problems.is_empty() { Ok(config) } else { Err(Problems::new(problems)) }
    }
}

#[cfg(test)]
mod tests;
