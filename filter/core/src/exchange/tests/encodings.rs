//! Compressed bodies, and signed requests.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

use super::*;

/// A whole exchange with headers of the request and an encoded reply; the effects of its request, and the event's data.
fn run(
    host_and_path: [&str; 2],
    more: &[(&str, &str)],
    sent: &[u8],
    encoding: &str,
    reply: &[u8],
) -> (Vec<Effect>, Value) {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    let length = sent.len().to_string();
    let mut headers = vec![
        (":method", "POST"),
        (":authority", host_and_path[0]),
        (":path", host_and_path[1]),
        ("content-length", &*length),
        ("accept-encoding", "br, gzip"),
    ];
    headers.extend_from_slice(more);
    let headers = view(&headers);
    let _held = world.step(|service, host| exchange.on_request_headers(&headers, false, service, host));
    let verdict = world.step(|service, host| exchange.on_request_body(sent, true, service, host));
    assert_eq!(verdict, Verdict::Continue);
    let effects = world.effects.clone();
    let kind = if encoding.is_empty() { ("x-none", "") } else { ("content-encoding", encoding) };
    world.response(&mut exchange, &[(":status", "200"), ("content-type", "application/json"), kind]);
    let _verdict = world.step(|service, host| exchange.on_response_body(reply, true, service, host));
    (effects, world.data())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
}

const OPENAI: [&str; 2] = ["api.openai.com", "/v1/chat/completions"];

fn is_changed(effects: &[Effect], name: &str) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::SetRequestHeader(header, _) | Effect::RemoveRequestHeader(header) => header == name,
        Effect::SpliceRequestBody(_) => name == "the body",
        _ => false,
    })
}

#[test]
fn ok_a_request_in_gzip_is_read_and_goes_on_as_it_is() {
    let sent = gzip(chat(true).to_string().as_bytes());
    let (effects, data) = run(OPENAI, &[("content-encoding", "gzip")], &sent, "", REPLY.as_bytes());
    assert_eq!((&data["request_model"], &data["stream"]), (&json!("gpt-4o-mini"), &json!(true)));
    assert!(!is_changed(&effects, "the body") && !is_changed(&effects, "content-length"), "{effects:?}");
}

#[test]
fn ok_replies_in_gzip_and_in_both_kinds_of_deflate_are_counted() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let zlib = zlib.write_all(REPLY.as_bytes()).and_then(|()| zlib.finish()).expect("memory");
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    let raw = raw.write_all(REPLY.as_bytes()).and_then(|()| raw.finish()).expect("memory");
    let sent = chat(false).to_string();
    for (encoding, reply) in [("gzip", gzip(REPLY.as_bytes())), ("deflate", zlib), ("deflate", raw)] {
        let (_, data) = run(OPENAI, &[], sent.as_bytes(), encoding, &reply);
        assert_eq!((&data["input_tokens"], &data["usage_status"]), (&json!(12), &json!("reported")), "{encoding}");
        assert!(data.get("usage_flags").is_none(), "{data}");
    }
}

#[test]
fn err_a_bomb_is_flagged_and_nothing_is_counted() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(br#"{"choices":[{"message":{"content":""#).expect("memory");
    let zeros = vec![b'0'; 1 << 20];
    for _ in 0..65 {
        encoder.write_all(&zeros).expect("memory");
    }
    encoder.write_all(br#""}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#).expect("memory");
    let bomb = encoder.finish().expect("memory");
    let (_, data) = run(OPENAI, &[], chat(false).to_string().as_bytes(), "gzip", &bomb);
    let expected =
        json!({ "usage_status": "missing", "usage_flags": "output_cap_exceeded", "cost_status": "unpriced" });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[name], value, "{name}");
    }
    assert!(data.get("output_tokens").is_none() && data.get("cost_usd").is_none(), "{data}");
}

#[test]
fn ok_of_a_signed_request_nothing_that_is_signed_is_changed() {
    const BEDROCK: [&str; 2] = ["bedrock-runtime.us-east-1.amazonaws.com", "/openai/v1/chat/completions"];
    let sent = chat(true).to_string();
    let signature = |signed: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, SignedHeaders={signed}, Signature=0f"
        )
    };
    for (signed, keeps_encoding) in [
        ("content-type;host;x-amz-date", false),
        ("Accept-Encoding;host;x-amz-date", true),
        ("host;x-accept-encoding", false),
    ] {
        let (effects, data) =
            run(BEDROCK, &[("authorization", &signature(signed))], sent.as_bytes(), "", REPLY.as_bytes());
        for name in ["the body", "content-length", ":path", ":authority", "authorization"] {
            assert!(!is_changed(&effects, name), "{name} with {signed}: {effects:?}");
        }
        assert_eq!(!is_changed(&effects, "accept-encoding"), keeps_encoding, "{signed}");
        assert_eq!(data["input_tokens"], 12);
    }
    let (effects, _) = run(BEDROCK, &[("authorization", "Bearer bedrock-key")], sent.as_bytes(), "", REPLY.as_bytes());
    assert!(is_changed(&effects, "the body"), "with a key of its own the same request is asked for its usage");
}
