//! The response's side: what is read, what is added, what is hidden.

use crate::{
    effect::{Effect, Verdict},
    frame::hide::UsageChunkHider,
    head::Headers,
    host::Host,
    limit::headers::ratelimit,
    tag::ResponseHeaders,
    usage::meter::Meter,
};

use super::open::Open;

impl Open {
    #[inline(never)]
    pub(super) fn on_response_headers(&mut self, headers: &Headers<'_>, end: bool, host: &mut Host<'_>) -> Verdict {
        self.status = headers.text(":status").and_then(|status| status.parse().ok());
        if self.refused.is_some() {
            return Verdict::Continue;
        }
        self.answered = Some(host.now);
        self.hear_headers(headers, host);
        host.effect(Effect::SetResponseHeader("x-meterr-id", self.id_text()));
        let tags = self.setup.config.tags.response_headers;
        if tags != ResponseHeaders::Off
            && let Some((policy, limit)) = ratelimit(&self.limits, host.now)
        {
            host.effect(Effect::SetResponseHeader("ratelimit-policy", policy));
            host.effect(Effect::SetResponseHeader("ratelimit", limit));
        }
        let meter = Meter::new(
            self.operation,
            self.status.unwrap_or(0),
            headers.get("content-type").unwrap_or_default(),
            headers.get("content-encoding"),
        )
        .with_headers(headers);
        if self.injected && meter.is_sse() {
            if meter.is_plain() {
                host.effect(Effect::RemoveResponseHeader("content-length"));
                self.hider = Some(UsageChunkHider::new());
            } else {
                self.usage_chunk_visible = true;
            }
        }
        let length = headers.text("content-length").and_then(|length| length.parse::<u64>().ok());
        let fits = length.is_some_and(|bytes| bytes <= self.setup.config.max_hold_bytes);
        let may_hold = self.setup.config.header_hold && !self.is_upgraded();
        self.hold_reply = tags == ResponseHeaders::Usage && may_hold && !meter.is_stream() && fits && !end;
        self.meter = Some(Box::new(meter));
        if self.hold_reply { Verdict::Pause } else { Verdict::Continue }
    }

    pub(super) fn on_response_body(&mut self, body: &[u8], end: bool, host: &mut Host<'_>) -> Verdict {
        self.hear_body(body);
        // What repeats an event that was passed on whole is passed on whole.
        let may_repeat = !end && self.hider.as_ref().is_none_or(UsageChunkHider::is_between);
        if may_repeat && self.meter.as_mut().is_some_and(|meter| meter.repeats(body)) {
            return Verdict::Continue;
        }
        if let Some(meter) = &mut self.meter {
            meter.push(body, host.now);
            if end {
                meter.finish();
            }
        }
        if let Some(hider) = &mut self.hider {
            let mut out = Vec::new();
            let mut changed = hider.push(body, &mut out);
            if end {
                changed |= hider.finish(&mut out);
            }
            if changed {
                host.effect(Effect::ReplaceResponseChunk(out));
            }
        }
        if self.hold_reply && !end { Verdict::Pause } else { Verdict::Continue }
    }

    /// Whether nobody asks for the time of what comes before the end: that of the first output is known, or is told of streams only.
    pub(super) fn is_timed(&self) -> bool {
        let is_whole = |meter: &Meter| !meter.is_stream() && self.facts.stream != Some(true);
        !self.hears_body() && self.meter.as_deref().is_some_and(|meter| meter.has_output() || is_whole(meter))
    }

    pub(super) const fn wants_response_body(&self) -> bool {
        self.meter.is_some() && self.refused.is_none()
    }
}
