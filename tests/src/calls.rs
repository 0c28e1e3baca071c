//! Requests that tests send, and what they compare.

use serde_json::{Value, json};

/// A chat request in OpenAI's words.
#[must_use]
pub fn chat(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "Say hello." }] })
}

/// A request in Anthropic's words.
#[must_use]
pub fn messages(stream: bool) -> Value {
    json!({ "model": "claude-sonnet-4-5", "max_tokens": 200, "stream": stream,
            "messages": [{ "role": "user", "content": "Say hello." }] })
}

/// The header that tells the provider how to answer: the stand-in's own.
#[must_use]
pub fn told(behaviour: &Value) -> (&'static str, String) {
    ("x-test", behaviour.to_string())
}

/// Checks some members of an object.
///
/// # Panics
/// If one of them is something else.
pub fn assert_fields(data: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[name], value, "{name} in {data:#}");
    }
}
