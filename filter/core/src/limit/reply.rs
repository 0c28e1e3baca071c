//! What a refused client is told: the provider's own error shape, so that its SDK understands.

use super::{Refusal, RefusalKind, Unit};
use crate::{dialect::ErrorShape, effect::LocalReply, time::Timestamp};

mod body;
#[cfg(test)]
mod tests;

pub use body::{error_body, error_headers, json_headers};

use body::Problem;

/// Longest wait that a client is told to sit out by itself, in milliseconds.
const MAX_RETRY_MS: u64 = 60_000;

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

/// A 503 for a request that could not be accounted for: the queue of events is full.
#[must_use]
pub fn no_room(shape: ErrorShape, id: &str) -> LocalReply {
    let message = "This request cannot be metered at the moment, and is refused for that. Try again soon.";
    let mut headers = error_headers(shape, 503);
    headers.push(("retry-after".to_owned(), "1".to_owned()));
    LocalReply {
        status: 503,
        headers,
        body: error_body(shape, 503, "server_error", "event_queue_full", message, id),
        details: "meterr_event_queue_full",
    }
}

/// The reply to a refusal.
#[must_use]
pub fn reply(refusal: &Refusal, shape: ErrorShape, id: &str, now: Timestamp) -> LocalReply {
    let limit = &refusal.limit;
    let (name, unit) = (&limit.id, limit.unit.code());
    let amount = limit.unit.show(i64::try_from(limit.amount).unwrap_or(i64::MAX));
    let reset = Timestamp::from_secs(limit.reset_at).rfc3339();
    let mut headers = error_headers(shape, if refusal.kind == RefusalKind::Store { 503 } else { 429 });
    let wait_ms = Some(refusal.wait_ms).filter(|_| refusal.kind == RefusalKind::RateLimit);
    let mut header = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    match (refusal.kind, wait_ms) {
        (RefusalKind::Store, _) => header("retry-after", "1"),
        (_, Some(ms)) => headers.append(&mut retry_headers(shape, ms)),
        // No wait helps, or none that a client should sit out.
        (_, None) => header("x-should-retry", "false"),
    }
    let (status, kind, code, message, details) = match refusal.kind {
        RefusalKind::RateLimit if limit.unit == Unit::ConcurrentRequests => {
            let message = format!("Limit {name} of {amount} {unit} is reached. One of them has to end first.");
            (429, unit, "rate_limit_exceeded", message, "meterr_rate_limit_exceeded")
        }
        RefusalKind::RateLimit => {
            let at = now.plus_millis(refusal.wait_ms).rfc3339();
            let message = format!("Limit {name} of {amount} {unit} is reached. It resets at {at}.");
            (429, unit, "rate_limit_exceeded", message, "meterr_rate_limit_exceeded")
        }
        RefusalKind::Budget => {
            let message =
                format!("Budget {name} of {amount} {unit} is used up (budget_exceeded). It resets at {reset}.");
            // What openai-python and its kin show as `code`.
            let is_kin =
                matches!(shape, ErrorShape::OpenAi | ErrorShape::Azure | ErrorShape::Xai | ErrorShape::Cerebras);
            let code = if is_kin { "insufficient_quota" } else { "budget_exceeded" };
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
    let problem = Problem { status, kind, code, message: &message, id, wait_ms };
    LocalReply { status, headers, body: problem.body(shape), details }
}

/// The reply while a provider has said to wait until `until`. The wait is rounded up to whole milliseconds.
#[must_use]
pub fn backpressure(provider: &str, until: Timestamp, shape: ErrorShape, id: &str, now: Timestamp) -> LocalReply {
    let wait_ms = until.0.saturating_sub(now.0).div_ceil(1_000_000).max(1);
    let at = until.rfc3339();
    let message = format!(
        "Provider {provider} has said that this credential has reached its rate limit for this model, until {at}. The request was \
         not sent."
    );
    let (status, kind, code) = (429, "requests", "rate_limit_exceeded");
    let mut headers = error_headers(shape, status);
    headers.append(&mut retry_headers(shape, wait_ms));
    let problem = Problem { status, kind, code, message: &message, id, wait_ms: Some(wait_ms) };
    LocalReply { status, headers, body: problem.body(shape), details: "meterr_provider_backpressure" }
}

/// How long to wait, and whether a client may do so by itself.
fn retry_headers(shape: ErrorShape, wait_ms: u64) -> Vec<(String, String)> {
    let mut headers = vec![
        ("retry-after".to_owned(), wait_ms.div_ceil(1_000).to_string()),
        ("retry-after-ms".to_owned(), wait_ms.to_string()),
        ("x-should-retry".to_owned(), (wait_ms <= MAX_RETRY_MS).to_string()),
    ];
    if shape == ErrorShape::Aws {
        // The one that AWS's SDKs read, in milliseconds: botocore 1.44, `retries/standard.py`.
        headers.push(("x-amz-retry-after".to_owned(), wait_ms.to_string()));
    }
    headers
}
