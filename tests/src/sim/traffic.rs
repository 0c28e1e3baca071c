//! Requests and replies of the simulation, made from a seed: what they say is known, so that what is counted can be judged.

use meterr_core::random::Random;
use serde_json::{Value, json};

use super::reference::Subject;

/// Headers by name.
pub type Pairs = Vec<(String, String)>;

const TENANTS: [&str; 4] = ["acme", "beta", "gamma", "big"];
const KEYS: [&str; 3] = ["sk-1", "sk-2", "sk-3"];
/// Provider id, host, path prefix, and whether it speaks Anthropic's dialect.
const PROVIDERS: [(&str, &str, &str, bool); 4] = [
    ("openai", "api.openai.com", "/v1/chat/completions", false),
    ("groq", "api.groq.com", "/openai/v1/chat/completions", false),
    ("openrouter", "openrouter.ai", "/api/v1/chat/completions", false),
    ("anthropic", "api.anthropic.com", "/v1/messages", true),
];
const MODELS: [&str; 3] = ["gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5"];

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose it is.
    pub subject: Subject,
    /// Its headers.
    pub headers: Pairs,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether it announces its length.
    pub is_sized: bool,
    /// Its cap on output tokens.
    pub cap: Option<u64>,
    anthropic: bool,
    stream: bool,
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.next() % of.len() as u64).unwrap_or(0)]
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Request {
    /// A request. `whole` says that it is decided with its body in sight, if it announces its length.
    pub fn new(random: &mut Random, whole: bool) -> Self {
        let is_sized = random.up_to(19) > 0;
        Self::made(random, whole, is_sized)
    }

    /// A request that announces its length.
    pub fn probe(random: &mut Random, whole: bool) -> Self {
        Self::made(random, whole, true)
    }

    fn made(random: &mut Random, whole: bool, is_sized: bool) -> Self {
        let (provider, host, path, anthropic) = pick(random, &PROVIDERS);
        let (tenant, key, model) = (pick(random, &TENANTS), pick(random, &KEYS), pick(random, &MODELS));
        let stream = random.up_to(1) == 0;
        // Anthropic's dialect requires a cap.
        let cap = (anthropic || random.up_to(9) > 0).then(|| 1 + random.up_to(80));
        let words = 1 + usize::try_from(random.up_to(30)).unwrap_or(0);
        let mut body = json!({ "model": model, "stream": stream,
            "messages": [{ "role": "user", "content": "tell ".repeat(words) }] });
        if let Some(cap) = cap {
            body["max_tokens"] = json!(cap);
        }
        let body = body.to_string().into_bytes();
        let mut headers = vec![
            pair(":method", "POST"),
            pair(":authority", host),
            pair(":path", path),
            pair("content-type", "application/json"),
            pair("x-tenant", tenant),
            pair("authorization", &format!("Bearer {key}")),
        ];
        if is_sized {
            headers.push(pair("content-length", &body.len().to_string()));
        }
        let model = if whole && is_sized { model } else { "unknown" };
        Self { subject: Subject { tenant, key, provider, model }, headers, body, is_sized, cap, anthropic, stream }
    }
}

/// What the provider says, and where in its bytes it says what.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: u32,
    /// All headers.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
    /// Bytes up to which an error record has passed.
    pub error_at: Option<usize>,
    /// Bytes up to which the model has said why it stopped.
    pub stop_at: Option<usize>,
    /// Bytes up to which the last record has passed.
    pub last_at: Option<usize>,
    /// Input and output tokens as the provider counts them, if it says.
    pub truth: Option<(u64, u64)>,
}

/// Offset past the last occurrence.
fn past(text: &str, what: &str) -> Option<usize> {
    text.rfind(what).map(|at| at + what.len())
}

impl Reply {
    /// A reply to that request.
    pub fn new(random: &mut Random, request: &Request) -> Self {
        let kind = random.up_to(99);
        let output = random.up_to(request.cap.unwrap_or(90));
        // A token has four bytes here, so that no request has more than its body has bytes.
        let input = 1 + random.up_to(request.body.len() as u64 / 4);
        match kind {
            0..8 => Self::refusal(random),
            8..12 => Self::error_in_json(),
            12..16 => Self::of(stream(request, output, None, true), "text/event-stream", None),
            16..22 => Self::of(stream(request, output, None, false), "text/event-stream", None),
            _ if request.stream => {
                Self::of(stream(request, output, Some(input), false), "text/event-stream", Some((input, output)))
            }
            _ => Self::of(whole(request, input, output), "application/json", Some((input, output))),
        }
    }

    fn of(body: String, kind: &str, truth: Option<(u64, u64)>) -> Self {
        let error_at = past(&body, r#""message":"overloaded"}"#);
        let stop = past(&body, r#""finish_reason":"stop""#).or_else(|| past(&body, r#""stop_reason":"end_turn""#));
        let last = if kind == "application/json" {
            Some(body.len())
        } else {
            past(&body, "[DONE]").or_else(|| past(&body, r#"{"type":"message_stop"}"#))
        };
        Self {
            status: 200,
            headers: vec![pair(":status", "200"), pair("content-type", kind)],
            body: body.into_bytes(),
            error_at,
            stop_at: stop,
            last_at: last,
            truth: truth.filter(|_| error_at.is_none()),
        }
    }

    fn refusal(random: &mut Random) -> Self {
        let status = pick(random, &[400_u32, 401, 429, 500, 503]);
        let mut reply = Self::error_in_json();
        reply.status = status;
        reply.headers = vec![pair(":status", &status.to_string()), pair("content-type", "application/json")];
        reply
    }

    fn error_in_json() -> Self {
        Self::of(r#"{"error":{"type":"server_error","message":"overloaded"}}"#.to_owned(), "application/json", None)
    }
}

/// Text of so many tokens.
fn text(tokens: u64) -> String {
    "la, ".repeat(usize::try_from(tokens).unwrap_or(0))
}

fn whole(request: &Request, input: u64, output: u64) -> String {
    // Written by hand: members come in the order of the real servers.
    let text = text(output);
    if request.anthropic {
        format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":{input},"output_tokens":{output}}}}}"#
        )
    } else {
        let total = input + output;
        format!(
            r#"{{"id":"c-1","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total}}}}}"#
        )
    }
}

/// A stream of so many tokens; one that says its usage where `input` is given, and ends in an error where `fails`.
fn stream(request: &Request, output: u64, input: Option<u64>, fails: bool) -> String {
    let mut all = String::new();
    let mut event = |name: &str, data: &Value| {
        if request.anthropic {
            all.push_str(&format!("event: {name}\n"));
        }
        all.push_str(&format!("data: {data}\n\n"));
    };
    let pieces = (0..output).step_by(8).map(|from| text((output - from).min(8)));
    if request.anthropic {
        let usage = input.map(|input| json!({ "input_tokens": input, "output_tokens": 1.min(output) }));
        let message = json!({ "type": "message_start", "message": { "id": "msg_1", "model": "m", "usage": usage } });
        event("message_start", &message);
        for text in pieces {
            let delta = json!({ "type": "text_delta", "text": text });
            event("content_block_delta", &json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
        }
    } else {
        for text in pieces {
            let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
            event("", &json!({ "id": "c-1", "model": "m", "choices": [choice], "usage": null }));
        }
    }
    if fails {
        let error = r#"{"error":{"type":"overloaded_error","message":"overloaded"},"type":"error"}"#;
        all.push_str(&format!("event: error\ndata: {error}\n\n"));
        return all;
    }
    if request.anthropic {
        let usage = input.map(|_| json!({ "output_tokens": output }));
        let delta = json!({ "stop_reason": "end_turn" });
        event("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        all.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        return all;
    }
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    event("", &json!({ "id": "c-1", "choices": [choice] }));
    if let Some(input) = input {
        let usage = json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
        event("", &json!({ "id": "c-1", "choices": [], "usage": usage }));
    }
    all.push_str("data: [DONE]\n\n");
    all
}
