//! The sink as the operator defines it, after validation.

use crate::event::format::Format;

/// What to do when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// Drop the oldest event and count it.
    #[default]
    DropOldest,
    /// Refuse requests whose event would find no room.
    RejectRequests,
}

/// What becomes of refusals, which a client can make as many of as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rejected {
    /// An event for each, as for any other exchange.
    #[default]
    Each,
    /// They are counted, and told of once a minute.
    SummaryPerMinute,
}

/// Where and how events are sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sink {
    /// Envoy cluster.
    pub cluster: String,
    /// `:authority`.
    pub authority: String,
    /// `:path`.
    pub path: String,
    /// How events are written.
    pub format: Format,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Extra request headers; values may be secrets and are never printed.
    pub headers: Vec<(String, String)>,
    /// Milliseconds until an attempt times out.
    pub timeout_ms: u32,
    /// Most events in a batch.
    pub batch_events: usize,
    /// Most bytes in a batch, unless one event is larger.
    pub batch_bytes: usize,
    /// Longest time that an event waits for its batch to fill.
    pub batch_delay_ms: u32,
    /// First upper bound of the random delay before a retry.
    pub retry_base_ms: u64,
    /// Last upper bound.
    pub retry_max_ms: u64,
    /// Age at which an undelivered event goes to the dead letter.
    pub give_up_after_secs: u64,
    /// Room for undelivered events, for the whole process.
    pub queue_bytes: usize,
    /// What to do when there is none.
    pub on_full: OnFull,
    /// What becomes of refusals.
    pub rejected: Rejected,
    /// Seconds between heartbeats of a writer.
    pub heartbeat_secs: u64,
}

impl core::fmt::Debug for Sink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sink").field("cluster", &self.cluster).field("path", &self.path).finish_non_exhaustive()
    }
}
