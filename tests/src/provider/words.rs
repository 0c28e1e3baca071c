//! What the provider says: replies and streams of both dialects, as their documentation describes them.

use hyper::Method;
use serde_json::{Value, json};

use super::Behaviour;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        match (method == Method::POST, path) {
            (true, path) if path.ends_with("/v1/chat/completions") => Some(Self::OpenAi),
            (true, path) if path.ends_with("/v1/messages") => Some(Self::Anthropic),
            _ => None,
        }
    }
}

/// The reply in the pieces in which a real server sends it.
pub(super) fn reply(dialect: Dialect, asked: &Value, behaviour: &Behaviour) -> Vec<String> {
    let stream = asked["stream"] == true;
    match (dialect, stream) {
        (Dialect::OpenAi, false) => vec![chat(asked, behaviour).to_string()],
        (Dialect::OpenAi, true) => chat_stream(asked, behaviour),
        (Dialect::Anthropic, false) => vec![message(asked, behaviour).to_string()],
        (Dialect::Anthropic, true) => message_stream(asked, behaviour),
    }
}

const WORDS: [&str; 8] = ["Hello", " there", ", the", " answer", " is", " forty", "-two", "."];

pub(super) fn word(nth: usize) -> &'static str {
    WORDS[nth % WORDS.len()]
}

fn text(behaviour: &Behaviour) -> String {
    (0..behaviour.chunks).map(word).collect()
}

fn chat_usage(behaviour: &Behaviour) -> Value {
    json!({
        "prompt_tokens": behaviour.input, "completion_tokens": behaviour.output,
        "total_tokens": behaviour.input + behaviour.output,
        "prompt_tokens_details": { "cached_tokens": behaviour.cached, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": behaviour.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
    })
}

fn chat(asked: &Value, behaviour: &Behaviour) -> Value {
    json!({
        "id": "chatcmpl-stand-in", "object": "chat.completion", "created": 1_790_000_000, "model": asked["model"],
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text(behaviour), "refusal": null },
            "logprobs": null, "finish_reason": "stop" }],
        "usage": chat_usage(behaviour), "service_tier": "default", "system_fingerprint": "fp_stand_in",
    })
}

fn chat_stream(asked: &Value, behaviour: &Behaviour) -> Vec<String> {
    let wants_usage = asked["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": asked["model"],
            "service_tier": "default", "choices": choices,
        });
        if wants_usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
    let mut events = vec![chunk(choice(json!({ "role": "assistant", "content": "" }), Value::Null), None)];
    events.extend((0..behaviour.chunks).map(|nth| chunk(choice(json!({ "content": word(nth) }), Value::Null), None)));
    if behaviour.error_mid_stream {
        let error = json!({ "error": { "message": "The server had an error.", "type": "server_error", "param": null, "code": null } });
        events.push(format!("data: {error}\n\n"));
        return events;
    }
    events.push(chunk(choice(json!({}), json!("stop")), None));
    if wants_usage {
        events.push(chunk(json!([]), Some(chat_usage(behaviour))));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn message_usage(behaviour: &Behaviour, output: u64) -> Value {
    json!({
        "input_tokens": behaviour.input, "output_tokens": output, "cache_read_input_tokens": behaviour.cached,
        "cache_creation_input_tokens": behaviour.cache_write,
        "cache_creation": { "ephemeral_5m_input_tokens": behaviour.cache_5m, "ephemeral_1h_input_tokens": behaviour.cache_1h },
        "service_tier": "standard",
    })
}

fn message(asked: &Value, behaviour: &Behaviour) -> Value {
    json!({
        "id": "msg_stand_in", "type": "message", "role": "assistant", "model": asked["model"],
        "content": [{ "type": "text", "text": text(behaviour) }], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": message_usage(behaviour, behaviour.output),
    })
}

fn message_stream(asked: &Value, behaviour: &Behaviour) -> Vec<String> {
    let event = |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default());
    let mut start = message(asked, behaviour);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    // A placeholder, as the real one sends it.
    start["usage"] = message_usage(behaviour, 1);
    let mut events = vec![
        event(json!({ "type": "message_start", "message": start })),
        event(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } })),
        event(json!({ "type": "ping" })),
    ];
    events.extend((0..behaviour.chunks).map(|nth| {
        event(
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word(nth) } }),
        )
    }));
    if behaviour.error_mid_stream {
        events
            .push(event(json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } })));
        return events;
    }
    events.push(event(json!({ "type": "content_block_stop", "index": 0 })));
    events.push(event(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": behaviour.output } })));
    events.push(event(json!({ "type": "message_stop" })));
    events
}
