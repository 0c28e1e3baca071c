//! Who serves a model: rows of data, and the rules by which a request finds its row.

use std::borrow::Cow;

mod host;
pub mod route;
pub mod table;

pub use table::reference;

use crate::dialect::DialectId;

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
    /// Whether hosts and dialects are known from the provider's own SDK or documentation, or from recorded traffic.
    pub is_verified: bool,
}
