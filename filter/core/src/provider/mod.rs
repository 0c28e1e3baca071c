//! Who serves a model: rows of data, and the rules by which a request finds its row.

use std::borrow::Cow;

mod host;
pub mod rate_limit;
pub mod route;
pub mod table;

pub use rate_limit::RateLimitFamily;
pub use table::reference;

use crate::dialect::{DialectId, ErrorShape};

/// What a provider counts outside of the headline counters of `openai.chat`, although the dialect has it inside. The provider's own
/// total tells so in each reply; from a provider that is known for it, that is no anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// Nothing: as the dialect.
    Nothing,
    /// Reasoning is no part of the output.
    Reasoning,
    /// Audio is no part of the input.
    InputAudio,
}

/// One provider: pure data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Stable id: the event's `provider`, and the first path segment of the prefix form.
    pub id: Cow<'static, str>,
    /// Hosts in lower case; a `*` stands for any run of characters.
    pub hosts: Cow<'static, [Cow<'static, str>]>,
    /// Where the prefix form goes; `None` for rows whose host is a template.
    pub authority: Option<Cow<'static, str>>,
    /// Whether the upstream connection is TLS.
    pub tls: bool,
    /// What it speaks.
    pub dialects: Cow<'static, [DialectId]>,
    /// Whether `stream_options.include_usage` may be asked for on the client's behalf.
    pub inject_include_usage: bool,
    /// Which rate-limit headers it sends.
    pub rate_limits: RateLimitFamily,
    /// What its errors look like in a dialect whose errors are `OpenAI`'s. The other dialects bring their own.
    pub errors: ErrorShape,
    /// What it counts apart, unlike its dialect.
    pub apart: Apart,
    /// What of this row is verified.
    pub verified: Verified,
}

/// What of a row is known from the provider's own SDK or documentation, or from recorded traffic. The rest comes from third parties'
/// lists of providers, or is the field's usual way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Hosts, dialects and whether the usage option is taken.
    pub basics: bool,
    /// The family of rate-limit headers.
    pub rate_limits: bool,
    /// The shape of errors.
    pub errors: bool,
}

impl Row {
    /// What an error looks like in that dialect.
    #[must_use]
    pub fn errors_in(&self, dialect: ErrorShape) -> ErrorShape {
        if dialect == ErrorShape::OpenAi { self.errors } else { dialect }
    }
}
