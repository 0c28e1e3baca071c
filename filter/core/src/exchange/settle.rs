//! The end of an exchange: its outcome, its usage and cost, its limits, its tags, its event. Once.

use crate::{
    dialect::Job,
    effect::Effect,
    event::{Outcome, UsageEvent},
    frame::websocket::Sender,
    host::Host,
    limit::Charge,
    metric::{Metric, Series},
    price::{self, Cost, CostStatus, PicoUsd},
    service::Service,
    tag::ResponseHeaders,
    usage::{
        Flag, Usage, UsageStatus,
        meter::{self, Snapshot},
    },
};

use super::{Ended, StreamEnd, job, open::Open};

/// Envoy's response flags that say that the downstream went away: connection termination and remote reset.
const DOWNSTREAM_FLAGS: u64 = (1 << 14) | (1 << 33);

/// The most that Envoy's rate limit filter takes for one descriptor: what is more, it drops without charging anything.
const MAX_HITS: u64 = 1_000_000_000;

impl Open {
    #[inline(never)]
    pub(super) fn settle(mut self: Box<Self>, ended: &Ended, service: &mut Service, host: &mut Host<'_>) {
        if let Some(scan) = &mut self.scan {
            self.facts = scan.finish();
        }
        if let Some(waiting) = self.waiting.take() {
            self.stop_waiting(&waiting, "left", service, host);
        }
        self.hear_end(host);
        let snapshot = self.meter.take().map(|mut meter| {
            meter.finish();
            meter.into_snapshot()
        });
        let settled = self.conclude(ended, snapshot, service, host);
        self.tag(&settled, host);
        self.write_states(States::of(settled), host);
    }

    /// Settles what the response, or one of several, has said: charges, counts, and hands its event over.
    pub(super) fn conclude(
        &mut self,
        ended: &Ended,
        snapshot: Option<Snapshot>,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Settled {
        let (outcome, reason) = self.outcome(ended, snapshot.as_ref());
        let usage = self.usage(ended, outcome, snapshot.as_ref(), host);
        self.conclude_as((outcome, reason), usage, snapshot, service, host)
    }

    /// As [`Self::conclude`], where what was consumed is known already.
    pub(super) fn conclude_as(
        &mut self,
        (outcome, reason): (Outcome, Option<&'static str>),
        mut usage: Usage,
        snapshot: Option<Snapshot>,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Settled {
        for (flag, is_set) in [(Flag::Unbounded, self.unbounded), (Flag::UsageChunkVisible, self.usage_chunk_visible)] {
            if is_set {
                usage.flags.insert(flag);
            }
        }
        // A job that failed may have used something all the same, and says so under 200.
        let is_told = outcome == Outcome::Completed || reason == Some("error_in_body");
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| is_told && snapshot.is_finished()) {
            self.settle_job(&usage, snapshot, host);
        }
        let cost = self.cost(&usage, snapshot.as_ref());
        if cost.is_mismatch {
            usage.flags.insert(Flag::CostMismatch);
        }
        let charge = self.charge(&usage, &cost, outcome, snapshot.as_ref(), host);
        self.learn(&usage, outcome, snapshot.as_ref(), host);
        self.settle_limits(charge, service, host);
        let event = self.event(outcome, reason, usage, cost, snapshot, host);
        self.measure(&event, service, host);
        let bytes = service.accept(&event, host);
        Settled { event, bytes, charged: charge }
    }

    pub(super) fn outcome(&self, ended: &Ended, snapshot: Option<&Snapshot>) -> (Outcome, Option<&'static str>) {
        if let Some(reason) = self.refused {
            return (Outcome::Rejected, Some(reason));
        }
        if let Some(status) = self.status
            && status >= 400
        {
            let reason = match status {
                429 => "rate_limited",
                400..500 => "client_error",
                _ => "server_error",
            };
            return (Outcome::ProviderError, Some(reason));
        }
        let snapshot = snapshot.filter(|_| self.status.is_some());
        if snapshot.is_some_and(|snapshot| snapshot.error) {
            return (Outcome::ProviderError, Some("error_in_body"));
        }
        if snapshot.is_some_and(|snapshot| snapshot.terminal) {
            return (Outcome::Completed, None);
        }
        match ended {
            // Not every server ends its streams by the book; one that says why it stopped has.
            Ended::Whole if snapshot.is_some_and(|snapshot| snapshot.unreadable || snapshot.is_finished()) => {
                (Outcome::Completed, None)
            }
            Ended::Whole => (Outcome::UpstreamReset, Some("truncated")),
            Ended::Cut(end) if is_local(end) => (Outcome::ClientAborted, Some("proxy_disconnect")),
            Ended::Cut(end) if is_downstream(end) => (Outcome::ClientAborted, Some("client_disconnect")),
            Ended::Cut(_) if self.status.is_none() => (Outcome::UpstreamReset, Some("no_response")),
            Ended::Closed(Sender::Client) => (Outcome::ClientAborted, Some("client_disconnect")),
            Ended::Cut(_) | Ended::Closed(Sender::Server) => (Outcome::UpstreamReset, Some("upstream_disconnect")),
        }
    }

    #[inline(never)]
    fn usage(&self, ended: &Ended, outcome: Outcome, snapshot: Option<&Snapshot>, host: &Host<'_>) -> Usage {
        let Some(snapshot) = snapshot else {
            // No response: what the provider did with a request that it has got, nobody knows.
            let consumed = self.refused.is_none() && self.released.is_some() && outcome != Outcome::ProviderError;
            return if consumed { meter::estimate_unanswered(self.estimate(None, host)) } else { Usage::default() };
        };
        let cut = *ended != Ended::Whole || outcome == Outcome::UpstreamReset;
        let mut estimate = || self.estimate(Some(snapshot), host);
        meter::settle_usage(self.operation, &self.provider, snapshot, cut, self.facts.characters, &mut estimate)
    }

    /// Remembers a job that the reply has started, and bills one that it is the first to tell the usage of.
    #[inline(never)]
    fn settle_job(&mut self, usage: &Usage, snapshot: &Snapshot, host: &mut Host<'_>) {
        let told = match (self.operation.job, &snapshot.id, &self.job) {
            (Job::Starts, Some(id), _) if snapshot.is_deferred => {
                job::start(host.store, &self.provider, id).map(|()| false)
            }
            (Job::Tells, _, Some(id)) if !snapshot.is_deferred && usage.status == UsageStatus::Reported => {
                job::claim(host.store, &self.provider, id)
            }
            _ => return,
        };
        match told {
            Ok(is_first) => self.is_billed |= is_first,
            Err(_) => host.count(Metric::Errors("job_unknown")),
        }
    }

    fn cost(&self, usage: &Usage, snapshot: Option<&Snapshot>) -> Cost {
        if matches!(usage.status, UsageStatus::None) || !self.is_billed {
            return Cost { status: CostStatus::Free, ..Cost::default() };
        }
        if usage.flags.contains(Flag::MixedModels) {
            return Cost::default();
        }
        price::price(
            &self.setup.config.prices,
            &price::Query {
                provider: &self.provider,
                request_model: self.facts.model.as_deref(),
                response_model: snapshot.and_then(|snapshot| snapshot.model.as_deref()),
                service_tier: snapshot.and_then(|snapshot| snapshot.service_tier.as_deref()),
                usage,
                details: snapshot.map(details).unwrap_or_default(),
                reported: snapshot.and_then(Snapshot::stated_cost).as_deref(),
                now: self.started,
            },
        )
    }

    #[inline(never)]
    fn event(
        &mut self,
        outcome: Outcome,
        reason: Option<&'static str>,
        usage: Usage,
        cost: Cost,
        snapshot: Option<Snapshot>,
        host: &Host<'_>,
    ) -> UsageEvent {
        let snapshot = snapshot.unwrap_or_default();
        // Where the request does not say so, the reply does; a reply that is no stream says nothing, it may be an error.
        let by_reply = snapshot.is_stream.then_some(true);
        let is_streamed = self.facts.stream.or(by_reply).or(self.facts.complete.then_some(false));
        let streams = is_streamed == Some(true);
        // Copies: a realtime connection has more events than one.
        let (trace_id, span_id) = self.trace.clone().unzip();
        UsageEvent {
            id: self.id,
            part: self.part,
            time: host.now,
            tenant: self.tenant().to_owned(),
            user: self.caller.user.clone(),
            key_id: self.caller.key_id.clone(),
            labels: self.caller.labels.clone(),
            provider: self.provider.clone().into_owned(),
            dialect: self.operation.dialect_name(),
            operation: self.operation.name,
            endpoint: self.operation.endpoint,
            request_model: self.facts.model.clone(),
            response_model: snapshot.model,
            response_id: snapshot.id,
            service_tier: snapshot.service_tier,
            stream: is_streamed,
            finish_reason: snapshot.finish_reason,
            status: self.status,
            outcome,
            reason,
            billable: outcome != Outcome::Rejected && self.is_billed,
            usage,
            cost,
            limits: core::mem::take(&mut self.limits),
            backpressure: self.backpressure.as_ref().and_then(|backpressure| backpressure.state),
            queue_ms: self.queue_ms,
            duration_ms: host.now.millis_since(self.started),
            ttft_ms: self
                .released
                .zip(snapshot.first_output)
                .filter(|_| streams)
                .map(|(from, to)| to.millis_since(from)),
            upstream_ms: self.released.zip(self.answered).map(|(from, to)| to.millis_since(from)),
            request_id: self.request_id.clone(),
            trace_id,
            span_id,
        }
    }

    #[inline(never)]
    fn measure(&self, event: &UsageEvent, service: &mut Service, host: &mut Host<'_>) {
        let by_request = || {
            let model = event.request_model.as_deref()?;
            price::known_model(&self.setup.config.prices, &event.provider, model).then_some(model)
        };
        let model = event.cost.priced_model.as_deref().or_else(by_request);
        let series = service.series().series(&event.provider, model, &event.tenant);
        let Series { provider, model, .. } = series.clone();
        host.count(Metric::Requests(series.clone(), event.outcome.code()));
        host.count(Metric::UsageStatus(provider.clone(), event.usage.status.code()));
        host.effect(Effect::Measure(Metric::DurationMs(provider.clone(), model.clone()), event.duration_ms));
        if let Some(ttft) = event.ttft_ms {
            host.effect(Effect::Measure(Metric::TimeToFirstTokenMs(provider, model), ttft));
        }
        if !event.billable {
            return;
        }
        let usage = &event.usage;
        let classes = [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ];
        for (class, tokens) in classes {
            if let Some(tokens) = tokens.filter(|tokens| *tokens > 0) {
                host.effect(Effect::Measure(Metric::Tokens(series.clone(), class), tokens));
            }
        }
        if let Some(cost) = event.cost.total.map(|cost| service.series().micros(&series, cost)).filter(|cost| *cost > 0)
        {
            host.effect(Effect::Measure(Metric::CostMicrousd(series), cost));
        }
    }

    /// Response headers that tell the usage.
    #[inline(never)]
    fn tag(&self, settled: &Settled, host: &mut Host<'_>) {
        let event = &settled.event;
        if self.hold_reply && self.setup.config.tags.response_headers == ResponseHeaders::Usage {
            let tokens = [("x-meterr-input-tokens", event.usage.input), ("x-meterr-output-tokens", event.usage.output)];
            for (name, value) in tokens {
                if let Some(value) = value {
                    host.effect(Effect::SetResponseHeader(name, value.to_string()));
                }
            }
            if let Some(cost) = event.cost.total {
                host.effect(Effect::SetResponseHeader("x-meterr-cost-usd", cost.to_string()));
            }
        }
    }

    #[inline(never)]
    pub(super) fn write_states(&mut self, states: States, host: &mut Host<'_>) {
        self.say_whose(host);
        let texts = [
            ("meterr", states.bytes.into()),
            ("meterr_model", states.model.into_bytes().into()),
            ("meterr_outcome", states.outcome.as_bytes().into()),
            ("meterr_usage_status", states.usage_status.as_bytes().into()),
        ];
        for (key, value) in texts {
            host.effect(Effect::SetFilterState(key, value));
        }
        let told = |value: Option<u64>| value.unwrap_or(0);
        // What a limit outside of meterr is to be charged with: estimates where nobody said, nothing for what is free.
        let hits = |amount: u64| amount.min(MAX_HITS);
        let numbers = [
            ("meterr_input_tokens", told(states.input)),
            ("meterr_output_tokens", told(states.output)),
            ("meterr_total_tokens", told(states.total)),
            ("meterr_cost_microusd", told(states.cost.map(PicoUsd::micros))),
            ("meterr_charged_input_tokens", hits(states.charged.input)),
            ("meterr_charged_output_tokens", hits(states.charged.output)),
            ("meterr_charged_cost_microusd", hits(PicoUsd(states.charged.usd.into()).micros())),
        ];
        for (key, number) in numbers {
            host.effect(Effect::SetFilterStateNumber(key, number));
        }
        host.effect(Effect::SetHitsAddend(states.charged.tokens.min(MAX_HITS)));
    }
}

/// What was settled.
pub(super) struct Settled {
    pub(super) event: UsageEvent,
    /// The event, encoded.
    pub(super) bytes: Vec<u8>,
    /// What limits were charged with.
    pub(super) charged: Charge,
}

/// What filter state tells of an exchange.
#[derive(Debug, Default)]
pub(super) struct States {
    pub(super) bytes: Vec<u8>,
    pub(super) model: String,
    pub(super) outcome: &'static str,
    pub(super) usage_status: &'static str,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) cost: Option<PicoUsd>,
    pub(super) charged: Charge,
}

impl States {
    /// Those of one event.
    pub(super) fn of(settled: Settled) -> Self {
        let Settled { event, bytes, charged } = settled;
        Self {
            bytes,
            outcome: event.outcome.code(),
            usage_status: event.usage.status.code(),
            input: event.usage.input,
            output: event.usage.output,
            total: event.usage.total(),
            cost: event.cost.total,
            charged,
            model: event.response_model.or(event.request_model).unwrap_or_default(),
        }
    }
}

fn details(snapshot: &Snapshot) -> price::Details<'_> {
    price::Details {
        speed: snapshot.speed.as_deref(),
        inference_geo: snapshot.inference_geo.as_deref(),
        iterations: Some(&snapshot.iterations),
        has_unpriced_use: snapshot.has_unpriced_use(),
    }
}

/// Whether Envoy itself closed the client's connection: it ends, or a listener that was replaced has drained for long enough.
fn is_local(end: &StreamEnd) -> bool {
    end.code_details.as_deref().is_some_and(|details| details.starts_with("downstream_local_disconnect"))
}

/// Whether the client, not the upstream, ended the stream. Envoy's details name the side; flags say it where details do not.
fn is_downstream(end: &StreamEnd) -> bool {
    match end.code_details.as_deref() {
        Some(details) if details.contains("downstream") || details.contains("http2.remote_reset") => true,
        Some(details) if details.contains("upstream") => false,
        _ => end.response_flags.is_some_and(|flags| flags & DOWNSTREAM_FLAGS != 0),
    }
}
