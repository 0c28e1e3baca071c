//! All that the core may ask of its host. The adapter carries these out and decides nothing.

use std::borrow::Cow;

use crate::metric::Metric;

/// What the host does with the stream after a callback.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Let headers, body or trailers go on.
    Continue,
    /// Hold them (and what the host has buffered) until a later callback continues.
    Pause,
    /// Answer locally; nothing goes upstream any more.
    Reply(LocalReply),
}

/// A response made here instead of upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u32,
    /// Extra response headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, JSON in the shape of the dialect.
    pub body: Vec<u8>,
    /// `%RESPONSE_CODE_DETAILS%` in Envoy's access log: a stable snake_case word.
    pub details: &'static str,
}

/// A replacement of a byte range in a held request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Offset of the first byte that is replaced.
    pub start: usize,
    /// Offset past the last byte that is replaced; equal to `start` for an insertion.
    pub end: usize,
    /// What stands there instead.
    pub with: &'static str,
}

impl Splice {
    /// `body` with the range replaced. A range outside of `body` leaves it unchanged.
    #[must_use]
    pub fn apply(&self, body: &[u8]) -> Vec<u8> {
        let (Some(before), Some(after)) = (body.get(..self.start), body.get(self.end..)) else {
            return body.to_vec();
        };
        [before, self.with.as_bytes(), after].concat()
    }
}

/// How urgent a log record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One branch of one request.
    Debug,
    /// A state change of the service.
    Info,
    /// An operator may look tomorrow.
    Warn,
    /// We are broken.
    Error,
}

/// One thing for the host to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set a request header, replacing all of that name.
    SetRequestHeader(Cow<'static, str>, Cow<'static, [u8]>),
    /// Remove a request header.
    RemoveRequestHeader(Cow<'static, str>),
    /// Set a response header, replacing all of that name.
    SetResponseHeader(&'static str, String),
    /// Remove a response header.
    RemoveResponseHeader(&'static str),
    /// Change the request body that the host holds whole.
    SpliceRequestBody(Splice),
    /// Let these bytes stand for the chunk that is passing.
    ReplaceResponseChunk(Vec<u8>),
    /// Write the stream's filter state `wasm.<key>`.
    SetFilterState(&'static str, Cow<'static, [u8]>),
    /// The same with a number, as decimal digits.
    SetFilterStateNumber(&'static str, u64),
    /// Write the registered filter state `envoy.ratelimit.hits_addend`: at most 1,000,000,000, the most that Envoy charges at once.
    SetHitsAddend(u64),
    /// Add to a counter, set a gauge or record into a histogram, by the metric's kind.
    Measure(Metric, u64),
    /// Move a gauge up or down.
    Move(Metric, i64),
    /// Write a log record.
    Log(Level, String),
    /// POST to the collector; the answer comes to `Service::on_callout_response` under the same token.
    Callout(Callout),
    /// Ask for a tick every so many milliseconds.
    SetTick(u32),
}

/// One POST to the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// The core's own number for this attempt.
    pub token: u64,
    /// Envoy cluster.
    pub cluster: String,
    /// All request headers, pseudo headers first.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// After so many milliseconds the host reports a time-out.
    pub timeout_ms: u32,
}
