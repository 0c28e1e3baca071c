//! What an exchange asks of the limits and tells them in the end.

use crate::{
    host::Host,
    limit::{Alert, Charge, Counter, LimitState, Pricing, Refusal, Reservation, Subject, Unsettled},
    metric::Metric,
    price::{self, Cost},
    service::Service,
    store::SharedStore,
    time::Timestamp,
    usage::{Usage, UsageStatus, meter::Snapshot},
};

use super::{Outcome, open::Open};

/// What tokens of a request's model cost by the price table.
struct TablePrices<'a> {
    open: &'a Open,
}

impl TablePrices<'_> {
    fn price(&self, usage: &Usage) -> Option<u64> {
        let query = price::Query {
            provider: &self.open.provider,
            request_model: self.open.facts.model.as_deref(),
            response_model: None,
            service_tier: None,
            usage,
            details: price::Details::default(),
            reported: None,
            now: self.open.started,
        };
        in_picos(&price::price(&self.open.setup.config.prices, &query))
    }
}

impl Pricing for TablePrices<'_> {
    fn cost(&self, input: u64, output: u64, at_most: bool) -> Option<u64> {
        let usage = Usage { input: Some(input), output: Some(output), ..Usage::default() };
        let plain = self.price(&Usage { input_uncached: Some(input), ..usage.clone() })?;
        if !at_most {
            return Some(plain);
        }
        // Whether a prompt is written to a cache is the client's choice, and dearer than one that is not.
        let (uncached, cache_write) = (Some(0), Some(input));
        let kept = Usage { input_uncached: uncached, cache_write, ..usage };
        let kept_long = Usage { cache_write_1h: cache_write, ..kept.clone() };
        let dearest = [kept, kept_long].iter().filter_map(|usage| self.price(usage)).fold(plain, u64::max);
        Some(dearest)
    }
}

fn in_picos(cost: &Cost) -> Option<u64> {
    cost.total.map(|total| u64::try_from(total.0).unwrap_or(u64::MAX))
}

impl Open {
    #[inline]
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: self.tenant(),
            user: self.caller.user.as_deref(),
            key: self.caller.key_id.as_deref(),
            provider: &self.provider,
            model: self.facts.model.as_deref(),
            labels: &self.caller.labels,
        }
    }

    /// Asks the limits for what the request may consume. `whole` says that its body was seen.
    pub(super) fn ask(&self, whole: bool, host: &Host<'_>) -> crate::limit::Admission {
        let pricing = TablePrices { open: self };
        self.setup.limits.admit(&self.subject(), &self.demand(whole, host), &pricing, host.store, host.now)
    }

    /// The refusal of a request that has no right to what there may be, since others wait for that counter. `None` if its limit does not apply.
    pub(super) fn refusal(&self, counter: &Counter, whole: bool, host: &Host<'_>) -> Option<Refusal> {
        let pricing = TablePrices { open: self };
        self.setup.limits.refusal(counter, &self.subject(), &self.demand(whole, host), &pricing, host.store, host.now)
    }

    /// Keeps what was taken, and tells what came of it.
    pub(super) fn admitted(&mut self, mut reservation: Reservation, service: &mut Service, host: &mut Host<'_>) {
        self.limits = reservation.states().to_vec();
        for (limit, slot) in reservation.take_slot_uses() {
            host.count(Metric::LimitCounters(limit, slot.code()));
        }
        self.model_was_known = self.facts.model.is_some();
        self.alert(reservation.take_alerts(), service, host);
        self.reservation = Some(reservation);
        self.count_decisions(host);
    }

    pub(super) fn count_decisions(&self, host: &mut Host<'_>) {
        for LimitState { id, decision, would_reject, .. } in &self.limits {
            let decision = if *would_reject == Some(true) { "would_reject" } else { *decision };
            host.count(Metric::LimitDecisions(id.clone(), decision));
        }
    }

    /// What limits are charged with: the truth, else the estimate. Never nothing for something.
    pub(super) fn charge(
        &self,
        usage: &Usage,
        cost: &Cost,
        outcome: Outcome,
        snapshot: Option<&Snapshot>,
        host: &Host<'_>,
    ) -> Charge {
        if usage.status == UsageStatus::None || outcome == Outcome::Rejected || !self.operation.is_billed() {
            return Charge::default();
        }
        let (input, output) = usage.input.zip(usage.output).unwrap_or_else(|| {
            let estimate = self.estimate(snapshot, host);
            (usage.input.or(estimate.input).unwrap_or(0), usage.output.or(estimate.output).unwrap_or(0))
        });
        // Sub-inferences and other models are no part of it, and were consumed as well.
        let add = |count: u64, more: [Option<u64>; 2]| more.into_iter().flatten().fold(count, u64::saturating_add);
        let input = add(input, [usage.iteration_input, usage.other_input]);
        let output = add(output, [usage.iteration_output, usage.other_output]);
        let usd = in_picos(cost).or_else(|| TablePrices { open: self }.cost(input, output, false));
        Charge { tokens: input.saturating_add(output), input, output, usd: usd.unwrap_or(0) }
    }

    pub(super) fn settle_limits(&mut self, charge: Charge, service: &mut Service, host: &mut Host<'_>) {
        let Some(reservation) = self.reservation.take() else { return };
        let settled = reservation.settle(charge, host.store, host.now);
        self.limits = settled.states;
        self.alert(settled.alerts, service, host);
        Self::keep(settled.unsettled, service, host);
    }

    pub(super) fn renew_holds(&mut self, store: &dyn SharedStore, now: Timestamp) {
        if let Some(reservation) = &mut self.reservation {
            reservation.renew(store, now);
        }
    }

    /// Leaves to the next tick what the store did not take.
    pub(super) fn keep(unsettled: Option<Unsettled>, service: &mut Service, host: &mut Host<'_>) {
        if let Some(unsettled) = unsettled {
            service.keep_unsettled(unsettled, host);
        }
    }

    /// Who the limits took the request for: what was not known when they decided is in no counter's name.
    fn counted_as(&self) -> Subject<'_> {
        let subject = self.subject();
        Subject { model: subject.model.filter(|_| self.model_was_known), ..subject }
    }

    pub(super) fn alert(&self, alerts: Vec<Alert>, service: &mut Service, host: &mut Host<'_>) {
        for alert in alerts {
            service.alert(&alert, &self.counted_as(), host);
        }
    }
}
