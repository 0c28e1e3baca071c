//! Every metric that meterr exports. The documentation of a metric is the comment on its variant.

use core::{
    fmt::Write as _,
    hash::{Hash, Hasher},
    mem,
};
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let (name, labels) = self.parts();
        let mut out = String::from(name);
        for (i, (label, value)) in labels.into_iter().flatten().enumerate() {
            out.push_str(if i == 0 { "." } else { "" });
            // Writing to a String cannot fail.
            let _infallible = write!(out, "{label}=.={};.;", Clean(value));
        }
        out
    }

    /// Its name and its labels.
    fn parts(&self) -> (&'static str, Labels<'_>) {
        match self {
            Self::Requests(s, outcome) => ("meterr_requests_total", s.labels(Some(("outcome", outcome)))),
            Self::Tokens(s, class) => ("meterr_tokens_total", s.labels(Some(("type", class)))),
            Self::CostMicrousd(s) => ("meterr_cost_microusd_total", s.labels(None)),
            Self::UsageStatus(provider, status) => {
                ("meterr_usage_status_total", labels([("provider", provider), ("status", status)]))
            }
            Self::TimeToFirstTokenMs(provider, model) => {
                ("meterr_time_to_first_token_ms", labels([("provider", provider), ("model", model)]))
            }
            Self::DurationMs(provider, model) => {
                ("meterr_duration_ms", labels([("provider", provider), ("model", model)]))
            }
            Self::LimitDecisions(limit, decision) => {
                ("meterr_limit_decisions_total", labels([("limit", limit), ("decision", decision)]))
            }
            Self::LimitCounters(limit, used) => {
                ("meterr_limit_counters_total", labels([("limit", limit), ("result", used)]))
            }
            Self::QueueWaiting(limit) => ("meterr_queue_waiting", labels([("limit", limit)])),
            Self::QueueWaitMs(limit) => ("meterr_queue_wait_ms", labels([("limit", limit)])),
            Self::Queue(limit, result) => ("meterr_queue_total", labels([("limit", limit), ("result", result)])),
            Self::Events(result) => ("meterr_events_total", labels([("result", result)])),
            Self::EventQueueBytes => ("meterr_event_queue_bytes", labels([])),
            Self::EventOldestMs => ("meterr_event_oldest_ms", labels([])),
            Self::EventDeliveryMs => ("meterr_event_delivery_ms", labels([])),
            Self::EventsRejected => ("meterr_events_rejected_total", labels([])),
            Self::Callouts(result) => ("meterr_callouts_total", labels([("result", result)])),
            Self::Unmetered(reason) => ("meterr_unmetered_total", labels([("reason", reason)])),
            Self::Errors(code) => ("meterr_errors_total", labels([("code", code)])),
        }
    }
}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        mem::discriminant(self).hash(state);
        self.parts().1.into_iter().flatten().for_each(|(_, value)| value.hash(state));
    }
}

/// Labels with their values, in the order of the name.
type Labels<'a> = [Option<(&'static str, &'a str)>; 4];

fn labels<'a, const N: usize>(known: [(&'static str, &'a str); N]) -> Labels<'a> {
    let mut known = known.into_iter();
    core::array::from_fn(|_| known.next())
}

impl Series {
    fn labels<'a>(&'a self, more: Option<(&'static str, &'a str)>) -> Labels<'a> {
        let tenant = Some(("tenant", &*self.tenant)).filter(|(_, tenant)| !tenant.is_empty());
        [Some(("provider", &*self.provider)), Some(("model", &*self.model)), tenant, more]
    }
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
