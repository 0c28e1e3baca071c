//! Content encodings in the real Envoy: what the filter reads itself, and what Envoy's own decompressors read for it.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use meterr_tests::stack::{Options, Reply, Stack};
use serde_json::{Value, json};

const PATH: &str = "/openai/v1/chat/completions";

fn chat(stream: bool) -> Value {
    let mut body =
        json!({ "model": "gpt-4o-mini", "stream": stream, "messages": [{ "role": "user", "content": "Hi." }] });
    if stream {
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

fn told(packing: &str) -> (&'static str, String) {
    ("x-test", json!({ "input": 5, "output": 6, "packing": packing, "rechunk": 3 }).to_string())
}

fn assert_counted(stack: &Stack, exchanges: usize) {
    for event in stack.events(exchanges) {
        let data = &event["data"];
        let counted = (&data["input_tokens"], &data["output_tokens"], &data["usage_status"], &data["outcome"]);
        assert_eq!(counted, (&json!(5), &json!(6), &json!("reported"), &json!("completed")), "{data:#}");
        assert!(data.get("usage_flags").is_none(), "{data:#}");
    }
}

#[test]
fn ok_both_kinds_of_deflate_are_counted_and_pass_as_they_are() {
    let stack = Stack::start(&Options::default());
    for (stream, packing) in [(false, "zlib"), (false, "deflate"), (true, "zlib"), (true, "deflate")] {
        let reply = stack.post(PATH).tell(told(packing)).send(&chat(stream));
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("deflate")), "{reply:?}");
        assert_ne!(reply.text(), stack.sent_by_provider(&reply), "still compressed");
    }
    assert_counted(&stack, 4);
    stack.finish();
}

#[test]
fn ok_envoys_decompressors_read_brotli_and_zstd_before_the_filter_does() {
    let stack = Stack::start(&Options { file: "envoy/examples/decompressor.yaml", ..Options::default() });
    for stream in [false, true] {
        for packing in ["brotli", "zstd"] {
            // The stand-in complains if it is asked for either of them.
            let call = stack.post(PATH).header("accept-encoding", "gzip, deflate, br, zstd").tell(told(packing));
            let reply = call.send(&chat(stream));
            assert_eq!((reply.status, reply.header("content-encoding")), (200, None), "{reply:?}");
            assert_eq!(reply.text(), stack.sent_by_provider(&reply), "decoded for the client");
        }
        let reply = stack.post(PATH).header("accept-encoding", "gzip").tell(told("gzip")).send(&chat(stream));
        assert_eq!(reply.header("content-encoding"), Some("gzip"), "what the filter reads itself is left alone");
    }
    assert_counted(&stack, 6);
    stack.finish();
}

#[test]
fn ok_a_request_in_gzip_is_read_and_goes_on_as_it_is() {
    let stack = Stack::start(&Options::default());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // No option is asked for, and none can be put into a compressed body.
    encoder.write_all(chat(false).to_string().as_bytes()).expect("memory");
    let body = encoder.finish().expect("memory");
    let reply = stack.post(PATH).header("content-encoding", "gzip").send_bytes(&body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let received = |reply: &Reply| stack.provider().received(reply.header("x-stand-in-id").expect("its id"));
    assert_eq!(received(&reply).as_deref(), Some(body.as_slice()));
    let event = stack.events(1).remove(0);
    assert_eq!(event["data"]["request_model"], "gpt-4o-mini", "{event:#}");
    stack.finish();
}

#[test]
fn err_a_bomb_passes_and_is_flagged() {
    let stack = Stack::start(&Options::default());
    let told = json!({ "gzip": true, "pad_bytes": 70 << 20 }).to_string();
    let reply = stack.post(PATH).header("accept-encoding", "gzip").tell(("x-test", told)).send(&chat(false));
    let mut text = String::new();
    GzDecoder::new(reply.bytes.as_slice()).read_to_string(&mut text).expect("whole and unchanged");
    assert!(text == stack.sent_by_provider(&reply), "{} bytes", text.len());
    let event = stack.events(1).remove(0);
    let data = &event["data"];
    assert_eq!(
        (&data["usage_status"], &data["usage_flags"]),
        (&json!("missing"), &json!("output_cap_exceeded")),
        "{data:#}"
    );
    assert!(data.get("output_tokens").is_none() && data.get("cost_usd").is_none(), "{data:#}");
    stack.finish();
}
