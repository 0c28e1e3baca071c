use proptest::prelude::*;

use super::*;
use crate::{dialect::DialectId, usage::estimate::learned::Learned};

const CHAT_JSON: &str = r#"{"id":"c1","model":"m-1","service_tier":"flex","choices":[{"message":{"content":"hi","tool_calls":
[{"function":{"name":"f","arguments":"{\"usage\":{\"prompt_tokens\":99}}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,
"completion_tokens":34.0,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2}},"error":null}"#;
const CHAT_SSE: &str = "data: {\"id\":\"c1\",\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"Hello, world\"}}],\"usage\":null}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46}}\n\ndata: [DONE]\n\n";
const MESSAGES_SSE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"model\":\"claude\",\"usage\":\
    {\"input_tokens\":100,\"output_tokens\":1,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":3,\"cache_creation\":\
    {\"ephemeral_5m_input_tokens\":1,\"ephemeral_1h_input_tokens\":2}}}}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello, world, \
    how are you today?\"}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":50}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn meter(dialect: DialectId, kind: &[u8], pieces: &[&[u8]]) -> Snapshot {
    let mut meter = Meter::new(dialect.operations()[0], 200, kind, None);
    for (at, piece) in pieces.iter().enumerate() {
        meter.push(piece, Timestamp::from_millis(at as u64));
    }
    meter.finish();
    meter.snapshot()
}

fn usage(dialect: DialectId, snapshot: &Snapshot, cut: bool) -> Usage {
    let known = Learned::default();
    settle_usage(dialect.operations()[0], "p", snapshot, cut, None, &mut || known.estimate(0, Some(snapshot.text)))
}

#[test]
fn ok_a_json_reply() {
    let snapshot = meter(DialectId::OpenAiChat, b"application/json", &[CHAT_JSON.as_bytes()]);
    assert!(snapshot.terminal && !snapshot.error);
    assert_eq!((snapshot.id.as_deref(), snapshot.service_tier.as_deref()), (Some("c1"), Some("flex")));
    let usage = usage(DialectId::OpenAiChat, &snapshot, false);
    assert_eq!(
        (usage.input, usage.output, usage.input_uncached, usage.status),
        (Some(12), Some(34), Some(6), UsageStatus::Reported)
    );
}

#[test]
fn ok_streams_of_both_dialects() {
    let snapshot = meter(DialectId::OpenAiChat, b"text/event-stream", &[CHAT_SSE.as_bytes()]);
    assert!(snapshot.terminal);
    assert_eq!(usage(DialectId::OpenAiChat, &snapshot, false).total(), Some(46));
    let snapshot = meter(DialectId::AnthropicMessages, b"text/event-stream; charset=utf-8", &[MESSAGES_SSE.as_bytes()]);
    assert!(snapshot.terminal);
    let usage = usage(DialectId::AnthropicMessages, &snapshot, false);
    assert_eq!((usage.input, usage.output, usage.status), (Some(110), Some(50), UsageStatus::Reported));
    assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (Some(1), Some(2)));
}

#[test]
fn ok_white_space_before_a_body_belongs_to_nothing() {
    for (dialect, body) in [(DialectId::OpenAiChat, CHAT_SSE), (DialectId::AnthropicMessages, MESSAGES_SSE)] {
        let (whole, piece) = ([" \r\n", body].concat(), body.as_bytes());
        let counted = usage(dialect, &meter(dialect, b"", &[piece]), false);
        for pieces in [&[whole.as_bytes()][..], &[b" \r\n", piece], &[b" ", b"\r\n", piece]] {
            assert_eq!(usage(dialect, &meter(dialect, b"", pieces), false), counted);
        }
    }
}

#[test]
fn ok_what_stands_between_documents_is_skipped_wherever_it_is_cut() {
    let text = b"{\"eval_count\":1}\x0c\x1e\n{\"prompt_eval_count\":2,\"eval_count\":3}";
    let counted = |pieces: &[&[u8]]| {
        let usage = usage(DialectId::Ollama, &meter(DialectId::Ollama, b"application/x-ndjson", pieces), false);
        (usage.input, usage.output)
    };
    assert_eq!(counted(&[text]), (Some(2), Some(3)));
    assert_eq!(counted(&text.chunks(1).collect::<Vec<_>>()), (Some(2), Some(3)));
}

#[test]
fn ok_a_placeholder_is_never_billed() {
    let cut = MESSAGES_SSE.find("event: message_delta").expect("there");
    let snapshot = meter(DialectId::AnthropicMessages, b"text/event-stream", &[&MESSAGES_SSE.as_bytes()[..cut]]);
    assert!(!snapshot.terminal);
    let usage = usage(DialectId::AnthropicMessages, &snapshot, true);
    assert_eq!((usage.input, usage.output, usage.status), (Some(110), Some(8), UsageStatus::Partial));
    assert_eq!(usage.flags.to_string(), "output_estimated");
}

#[test]
fn ok_an_estimate_is_no_less_than_what_was_said_of_its_parts() {
    let begin = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":300,\
        \"cache_read_input_tokens\":-1,\"output_tokens\":1}}}\n\n";
    let snapshot = meter(DialectId::AnthropicMessages, b"text/event-stream", &[begin.as_bytes()]);
    let operation = DialectId::AnthropicMessages.operations()[0];
    for (estimated, input, uncached) in [(5, 310, Some(10)), (310, 310, Some(10)), (311, 311, None)] {
        let estimate = Estimate { input: Some(estimated), output: Some(4) };
        let usage = settle_usage(operation, "p", &snapshot, true, None, &mut || estimate);
        assert_eq!((usage.input, usage.input_uncached, usage.cache_write), (Some(input), uncached, Some(300)));
        assert_eq!((usage.cache_read, usage.output, usage.status), (None, Some(4), UsageStatus::Partial));
        assert_eq!(usage.flags.to_string(), "bad_number,output_estimated,input_estimated");
    }
    let unknown = settle_usage(operation, "p", &snapshot, true, None, &mut Estimate::default);
    assert_eq!((unknown.input, unknown.output, unknown.flags.to_string().as_str()), (None, Some(1), "bad_number"));
}

#[test]
fn ok_thoughts_that_were_told_are_part_of_the_output_that_is_estimated() {
    let begin = r#"[{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":-1,"thoughtsTokenCount":30}}"#;
    let snapshot = meter(DialectId::GeminiGenerate, b"application/json", &[begin.as_bytes()]);
    let usage = usage(DialectId::GeminiGenerate, &snapshot, true);
    assert_eq!((usage.input, usage.output, usage.reasoning), (Some(5), Some(30), Some(30)));
}

#[test]
fn ok_unknown_is_never_zero() {
    let mut unreadable = Meter::new(DialectId::OpenAiChat.operations()[0], 200, b"application/json", Some(b"br"));
    unreadable.push(b"\x0b\x02", Timestamp::default());
    unreadable.finish();
    let missing = usage(DialectId::OpenAiChat, &unreadable.snapshot(), false);
    assert_eq!(
        (missing.status, missing.input, missing.flags.to_string().as_str()),
        (UsageStatus::Missing, None, "unreadable_encoding")
    );
    let silent =
        meter(DialectId::OpenAiChat, b"application/json", &[br#"{"choices":[{"message":{"content":"12345678"}}]}"#]);
    let silent = usage(DialectId::OpenAiChat, &silent, false);
    assert_eq!((silent.status, silent.input, silent.output), (UsageStatus::Estimated, None, Some(4)));
    let bad = meter(DialectId::OpenAiChat, b"", &[br#"{"usage":{"prompt_tokens":-5,"completion_tokens":7}}"#]);
    let bad = usage(DialectId::OpenAiChat, &bad, false);
    assert_eq!((bad.input, bad.output, bad.flags.to_string().as_str()), (None, Some(7), "bad_number"));
}

/// A counter that is no count is absent, and so is every sum that needs it; the rest stands. Nothing of it is called reported.
#[test]
fn ok_a_bad_count_is_unknown() {
    use DialectId::{
        AnthropicMessages, BedrockConverse, BedrockInvoke, CohereV2, GeminiGenerate, Ollama, OpenAiChat,
        OpenAiEmbeddings,
    };
    // A reply with `#` where the bad number goes; which of input and output is still known.
    let cases = [
        (OpenAiChat, r#"{"usage":{"prompt_tokens":#,"completion_tokens":7}}"#, (None, Some(7))),
        (OpenAiChat, r#"{"usage":{"prompt_tokens":5,"completion_tokens":#}}"#, (Some(5), None)),
        (OpenAiChat, r#"{"usage":{"prompt_tokens":#,"completion_tokens":#,"total_tokens":#}}"#, (None, None)),
        (
            OpenAiChat,
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":7,"precached_prompt_tokens":#}}"#,
            (None, Some(7)),
        ),
        (OpenAiChat, r#"{"usage":{"prompt_tokens":5,"completion_tokens":7,"citation_tokens":#}}"#, (Some(5), None)),
        (AnthropicMessages, r#"{"usage":{"input_tokens":#,"output_tokens":7}}"#, (None, Some(7))),
        (AnthropicMessages, r#"{"usage":{"input_tokens":5,"output_tokens":#}}"#, (Some(5), None)),
        (
            AnthropicMessages,
            r#"{"usage":{"input_tokens":5,"cache_read_input_tokens":#,"output_tokens":7}}"#,
            (None, Some(7)),
        ),
        (
            AnthropicMessages,
            r#"{"usage":{"input_tokens":5,"cache_creation_input_tokens":#,"output_tokens":7}}"#,
            (None, Some(7)),
        ),
        (
            GeminiGenerate,
            r#"{"usageMetadata":{"promptTokenCount":#,"candidatesTokenCount":4,"thoughtsTokenCount":3}}"#,
            (None, Some(7)),
        ),
        (GeminiGenerate, r#"{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":#}}"#, (Some(5), None)),
        (
            GeminiGenerate,
            r#"{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":4,"thoughtsTokenCount":#}}"#,
            (Some(5), None),
        ),
        (
            GeminiGenerate,
            r#"{"usageMetadata":{"promptTokenCount":5,"toolUsePromptTokenCount":#,"candidatesTokenCount":7}}"#,
            (None, Some(7)),
        ),
        (BedrockConverse, r#"{"usage":{"inputTokens":#,"outputTokens":7,"totalTokens":12}}"#, (None, Some(7))),
        (BedrockConverse, r#"{"usage":{"inputTokens":5,"cacheReadInputTokens":#,"outputTokens":7}}"#, (None, Some(7))),
        (BedrockInvoke, r#"{"usage":{"input_tokens":5,"output_tokens":#}}"#, (Some(5), None)),
        (CohereV2, r#"{"usage":{"billed_units":{"input_tokens":#,"output_tokens":7}}}"#, (None, Some(7))),
        (Ollama, r#"{"prompt_eval_count":#,"eval_count":7}"#, (None, Some(7))),
        (OpenAiEmbeddings, r#"{"usage":{"prompt_tokens":#}}"#, (None, None)),
    ];
    for (dialect, reply, known) in cases {
        for bad in ["-5", "1.5", "1e400", "9007199254740993", "99999999999999999999", "\"12\"", "true", "[5]", "{}"] {
            let reply = reply.replace('#', bad);
            let usage = usage(dialect, &meter(dialect, b"application/json", &[reply.as_bytes()]), false);
            assert_eq!((usage.input, usage.output), known, "{reply}");
            assert_eq!(usage.flags.to_string(), "bad_number", "{reply}");
            let status = if known == (None, None) { UsageStatus::Missing } else { UsageStatus::Partial };
            assert_eq!(usage.status, status, "{reply}");
        }
    }
}

#[test]
fn ok_a_bad_count_of_something_else_is_unknown() {
    for bad in ["-5", "1e999", "\"12\"", "true"] {
        let reply = r#"{"text":"Hi.","usage":{"type":"duration","seconds":#}}"#.replace('#', bad);
        let usage = usage(
            DialectId::OpenAiAudio,
            &meter(DialectId::OpenAiAudio, b"application/json", &[reply.as_bytes()]),
            false,
        );
        assert_eq!((usage.audio_seconds, usage.status), (None, UsageStatus::Missing), "{reply}");
        assert_eq!(usage.flags.to_string(), "bad_number", "{reply}");
    }
    // One bad part of a sum spoils it, and a class that is left out is not one that is no count.
    let reply = r#"{"predictions":[{"embeddings":{"statistics":{"token_count":3}}},{"embeddings":{"statistics":{"token_count":-4}}},
        {"embeddings":{"statistics":{"token_count":3}}}]}"#;
    let predict = DialectId::GeminiGenerate.operations()[5];
    let mut sums = Meter::new(predict, 200, b"application/json", None);
    sums.push(reply.as_bytes(), Timestamp::default());
    sums.finish();
    let usage = settle_usage(predict, "p", &sums.snapshot(), false, None, &mut Estimate::default);
    assert_eq!(
        (usage.input, usage.status, usage.flags.to_string().as_str()),
        (None, UsageStatus::Missing, "bad_number")
    );
}

/// A bad part leaves the whole as it is, and the difference of both unknown.
#[test]
fn ok_a_bad_part_is_unknown() {
    let of = |reply: &str| {
        usage(DialectId::OpenAiChat, &meter(DialectId::OpenAiChat, b"application/json", &[reply.as_bytes()]), false)
    };
    let usage =
        of(r#"{"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":-1}}}"#);
    assert_eq!((usage.input, usage.output, usage.cache_read), (Some(5), Some(7), None));
    assert_eq!((usage.input_uncached, usage.status), (None, UsageStatus::Reported));
    assert_eq!(usage.flags.to_string(), "bad_number");
    // The total tells what a bad counter does not.
    let usage = of(r#"{"usage":{"prompt_tokens":"5","completion_tokens":7,"total_tokens":12}}"#);
    assert_eq!((usage.input, usage.output, usage.status), (Some(5), Some(7), UsageStatus::Reported));
}

#[test]
fn ok_an_error_in_a_stream_is_seen() {
    let openai = meter(
        DialectId::OpenAiChat,
        b"text/event-stream",
        &[b"data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\n"],
    );
    let anthropic = meter(
        DialectId::AnthropicMessages,
        b"text/event-stream",
        &[b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n"],
    );
    assert!(openai.error && anthropic.error);
    assert_eq!(usage(DialectId::OpenAiChat, &openai, false).status, UsageStatus::None);
}

proptest! {
    /// Cut anywhere: how the bytes come changes nothing but the time of the first delta. Stop anywhere: a stream that ends early never
    /// counts more than the whole.
    #[test]
    fn cut_and_stop_anywhere(sse in any::<bool>(), anthropic in any::<bool>(), at in any::<prop::sample::Index>(), step in 1..40_usize) {
        let (dialect, kind, text) = match (anthropic, sse) {
            (true, _) => (DialectId::AnthropicMessages, &b"text/event-stream"[..], MESSAGES_SSE),
            (false, true) => (DialectId::OpenAiChat, &b"text/event-stream"[..], CHAT_SSE),
            (false, false) => (DialectId::OpenAiChat, &b"application/json"[..], CHAT_JSON),
        };
        let whole = meter(dialect, kind, &[text.as_bytes()]);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
        let mut cut = meter(dialect, kind, &pieces);
        cut.first_output = whole.first_output;
        prop_assert_eq!(&cut, &whole);
        let stopped = meter(dialect, kind, &[text.as_bytes().split_at(at.index(text.len())).0]);
        let (less, all) = (usage(dialect, &stopped, true), usage(dialect, &whole, false));
        prop_assert!(less.input <= all.input && less.output <= all.output, "{:?} of {:?}", less, all);
    }
}

fn settled(dialect: DialectId, body: &str, input: u64) -> Usage {
    let kind = if body.starts_with('{') { &b"application/json"[..] } else { b"text/event-stream" };
    let snapshot = meter(dialect, kind, &[body.as_bytes()]);
    let known = Learned::default();
    let mut estimate = || known.estimate(input, Some(snapshot.text));
    settle_usage(dialect.operations()[0], "p", &snapshot, false, None, &mut estimate)
}

#[test]
fn ok_zero_for_something_is_missing_and_zero_for_nothing_is_zero() {
    let chat = |content: &str, output: u64| {
        let usage = format!(r#"{{"prompt_tokens":0,"completion_tokens":{output},"total_tokens":{output}}}"#);
        let choice = format!(r#"{{"message":{{"content":"{content}"}},"finish_reason":"stop"}}"#);
        settled(DialectId::OpenAiChat, &format!(r#"{{"choices":[{choice}],"usage":{usage}}}"#), 9)
    };
    let silent = chat("hello", 0);
    assert_eq!((silent.status, silent.input, silent.output), (UsageStatus::Missing, None, None));
    assert_eq!(silent.flags.to_string(), "zero_usage");
    let empty = chat("", 0);
    assert_eq!((empty.status, empty.total(), empty.flags.is_empty()), (UsageStatus::Reported, Some(0), true));
    let cheap = chat("hello", 2);
    assert_eq!((cheap.status, cheap.total(), cheap.flags.is_empty()), (UsageStatus::Reported, Some(2), true));

    let embedding = r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":0,"total_tokens":0}}"#;
    let silent = settled(DialectId::OpenAiEmbeddings, embedding, 9);
    assert_eq!(
        (silent.status, silent.input, silent.flags.to_string().as_str()),
        (UsageStatus::Missing, None, "zero_usage")
    );
    assert_eq!(settled(DialectId::OpenAiEmbeddings, embedding, 0).status, UsageStatus::Reported);
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}}\n\ndata: [DONE]\n\n";
    assert_eq!(settled(DialectId::OpenAiChat, stream, 9).status, UsageStatus::Missing);
}

proptest! {
    /// Wherever a stream is cut, what is told grows with what was seen and is never less than the provider's own count.
    #[test]
    fn ok_estimates_of_a_cut_stream_grow_with_it(
        words in proptest::collection::vec("[a-zA-Z0-9 é漢😀]{0,40}", 1..20),
        placeholder in 0_u64..20,
    ) {
        let mut stream = format!("data: {{\"type\":\"message_start\",\"message\":{{\"usage\":{{\"input_tokens\":5,\"output_tokens\":{placeholder}}}}}}}\n\n");
        let start = stream.len();
        for word in &words {
            stream += &format!("data: {{\"type\":\"content_block_delta\",\"delta\":{{\"text\":\"{word}\"}}}}\n\n");
        }
        let mut last = 0;
        for cut in start..=stream.len() {
            let snapshot = meter(DialectId::AnthropicMessages, b"text/event-stream", &[&stream.as_bytes()[..cut]]);
            let usage = usage(DialectId::AnthropicMessages, &snapshot, true);
            let output = usage.output.expect("known");
            prop_assert_eq!((usage.input, usage.status), (Some(5), UsageStatus::Partial));
            prop_assert!(output >= last && output >= placeholder, "{output} after {last}");
            last = output;
        }
    }
}

#[test]
fn ok_terms_of_service_in_headers() {
    let read = |tier: &[u8], body: &str| {
        let headers = Headers::new(vec![
            (b"x-amzn-bedrock-service-tier".as_slice(), tier),
            (b"x-amzn-bedrock-performanceconfig-latency", b"optimized"),
        ]);
        let operation = DialectId::BedrockInvoke.operations()[0];
        let mut meter = Meter::new(operation, 200, b"application/json", None).with_headers(&headers);
        meter.push(body.as_bytes(), Timestamp::default());
        meter.finish();
        (meter.snapshot().service_tier, meter.snapshot().speed)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(read(b"flex", r#"{"usage":{"input_tokens":1}}"#), (some("flex"), some("optimized")));
    assert_eq!(read(b"\xff", "{}").0, None);
    assert_eq!(read(&[b'a'; 257], "{}").0, None, "no tier has such a name");
}

#[test]
fn ok_sub_inferences_of_each_reply_in_a_batch() {
    let line = r#"{"result":{"message":{"model":"m","usage":{"input_tokens":10,"output_tokens":2,"iterations":[
        {"type":"message","input_tokens":10,"output_tokens":2},{"type":"compaction","input_tokens":7,"output_tokens":1}]}}}}"#
        .replace('\n', "");
    let operations = DialectId::AnthropicMessages.operations();
    let operation = operations.iter().find(|operation| operation.service_tier == Some("batch")).unwrap();
    let mut meter = Meter::new(operation, 200, b"application/x-jsonl", None).with_headers(&Headers::new(vec![]));
    meter.push(format!("{line}\n{line}\n").as_bytes(), Timestamp::default());
    meter.finish();
    let snapshot = meter.snapshot();
    assert_eq!(snapshot.service_tier.as_deref(), Some("batch"));
    let usage = settle_usage(operation, "anthropic", &snapshot, false, None, &mut Estimate::default);
    assert_eq!((usage.input, usage.output), (Some(20), Some(4)));
    assert_eq!((usage.iteration_input, usage.iteration_output), (Some(14), Some(2)));
}
