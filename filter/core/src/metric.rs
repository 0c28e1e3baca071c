//! Every metric that meterr exports. The documentation of a metric is the comment on its variant.

use core::fmt::Write as _;
use std::rc::Rc;

/// How the host keeps a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; a measurement is added.
    Counter,
    /// Set to the last measurement.
    Gauge,
    /// Collects measurements.
    Histogram,
}

/// Who an exchange belongs to in metrics. Bounded: see [`crate::tag`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// Provider id.
    pub provider: Rc<str>,
    /// A model that the price table or the configuration knows, else `other`.
    pub model: Rc<str>,
    /// Tenant, or `other` past the bound, or empty when tenants are switched off.
    pub tenant: Rc<str>,
}

/// A metric together with its label values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `meterr_requests_total{provider,model,tenant,outcome}`: exchanges of known operations.
    Requests(Series, &'static str),
    /// `meterr_tokens_total{provider,model,tenant,type}`: tokens; type is input, output, `cache_read`, `cache_write` or reasoning.
    Tokens(Series, &'static str),
    /// `meterr_cost_microusd_total{provider,model,tenant}`: cost in micro-dollars.
    CostMicrousd(Series),
    /// `meterr_usage_status_total{provider,status}`: how usage became known.
    UsageStatus(Rc<str>, &'static str),
    /// `meterr_time_to_first_token_ms{provider,model}`: streams only.
    TimeToFirstTokenMs(Rc<str>, Rc<str>),
    /// `meterr_duration_ms{provider,model}`: whole exchanges.
    DurationMs(Rc<str>, Rc<str>),
    /// `meterr_limit_decisions_total{limit,decision}`: what each limit said; `provider` is the provider's own.
    LimitDecisions(Rc<str>, &'static str),
    /// `meterr_limit_counters_total{limit,result}`: descriptors of a limit that had no counter: `created` is how many keys of shared data the limit
    /// has taken so far, `shared` how often a request was counted by the counter that all share past `max_descriptors`.
    LimitCounters(Rc<str>, &'static str),
    /// `meterr_queue_waiting{limit}`: requests that wait for a limit now.
    QueueWaiting(Rc<str>),
    /// `meterr_queue_wait_ms{limit}`: how long requests waited, however their wait ended.
    QueueWaitMs(Rc<str>),
    /// `meterr_queue_total{limit,result}`: how waits ended: `admitted`, `timed_out`, `refused` by another limit, `left` by the client; or `full`: there
    /// was no place.
    Queue(Rc<str>, &'static str),
    /// `meterr_events_total{result}`: accepted, delivered, `dead_lettered`, dropped.
    Events(&'static str),
    /// `meterr_event_queue_bytes`: bytes of undelivered events in the whole process.
    EventQueueBytes,
    /// `meterr_event_oldest_ms`: age of the oldest undelivered event.
    EventOldestMs,
    /// `meterr_event_delivery_ms`: from the end of an exchange until the collector acknowledged its event.
    EventDeliveryMs,
    /// `meterr_events_rejected_total`: events that the collector said it rejected from batches that it took (OTLP's `partialSuccess`); they count as
    /// delivered.
    EventsRejected,
    /// `meterr_callouts_total{result}`: POSTs to the collector.
    Callouts(&'static str),
    /// `meterr_unmetered_total{reason}`: requests that passed without an event.
    Unmetered(&'static str),
    /// `meterr_errors_total{code}`: faults inside meterr, by stable code.
    Errors(&'static str),
}

impl Metric {
    /// Counter, gauge or histogram.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::EventQueueBytes | Self::EventOldestMs | Self::QueueWaiting(..) => Kind::Gauge,
            Self::TimeToFirstTokenMs(..) | Self::DurationMs(..) | Self::QueueWaitMs(..) | Self::EventDeliveryMs => {
                Kind::Histogram
            }
            Self::Requests(..)
            | Self::Tokens(..)
            | Self::CostMicrousd(..)
            | Self::UsageStatus(..)
            | Self::LimitDecisions(..)
            | Self::LimitCounters(..)
            | Self::Queue(..)
            | Self::Events(..)
            | Self::EventsRejected
            | Self::Callouts(..)
            | Self::Unmetered(..)
            | Self::Errors(..) => Kind::Counter,
        }
    }

    /// Envoy's stat name. Labels are written as `label=.=value;.;`, the form that `envoy/stats_tags.yaml` extracts.
    #[must_use]
    pub fn stat_name(&self) -> String {
        match self {
            Self::Requests(s, outcome) => series("meterr_requests_total", s, &[("outcome", outcome)]),
            Self::Tokens(s, class) => series("meterr_tokens_total", s, &[("type", class)]),
            Self::CostMicrousd(s) => series("meterr_cost_microusd_total", s, &[]),
            Self::UsageStatus(provider, status) => {
                labelled("meterr_usage_status_total", &[("provider", provider), ("status", status)])
            }
            Self::TimeToFirstTokenMs(provider, model) => {
                labelled("meterr_time_to_first_token_ms", &[("provider", provider), ("model", model)])
            }
            Self::DurationMs(provider, model) => {
                labelled("meterr_duration_ms", &[("provider", provider), ("model", model)])
            }
            Self::LimitDecisions(limit, decision) => {
                labelled("meterr_limit_decisions_total", &[("limit", limit), ("decision", decision)])
            }
            Self::LimitCounters(limit, used) => {
                labelled("meterr_limit_counters_total", &[("limit", limit), ("result", used)])
            }
            Self::QueueWaiting(limit) => labelled("meterr_queue_waiting", &[("limit", limit)]),
            Self::QueueWaitMs(limit) => labelled("meterr_queue_wait_ms", &[("limit", limit)]),
            Self::Queue(limit, result) => labelled("meterr_queue_total", &[("limit", limit), ("result", result)]),
            Self::Events(result) => labelled("meterr_events_total", &[("result", result)]),
            Self::EventQueueBytes => labelled("meterr_event_queue_bytes", &[]),
            Self::EventOldestMs => labelled("meterr_event_oldest_ms", &[]),
            Self::EventDeliveryMs => labelled("meterr_event_delivery_ms", &[]),
            Self::EventsRejected => labelled("meterr_events_rejected_total", &[]),
            Self::Callouts(result) => labelled("meterr_callouts_total", &[("result", result)]),
            Self::Unmetered(reason) => labelled("meterr_unmetered_total", &[("reason", reason)]),
            Self::Errors(code) => labelled("meterr_errors_total", &[("code", code)]),
        }
    }
}

fn series(name: &str, s: &Series, more: &[(&str, &str)]) -> String {
    let mut labels = vec![("provider", &*s.provider), ("model", &*s.model)];
    if !s.tenant.is_empty() {
        labels.push(("tenant", &*s.tenant));
    }
    labels.extend_from_slice(more);
    labelled(name, &labels)
}

fn labelled(name: &str, labels: &[(&str, &str)]) -> String {
    let mut out = String::from(name);
    for (i, (label, value)) in labels.iter().enumerate() {
        out.push_str(if i == 0 { "." } else { "" });
        // Writing to a String cannot fail.
        let _infallible = write!(out, "{label}=.={};.;", Clean(value));
    }
    out
}

/// A label value that cannot end its own label: Envoy's tag expressions stop at `;.;`.
struct Clean<'a>(&'a str);

impl core::fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for c in self.0.chars() {
            f.write_char(if c.is_control() || c == ';' || c == '"' { '_' } else { c })?;
        }
        Ok(())
    }
}
