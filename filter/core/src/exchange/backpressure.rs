//! What the provider says of its own limits: asked before the request goes out, heard when the response comes back.

use core::cell::OnceCell;

use crate::{
    backpressure::{self, Asked, ErrorBody, Kept, Mode, REASON, Subject},
    effect::Verdict,
    event::BackpressureState,
    head::Headers,
    host::Host,
    identity::{Identity, credential::CredentialKey},
    limit::{QueuePlace, reply},
    metric::Metric,
    provider::RateLimitFamily,
    service::Service,
    setup::Setup,
    time::Timestamp,
};

use super::open::{Open, Target};

/// What an exchange needs for it. There is none while it is off, where no row names the provider and where nobody pays: what is free
/// has limits of its own.
#[derive(Debug)]
pub(super) struct Backpressure {
    family: RateLimitFamily,
    host: Vec<u8>,
    credential: Option<String>,
    /// Once the model is known: whoever waits asks at each turn.
    key: OnceCell<backpressure::Key>,
    /// A refusal whose headers do not say how long.
    body: Option<ErrorBody>,
    /// What came of asking, until it is counted.
    decision: Option<&'static str>,
    /// What was said of this exchange.
    pub(super) state: Option<BackpressureState>,
}

impl Backpressure {
    #[inline(never)]
    pub(super) fn new(target: &Target, headers: &Headers<'_>, key: &CredentialKey, setup: &Setup) -> Option<Self> {
        setup.backpressure.as_ref()?;
        if !target.is_known || !target.operation.as_ref()?.operation.is_billed() {
            return None;
        }
        let authority = target.authority.as_ref().map(|authority| authority.as_bytes());
        Some(Self {
            family: target.rate_limits,
            host: authority.or_else(|| headers.get(":authority")).unwrap_or_default().to_vec(),
            credential: Identity::credential(headers, headers.get(":path").unwrap_or_default(), key),
            key: OnceCell::new(),
            body: None,
            decision: None,
            state: None,
        })
    }
}

impl Open {
    /// Whether the model is needed, and stands in the body.
    pub(super) const fn backpressure_needs_body(&self) -> bool {
        self.backpressure.is_some() && self.facts.model.is_none()
    }

    fn backpressure_key(&self) -> Option<backpressure::Key> {
        let Backpressure { host, credential, key, .. } = self.backpressure.as_ref()?;
        let model = self.facts.model.as_deref()?;
        let credential = credential.as_deref().unwrap_or_default();
        Some(*key.get_or_init(|| Subject { provider: &self.provider, host, credential, model }.key()))
    }

    /// Until when the provider has said to wait, if it is to be obeyed.
    pub(super) fn provider_wait(&mut self, host: &Host<'_>) -> Option<Timestamp> {
        let key = self.backpressure_key()?;
        let mode = self.setup.backpressure.as_ref()?.mode;
        let backpressure = self.backpressure.as_mut()?;
        let (decision, until) = match backpressure::waits_until(host.store, key, host.now) {
            Ok(None) => ("admitted", None),
            Ok(Some(until)) if mode == Mode::ReportOnly => ("would_reject", Some(until)),
            Ok(Some(until)) => ("rejected", Some(until)),
            // What was said cannot be read: the provider will say it again.
            Err(_) => ("store_error", None),
        };
        backpressure.decision = Some(decision);
        let until = until?;
        backpressure.state = Some(BackpressureState { until, is_rejected: false });
        (mode != Mode::ReportOnly).then_some(until)
    }

    /// Counts what came of asking the provider, once for each request.
    pub(super) fn count_provider_decision(&mut self, host: &mut Host<'_>) {
        let decision = self.backpressure.as_mut().and_then(|backpressure| backpressure.decision.take());
        if let (Some(decision), Some(setup)) = (decision, self.setup.backpressure.as_ref()) {
            host.count(Metric::LimitDecisions(setup.id.clone(), decision));
        }
    }

    /// Where a request may wait until then. `None` if it may not, or would wait in vain.
    pub(super) fn provider_place(&self, until: Timestamp, now: Timestamp) -> Option<QueuePlace> {
        let Mode::Queue { max_wait_ms, max_waiting } = self.setup.backpressure.as_ref()?.mode else { return None };
        let counter = self.backpressure_key()?.counter();
        let left_ms = max_wait_ms.saturating_sub(self.queue_ms.unwrap_or(0));
        (until <= now.plus_millis(left_ms)).then_some(QueuePlace { counter, max_wait_ms, max_waiting })
    }

    /// Whether others wait in the line in which this request would wait.
    pub(super) fn others_wait_for_provider(&self, service: &mut Service, now: Timestamp) -> bool {
        self.provider_place(now, now).is_some_and(|place| service.queue().has_line(&place.counter))
    }

    /// Lets the request wait until the provider's time has come, or refuses it.
    pub(super) fn hold_back(
        &mut self,
        until: Timestamp,
        whole: bool,
        can_wait: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        let place = self.provider_place(until, host.now).filter(|_| can_wait);
        let line = self.setup.backpressure.as_ref().map(|setup| setup.id.clone());
        if let (Some(place), Some(line)) = (place, line)
            && self.join(&place, line, whole, service, host)
        {
            return Verdict::Pause;
        }
        self.refuse_for_provider(until, host)
    }

    pub(super) fn refuse_for_provider(&mut self, until: Timestamp, host: &mut Host<'_>) -> Verdict {
        if let Some(backpressure) = &mut self.backpressure {
            backpressure.state = Some(BackpressureState { until, is_rejected: true });
            backpressure.decision = Some("rejected");
        }
        self.count_provider_decision(host);
        self.refused = Some(REASON);
        self.answer(reply::backpressure(&self.provider, until, self.shape, &self.id_text(), host.now))
    }

    /// Hears what the response's headers say.
    pub(super) fn hear_headers(&mut self, headers: &Headers<'_>, host: &mut Host<'_>) {
        let Some(backpressure) = &mut self.backpressure else { return };
        match Asked::by(self.status.unwrap_or(0), headers, backpressure.family, host.now) {
            Asked::Nothing => {}
            Asked::Wait(ms) => self.keep_wait(ms, host.now, host),
            Asked::InBody(body) => backpressure.body = Some(body),
        }
    }

    /// Whether a refusal's body is listened to.
    pub(super) fn hears_body(&self) -> bool {
        self.backpressure.as_ref().is_some_and(|backpressure| backpressure.body.is_some())
    }

    /// Hears a piece of a refusal's body.
    pub(super) fn hear_body(&mut self, bytes: &[u8]) {
        if let Some(body) = self.backpressure.as_mut().and_then(|backpressure| backpressure.body.as_mut()) {
            body.push(bytes);
        }
    }

    /// Hears what the whole refusal says.
    pub(super) fn hear_end(&mut self, host: &mut Host<'_>) {
        let body = self.backpressure.as_mut().and_then(|backpressure| backpressure.body.take());
        if let Some((ms, since)) = body.and_then(|body| body.wait()) {
            self.keep_wait(ms, since, host);
        }
    }

    fn keep_wait(&self, ms: u64, since: Timestamp, host: &mut Host<'_>) {
        let Some(key) = self.backpressure_key() else { return };
        let left_ms = ms.saturating_sub(host.now.millis_since(since));
        match backpressure::keep(host.store, key, left_ms, host.now) {
            Ok(Kept::Yes) => {}
            Ok(Kept::Displaced | Kept::Full) => host.count(Metric::Errors("backpressure_full")),
            Err(_) => host.count(Metric::Errors("backpressure_store")),
        }
    }
}
