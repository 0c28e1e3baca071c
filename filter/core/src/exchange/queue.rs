//! A request that waits for quota.

use std::rc::Rc;

use crate::{
    effect::{Effect, Verdict},
    host::Host,
    limit::{Admission, QueuePlace, Refusal},
    metric::Metric,
    service::Service,
    time::Timestamp,
};

use super::open::{Open, Waiting};

impl Open {
    /// Whoever comes while others wait for a counter waits behind them: nobody overtakes. `None` if nobody waits.
    pub(super) fn stand_in_line(&mut self, whole: bool, service: &mut Service, host: &mut Host<'_>) -> Option<Verdict> {
        if service.queue().is_empty() {
            return None;
        }
        let places = self.setup.limits.queues(&self.subject());
        let place = places.into_iter().find(|place| service.queue().has_line(&place.counter))?;
        let refusal = self.refusal(&place.counter, whole, host)?;
        // What no wait helps against, and what a limit refuses that lets nobody wait, is told at once.
        let refusal = Refusal { queue: refusal.queue.map(|_| place), ..refusal };
        Some(if self.wait(&refusal, whole, service, host) { Verdict::Pause } else { self.refuse(&refusal, host) })
    }

    /// Takes a place where the refusal lets it wait; `false` if there is none.
    pub(super) fn wait(&mut self, refusal: &Refusal, whole: bool, service: &mut Service, host: &mut Host<'_>) -> bool {
        let Some(place) = refusal.queue else { return false };
        // The one that it waits for may be another than the one that would make it wait longest.
        let limit = self.setup.limits.of_counter(&place.counter).unwrap_or_else(|| Rc::clone(&refusal.limit.id));
        self.join(&place, limit, whole, service, host)
    }

    /// Takes a place in a line; `false` if there is none. However many lines it has stood in, it waits no longer than this one allows.
    pub(super) fn join(
        &mut self,
        place: &QueuePlace,
        limit: Rc<str>,
        whole: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> bool {
        let left_ms = place.max_wait_ms.saturating_sub(self.queue_ms.unwrap_or(0));
        if left_ms == 0 {
            return false;
        }
        let Some(ticket) = service.queue().join(place) else {
            host.count(Metric::Queue(limit, "full"));
            return false;
        };
        host.effect(Effect::Move(Metric::QueueWaiting(Rc::clone(&limit)), 1));
        let until = host.now.plus_millis(left_ms);
        self.waiting = Some(Waiting { ticket, limit, whole, since: host.now, until });
        service.set_tick(host);
        true
    }

    pub(super) fn is_on_turn(&self, service: &mut Service, now: Timestamp) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| now >= waiting.until || service.queue().is_first(&waiting.ticket))
    }

    /// Looks whether there is room now, or whether the wait is over.
    pub(super) fn on_turn(&mut self, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        if !self.is_on_turn(service, host.now) {
            return Verdict::Pause;
        }
        let Some(waiting) = self.waiting.take() else { return Verdict::Pause };
        let whole = waiting.whole;
        // The provider may have said to wait since this request came, or to wait longer.
        if let Some(until) = self.provider_wait(host) {
            return self.wait_on(waiting, until, service, host);
        }
        if self.provider_place(host.now, host.now).is_some_and(|place| place.counter == waiting.ticket.counter) {
            self.stop_waiting(&waiting, "admitted", service, host);
            return self.ask_limits(whole, true, service, host);
        }
        // Only whose turn it is may take; who has waited too long is told why.
        let admission = if service.queue().is_first(&waiting.ticket) {
            self.ask(whole, host)
        } else {
            match self.refusal(&waiting.ticket.counter, whole, host) {
                Some(refusal) => Admission::Refused(refusal),
                None => self.ask(whole, host),
            }
        };
        let result = match &admission {
            Admission::Admitted { .. } => "admitted",
            Admission::Refused(Refusal { queue: Some(_), .. }) if host.now < waiting.until => {
                if let Admission::Refused(Refusal { unsettled, .. }) = admission {
                    Self::keep(unsettled, service, host);
                }
                self.waiting = Some(waiting);
                return Verdict::Pause;
            }
            Admission::Refused(_) if host.now >= waiting.until => "timed_out",
            Admission::Refused(_) => "refused",
        };
        self.stop_waiting(&waiting, result, service, host);
        self.take(admission, whole, false, service, host)
    }

    /// Goes on waiting, for the provider, if that can help; else it is refused.
    fn wait_on(&mut self, waiting: Waiting, until: Timestamp, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        let result = if host.now >= waiting.until {
            "timed_out"
        } else {
            match self.provider_place(until, host.now) {
                Some(place) if place.counter != waiting.ticket.counter => {
                    // Where it stood it would keep those from their turn who ask another provider.
                    self.stop_waiting(&waiting, "moved", service, host);
                    return self.hold_back(until, waiting.whole, true, service, host);
                }
                Some(_) if until <= waiting.until => {
                    self.waiting = Some(waiting);
                    return Verdict::Pause;
                }
                _ => "refused",
            }
        };
        self.stop_waiting(&waiting, result, service, host);
        self.refuse_for_provider(until, host)
    }

    pub(super) fn stop_waiting(
        &mut self,
        waiting: &Waiting,
        result: &'static str,
        service: &mut Service,
        host: &mut Host<'_>,
    ) {
        service.queue().leave(&waiting.ticket);
        let waited = host.now.millis_since(waiting.since);
        self.queue_ms = Some(self.queue_ms.unwrap_or(0).saturating_add(waited));
        let limit = Rc::clone(&waiting.limit);
        host.effect(Effect::Move(Metric::QueueWaiting(Rc::clone(&limit)), -1));
        host.effect(Effect::Measure(Metric::QueueWaitMs(Rc::clone(&limit)), waited));
        host.count(Metric::Queue(limit, result));
        service.set_tick(host);
    }
}
