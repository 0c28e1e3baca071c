//! Bodies of POSTs to the collector.
//!
//! Events wait as CloudEvents of our own making, and become what the collector wants when their batch leaves: so what waited through a
//! change of configuration leaves in the new format.

mod member;
mod otlp;

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use member::{Members, member};

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
        let bytes: usize = events.iter().map(|event| event.len().saturating_add(1)).sum();
        let mut out = Vec::with_capacity(match self {
            Self::OtlpLogs => bytes.saturating_mul(3),
            Self::CloudEvents | Self::Ndjson => bytes.saturating_add(2),
        });
        match self {
            Self::CloudEvents => {
                out.push(b'[');
                separated(&mut out, events, |out, event| out.extend_from_slice(event));
                out.push(b']');
            }
            Self::OtlpLogs => otlp::body(&mut out, events),
            Self::Ndjson => events.iter().for_each(|event| line(&mut out, event)),
        }
        out
    }
}

/// A body as `gzip`, fast rather than small.
#[must_use]
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

fn separated<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (nth, item) in items.into_iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

fn line(out: &mut Vec<u8>, event: &[u8]) {
    let merged = ["id", "time", "source", "type", "subject"];
    let envelope = merged.into_iter().filter_map(|name| Some((name.as_bytes(), member(event, name)?)));
    let data = Members::of(member(event, "data").unwrap_or_default());
    out.push(b'{');
    separated(out, envelope.chain(data), |out, (name, value)| {
        out.push(b'"');
        out.extend_from_slice(name);
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    });
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests;
