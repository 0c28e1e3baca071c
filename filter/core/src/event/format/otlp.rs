//! Events as log records of OTLP/HTTP JSON: lowerCamelCase names, 64-bit integers as texts, trace and span ids in hex.

use super::{
    member::{Members, elements, text},
    text as whole,
};
use crate::{
    json::write::{Object, array},
    time::Timestamp,
};

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

fn named<'a>(table: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    table.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
}

/// An object of these members, whose values are JSON already.
fn object<const N: usize>(members: [(&'static str, Vec<u8>); N]) -> Vec<u8> {
    let bytes = members.iter().map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(4)).sum();
    let mut object = Object::with_capacity(bytes);
    members.iter().for_each(|(name, value)| object.json(name, value));
    object.finish()
}

/// One `ExportLogsServiceRequest`.
pub(super) fn body(events: &[Vec<u8>]) -> Vec<u8> {
    let mut about = vec![attribute("service.name", br#""meterr""#)];
    // All events of a process have one source.
    let events: Vec<Members<'_>> = events.iter().map(|event| Members::checked(whole(event))).collect();
    if let Some(source) = events.first().and_then(|event| event.get("source")) {
        about.push(attribute("service.instance.id", source.as_bytes()));
    }
    let records: Vec<Vec<u8>> = events.iter().map(record).collect();
    let mut scope = Object::with_capacity(64);
    scope.text("name", "meterr");
    scope.text("version", env!("CARGO_PKG_VERSION"));
    let scope_logs = object([("scope", scope.finish()), ("logRecords", array(&records))]);
    let resource = object([("attributes", array(&about))]);
    let resource_logs = object([("resource", resource), ("scopeLogs", array(&[scope_logs]))]);
    object([("resourceLogs", array(&[resource_logs]))])
}

fn record(event: &Members<'_>) -> Vec<u8> {
    let data = event.get("data").map(Members::of).unwrap_or_default();
    let of_event = |name: &str| event.get(name).and_then(text).unwrap_or_default();
    let time = Timestamp::from_rfc3339(&of_event("time")).map_or(0, |time| time.0).to_string();
    let kind = of_event("type");
    let mut record = Object::with_capacity(4_096);
    record.text("timeUnixNano", &time);
    record.text("observedTimeUnixNano", &time);
    record.number("severityNumber", 9_u64);
    record.text("severityText", "INFO");
    // The version of an event's meaning is its `schema`.
    record.text("eventName", kind.strip_suffix(".v1").unwrap_or(&kind));
    for (name, key) in [("trace_id", "traceId"), ("span_id", "spanId")] {
        if let Some(value) = data.get(name) {
            record.json(key, value.as_bytes());
        }
    }
    let envelope = ["id", "source", "subject"].into_iter().map(|name| {
        let value = event.get(name).unwrap_or(r#""""#);
        attribute(&format!("meterr.{name}"), value.as_bytes())
    });
    let members = data.iter().flat_map(|(name, value)| attributes(name, value));
    record.json("attributes", &array(&envelope.chain(members).collect::<Vec<_>>()));
    record.finish()
}

/// What a member of `data` becomes.
fn attributes(name: &str, value: &str) -> Vec<Vec<u8>> {
    let plain = || {
        attribute(&named(ATTRIBUTES, name).map_or_else(|| format!("meterr.{name}"), str::to_owned), value.as_bytes())
    };
    match name {
        "trace_id" | "span_id" => Vec::new(),
        "provider" => {
            let known = named(PROVIDERS, value.trim_matches('"')).map(|name| format!("\"{name}\""));
            vec![attribute("gen_ai.provider.name", known.as_deref().unwrap_or(value).as_bytes()), plain()]
        }
        "finish_reason" => vec![attribute("gen_ai.response.finish_reasons", &array(&[value.as_bytes().to_vec()]))],
        "labels" => {
            let labels = Members::of(value);
            labels.iter().map(|(label, value)| attribute(&format!("meterr.labels.{label}"), value.as_bytes())).collect()
        }
        _ => vec![plain()],
    }
}

/// A `KeyValue`.
fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    key_value(key, whole(value), 0)
}

fn key_value(key: &str, value: &str, depth: u8) -> Vec<u8> {
    let mut pair = Object::with_capacity(key.len().saturating_add(value.len()).saturating_add(48));
    pair.text("key", key);
    pair.json("value", &any_value(value, depth));
    pair.finish()
}

/// An `AnyValue` of a JSON value. An integer stays exact as a text, and one that 64 bits do not hold becomes a text altogether.
fn any_value(value: &str, depth: u8) -> Vec<u8> {
    let depth = depth.saturating_add(1);
    let values = |values: Vec<Vec<u8>>| object([("values", array(&values))]);
    let mut any = Object::with_capacity(value.len().saturating_add(24));
    match value.as_bytes().first() {
        Some(b'"') => any.json("stringValue", value.as_bytes()),
        Some(b't' | b'f') => any.json("boolValue", value.as_bytes()),
        Some(b'[') if depth <= MAX_DEPTH => {
            let values = values(elements(value).into_iter().map(|value| any_value(value, depth)).collect());
            any.json("arrayValue", &values);
        }
        Some(b'{') if depth <= MAX_DEPTH => {
            let members = Members::of(value);
            let pairs = members.iter().map(|(name, value)| key_value(name, value, depth)).collect();
            any.json("kvlistValue", &values(pairs));
        }
        Some(b'-' | b'0'..=b'9') if value.parse::<i64>().is_ok() => any.text("intValue", value),
        Some(b'-' | b'0'..=b'9') if value.contains(['.', 'e', 'E']) => any.json("doubleValue", value.as_bytes()),
        Some(b'-' | b'0'..=b'9') => any.text("stringValue", value),
        _ => {}
    }
    any.finish()
}
