//! What a stream costs in memory: mixed traffic through the core, and the most that was allocated while each stream passed.
//!
//! `METERR_MEMORY_MB` says how much traffic, in megabytes; `scripts/test --all` takes 1,024.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use meterr_core::{
    effect::Effect,
    exchange::{Exchange, StreamEnd},
    head::Headers,
    host::{Host, NoProperties},
    random::Random,
    service::Service,
    store::MemoryStore,
    time::Timestamp,
};
use peak_alloc::PeakAlloc;
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What a stream may cost at most, in bytes.
const BOUND: usize = 256 * 1024;
/// What it should cost.
const AIM: usize = 64 * 1024;
/// How much of a body Envoy hands over at once: what it reads from a socket.
const PIECE: usize = 16 * 1024;

/// A body that goes on for as long as it is wanted.
struct Body {
    head: Vec<u8>,
    /// Over and over.
    middle: Vec<u8>,
    tail: Vec<u8>,
}

struct Stream {
    name: &'static str,
    host: &'static str,
    path: &'static str,
    kind: &'static str,
    encoding: Option<&'static str>,
    /// Whether the long body is the request's.
    is_request: bool,
    body: Body,
    /// A field of the event and what it must be, so that what was measured was also read.
    expected: (&'static str, Value),
}

/// Text of random words that hardly compresses.
fn noise(bytes: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random::new(9);
    (0..bytes).map(|_| DIGITS[usize::try_from(random.up_to(63)).expect("small")]).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
}

fn body(head: &[u8], middle: &[u8], tail: &[u8]) -> Body {
    Body { head: head.to_vec(), middle: middle.to_vec(), tail: tail.to_vec() }
}

const CHAT: (&str, &str) = ("api.openai.com", "/v1/chat/completions");
const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

fn stream(
    name: &'static str,
    (host, path): (&'static str, &'static str),
    kind: &'static str,
    body: Body,
    expected: (&'static str, impl Into<Value>),
) -> Stream {
    let expected = (expected.0, expected.1.into());
    Stream { name, host, path, kind, encoding: None, is_request: false, body, expected }
}

fn usual() -> Vec<Stream> {
    let chat_delta =
        b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello world\"}}],\"usage\":null}\n\n";
    let chat_tail = b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"total_tokens\":16}}\n\ndata: [DONE]\n\n";
    let claude = ("api.anthropic.com", "/v1/messages");
    let claude_head = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":5,\
        \"output_tokens\":1}}}\n\n";
    let claude_delta =
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\
        \"text\":\"Hi\"}}\n\n";
    let claude_tail =
        b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":\
        {\"output_tokens\":50}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let ollama = ("localhost:11434", "/api/chat");
    let ollama_delta = b"{\"model\":\"l\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n";
    let ollama_tail =
        b"{\"model\":\"l\",\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":26,\"eval_count\":298}\n";
    let bedrock = ("bedrock-runtime.us-east-1.amazonaws.com", "/model/m/converse-stream");
    let aws = |kind: &[u8], payload: &[u8]| {
        meterr_laws::event_stream_message(&[(b":message-type", b"event"), (b":event-type", kind)], payload)
    };
    let aws_delta = aws(b"contentBlockDelta", b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hello\"}}");
    let aws_tail = aws(b"metadata", b"{\"usage\":{\"inputTokens\":3,\"outputTokens\":4,\"totalTokens\":7}}");
    let reply_head = b"{\"id\":\"c\",\"choices\":[{\"message\":{\"content\":\"";
    let reply_tail =
        b"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"total_tokens\":16}}";
    let noise = noise(100_000);
    let deltas: Vec<u8> = noise
        .chunks(400)
        .flat_map(|text| [&b"data: {\"choices\":[{\"delta\":{\"content\":\""[..], text, b"\"}}]}\n\n"].concat())
        .collect();
    let mut streams = vec![
        stream("SSE, openai.chat", CHAT, SSE, body(b"", chat_delta, chat_tail), ("output_tokens", 9)),
        stream(
            "SSE, anthropic.messages",
            claude,
            SSE,
            body(claude_head, claude_delta, claude_tail),
            ("output_tokens", 50),
        ),
        stream(
            "NDJSON, ollama",
            ollama,
            "application/x-ndjson",
            body(b"", ollama_delta, ollama_tail),
            ("output_tokens", 298),
        ),
        stream(
            "event stream, bedrock.converse",
            bedrock,
            "application/vnd.amazon.eventstream",
            body(b"", &aws_delta, &aws_tail),
            ("output_tokens", 4),
        ),
        stream("JSON, one huge text", CHAT, JSON, body(reply_head, &noise, reply_tail), ("output_tokens", 9)),
        stream(
            "JSON, huge text of escapes",
            CHAT,
            JSON,
            body(reply_head, b"\\u00e9\\ud83d\\ude00\\n", reply_tail),
            ("output_tokens", 9),
        ),
        stream(
            "JSON, many choices",
            CHAT,
            JSON,
            body(
                b"{\"choices\":[{}",
                b",{\"message\":{\"content\":\"a\"}}",
                b"],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9}}",
            ),
            ("output_tokens", 9),
        ),
    ];
    let gzipped = body(b"", &gzip(&deltas), &gzip(chat_tail));
    streams.push(Stream { encoding: Some("gzip"), ..stream("SSE in gzip", CHAT, SSE, gzipped, ("output_tokens", 9)) });
    let request = body(
        b"{\"model\":\"gpt-4o\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"",
        &noise,
        b"\"}]}",
    );
    streams.push(Stream {
        is_request: true,
        ..stream("request of one huge text", CHAT, JSON, request, ("request_model", "gpt-4o"))
    });
    let request = body(&gzip(b"{\"model\":\"gpt-4o\",\"messages\":[{\"content\":\""), &gzip(&noise), &gzip(b"\"}]}"));
    streams.push(Stream {
        is_request: true,
        encoding: Some("gzip"),
        ..stream("request in gzip", CHAT, JSON, request, ("request_model", "gpt-4o"))
    });
    streams
}

fn hostile() -> Vec<Stream> {
    let zeros = vec![b'0'; 1 << 20];
    let (flags, name) = ([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0], [b'x'; 64]);
    let estimated = ("usage_status", "estimated");
    let missing = ("usage_status", "missing");
    let mut streams = vec![
        stream("a line that never ends", CHAT, SSE, body(b"data: ", b"x", b""), estimated),
        stream("a field's name that never ends", CHAT, SSE, body(b"da", b"x", b""), estimated),
        stream("an event's name that never ends", CHAT, SSE, body(b"event: ", b"x", b""), estimated),
        stream("nothing but empty lines", CHAT, SSE, body(b"", b"\n", b""), estimated),
        stream("nothing but one-byte data lines", CHAT, SSE, body(b"", b"data:a\n", b""), estimated),
        stream(
            "an undecided event that never ends",
            CHAT,
            SSE,
            body(b"data: {\"choices\":[],\"x\":\"", b"x", b""),
            estimated,
        ),
        stream(
            "usage chunks and empty lines",
            CHAT,
            SSE,
            body(b"", b"data:{\"choices\":[],\"usage\":{}}\n\n\n", b""),
            estimated,
        ),
        stream("brackets", CHAT, JSON, body(b"", b"[", b""), missing),
        stream("nested objects", CHAT, JSON, body(b"", b"{\"choices\":", b""), missing),
        stream("a key that never ends", CHAT, JSON, body(b"{\"", b"k", b""), estimated),
        stream("keys without end", CHAT, JSON, body(b"{", b"\"usage\":{},", b""), estimated),
        stream("a number that never ends", CHAT, JSON, body(b"{\"usage\":{\"prompt_tokens\":", b"9", b""), estimated),
        stream("documents without end", CHAT, JSON, body(b"", b"{}\n", b""), estimated),
        stream(
            "an event stream's headers",
            ("bedrock-runtime.us-east-1.amazonaws.com", "/model/m/converse-stream"),
            "application/vnd.amazon.eventstream",
            body(b"", &meterr_laws::event_stream_message(&[(b"x", &[b'y'; 60_000])], b"{}"), b""),
            estimated,
        ),
    ];
    let packed = |name, encoding, body, expected| Stream {
        encoding: Some(encoding),
        ..stream(name, CHAT, JSON, body, expected)
    };
    streams.push(packed("a gzip bomb", "gzip", body(b"", &gzip(&zeros), b""), ("usage_flags", "malformed_body")));
    let text = gzip(&[&b"{\"choices\":[{\"message\":{\"content\":\""[..], &zeros].concat());
    streams.push(packed(
        "a gzip bomb of text",
        "gzip",
        body(&text, &gzip(&zeros), b""),
        ("usage_flags", "output_cap_exceeded"),
    ));
    streams.push(packed(
        "a zlib bomb",
        "deflate",
        body(&zlib(&vec![b' '; 80 << 20]), b"x", b""),
        ("usage_flags", "output_cap_exceeded"),
    ));
    streams.push(packed("a gzip header that never ends", "gzip", body(&flags, &name, b""), estimated));
    streams
}

/// Runs one stream of about that many bytes, and gives the bytes that passed, the most that was allocated meanwhile and the event.
fn run(stream: &Stream, wanted: usize, service: &mut Service, store: &MemoryStore) -> (usize, usize, Value) {
    const ASKS: &[u8] = br#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    const REPLY: &[u8] = br#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}"#;
    let (request_length, mut piece) = (ASKS.len().to_string(), Vec::with_capacity(PIECE));
    let mut effects = Vec::with_capacity(64);
    let mut event = Vec::with_capacity(8 * 1024);
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut exchange = Exchange::default();
    let (mut millis, mut passed) = (0, 0);
    let mut step = |exchange: &mut Exchange, run: &mut dyn FnMut(&mut Exchange, &mut Service, &mut Host<'_>)| {
        millis += 1;
        let now = Timestamp::from_secs(1_790_000_000).plus_millis(millis);
        run(exchange, service, &mut Host { store, properties: &NoProperties, now, effects: &mut effects });
        let mut tokens = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::SetFilterState("meterr", bytes) => event.extend_from_slice(&bytes),
                Effect::Callout(callout) => tokens.push(callout.token),
                _ => {}
            }
        }
        for token in tokens {
            service.on_callout_response(
                token,
                Some(202),
                None,
                &mut Host { store, properties: &NoProperties, now, effects: &mut effects },
            );
            effects.clear();
        }
    };
    let mut headers: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":authority", stream.host.as_bytes()),
        (b":path", stream.path.as_bytes()),
        (b"content-type", b"application/json"),
    ];
    if !stream.is_request {
        headers.push((b"content-length", request_length.as_bytes()));
    } else if let Some(encoding) = stream.encoding {
        headers.push((b"content-encoding", encoding.as_bytes()));
    }
    let headers = Headers::new(headers);
    step(&mut exchange, &mut |exchange, service, host| {
        let _verdict = exchange.on_request_headers(&headers, false, service, host);
    });
    let mut long = |exchange: &mut Exchange, step: &mut dyn FnMut(&mut Exchange, &[u8], bool)| {
        let Body { head, middle, tail } = &stream.body;
        let times = wanted.div_ceil(middle.len());
        let parts = core::iter::once(head).chain(core::iter::repeat_n(middle, times)).chain(core::iter::once(tail));
        for mut part in parts.map(Vec::as_slice) {
            passed += part.len();
            while !part.is_empty() {
                let (now, rest) = part.split_at((PIECE - piece.len()).min(part.len()));
                piece.extend_from_slice(now);
                part = rest;
                if piece.len() == PIECE {
                    step(exchange, &piece, false);
                    piece.clear();
                }
            }
        }
        step(exchange, &piece, true);
    };
    if stream.is_request {
        long(&mut exchange, &mut |exchange, bytes, end| {
            step(exchange, &mut |exchange, service, host| {
                let _verdict = exchange.on_request_body(bytes, end, service, host);
            });
        });
    } else {
        step(&mut exchange, &mut |exchange, service, host| {
            let _verdict = exchange.on_request_body(ASKS, true, service, host);
        });
    }
    let mut headers: Vec<(&[u8], &[u8])> = vec![(b":status", b"200"), (b"content-type", stream.kind.as_bytes())];
    if let (Some(encoding), false) = (stream.encoding, stream.is_request) {
        headers.push((b"content-encoding", encoding.as_bytes()));
    }
    let headers = Headers::new(headers);
    step(&mut exchange, &mut |exchange, service, host| {
        let _verdict = exchange.on_response_headers(&headers, false, service, host);
    });
    let mut respond = |exchange: &mut Exchange, bytes: &[u8], end: bool| {
        step(exchange, &mut |exchange, service, host| {
            let _verdict = exchange.on_response_body(bytes, end, service, host);
        });
    };
    if stream.is_request {
        respond(&mut exchange, REPLY, true);
    } else {
        long(&mut exchange, &mut respond);
    }
    step(&mut exchange, &mut |exchange, service, host| exchange.on_done(&StreamEnd::default(), service, host));
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    drop(headers);
    let mut event: Value = serde_json::from_slice(&event).unwrap_or_else(|error| panic!("{}: {error}", stream.name));
    (passed, peak, event["data"].take())
}

#[test]
fn ok_a_stream_costs_no_more_than_is_stated() {
    let megabytes: usize = std::env::var("METERR_MEMORY_MB").map_or(64, |text| text.parse().expect("a number"));
    let configuration = br#"{"identity":{"tenant":[{"from":"constant","value":"t"}]},"sink":{"cluster":"c"},
        "providers":{"extra":[{"id":"local","hosts":["localhost"],"dialects":["ollama"],"tls":false}]},"header_hold":true}"#;
    let mut service = Service::configure(configuration, None, 1, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    let store = MemoryStore::default();
    let streams: Vec<Stream> = usual().into_iter().chain(hostile()).collect();
    let each = (megabytes << 20) / streams.len();
    let _warm = run(&streams[0], PIECE, &mut service, &store);
    let (mut all, mut most, mut wrong) = (0, 0, Vec::new());
    for stream in &streams {
        let (passed, peak, data) = run(stream, each, &mut service, &store);
        println!("{:40} {:7.1} MB {:7.1} KiB", stream.name, passed as f64 / 1e6, peak as f64 / 1024.0);
        all += passed;
        most = most.max(peak);
        let (field, value) = &stream.expected;
        let is_expected = match (&data[field], value) {
            (Value::String(found), Value::String(part)) => found.contains(part.as_str()),
            (found, value) => found == value,
        };
        if !is_expected {
            wrong.push(format!("{}: {field} is {} and must be {value}: {data}", stream.name, data[field]));
        }
        if peak > BOUND {
            wrong.push(format!("{}: {peak} bytes", stream.name));
        }
    }
    println!(
        "{:.1} MB in {} streams; the most that one cost: {:.1} KiB (aim {} KiB, bound {} KiB)",
        all as f64 / 1e6,
        streams.len(),
        most as f64 / 1024.0,
        AIM / 1024,
        BOUND / 1024
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
