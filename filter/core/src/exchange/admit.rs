//! The request's side: what is held, what is refused, what is changed.

use crate::{
    delivery::NoRoom,
    dialect::{ErrorShape, Streams},
    effect::{Effect, LocalReply, Verdict},
    frame::inflate::Encoding,
    head::Headers,
    host::Host,
    identity::credential::signs,
    limit::{Admission, Refusal, queue::LOOK_MS, reply},
    metric::Metric,
    service::{NO_ROOM, Service},
};

use super::open::{Hold, Open, bytes_of};

/// A 404 for a request that belongs to no provider. Nobody's dialect is known, so it has the most common shape.
pub(super) fn not_found(message: &str) -> LocalReply {
    let body = reply::error_body(ErrorShape::OpenAi, 404, "invalid_request_error", "provider_not_found", message, "");
    LocalReply { status: 404, headers: reply::json_headers(), body, details: "meterr_provider_not_found" }
}

impl Open {
    #[inline(never)]
    pub(super) fn on_request_headers(
        &mut self,
        headers: &Headers<'_>,
        end: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        if self.setup.config.identity.reject_missing && self.caller.tenant.is_none() {
            self.refused = Some("identity_missing");
            let message = "This request names no tenant that meterr is configured to accept.";
            return self.answer(reply::unauthorized(self.shape, message, self.id_text().as_str()));
        }
        if end {
            self.scan = None;
            // Nothing follows that could grow while it waits.
            let can_wait = self.setup.config.header_hold;
            return self.decide(false, can_wait, service, host);
        }
        let upgrade = headers.get("upgrade").is_some() || headers.get(":method") == Some(b"CONNECT");
        if self.operation.streams == Streams::WebSocket {
            // Compression is offered to the server by the client, hop by hop: without the offer, messages come as they are.
            host.effect(Effect::RemoveRequestHeader("sec-websocket-extensions".into()));
        }
        let small = self.announced_bytes.is_some_and(|bytes| bytes <= self.setup.config.max_hold_bytes);
        let may_hold = small && !upgrade;
        let limits_want_body = self.operation.is_billed()
            && (self.setup.limits.needs_body(&self.subject()) || self.backpressure_needs_body());
        let header_hold = self.setup.config.header_hold;
        let inject = self.may_inject && may_hold && !Self::is_encoded(headers);
        self.may_inject = inject;
        if header_hold && may_hold && (inject || limits_want_body) {
            self.hold = Hold::Headers;
        } else if inject {
            // The headers go on before the body is known: whatever the body becomes, they must be right for it.
            host.effect(Effect::RemoveRequestHeader("content-length".into()));
            self.hold = Hold::Body;
        }
        if !signs(headers, "accept-encoding") {
            Self::readable_encoding(headers, self.hold == Hold::Body, host);
        }
        if self.hold == Hold::Headers {
            return Verdict::Pause;
        }
        self.decide(false, false, service, host)
    }

    pub(super) fn on_request_body(
        &mut self,
        body: &[u8],
        end: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        if let Some(scan) = &mut self.scan {
            scan.push(body);
            if end {
                self.facts = scan.finish();
            }
        }
        if self.waiting.is_some() {
            return Verdict::Pause;
        }
        if !end {
            return if self.hold == Hold::No { Verdict::Continue } else { Verdict::Pause };
        }
        let hold = core::mem::replace(&mut self.hold, Hold::No);
        if hold != Hold::No && self.may_inject {
            self.inject(hold, host);
        }
        self.scan = None;
        match hold {
            Hold::Headers => self.decide(true, true, service, host),
            Hold::Body | Hold::No => {
                self.released = Some(host.now);
                Verdict::Continue
            }
        }
    }

    pub(super) fn on_body_overdue(&mut self, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        match core::mem::replace(&mut self.hold, Hold::No) {
            Hold::Headers => {
                self.may_inject = false;
                self.decide(false, false, service, host)
            }
            // The body is in Envoy's buffer and its headers are gone: only its rest can end this hold.
            hold @ (Hold::Body | Hold::No) => {
                self.hold = hold;
                Verdict::Pause
            }
        }
    }

    pub(super) const fn wants_request_body(&self) -> bool {
        self.scan.is_some() && self.refused.is_none()
    }

    pub(super) fn id_text(&self) -> String {
        self.id.to_string()
    }

    /// Asks the limits. `whole` says that the body was seen, `can_wait` that all of the request is held here.
    fn decide(&mut self, whole: bool, can_wait: bool, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        if self.decided {
            return Verdict::Continue;
        }
        self.decided = true;
        match service.promise(host) {
            Ok(promise) => self.promise = promise,
            Err(NoRoom) => {
                self.refused = Some(NO_ROOM);
                host.count(Metric::Errors(NO_ROOM));
                return self.answer(reply::no_room(self.shape, &self.id_text()));
            }
        }
        if !self.operation.is_billed() {
            self.released = Some(host.now);
            return Verdict::Continue;
        }
        if let Some(until) = self.provider_wait(host) {
            return self.hold_back(until, whole, can_wait, service, host);
        }
        // Its time has come, but those that waited for it go first, within the next look.
        if can_wait && self.others_wait_for_provider(service, host.now) {
            return self.hold_back(host.now.plus_millis(u64::from(LOOK_MS)), whole, true, service, host);
        }
        self.ask_limits(whole, can_wait, service, host)
    }

    /// Asks our own limits.
    pub(super) fn ask_limits(
        &mut self,
        whole: bool,
        can_wait: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        if can_wait && let Some(verdict) = self.stand_in_line(whole, service, host) {
            return verdict;
        }
        let admission = self.ask(whole, host);
        self.take(admission, whole, can_wait, service, host)
    }

    /// Carries out what the limits said.
    pub(super) fn take(
        &mut self,
        admission: Admission,
        whole: bool,
        can_wait: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        match admission {
            Admission::Admitted { reservation, unbounded, unsettled } => {
                Self::keep(unsettled, service, host);
                self.unbounded = unbounded;
                self.count_provider_decision(host);
                self.admitted(reservation, service, host);
                self.released = Some(host.now);
                // Later filters, such as Envoy's own rate limit filter, see whose request it is; identity headers are gone by then.
                self.say_whose(host);
                // Only headers that have not gone on can be changed, and only a name that cannot break out of one is put there.
                if (whole || self.operation.streams == Streams::WebSocket)
                    && let Some(model) =
                        self.facts.model.as_ref().filter(|model| model.bytes().all(|b| b.is_ascii_graphic()))
                {
                    host.effect(Effect::SetRequestHeader("x-meterr-model".into(), model.clone().into_bytes().into()));
                }
                Verdict::Continue
            }
            Admission::Refused(mut refusal) => {
                Self::keep(refusal.unsettled.take(), service, host);
                if can_wait && self.wait(&refusal, whole, service, host) {
                    return Verdict::Pause;
                }
                self.count_provider_decision(host);
                self.refuse(&refusal, host)
            }
        }
    }

    /// Writes to filter state whose exchange it is, once.
    pub(super) fn say_whose(&mut self, host: &mut Host<'_>) {
        if !core::mem::replace(&mut self.said_whose, true) {
            host.effect(Effect::SetFilterState("meterr_tenant", self.tenant().as_bytes().to_vec().into()));
            host.effect(Effect::SetFilterState("meterr_provider", bytes_of(&self.provider)));
        }
    }

    #[inline(never)]
    pub(super) fn refuse(&mut self, refusal: &Refusal, host: &mut Host<'_>) -> Verdict {
        self.limits.clone_from(&refusal.states);
        self.refused = Some(refusal.kind.code());
        self.count_decisions(host);
        self.answer(reply::reply(refusal, self.shape, &self.id_text(), host.now))
    }

    pub(super) fn answer(&mut self, mut reply: LocalReply) -> Verdict {
        self.hold = Hold::No;
        self.scan = None;
        reply.headers.push(("x-meterr-id".to_owned(), self.id_text()));
        // Where the SDKs look for the id of a request: openai-python and anthropic-python, `request_id`.
        let name = if self.shape == ErrorShape::Anthropic { "request-id" } else { "x-request-id" };
        reply.headers.push((name.to_owned(), self.id_text()));
        Verdict::Reply(reply)
    }

    /// Asks for the usage chunk where the client's own body does not.
    #[inline(never)]
    fn inject(&mut self, hold: Hold, host: &mut Host<'_>) {
        let Some(splice) = self.facts.include_usage_splice() else { return };
        if hold == Hold::Headers {
            let bytes =
                self.facts.body_bytes.saturating_sub((splice.end - splice.start) as u64) + splice.with.len() as u64;
            host.effect(Effect::SetRequestHeader("content-length".into(), bytes.to_string().into_bytes().into()));
            host.effect(Effect::SetRequestHeader("accept-encoding".into(), (&b"identity"[..]).into()));
        }
        host.effect(Effect::SpliceRequestBody(splice));
        self.injected = true;
    }

    fn is_encoded(headers: &Headers<'_>) -> bool {
        headers.get("content-encoding").is_some_and(|value| Encoding::from_header(value) != Some(Encoding::Identity))
    }

    /// Cuts `accept-encoding` to what can be read here.
    #[inline(never)]
    fn readable_encoding(headers: &Headers<'_>, identity_only: bool, host: &mut Host<'_>) {
        let Some(accepted) = headers.get("accept-encoding") else { return };
        let gzip = accepted.split(|b| *b == b',').any(|token| {
            let mut parts = token.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|part| matches!(part, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"));
            (name.eq_ignore_ascii_case(b"gzip") || name == b"*") && !refused
        });
        let readable: &'static [u8] = if gzip && !identity_only { b"gzip" } else { b"identity" };
        if accepted != readable {
            host.effect(Effect::SetRequestHeader("accept-encoding".into(), readable.into()));
        }
    }
}
