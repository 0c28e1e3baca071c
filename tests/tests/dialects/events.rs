//! Writes the framings of streams: server-sent events, lines of JSON, AWS event streams.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::Crc;
use serde_json::{Value, json};

/// Server-sent events without names.
pub(crate) fn sse(records: &[Value]) -> Vec<u8> {
    records.iter().flat_map(|record| format!("data: {record}\n\n").into_bytes()).collect()
}

/// Server-sent events named by their own `type`.
pub(crate) fn named_sse(records: &[Value]) -> Vec<u8> {
    let name = |record: &Value| record["type"].as_str().unwrap_or("message").to_owned();
    records.iter().flat_map(|record| format!("event: {}\ndata: {record}\n\n", name(record)).into_bytes()).collect()
}

/// One JSON document a line.
pub(crate) fn lines(records: &[Value]) -> Vec<u8> {
    records.iter().flat_map(|record| format!("{record}\n").into_bytes()).collect()
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

/// A message of an AWS event stream.
pub(crate) fn message(kind: &str, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (name, kind),
        (":content-type", "application/json"),
        (":message-type", if name == ":event-type" { "event" } else { "exception" }),
    ] {
        headers.push(u8::try_from(name.len()).expect("short"));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).expect("short").to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let number = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
    let mut out = [number(16 + headers.len() + payload.len()), number(headers.len())].concat();
    out.extend_from_slice(&crc(&out));
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    let sum = crc(&out);
    out.extend_from_slice(&sum);
    out
}

/// Events of `ConverseStream`: names and payloads.
pub(crate) fn converse(events: &[(&str, Value)]) -> Vec<u8> {
    events.iter().flat_map(|(kind, payload)| message(kind, ":event-type", payload.to_string().as_bytes())).collect()
}

/// Chunks of `InvokeModelWithResponseStream`.
pub(crate) fn chunks(records: &[Value]) -> Vec<u8> {
    let chunk =
        |record: &Value| json!({ "bytes": BASE64_STANDARD.encode(record.to_string()), "p": "abcdef" }).to_string();
    records.iter().flat_map(|record| message("chunk", ":event-type", chunk(record).as_bytes())).collect()
}
