//! Events as log records of OTLP/HTTP JSON: lowerCamelCase names, 64-bit integers as texts, trace and span ids in hex.

use super::{
    member::{Elements, Members, member, unquoted},
    separated,
};
use crate::time::Timestamp;

/// Deepest value that keeps its shape. Those of our events have two levels.
const MAX_DEPTH: u8 = 4;

/// Members of `data` that have an attribute in the semantic conventions for generative AI (`OpenTelemetry` semantic-conventions-genai);
/// all others are `meterr.<name>`.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("operation", "gen_ai.operation.name"),
    ("request_model", "gen_ai.request.model"),
    ("response_model", "gen_ai.response.model"),
    ("response_id", "gen_ai.response.id"),
    ("stream", "gen_ai.request.stream"),
    ("input_tokens", "gen_ai.usage.input_tokens"),
    ("output_tokens", "gen_ai.usage.output_tokens"),
    ("cache_read_tokens", "gen_ai.usage.cache_read.input_tokens"),
    ("cache_write_tokens", "gen_ai.usage.cache_write.input_tokens"),
    ("reasoning_tokens", "gen_ai.usage.reasoning.output_tokens"),
    ("input_audio_tokens", "gen_ai.usage.audio.input_tokens"),
    ("input_image_tokens", "gen_ai.usage.image.input_tokens"),
    ("output_text_tokens", "gen_ai.usage.text.output_tokens"),
    ("output_audio_tokens", "gen_ai.usage.audio.output_tokens"),
    ("output_image_tokens", "gen_ai.usage.image.output_tokens"),
];

/// Providers whose `gen_ai.provider.name` is not our id.
const PROVIDERS: &[(&str, &str)] = &[
    ("azure-openai", "azure.ai.openai"),
    ("azure-foundry", "azure.ai.inference"),
    ("bedrock", "aws.bedrock"),
    ("bedrock-mantle", "aws.bedrock"),
    ("google-ai-studio", "gcp.gemini"),
    ("vertex-ai", "gcp.vertex_ai"),
    ("mistral", "mistral_ai"),
    ("moonshot", "moonshot_ai"),
    ("watsonx", "ibm.watsonx.ai"),
    ("xai", "x_ai"),
];

fn named<'a>(table: &[(&str, &'a str)], name: &[u8]) -> Option<&'a str> {
    table.iter().find(|(other, _)| other.as_bytes() == name).map(|(_, value)| *value)
}

/// One `ExportLogsServiceRequest`.
pub(super) fn body(out: &mut Vec<u8>, events: &[Vec<u8>]) {
    out.extend_from_slice(br#"{"resourceLogs":[{"resource":{"attributes":["#);
    attribute(out, &[b"service.name"], br#""meterr""#);
    // All events of a process have one source.
    if let Some(source) = events.first().and_then(|event| member(event, "source")) {
        out.push(b',');
        attribute(out, &[b"service.instance.id"], source);
    }
    out.extend_from_slice(br#"]},"scopeLogs":[{"scope":{"name":"meterr","version":""#);
    out.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
    out.extend_from_slice(br#""},"logRecords":["#);
    separated(out, events, |out, event| record(out, event));
    out.extend_from_slice(b"]}]}]}");
}

fn record(out: &mut Vec<u8>, event: &[u8]) {
    let data = member(event, "data").unwrap_or_default();
    let text = |object, name| core::str::from_utf8(unquoted(member(object, name)?)?).ok();
    let time = text(event, "time").and_then(Timestamp::from_rfc3339).map_or(0, |time| time.0);
    let time = time.to_string();
    let kind = text(event, "type").unwrap_or_default();
    for part in [
        r#"{"timeUnixNano":""#,
        &time,
        r#"","observedTimeUnixNano":""#,
        &time,
        r#"","severityNumber":9,"severityText":"INFO","eventName":""#,
        // The version of an event's meaning is its `schema`.
        kind.strip_suffix(".v1").unwrap_or(kind),
        "\"",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, key) in [("trace_id", "traceId"), ("span_id", "spanId")] {
        if let Some(value) = member(data, name) {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(br#","attributes":["#);
    let envelope = ["id", "source", "subject"].map(|name| (name.as_bytes(), member(event, name).unwrap_or(b"\"\"")));
    separated(out, envelope, |out, (name, value)| attribute(out, &[b"meterr.", name], value));
    for (name, value) in Members::of(data) {
        attributes(out, name, value);
    }
    out.extend_from_slice(b"]}");
}

/// What a member of `data` becomes; a comma is due before each.
fn attributes(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match name {
        b"trace_id" | b"span_id" => return,
        b"provider" => {
            let known = unquoted(value).and_then(|id| named(PROVIDERS, id)).map(|name| format!("\"{name}\""));
            out.push(b',');
            attribute(out, &[b"gen_ai.provider.name"], known.as_ref().map_or(value, |name| name.as_bytes()));
        }
        b"finish_reason" => {
            out.push(b',');
            attribute(out, &[b"gen_ai.response.finish_reasons"], &[b"[", value, b"]"].concat());
            return;
        }
        b"labels" => {
            for (label, value) in Members::of(value) {
                out.push(b',');
                attribute(out, &[b"meterr.labels.", label], value);
            }
            return;
        }
        _ => {}
    }
    out.push(b',');
    match named(ATTRIBUTES, name) {
        Some(known) => attribute(out, &[known.as_bytes()], value),
        None => attribute(out, &[b"meterr.", name], value),
    }
}

/// A `KeyValue`.
fn attribute(out: &mut Vec<u8>, key: &[&[u8]], value: &[u8]) {
    out.extend_from_slice(b"{\"key\":\"");
    key.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(b"\",\"value\":");
    any_value(out, value, 0);
    out.push(b'}');
}

/// An `AnyValue` of a JSON value.
fn any_value(out: &mut Vec<u8>, value: &[u8], depth: u8) {
    let open = |out: &mut Vec<u8>, kind: &str| {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\":");
    };
    let depth = depth.saturating_add(1);
    match value.first() {
        Some(b'"') => {
            open(out, "stringValue");
            out.extend_from_slice(value);
        }
        Some(b't' | b'f') => {
            open(out, "boolValue");
            out.extend_from_slice(value);
        }
        Some(b'[') if depth <= MAX_DEPTH => {
            open(out, "arrayValue");
            out.extend_from_slice(b"{\"values\":[");
            separated(out, Elements::of(value), |out, value| any_value(out, value, depth));
            out.extend_from_slice(b"]}");
        }
        Some(b'{') if depth <= MAX_DEPTH => {
            open(out, "kvlistValue");
            out.extend_from_slice(b"{\"values\":[");
            separated(out, Members::of(value), |out, (name, value)| {
                out.extend_from_slice(b"{\"key\":\"");
                out.extend_from_slice(name);
                out.extend_from_slice(b"\",\"value\":");
                any_value(out, value, depth);
                out.push(b'}');
            });
            out.extend_from_slice(b"]}");
        }
        Some(b'-' | b'0'..=b'9') => number(out, value),
        _ => out.push(b'{'),
    }
    out.push(b'}');
}

/// An integer stays exact as a text, and one that 64 bits do not hold becomes a text altogether.
fn number(out: &mut Vec<u8>, value: &[u8]) {
    let text = core::str::from_utf8(value).unwrap_or_default();
    let (kind, quote) = if text.parse::<i64>().is_ok() {
        ("{\"intValue\":", "\"")
    } else if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        ("{\"doubleValue\":", "")
    } else {
        ("{\"stringValue\":", "\"")
    };
    for part in [kind, quote, text, quote] {
        out.extend_from_slice(part.as_bytes());
    }
}
