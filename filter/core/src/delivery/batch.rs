//! Batches: which events go together, and the POST that they become.

use super::spec::Sink;
use crate::{effect::Callout, event::format::gzip};

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

/// A POST of events in the sink's format.
pub(super) fn callout(sink: &Sink, token: u64, events: &[Vec<u8>]) -> Callout {
    let mut body = sink.format.body(events);
    let mut headers = vec![
        (":method".to_owned(), "POST".to_owned()),
        (":path".to_owned(), sink.path.clone()),
        (":authority".to_owned(), sink.authority.clone()),
        ("content-type".to_owned(), sink.format.content_type().to_owned()),
    ];
    if sink.gzip
        && let Some(small) = gzip(&body)
    {
        body = small;
        headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    }
    headers.extend(sink.headers.iter().cloned());
    Callout { token, cluster: sink.cluster.clone(), headers, body, timeout_ms: sink.timeout_ms }
}
