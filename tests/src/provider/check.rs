//! What a real provider would not expect.

use std::{borrow::Cow, io::Read as _};

use flate2::read::GzDecoder;
use hyper::HeaderMap;
use serde_json::Value;

use super::words::Dialect;

/// What is wrong with the headers.
pub(super) fn headers(headers: &HeaderMap, dialect: Dialect) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in headers.keys().map(hyper::header::HeaderName::as_str) {
        if name.starts_with("x-meterr-") || ["x-tenant", "x-user", "x-team"].contains(&name) {
            complaints.push(format!("the header {name} was not removed"));
        }
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").is_some_and(|value| value.starts_with("Bearer "));
    let has_credential = match dialect {
        Dialect::OpenAi => bearer,
        // anthropic-python 2.12 sends the key as a bearer token.
        Dialect::Anthropic => (bearer || text("x-api-key").is_some()) && text("anthropic-version").is_some(),
    };
    // A header that is not UTF-8 is the client's own, and passes as it is.
    let odd = headers.get("authorization").is_some_and(|value| value.to_str().is_err());
    if !has_credential && !odd {
        complaints.push("no credential".to_owned());
    }
    for encoding in text("accept-encoding").unwrap_or_default().split(',').map(str::trim) {
        if !["", "gzip", "identity"].contains(&encoding) {
            complaints.push(format!("accept-encoding asks for {encoding}, which the filter cannot read"));
        }
    }
    if headers.contains_key("content-length") && headers.contains_key("transfer-encoding") {
        complaints.push("both content-length and transfer-encoding".to_owned());
    }
    complaints
}

/// The body without its content encoding.
pub(super) fn decoded<'b>(headers: &HeaderMap, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, String> {
    match headers.get("content-encoding").map(hyper::header::HeaderValue::as_bytes) {
        None => Ok(Cow::Borrowed(bytes)),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let read = GzDecoder::new(bytes).read_to_end(&mut plain);
            read.map(|_| Cow::Owned(plain)).map_err(|error| format!("the body is no gzip: {error}"))
        }
        Some(other) => Err(format!("content-encoding {}", String::from_utf8_lossy(other))),
    }
}

/// The body, if a real provider would take it.
pub(super) fn body(bytes: &[u8], dialect: Dialect) -> Result<Value, String> {
    let asked: Value = serde_json::from_slice(bytes).map_err(|error| format!("the body is no JSON: {error}"))?;
    if !asked["model"].is_string() {
        return Err("model is no text".to_owned());
    }
    if asked["messages"].as_array().is_none_or(Vec::is_empty) {
        return Err("messages is no list, or empty".to_owned());
    }
    if !matches!(asked["stream"], Value::Null | Value::Bool(_)) {
        return Err("stream is no boolean".to_owned());
    }
    if !asked["stream_options"].is_null() && asked["stream"] != true {
        return Err("stream_options without stream".to_owned());
    }
    if dialect == Dialect::Anthropic && !asked["max_tokens"].is_u64() {
        return Err("max_tokens is required".to_owned());
    }
    if dialect == Dialect::Anthropic && !asked["stream_options"].is_null() {
        return Err("stream_options is unknown".to_owned());
    }
    Ok(asked)
}
