//! What the provider says of its own limits: asked before the request goes out, heard when the response comes back.

use crate::{
    backpressure::{self, Asked, ErrorBody, Kept, REASON, Subject},
    effect::LocalReply,
    event::BackpressureState,
    head::Headers,
    host::Host,
    identity::{Identity, credential::CredentialKey},
    limit::reply,
    metric::Metric,
    provider::RateLimitFamily,
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
    /// A refusal whose headers do not say how long.
    body: Option<ErrorBody>,
    /// What was said of this exchange.
    pub(super) state: Option<BackpressureState>,
}

impl Backpressure {
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
            body: None,
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
        let Backpressure { host, credential, .. } = self.backpressure.as_ref()?;
        let subject = Subject {
            provider: &self.provider,
            host,
            credential: credential.as_deref().unwrap_or_default(),
            model: self.facts.model.as_deref()?,
        };
        Some(subject.key())
    }

    /// The refusal, if the provider has said to wait and is to be obeyed.
    pub(super) fn backpressure_refusal(&mut self, host: &mut Host<'_>) -> Option<LocalReply> {
        let key = self.backpressure_key()?;
        let (rejects, id) = self.setup.backpressure.as_ref().map(|setup| (setup.rejects, setup.id.clone()))?;
        let (decision, until) = match backpressure::waits_until(host.store, key, host.now) {
            Ok(None) => ("admitted", None),
            Ok(Some(until)) if rejects => ("rejected", Some(until)),
            Ok(Some(until)) => ("would_reject", Some(until)),
            // What was said cannot be read: the provider will say it again.
            Err(_) => ("store_error", None),
        };
        // Whoever waits in a queue asks again at each turn: it has been counted, until the answer is no.
        if self.waiting.is_none() || decision == "rejected" {
            host.count(Metric::LimitDecisions(id, decision));
        }
        let until = until?;
        if let Some(backpressure) = &mut self.backpressure {
            backpressure.state = Some(BackpressureState { until, is_rejected: rejects });
        }
        if !rejects {
            return None;
        }
        self.refused = Some(REASON);
        Some(reply::backpressure(&self.provider, until, self.shape, &self.id_text(), host.now))
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
