//! Bodies of POSTs to the collector.
//!
//! Events wait as CloudEvents of our own making, and become what the collector wants when their batch leaves: so what waited through a
//! change of configuration leaves in the new format.

mod member;
mod otlp;

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use member::Members;

use crate::json::write::{Object, array};

/// How events are written for the collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A batch of CloudEvents 1.0 (CloudEvents JSON format 1.0, section 4).
    #[default]
    CloudEvents,
    /// Log records as OTLP/HTTP JSON (opentelemetry-proto 1.11).
    OtlpLogs,
    /// A JSON object a line: `data` of the event, and with it its id, time, source, type and subject.
    Ndjson,
}

impl Format {
    /// The `content-type` of a body, to the byte: some collectors compare it so.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents-batch+json",
            Self::OtlpLogs => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// One body of some events.
    #[must_use]
    pub fn body(self, events: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::CloudEvents => array(events),
            Self::OtlpLogs => otlp::body(events),
            Self::Ndjson => events.iter().flat_map(|event| line(event)).collect(),
        }
    }
}

/// A body as `gzip`, fast rather than small.
#[must_use]
#[inline(never)]
pub fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// How many log records an OTLP collector says that it rejected from a batch that it took, and why: `partialSuccess` of its answer.
/// `None` if it took them all.
#[must_use]
pub fn rejected_records(answer: &[u8]) -> Option<(u64, String)> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    let rejected = partial.get("rejectedLogRecords")?;
    // A 64-bit integer: a text by the rules of JSON in protocol buffers, a number by some collectors.
    let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).filter(|rejected| *rejected > 0)?;
    let message = partial.get("errorMessage").and_then(serde_json::Value::as_str).unwrap_or_default();
    Some((rejected, message.chars().filter(|c| !c.is_control()).take(200).collect()))
}

/// An event of our own making.
fn text(event: &[u8]) -> &str {
    core::str::from_utf8(event).unwrap_or_default()
}

#[inline(never)]
fn line(event: &[u8]) -> Vec<u8> {
    let envelope = Members::checked(text(event));
    let data = envelope.get("data").map(Members::of).unwrap_or_default();
    let merged = ["id", "time", "source", "type", "subject"].into_iter();
    let merged = merged.filter_map(|name| Some((name, envelope.get(name)?)));
    let mut line = Object::with_capacity(event.len());
    for (name, value) in merged.chain(data.iter()) {
        line.labelled_json(name, value.as_bytes());
    }
    let mut line = line.finish();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
