//! The end of an exchange: its outcome, its usage and cost, its limits, its tags, its event. Once.

use crate::{
    effect::Effect,
    event::{Outcome, UsageEvent},
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

use super::{Ended, StreamEnd, open::Open};

/// Envoy's response flags that say that the downstream went away: connection termination and remote reset.
const DOWNSTREAM_FLAGS: u64 = (1 << 14) | (1 << 33);

impl Open {
    pub(super) fn settle(mut self: Box<Self>, ended: &Ended, service: &mut Service, host: &mut Host<'_>) {
        if let Some(scan) = &mut self.scan {
            self.facts = scan.finish();
        }
        self.hear_end(host);
        let mut meter = self.meter.take();
        let snapshot = meter.as_mut().map(|meter| {
            meter.finish();
            meter.snapshot()
        });
        let (outcome, reason) = self.outcome(ended, snapshot.as_ref());
        let mut usage = self.usage(ended, outcome, snapshot.as_ref());
        for (flag, is_set) in [(Flag::Unbounded, self.unbounded), (Flag::UsageChunkVisible, self.usage_chunk_visible)] {
            if is_set {
                usage.flags.insert(flag);
            }
        }
        let cost = self.cost(&usage, snapshot.as_ref(), host);
        let charged = self.charged(&usage, outcome, snapshot.as_ref());
        self.settle_limits(charged, service, host);
        let event = self.event(outcome, reason, usage, cost, snapshot, host);
        self.measure(&event, service, host);
        let bytes = service.accept(&event, host);
        self.tag(&event, bytes, charged, host);
    }

    fn outcome(&self, ended: &Ended, snapshot: Option<&Snapshot>) -> (Outcome, Option<&'static str>) {
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
            Ended::Cut(end) if is_downstream(end) => (Outcome::ClientAborted, Some("client_disconnect")),
            Ended::Cut(_) if self.status.is_none() => (Outcome::UpstreamReset, Some("no_response")),
            Ended::Cut(_) => (Outcome::UpstreamReset, Some("upstream_disconnect")),
        }
    }

    fn usage(&self, ended: &Ended, outcome: Outcome, snapshot: Option<&Snapshot>) -> Usage {
        let Some(snapshot) = snapshot else {
            // No response: what the provider did with a request that it has got, nobody knows.
            let consumed = self.refused.is_none() && self.released.is_some() && outcome != Outcome::ProviderError;
            return if consumed { meter::estimate_unanswered(&self.facts) } else { Usage::default() };
        };
        let cut = matches!(ended, Ended::Cut(_)) || outcome == Outcome::UpstreamReset;
        meter::settle_usage(self.operation, &self.provider, snapshot, cut, &self.facts)
    }

    fn cost(&self, usage: &Usage, snapshot: Option<&Snapshot>, host: &Host<'_>) -> Cost {
        if matches!(usage.status, UsageStatus::None) || !self.operation.is_billed() {
            return Cost { status: CostStatus::Free, ..Cost::default() };
        }
        price::price(
            &self.setup.config.prices,
            &price::Query {
                provider: &self.provider,
                request_model: self.facts.model.as_deref(),
                response_model: snapshot.and_then(|snapshot| snapshot.model.as_deref()),
                service_tier: snapshot.and_then(|snapshot| snapshot.service_tier.as_deref()),
                usage,
                reported: snapshot.and_then(|snapshot| snapshot.reported_cost.as_deref()),
                now: host.now,
            },
        )
    }

    /// Tokens that limits are charged with: the truth, else the estimate. Never nothing for something.
    fn charged(&self, usage: &Usage, outcome: Outcome, snapshot: Option<&Snapshot>) -> u64 {
        match usage.status {
            UsageStatus::None => 0,
            _ if outcome == Outcome::Rejected || !self.operation.is_billed() => 0,
            _ => usage.total().unwrap_or_else(|| {
                let estimate = meter::estimate(snapshot, &self.facts);
                let input = usage.input.or(estimate.input).unwrap_or(0);
                input.saturating_add(usage.output.or(estimate.output).unwrap_or(0))
            }),
        }
    }

    fn settle_limits(&mut self, tokens: u64, service: &mut Service, host: &mut Host<'_>) {
        let Some(reservation) = self.reservation.take() else { return };
        let settled = reservation.settle(Charge { tokens }, host.store, host.now);
        self.limits = settled.states;
        if let Some(unsettled) = settled.unsettled {
            service.keep_unsettled(unsettled, host);
        }
    }

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
        let (trace_id, span_id) = self.trace.take().unzip();
        UsageEvent {
            id: self.id,
            time: host.now,
            tenant: self.tenant().to_owned(),
            user: self.caller.user.take(),
            key_id: self.caller.key_id.take(),
            labels: core::mem::take(&mut self.caller.labels),
            provider: self.provider.clone().into_owned(),
            dialect: self.operation.dialect_name(),
            operation: self.operation.name,
            endpoint: self.operation.endpoint,
            request_model: self.facts.model.take(),
            response_model: snapshot.model,
            response_id: snapshot.id,
            service_tier: snapshot.service_tier,
            stream: is_streamed,
            finish_reason: snapshot.finish_reason,
            status: self.status,
            outcome,
            reason,
            billable: outcome != Outcome::Rejected && self.operation.is_billed(),
            usage,
            cost,
            limits: core::mem::take(&mut self.limits),
            backpressure: self.backpressure.as_ref().and_then(|backpressure| backpressure.state),
            queue_ms: None,
            duration_ms: host.now.millis_since(self.started),
            ttft_ms: self
                .released
                .zip(snapshot.first_output)
                .filter(|_| streams)
                .map(|(from, to)| to.millis_since(from)),
            upstream_ms: self.released.zip(self.answered).map(|(from, to)| to.millis_since(from)),
            request_id: self.request_id.take(),
            trace_id,
            span_id,
        }
    }

    fn measure(&self, event: &UsageEvent, service: &mut Service, host: &mut Host<'_>) {
        let model =
            [&event.cost.priced_model.as_deref(), &event.request_model.as_deref()].into_iter().find_map(|model| {
                model.filter(|model| price::known_model(&self.setup.config.prices, &event.provider, model))
            });
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

    fn tag(&self, event: &UsageEvent, bytes: Vec<u8>, charged: u64, host: &mut Host<'_>) {
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
        let number = |value: Option<u64>| value.unwrap_or(0).to_string().into_bytes();
        let model = event.response_model.as_deref().or(event.request_model.as_deref()).unwrap_or_default();
        let states = [
            ("meterr", bytes),
            ("meterr_tenant", event.tenant.clone().into_bytes()),
            ("meterr_provider", event.provider.clone().into_bytes()),
            ("meterr_model", model.as_bytes().to_vec()),
            ("meterr_outcome", event.outcome.code().as_bytes().to_vec()),
            ("meterr_usage_status", event.usage.status.code().as_bytes().to_vec()),
            ("meterr_input_tokens", number(event.usage.input)),
            ("meterr_output_tokens", number(event.usage.output)),
            ("meterr_total_tokens", number(event.usage.total())),
            ("meterr_cost_microusd", number(event.cost.total.map(PicoUsd::micros))),
        ];
        for (key, value) in states {
            host.effect(Effect::SetFilterState(key, value));
        }
        host.effect(Effect::SetHitsAddend(charged));
    }
}

/// Whether the client, not the upstream, ended the stream. Envoy's details name the side; flags say it where details do not.
fn is_downstream(end: &StreamEnd) -> bool {
    match end.code_details.as_deref() {
        Some(details) if details.contains("downstream") || details.contains("http2.remote_reset") => true,
        Some(details) if details.contains("upstream") => false,
        _ => end.response_flags.is_some_and(|flags| flags & DOWNSTREAM_FLAGS != 0),
    }
}
