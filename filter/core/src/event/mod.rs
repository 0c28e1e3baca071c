//! The usage event: one per exchange, frozen when it settles.

use crate::{limit::LimitState, price::Cost, time::Timestamp, usage::Usage};

pub mod encode;
pub mod format;

/// How an exchange ended. The first that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused by us.
    Rejected,
    /// Status 400 or above, an error record under 200 or mid-stream, or Envoy's own 5xx.
    ProviderError,
    /// The dialect's terminal record was seen, even if the client closed after it.
    Completed,
    /// The client went away first.
    ClientAborted,
    /// The upstream went away first.
    UpstreamReset,
}

impl Outcome {
    /// The word in events and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::ProviderError => "provider_error",
            Self::Completed => "completed",
            Self::ClientAborted => "client_aborted",
            Self::UpstreamReset => "upstream_reset",
        }
    }
}

/// What of a realtime connection an event is about. Each kind is counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A response, in the order in which they ended.
    Response(u64),
    /// A transcription of the input.
    Transcription(u64),
}

/// What provider back-pressure said about one exchange: an entry of the event's `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackpressureState {
    /// Until when the provider said to wait.
    pub until: Timestamp,
    /// Whether the request was refused for it, rather than only reported.
    pub is_rejected: bool,
}

/// Everything that an event says about one exchange, but who wrote it: that is added when the event enters its queue.
///
/// The names and meanings are those of the event's `data`. `None` and empty are left out of the JSON.
#[derive(Clone, Debug)]
pub struct UsageEvent {
    /// The event's id: a version 7 UUID, made when the request headers arrived.
    pub id: uuid::Uuid,
    /// What of a realtime connection it is about, if it is not about the exchange as a whole.
    pub part: Option<Part>,
    /// When the exchange settled.
    pub time: Timestamp,
    /// Who pays.
    pub tenant: String,
    /// End user.
    pub user: Option<String>,
    /// Keyed hash of the credential.
    pub key_id: Option<String>,
    /// Configured labels.
    pub labels: Vec<(String, String)>,
    /// Provider id.
    pub provider: String,
    /// Dialect, such as `openai.chat`.
    pub dialect: &'static str,
    /// `OpenTelemetry` operation name.
    pub operation: &'static str,
    /// Path template.
    pub endpoint: &'static str,
    /// Model as asked for.
    pub request_model: Option<String>,
    /// Model that answered.
    pub response_model: Option<String>,
    /// The reply's id.
    pub response_id: Option<String>,
    /// Service tier that served.
    pub service_tier: Option<String>,
    /// Whether the client asked for a stream.
    pub stream: Option<bool>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Status that the client got.
    pub status: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for anything but completed.
    pub reason: Option<&'static str>,
    /// What was consumed.
    pub usage: Usage,
    /// What it cost.
    pub cost: Cost,
    /// Whether this exchange is to be billed.
    pub billable: bool,
    /// What each applicable limit said.
    pub limits: Vec<LimitState>,
    /// The provider's own limit, if it said to wait.
    pub backpressure: Option<BackpressureState>,
    /// Milliseconds waited in our queue.
    pub queue_ms: Option<u64>,
    /// Milliseconds of the whole exchange.
    pub duration_ms: u64,
    /// Milliseconds from the last request byte to the first delta; streams only.
    pub ttft_ms: Option<u64>,
    /// Milliseconds from the released request to the response headers.
    pub upstream_ms: Option<u64>,
    /// Envoy's `x-request-id`.
    pub request_id: Option<String>,
    /// Trace id of `traceparent`.
    pub trace_id: Option<String>,
    /// Span id of `traceparent`.
    pub span_id: Option<String>,
}

impl UsageEvent {
    /// The id of the exchange, and after a point which part of it this is: `.3` is the third response, `.t1` the first transcription.
    #[must_use]
    pub fn id_text(&self) -> String {
        match self.part {
            None => self.id.to_string(),
            Some(Part::Response(nth)) => format!("{}.{nth}", self.id),
            Some(Part::Transcription(nth)) => format!("{}.t{nth}", self.id),
        }
    }
}
