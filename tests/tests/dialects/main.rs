//! Every dialect by its documented numbers: each exchange whole, cut at every byte, and in pieces of odd sizes gives one and the same
//! event.
//!
//! The numbers are those of recorded or documented replies; the bodies are written for these tests.

mod chat;
mod events;
mod free;
mod vectors;

use meterr_tests::recorded::Recorded;
use serde_json::{Value, json};

/// One exchange and what must come of it.
struct Vector {
    name: &'static str,
    host: &'static str,
    /// Method and path.
    asked: &'static str,
    request: Value,
    /// `content-type` and further headers of the reply.
    headers: Vec<(&'static str, &'static str)>,
    reply: Vec<u8>,
    /// Fields that must be so; null means absent.
    expected: Value,
}

impl Vector {
    fn recorded(&self) -> Recorded {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let (method, path) = self.asked.split_once(' ').expect("method and path");
        let mut request = [(":method", method), (":authority", self.host), (":path", path)].map(pair).to_vec();
        request.push(pair(("content-type", "application/json")));
        let mut response = vec![pair((":status", "200"))];
        response.extend(self.headers.iter().copied().map(pair));
        let request_body = if self.request.is_null() { Vec::new() } else { self.request.to_string().into_bytes() };
        Recorded { request, request_body, response, response_body: self.reply.clone() }
    }

    fn read(&self, sizes: &[usize]) -> Value {
        let mut data = self.recorded().replay_in_pieces(sizes).expect("an event").unwrap_or(Value::Null);
        for name in ["writer", "seq", "duration_ms", "upstream_ms", "ttft_ms"] {
            if let Some(data) = data.as_object_mut() {
                data.remove(name);
            }
        }
        data
    }
}

#[test]
fn ok_documented_numbers_come_out_however_the_bytes_come() {
    let vectors = vectors::all();
    for vector in &vectors {
        let whole = vector.read(&[]);
        for (field, value) in vector.expected.as_object().expect("fields") {
            assert_eq!(&whole[field], value, "{field} of {}: {whole:#}", vector.name);
        }
        for cut in 1..vector.reply.len() {
            assert_eq!(vector.read(&[cut, usize::MAX]), whole, "{} cut at {cut}", vector.name);
        }
        for sizes in [&[1][..], &[2, 3, 5, 7], &[13, 1, 64]] {
            assert_eq!(vector.read(sizes), whole, "{} in pieces of {sizes:?}", vector.name);
        }
    }
    println!("{} documented exchanges", vectors.len());
}

#[test]
fn ok_a_stream_that_stops_anywhere_never_tells_more_than_the_whole() {
    for vector in vectors::all() {
        let whole = vector.read(&[]);
        let Some(tokens) = whole["total_tokens"].as_u64().filter(|_| whole["stream"] == true) else { continue };
        let all = vector.reply.clone();
        for end in 0..all.len() {
            let cut = Vector { reply: all[..end].to_vec(), ..vector.with_name() };
            let data = cut.read(&[]);
            if data["usage_status"] == "reported" {
                assert!(
                    data["total_tokens"].as_u64().is_some_and(|part| part <= tokens),
                    "{} at {end}: {data:#}",
                    cut.name
                );
            }
        }
    }
}

/// Lists, files and what is kept tell usage that was billed, or none at all: they pass without an event.
#[test]
fn ok_what_is_only_looked_at_makes_no_event() {
    for (host, asked) in [
        ("api.openai.com", "GET /v1/models"),
        ("api.openai.com", "GET /v1/chat/completions"),
        ("api.openai.com", "GET /v1/chat/completions/chatcmpl-1"),
        ("api.openai.com", "GET /v1/responses/resp_1/input_items"),
        ("api.openai.com", "DELETE /v1/responses/resp_1"),
        ("api.openai.com", "GET /v1/batches"),
        ("api.openai.com", "GET /v1/files/file-1/content"),
        ("api.anthropic.com", "GET /v1/messages/batches"),
        ("api.anthropic.com", "GET /v1/messages/batches/msgbatch_1"),
        ("generativelanguage.googleapis.com", "POST /v1beta/cachedContents"),
        ("generativelanguage.googleapis.com", "GET /v1beta/cachedContents/c"),
        ("openrouter.ai", "GET /api/v1/generation?id=gen-1"),
        ("api.mistral.ai", "GET /v1/conversations/conv_1"),
        ("ollama.com", "GET /api/tags"),
    ] {
        let reply = br#"{"usage":{"prompt_tokens":8,"completion_tokens":9},"usageMetadata":{"totalTokenCount":7}}"#;
        let vector = vectors::vector("", host, asked, Value::Null, vectors::JSON, reply.to_vec(), json!({}));
        assert_eq!(vector.read(&[]), Value::Null, "{asked}");
    }
}

impl Vector {
    fn with_name(&self) -> Self {
        Self {
            name: self.name,
            host: self.host,
            asked: self.asked,
            request: self.request.clone(),
            headers: self.headers.clone(),
            reply: Vec::new(),
            expected: json!({}),
        }
    }
}
