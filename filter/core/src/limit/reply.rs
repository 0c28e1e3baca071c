//! What a refused client is told: the provider's own error shape, so that its SDK understands.

use super::{Refusal, RefusalKind, Unit};
use crate::{dialect::ErrorShape, effect::LocalReply, json::write::Object, time::Timestamp};

/// Longest wait that a client is told to sit out by itself, in milliseconds.
const MAX_RETRY_MS: u64 = 60_000;

/// `content-type` of our replies.
#[must_use]
pub fn json_headers() -> Vec<(String, String)> {
    vec![("content-type".to_owned(), "application/json".to_owned())]
}

/// Headers of an error in that shape: Bedrock's SDKs read its kind there.
#[must_use]
pub fn error_headers(shape: ErrorShape, status: u32) -> Vec<(String, String)> {
    let mut headers = json_headers();
    if shape == ErrorShape::Aws {
        let kind = match status {
            401 => "UnrecognizedClientException",
            404 => "ResourceNotFoundException",
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            _ => "ValidationException",
        };
        headers.push(("x-amzn-errortype".to_owned(), kind.to_owned()));
    }
    headers
}

/// The word that `google.rpc.Code` has for it.
const fn google_status(status: u32) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

/// An error body. `kind` is the broad class, `code` the exact one.
#[must_use]
pub fn error_body(shape: ErrorShape, status: u32, kind: &str, code: &str, message: &str, id: &str) -> Vec<u8> {
    let mut error = Object::with_capacity(256);
    match shape {
        ErrorShape::OpenAi => {
            error.text("message", message);
            error.text("type", kind);
            error.json("param", b"null");
            error.text("code", code);
            let mut body = Object::with_capacity(320);
            body.json("error", &error.finish());
            body.finish()
        }
        ErrorShape::Anthropic => {
            // Anthropic's types follow the status (docs, "Errors"); the exact code is a further member.
            let kind = match status {
                401 => "authentication_error",
                404 => "not_found_error",
                429 => "rate_limit_error",
                503 => "overloaded_error",
                _ => "api_error",
            };
            error.text("type", kind);
            error.text("message", message);
            // Where the SDK looks for it: anthropic-python 2.12, `error_code`.
            let mut details = Object::with_capacity(64);
            details.text("error_code", code);
            error.json("details", &details.finish());
            let mut body = Object::with_capacity(320);
            body.text("type", "error");
            body.json("error", &error.finish());
            body.text("request_id", id);
            body.finish()
        }
        ErrorShape::Google => {
            error.number("code", u64::from(status));
            error.text("message", message);
            error.text("status", google_status(status));
            let mut body = Object::with_capacity(320);
            body.json("error", &error.finish());
            body.finish()
        }
        ErrorShape::Aws => {
            error.text("message", message);
            error.finish()
        }
        ErrorShape::Cohere => {
            error.text("id", id);
            error.text("message", message);
            error.finish()
        }
        ErrorShape::Text => {
            error.text("error", message);
            error.finish()
        }
        ErrorShape::DashScope => {
            error.text("code", if status == 429 { "Throttling.RateQuota" } else { code });
            error.text("message", message);
            error.text("request_id", id);
            error.finish()
        }
        ErrorShape::Watsonx => {
            error.text("code", if status == 429 { "rate_limit_reached" } else { code });
            error.text("message", message);
            let mut body = Object::with_capacity(320);
            body.json("errors", &[b"[", error.finish().as_slice(), b"]"].concat());
            body.text("trace", id);
            body.number("status_code", u64::from(status));
            body.finish()
        }
    }
}

/// A 401 for a request that nobody pays for.
#[must_use]
pub fn unauthorized(shape: ErrorShape, message: &str, id: &str) -> LocalReply {
    LocalReply {
        status: 401,
        headers: error_headers(shape, 401),
        body: error_body(shape, 401, "invalid_request_error", "identity_missing", message, id),
        details: "meterr_identity_missing",
    }
}

/// The reply to a refusal.
#[must_use]
pub fn reply(refusal: &Refusal, shape: ErrorShape, id: &str, now: Timestamp) -> LocalReply {
    let limit = &refusal.limit;
    let (name, unit) = (&limit.id, limit.unit.code());
    let amount = limit.unit.show(i64::try_from(limit.amount).unwrap_or(i64::MAX));
    let reset = Timestamp::from_secs(limit.reset_at).rfc3339();
    let wait_ms = refusal.wait_ms;
    let mut headers = error_headers(shape, if refusal.kind == RefusalKind::Store { 503 } else { 429 });
    let mut header = |name: &str, value: String| headers.push((name.to_owned(), value));
    if refusal.kind == RefusalKind::RateLimit {
        header("retry-after", wait_ms.div_ceil(1_000).to_string());
        header("retry-after-ms", wait_ms.to_string());
        header("x-should-retry", (wait_ms <= MAX_RETRY_MS).to_string());
    } else if refusal.kind == RefusalKind::Store {
        header("retry-after", "1".to_owned());
    } else {
        // No wait helps, or none that a client should sit out.
        header("x-should-retry", "false".to_owned());
    }
    let (status, kind, code, message, details) = match refusal.kind {
        RefusalKind::RateLimit if limit.unit == Unit::ConcurrentRequests => {
            let message = format!("Limit {name} of {amount} {unit} is reached. One of them has to end first.");
            (429, unit, "rate_limit_exceeded", message, "meterr_rate_limit_exceeded")
        }
        RefusalKind::RateLimit => {
            let at = now.plus_millis(wait_ms).rfc3339();
            let message = format!("Limit {name} of {amount} {unit} is reached. It resets at {at}.");
            (429, unit, "rate_limit_exceeded", message, "meterr_rate_limit_exceeded")
        }
        RefusalKind::Budget => {
            let message =
                format!("Budget {name} of {amount} {unit} is used up (budget_exceeded). It resets at {reset}.");
            let code = if shape == ErrorShape::OpenAi { "insufficient_quota" } else { "budget_exceeded" };
            (429, "insufficient_quota", code, message, "meterr_budget_exceeded")
        }
        RefusalKind::RequestExceedsLimit => {
            let message = format!(
                "This request alone can take more than all of limit {name}, which is {amount} {unit} and resets at {reset}. \
                 Lower its output cap or shorten it."
            );
            (429, unit, "request_exceeds_limit", message, "meterr_request_exceeds_limit")
        }
        RefusalKind::Unbounded => {
            let message = format!(
                "Limit {name} of {amount} {unit}, which resets at {reset}, takes only requests whose consumption is bounded: state \
                 an output cap, and send text."
            );
            (429, unit, "unbounded_request", message, "meterr_unbounded_request")
        }
        RefusalKind::Unpriced => {
            let message = format!(
                "Limit {name} of {amount} {unit}, which resets at {reset}, takes only models whose price is known, and this one's is not."
            );
            (429, unit, "unpriced_model", message, "meterr_unpriced_model")
        }
        RefusalKind::Store => {
            let message =
                format!("Limit {name} of {amount} {unit}, which resets at {reset}, cannot be checked at the moment.");
            (503, "server_error", "store_error", message, "meterr_store_error")
        }
    };
    LocalReply { status, headers, body: error_body(shape, status, kind, code, &message, id), details }
}
