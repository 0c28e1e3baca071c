use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::dialect::DialectId;

fn facts_of(dialect: DialectId, body: &[u8], cut: usize) -> RequestFacts {
    let mut scan = RequestScan::new(dialect.operations()[0], None, None);
    for piece in body.chunks(cut.max(1)) {
        scan.push(piece);
    }
    scan.finish()
}

fn spliced(body: &str) -> Option<Json> {
    let splice = facts_of(DialectId::OpenAiChat, body.as_bytes(), 7).include_usage_splice()?;
    Some(serde_json::from_slice(&splice.apply(body.as_bytes())).expect("still JSON"))
}

#[test]
fn ok_facts_of_a_chat() {
    let body = json!({ "model": "gpt-4o", "stream": true, "max_tokens": 5, "max_completion_tokens": 7, "n": 3,
        "messages": [{ "role": "user", "content": "12345678" }, { "role": "user", "content": [{ "type": "text", "text": "ééé" }] }] });
    let text = body.to_string();
    let facts = facts_of(DialectId::OpenAiChat, text.as_bytes(), 1);
    assert_eq!((facts.model.as_deref(), facts.stream, facts.complete), (Some("gpt-4o"), Some(true), true));
    // Eight digits and three letters with a mark, two messages, one conversation.
    assert_eq!(facts.input_weight(), 8 * 500 + 3 * 500 + 2 * 4_000 + 3_000);
    assert_eq!(facts.output_bound(), Some(21));
    assert_eq!(facts.input_bound(), Some(text.len() as u64 + 64 + 32));
}

#[test]
fn ok_where_the_root_begins_does_not_depend_on_the_cuts() {
    let body = [&" ".repeat(100), r#"{"stream":true}"#].concat();
    let splice = |cut| facts_of(DialectId::OpenAiChat, body.as_bytes(), cut).include_usage_splice();
    assert_eq!(splice(body.len()).map(|splice| splice.start), Some(101));
    assert_eq!(splice(1), splice(body.len()));
}

#[test]
fn ok_what_bytes_do_not_bound() {
    let openai = |body: Json| facts_of(DialectId::OpenAiChat, body.to_string().as_bytes(), 9).input_bound();
    let part = |kind: &str| json!({ "messages": [{ "content": [{ "type": kind }] }] });
    assert!(openai(part("text")).is_some());
    assert!(openai(part("image_url")).is_none());
    assert!(openai(part("file")).is_none());
    assert!(openai(json!({ "tools": [{ "type": "function", "function": {} }] })).is_some());
    assert!(openai(json!({ "web_search_options": {} })).is_none());
    let anthropic = |body: Json| facts_of(DialectId::AnthropicMessages, body.to_string().as_bytes(), 9).input_bound();
    assert!(anthropic(json!({ "tools": [{ "name": "x", "input_schema": {} }] })).is_some());
    assert!(anthropic(json!({ "tools": [{ "type": "web_search_20250305" }] })).is_none());
    assert!(
        anthropic(
            json!({ "messages": [{ "content": [{ "type": "tool_result", "content": [{ "type": "image" }] }] }] })
        )
        .is_none()
    );
    assert!(facts_of(DialectId::OpenAiChat, b"{\"model\":", 3).input_bound().is_none());
}

#[test]
fn ok_facts_of_a_form() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF{\"model\":\"x\"}\r\n--b\r\n\
        Content-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\
        whisper-1\r\n--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n12345678\r\n--b--\r\n";
    for end in [body.len(), body.len() - 6] {
        for step in 1..40 {
            let mut scan = RequestScan::new(DialectId::OpenAiAudio.operations()[0], None, None)
                .with_content_type(b"multipart/form-data; boundary=b");
            for piece in body.as_bytes()[..end].chunks(step) {
                scan.push(piece);
            }
            let facts = scan.finish();
            assert_eq!((facts.model.as_deref(), facts.stream), (Some("whisper-1"), Some(true)));
            assert_eq!(
                (facts.complete, facts.input_bound()),
                (end == body.len(), None),
                "a file is not bounded by its bytes"
            );
            assert_eq!(facts.include_usage_splice(), None);
            assert_eq!(facts.input_weight() > 0, end == body.len(), "a part counts when it is whole");
        }
    }
}

#[test]
fn ok_the_option_is_merged_in_where_it_is_missing_or_false() {
    let wanted = json!({ "include_usage": true });
    for body in [
        r#"{"stream":true}"#,
        r#" { "stream" : true , "stream_options":null}"#,
        r#"{"stream_options":{},"stream":true}"#,
        r#"{"stream_options":{"include_usage":false},"stream":true}"#,
        r#"{"stream_options":{"include_usage":null},"stream":true}"#,
        r#"{"stream_options":{"include_usage":true},"stream":true,"stream_options":{}}"#,
    ] {
        assert_eq!(spliced(body).expect(body)["stream_options"], wanted, "{body}");
    }
    let kept = spliced(r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#).expect("a splice");
    assert_eq!(kept["stream_options"], json!({ "include_usage": true, "include_obfuscation": false }));
    for body in [
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"stream":false}"#,
        r#"{"stream":true"#,
        r#"{"stream":true,"stream_options":[1]}"#,
        r#"{"stream":true}x"#,
        "",
    ] {
        assert_eq!(spliced(body), None, "{body}");
    }
}

#[test]
fn ok_absurd_numbers_do_not_wrap() {
    let body = br#"{"max_tokens":9007199254740992,"n":9007199254740992}"#;
    assert_eq!(facts_of(DialectId::OpenAiChat, body, 4).output_bound(), Some(u64::MAX));
    let body = br#"{"max_tokens":-1,"n":1.5}"#;
    assert_eq!(facts_of(DialectId::OpenAiChat, body, 4).output_bound(), None);
}

proptest! {
    /// A splice changes nothing but the option, wherever members stand.
    #[test]
    fn a_splice_is_only_the_option(
        before in prop::collection::vec(("[a-z]{1,6}", "[ -~]{0,8}"), 0..3),
        options in prop_oneof![Just(None), Just(Some(json!(null))), Just(Some(json!({}))), Just(Some(json!({ "include_usage": false, "x": 1 })))],
        pretty in any::<bool>(),
    ) {
        let mut body: serde_json::Map<String, Json> = before.into_iter().map(|(k, v)| (k, v.into())).collect();
        body.insert("stream".to_owned(), json!(true));
        if let Some(options) = options {
            body.insert("stream_options".to_owned(), options);
        }
        let body = Json::Object(body);
        let text = if pretty { serde_json::to_string_pretty(&body).expect("JSON") } else { body.to_string() };
        let mut after = spliced(&text).expect("a splice");
        prop_assert_eq!(after["stream_options"]["include_usage"].take(), json!(true));
        let mut expected = body;
        if !expected["stream_options"].is_object() {
            expected["stream_options"] = json!({});
        }
        expected["stream_options"]["include_usage"] = Json::Null;
        prop_assert_eq!(after, expected);
    }
}
