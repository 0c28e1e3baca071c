//! Batches: which events go together, and the POST that they become.

use super::spec::Sink;
use crate::effect::Callout;

/// Where an event is: the number of its ring, and its `seq` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) ring: u8,
    pub(super) seq: u64,
}

/// Events that are under way together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// Usage events.
    Events(Vec<Item>),
    /// A heartbeat: nothing is lost with it.
    Heartbeat,
}

/// A POST of JSON events as a CloudEvents batch (CloudEvents JSON format 1.0, section 4).
pub(super) fn callout(sink: &Sink, token: u64, events: &[Vec<u8>]) -> Callout {
    let bytes: usize = events.iter().map(|event| event.len().saturating_add(1)).sum();
    let mut body = Vec::with_capacity(bytes.saturating_add(2));
    body.push(b'[');
    for (nth, event) in events.iter().enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.push(b']');
    let mut headers = vec![
        (":method".to_owned(), "POST".to_owned()),
        (":path".to_owned(), sink.path.clone()),
        (":authority".to_owned(), sink.authority.clone()),
        ("content-type".to_owned(), "application/cloudevents-batch+json".to_owned()),
    ];
    headers.extend(sink.headers.iter().cloned());
    Callout { token, cluster: sink.cluster.clone(), headers, body, timeout_ms: sink.timeout_ms }
}
