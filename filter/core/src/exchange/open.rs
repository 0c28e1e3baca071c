//! What is known of an exchange while it is open.

use std::{borrow::Cow, rc::Rc};

use crate::{
    delivery::Promise,
    dialect::{ErrorShape, Matched, Operation, Streams},
    effect::Effect,
    event::Part,
    frame::hide::UsageChunkHider,
    head::Headers,
    host::Host,
    identity::{Caller, Identity},
    limit::{LimitState, Reservation, queue::Ticket},
    provider::{RateLimitFamily, Row, route::Rewrite},
    request::{RequestFacts, RequestScan},
    service::Service,
    setup::Setup,
    time::Timestamp,
    usage::meter::Meter,
};

use super::backpressure::Backpressure;

/// What of a request is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing.
    No,
    /// Headers and body: nothing has reached the upstream.
    Headers,
    /// The body only: the headers have gone on.
    Body,
}

/// A request that waits for quota.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    /// The limit that it waits for.
    pub(super) limit: Rc<str>,
    /// Whether its body was seen.
    pub(super) whole: bool,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

/// Where a request goes, and what it is.
#[derive(Debug)]
pub(super) struct Target {
    provider: Cow<'static, str>,
    pub(super) operation: Option<Matched>,
    inject_include_usage: bool,
    pub(super) rate_limits: RateLimitFamily,
    /// What its errors look like.
    errors: ErrorShape,
    tls: bool,
    /// Whether a row names it. A detected host is known to Envoy's own routes, not to us.
    pub(super) is_known: bool,
    path: Option<Vec<u8>>,
    pub(super) authority: Option<Cow<'static, str>>,
}

impl Target {
    pub(super) fn known(row: &Row, operation: Option<Matched>, rewrite: Option<Rewrite<'_>>) -> Self {
        let (path, authority) = rewrite.map(|rewrite| (rewrite.path.into_owned(), rewrite.authority)).unzip();
        Self {
            provider: row.id.clone(),
            inject_include_usage: row.inject_include_usage,
            rate_limits: row.rate_limits,
            errors: operation.as_ref().map_or(row.errors, |matched| row.errors_in(matched.operation.errors)),
            operation,
            tls: row.tls,
            is_known: true,
            path,
            authority,
        }
    }

    pub(super) const fn unknown(operation: Matched) -> Self {
        Self {
            provider: Cow::Borrowed("unknown"),
            inject_include_usage: false,
            rate_limits: RateLimitFamily::Absent,
            errors: operation.operation.errors,
            operation: Some(operation),
            tls: false,
            is_known: false,
            path: None,
            authority: None,
        }
    }
}

/// A metered exchange that has not settled.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: uuid::Uuid,
    /// What of a realtime connection is being settled.
    pub(super) part: Option<Part>,
    pub(super) setup: Rc<Setup>,
    pub(super) started: Timestamp,
    pub(super) caller: Caller,
    pub(super) provider: Cow<'static, str>,
    pub(super) shape: ErrorShape,
    pub(super) operation: &'static Operation,
    /// Whether somebody pays for it.
    pub(super) is_billed: bool,
    /// The job that the path names.
    pub(super) job: Option<String>,
    /// Whether the usage chunk may be asked for on the client's behalf.
    pub(super) may_inject: bool,
    pub(super) hold: Hold,
    /// Whether a held reply waits for its count; see [`super::respond`].
    pub(super) hold_reply: bool,
    pub(super) scan: Option<Box<RequestScan>>,
    pub(super) facts: RequestFacts,
    /// Bytes that the request's headers announce.
    pub(super) announced_bytes: Option<u64>,
    pub(super) decided: bool,
    pub(super) injected: bool,
    pub(super) unbounded: bool,
    /// The model was known when the limits admitted the request.
    pub(super) model_was_known: bool,
    pub(super) usage_chunk_visible: bool,
    /// Whether filter state tells tenant and provider already.
    pub(super) said_whose: bool,
    pub(super) reservation: Option<Reservation>,
    /// What the provider says of its own limits, while anybody listens.
    pub(super) backpressure: Option<Backpressure>,
    /// Room in the queue for the event, where requests are refused when there is none.
    pub(super) promise: Option<Promise>,
    /// Why we refused, if we did.
    pub(super) refused: Option<&'static str>,
    pub(super) limits: Vec<LimitState>,
    /// Where it waits for quota.
    pub(super) waiting: Option<Waiting>,
    /// Milliseconds that it waited.
    pub(super) queue_ms: Option<u64>,
    /// When the last byte of the request went on.
    pub(super) released: Option<Timestamp>,
    pub(super) answered: Option<Timestamp>,
    pub(super) status: Option<u32>,
    pub(super) meter: Option<Box<Meter>>,
    pub(super) hider: Option<UsageChunkHider>,
    pub(super) request_id: Option<String>,
    pub(super) trace: Option<(String, String)>,
}

impl Open {
    #[inline(never)]
    pub(super) fn new(
        target: Target,
        headers: &Headers<'_>,
        signed: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Option<Self> {
        let setup = service.setup();
        let key = service.credential_key(host);
        let backpressure = Backpressure::new(&target, headers, &key, &setup);
        let Matched { operation, model, id } = target.operation?;
        let path = headers.get(":path").unwrap_or_default();
        let number = |name| headers.text(name)?.trim().parse::<u64>().ok();
        Some(Self {
            id: service.random().uuid_v7(host.now),
            part: None,
            started: host.now,
            caller: setup.config.identity.resolve(headers, path, &key, host.properties),
            shape: target.errors,
            backpressure,
            may_inject: target.inject_include_usage && operation.can_inject && !signed,
            provider: target.provider,
            operation,
            is_billed: operation.is_billed(),
            job: id,
            hold: Hold::No,
            hold_reply: false,
            facts: RequestFacts::known(operation, model.clone()),
            scan: Some(Box::new(
                RequestScan::new(operation, model, headers.get("content-encoding"))
                    .with_content_type(headers.get("content-type").unwrap_or_default()),
            )),
            announced_bytes: number("content-length"),
            decided: false,
            injected: false,
            unbounded: false,
            model_was_known: false,
            usage_chunk_visible: false,
            said_whose: false,
            reservation: None,
            promise: None,
            refused: None,
            limits: Vec::new(),
            waiting: None,
            queue_ms: None,
            released: None,
            answered: None,
            status: None,
            meter: None,
            hider: None,
            request_id: headers.text("x-request-id").map(bounded),
            trace: headers.text("traceparent").and_then(trace_context),
            setup,
        })
    }

    /// Whether the connection has become a WebSocket.
    pub(super) fn is_upgraded(&self) -> bool {
        self.operation.streams == Streams::WebSocket && self.status == Some(101)
    }

    pub(super) fn tenant(&self) -> &str {
        self.caller.tenant.as_deref().unwrap_or("unknown")
    }
}

/// Sends a request where its row says: headers for Envoy's routes, the stripped path, the row's authority. Identity headers are
/// for us and go no further.
#[inline(never)]
pub(super) fn rewrite(target: &Target, identity: &Identity, host: &mut Host<'_>) {
    for name in identity.stripped_headers() {
        host.effect(Effect::RemoveRequestHeader(name.to_owned().into()));
    }
    let mut set = |name: &'static str, value| host.effect(Effect::SetRequestHeader(name.into(), value));
    if let Some(path) = &target.path {
        set(":path", path.clone().into());
    }
    if let Some(authority) = &target.authority {
        set(":authority", bytes_of(authority));
    }
    if target.is_known {
        set("x-meterr-provider", bytes_of(&target.provider));
        set("x-meterr-tls", if target.tls { b"true".into() } else { b"false".into() });
    }
}

/// The bytes of a text, which are static if it is.
#[expect(clippy::ptr_arg, reason = "what is static is to stay so")]
pub(super) fn bytes_of(text: &Cow<'static, str>) -> Cow<'static, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.clone().into_bytes()),
    }
}

/// Longest request id that is kept; Envoy's own are UUIDs.
const MAX_REQUEST_ID: usize = 128;

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REQUEST_ID).collect()
}

/// Trace and span id of a W3C `traceparent`: `version-trace-span-flags`, all lower-case hexadecimal.
fn trace_context(text: &str) -> Option<(String, String)> {
    let mut parts = text.trim().split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    (hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16) && !zero(trace) && !zero(span))
        .then(|| (trace.to_owned(), span.to_owned()))
}
