//! Error bodies in every shape (providers' documentation, SDKs and recorded refusals).

use crate::{dialect::ErrorShape, json::write::Object};

/// `content-type` of our replies.
#[must_use]
pub fn json_headers() -> Vec<(String, String)> {
    vec![("content-type".to_owned(), "application/json".to_owned())]
}

/// Headers of an error in that shape: Bedrock's SDKs read its kind there, and whether to try again from that. `waits` says whether
/// waiting helps.
#[must_use]
pub fn error_headers(shape: ErrorShape, status: u32, waits: bool) -> Vec<(String, String)> {
    let mut headers = json_headers();
    if shape == ErrorShape::Aws {
        let kind = match status {
            401 => "UnrecognizedClientException",
            404 => "ResourceNotFoundException",
            429 if waits => "ThrottlingException",
            // The service's word for it. botocore does not try it again where the operation's model has it, as InvokeModel's does and
            // Converse's does not: there any 429 that it does not know is tried again (1.44, `retries/standard.py`).
            429 => "ServiceQuotaExceededException",
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
    Problem { status, kind, code, message, id, wait_ms: None }.body(shape)
}

/// What an error says, whatever its shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem<'a> {
    /// HTTP status.
    pub(super) status: u32,
    /// Its broad class.
    pub(super) kind: &'a str,
    /// Its exact code.
    pub(super) code: &'a str,
    /// For people.
    pub(super) message: &'a str,
    /// Id of the request.
    pub(super) id: &'a str,
    /// Milliseconds after which it is no more.
    pub(super) wait_ms: Option<u64>,
}

impl Problem<'_> {
    pub(super) fn body(&self, shape: ErrorShape) -> Vec<u8> {
        let Self { status, kind, code, message, id, .. } = *self;
        let is_rate = status == 429 && code == "rate_limit_exceeded";
        let mut error = Object::with_capacity(256);
        match shape {
            ErrorShape::OpenAi => {
                error.text("message", message);
                error.text("type", kind);
                error.json("param", b"null");
                error.text("code", code);
                wrapped(error)
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
                if let Some(ms) = self.wait_ms {
                    let mut retry = Object::with_capacity(96);
                    retry.text("@type", "type.googleapis.com/google.rpc.RetryInfo");
                    retry.text("retryDelay", &format!("{}.{:03}s", ms / 1_000, ms % 1_000));
                    error.json("details", &[b"[", retry.finish().as_slice(), b"]"].concat());
                }
                wrapped(error)
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
            ErrorShape::Azure => {
                error.text("code", if is_rate { "RateLimitReached" } else { code });
                error.text("message", message);
                wrapped(error)
            }
            // Its gateway refuses credentials in a shape of its own (recorded).
            ErrorShape::Mistral if status == 401 => {
                error.text("detail", message);
                error.finish()
            }
            ErrorShape::Mistral => {
                error.text("object", "error");
                error.text("message", message);
                error.text("type", if is_rate { "rate_limited" } else { kind });
                error.json("param", b"null");
                error.text("code", if is_rate { "1300" } else { code });
                error.finish()
            }
            ErrorShape::Xai => {
                error.text("code", code);
                error.text("error", message);
                error.finish()
            }
            ErrorShape::Perplexity => {
                error.text("message", message);
                error.text("type", code);
                error.number("code", u64::from(status));
                wrapped(error)
            }
            ErrorShape::OpenRouter => {
                error.number("code", u64::from(status));
                error.text("message", message);
                let mut metadata = Object::with_capacity(64);
                metadata.text("error_code", code);
                error.json("metadata", &metadata.finish());
                wrapped(error)
            }
            ErrorShape::Cerebras => {
                error.text("message", message);
                error.text("type", kind);
                error.json("param", b"null");
                error.text("code", code);
                error.finish()
            }
            ErrorShape::Detail => {
                error.text("detail", message);
                error.finish()
            }
            ErrorShape::Nvidia => {
                error.number("status", u64::from(status));
                error.text("title", title(status));
                error.text("detail", message);
                error.finish()
            }
            ErrorShape::Cloudflare => {
                error.number("code", u64::from(status));
                error.text("message", message);
                let mut body = Object::with_capacity(320);
                body.flag("success", false);
                body.json("errors", &[b"[", error.finish().as_slice(), b"]"].concat());
                body.json("messages", b"[]");
                body.json("result", b"null");
                body.finish()
            }
            ErrorShape::Tgi => {
                error.text("error", message);
                error.text("error_type", if matches!(status, 429 | 503) { "overloaded" } else { "validation" });
                error.finish()
            }
            ErrorShape::DashScope => {
                error.text("code", if status == 429 { "Throttling.RateQuota" } else { code });
                error.text("message", message);
                error.text("request_id", id);
                error.finish()
            }
            ErrorShape::Watsonx => {
                error.text("code", if status == 429 { "rate_limit_reached_requests" } else { code });
                error.text("message", message);
                let mut body = Object::with_capacity(320);
                body.json("errors", &[b"[", error.finish().as_slice(), b"]"].concat());
                body.text("trace", id);
                body.number("status_code", u64::from(status));
                body.finish()
            }
        }
    }
}

/// An object with the member `error`.
fn wrapped(error: Object) -> Vec<u8> {
    let mut body = Object::with_capacity(320);
    body.json("error", &error.finish());
    body.finish()
}

/// The reason phrase of HTTP.
const fn title(status: u32) -> &'static str {
    match status {
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
