//! What is sent and what comes back: all bytes are made before the load begins.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use clap::ValueEnum;
use serde_json::{Value, json};

/// The request header that tells the provider which reply is wanted: `<workload>;<bytes of the body>`.
pub const BENCH_HEADER: &str = "x-bench";

/// Between the chunks of a stream.
pub const PACE: Duration = Duration::from_millis(5);

/// Chunks of a stream that carry content.
pub const CHUNKS: usize = 50;

/// What a chunk carries before the time at which it was sent is written over it, as decimal nanoseconds.
pub const STAMP: &[u8; 16] = b"0000000000000000";

/// The load of one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Workload {
    /// A request of 2 KB, a JSON reply.
    #[value(name = "chat_2k")]
    Chat2k,
    /// A request of 2 KB, a reply of 50 chunks 5 ms apart; 64 at once.
    #[value(name = "sse_50")]
    Sse50,
    /// A request of 50 KB, a JSON reply.
    #[value(name = "chat_50k")]
    Chat50k,
    /// A request of 1 MB, a JSON reply.
    #[value(name = "chat_1m")]
    Chat1m,
}

/// Tenants that the load belongs to, one a connection in turn.
const TENANTS: usize = 8;

impl Workload {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 4] = [Self::Chat2k, Self::Sse50, Self::Chat50k, Self::Chat1m];

    /// As the command line and the reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat2k => "chat_2k",
            Self::Sse50 => "sse_50",
            Self::Chat50k => "chat_50k",
            Self::Chat1m => "chat_1m",
        }
    }

    /// Whether the reply is a stream.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Sse50)
    }

    /// Connections, each with one request at a time.
    #[must_use]
    pub const fn connections(self) -> usize {
        if self.is_stream() { 64 } else { 8 }
    }

    /// Bytes of the request's body. The largest stays below the filter's default `max_hold_bytes`: it is held whole.
    #[must_use]
    pub const fn request_bytes(self) -> usize {
        match self {
            Self::Chat2k | Self::Sse50 => 2_000,
            Self::Chat50k => 50_000,
            Self::Chat1m => 1_000_000,
        }
    }

    /// The request of the nth connection. A stream does not ask for its usage, as most clients do not: the filter asks, and hides it.
    #[must_use]
    pub fn request(self, connection: usize) -> Arc<[u8]> {
        let body = request_body(self.request_bytes(), self.is_stream());
        let mut request = String::from("POST /v1/chat/completions HTTP/1.1\r\n");
        let headers = [
            ("host", "api.openai.com".to_owned()),
            ("accept", "application/json".to_owned()),
            ("accept-encoding", "gzip, deflate".to_owned()),
            ("authorization", "Bearer sk-bench-0123456789abcdef0123456789abcdef".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("user-agent", "OpenAI/Python 1.99.9".to_owned()),
            ("x-stainless-lang", "python".to_owned()),
            ("x-stainless-retry-count", "0".to_owned()),
            ("x-tenant", format!("tenant-{}", connection % TENANTS)),
            (BENCH_HEADER, format!("{};{}", self.name(), body.len())),
            ("content-length", body.len().to_string()),
        ];
        for (name, value) in headers {
            let _infallible = write!(request, "{name}: {value}\r\n");
        }
        request.push_str("\r\n");
        request.push_str(&body);
        request.into_bytes().into()
    }
}

/// A chat of messages of about 1 KB, that many bytes exactly.
fn request_body(bytes: usize, stream: bool) -> String {
    const TEXT: &str = "Summarise the following notes of last week's meeting, and list what is still open.\\n- \\\"Budget\\\": moved. ";
    let end = if stream {
        r#"],"model":"gpt-4o-mini","max_tokens":512,"stream":true}"#
    } else {
        r#"],"model":"gpt-4o-mini","max_tokens":512}"#
    };
    let mut body = String::from(r#"{"messages":[{"role":"system","content":"You are a helpful assistant."}"#);
    let mut is_user = true;
    loop {
        let role = if is_user { "user" } else { "assistant" };
        let _infallible = write!(body, r#",{{"role":"{role}","content":""#);
        let closing = r#""}"#.len() + end.len();
        // What remains after a last message would be too little for another.
        let is_last = bytes - body.len() < 2_400;
        let size = if is_last { bytes - body.len() - closing } else { 1_000 };
        body.push_str(&TEXT.repeat(size / TEXT.len()));
        body.push_str(&".".repeat(size % TEXT.len()));
        body.push_str(r#""}"#);
        if is_last {
            body.push_str(end);
            return body;
        }
        is_user = !is_user;
    }
}

/// What the provider sends.
#[derive(Debug)]
pub struct Replies {
    /// A whole JSON reply, head and body.
    pub chat: Vec<u8>,
    /// The head of a stream and its first record.
    pub opening: Vec<u8>,
    /// One content chunk, framed, with [`STAMP`] in it.
    pub chunk: Vec<u8>,
    /// The last records and the end; the usage chunk stands between them if it is asked for.
    pub closing: [Vec<u8>; 2],
    /// Bytes of a JSON reply's body.
    pub chat_bytes: usize,
    /// Bytes of a stream without its framing and its usage chunk: what the client must get.
    pub stream_bytes: usize,
}

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}

impl Replies {
    /// The bytes of all replies.
    #[must_use]
    pub fn new() -> Self {
        let usage = concat!(
            r#"{"prompt_tokens":412,"completion_tokens":50,"total_tokens":462,"prompt_tokens_details":{"cached_tokens":256,"audio_tokens":0},"#,
            r#""completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#
        );
        let head = r#""id":"chatcmpl-CbenchBENCHbenchBENCHbenchBEN","created":1790000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_560af6e559""#;
        let answer = "The budget is the one point that is still open. ".repeat(5);
        let chat = format!(
            r#"{{"object":"chat.completion",{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{answer}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{usage}}}"#
        );
        let record = |choices: &str, usage: &str| {
            format!("data: {{\"object\":\"chat.completion.chunk\",{head},\"choices\":{choices},\"usage\":{usage}}}\n\n")
        };
        let choice = |delta: &str, finish: &str| {
            record(&format!(r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]"#), "null")
        };
        let role = choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null");
        let content = choice(&format!(r#"{{"content":"{}"}}"#, String::from_utf8_lossy(STAMP)), "null");
        let (finish, done) = (choice("{}", r#""stop""#), "data: [DONE]\n\n");
        let stream_bytes = role.len() + CHUNKS * content.len() + finish.len() + done.len();
        let stream =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
        Self {
            chat_bytes: chat.len(),
            stream_bytes,
            opening: [stream.as_bytes(), &chunk(&role)].concat(),
            chunk: chunk(&content),
            closing: [
                [chunk(&finish), chunk(done), b"0\r\n\r\n".to_vec()].concat(),
                [chunk(&finish), chunk(&record("[]", usage)), chunk(done), b"0\r\n\r\n".to_vec()].concat(),
            ],
            chat: format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{chat}",
                chat.len()
            )
            .into_bytes(),
        }
    }

    /// Bytes that a client must get.
    #[must_use]
    pub const fn bytes(&self, workload: Workload) -> usize {
        if workload.is_stream() { self.stream_bytes } else { self.chat_bytes }
    }
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// The filter's configuration with so many limits that apply to each request and never bite.
#[must_use]
pub fn configuration(limits: u64) -> Value {
    let limit = |nth: u64| {
        json!({ "id": format!("tenant-tokens-{nth}"), "per": ["tenant"], "unit": "tokens", "amount": 1_000_000_000_000_000_u64,
            "window": { "kind": "fixed", "per": "hour" } })
    };
    json!({
        "identity": { "tenant": [{ "from": "header", "name": "x-tenant" }, { "from": "constant", "value": "unknown" }] },
        "limits": (0..limits).map(limit).collect::<Vec<_>>(),
        "sink": { "cluster": "collector" },
        "tags": { "response_headers": "limits" },
        "header_hold": true,
    })
}
