//! Exchanges of `openai.chat` and `anthropic.messages`, with the spellings and habits of those who speak them.

use serde_json::{Value, json};

use super::{
    Vector,
    events::{named_sse, sse},
    vectors::{JSON, SSE, vector, whole},
};

pub(crate) fn all() -> Vec<Vector> {
    [chat(), compatible(), framing(), doubtful(), anthropic()].into_iter().flatten().collect()
}

fn asked(stream: bool) -> Value {
    json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "Hi." }] })
}

fn reply(usage: Value) -> Value {
    json!({ "id": "c", "object": "chat.completion", "model": "m-1", "choices": [{ "index": 0,
        "message": { "role": "assistant", "content": "Hello there." }, "finish_reason": "stop" }], "usage": usage })
}

fn delta(text: &str, finish: Value, usage: Value) -> Value {
    json!({ "id": "c", "model": "m-1", "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": finish }], "usage": usage })
}

fn json_chat(name: &'static str, host: &'static str, usage: Value, expected: Value) -> Vector {
    vector(name, host, "POST /v1/chat/completions", asked(false), JSON, whole(&reply(usage)), expected)
}

fn stream_chat(name: &'static str, host: &'static str, records: &[Value], expected: Value) -> Vector {
    let body = [sse(records), b"data: [DONE]\n\n".to_vec()].concat();
    vector(name, host, "POST /v1/chat/completions", asked(true), SSE, body, expected)
}

fn counts(input: u64, output: u64, total: u64) -> Value {
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total })
}

fn chat() -> Vec<Vector> {
    let host = "api.openai.com";
    vec![
        json_chat(
            "chat: cached, reasoning and audio are parts",
            host,
            json!({ "prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
                "prompt_tokens_details": { "cached_tokens": 1000, "audio_tokens": 20 },
                "completion_tokens_details": { "reasoning_tokens": 100, "audio_tokens": 30, "accepted_prediction_tokens": 5, "rejected_prediction_tokens": 6 } }),
            json!({ "input_tokens": 1200, "cache_read_tokens": 1000, "input_uncached_tokens": 200, "input_audio_tokens": 20,
                "output_tokens": 300, "reasoning_tokens": 100, "output_audio_tokens": 30, "usage_flags": null, "usage_status": "reported" }),
        ),
        stream_chat(
            "chat, streamed: nulls, then usage beside no choices",
            host,
            &[
                delta("Hello", Value::Null, Value::Null),
                delta("", json!("stop"), Value::Null),
                json!({ "id": "c", "model": "m-1", "choices": [], "usage": counts(12, 24, 36) }),
            ],
            json!({ "input_tokens": 12, "output_tokens": 24, "outcome": "completed", "finish_reason": "stop", "stream": true }),
        ),
        stream_chat(
            "chat, streamed: nobody tells usage",
            host,
            &[delta("Hello there", Value::Null, Value::Null), delta("", json!("stop"), Value::Null)],
            json!({ "usage_status": "estimated", "usage_flags": "output_estimated,input_estimated", "output_tokens": 3, "outcome": "completed" }),
        ),
        vector(
            "chat: an error under 200",
            host,
            "POST /v1/chat/completions",
            asked(false),
            JSON,
            whole(&json!({ "error": { "message": "no", "type": "server_error", "param": null, "code": null } })),
            json!({ "outcome": "provider_error", "reason": "error_in_body", "usage_status": "none", "input_tokens": null }),
        ),
        vector(
            "chat: an error in the middle of a stream",
            host,
            "POST /v1/chat/completions",
            asked(true),
            SSE,
            sse(&[
                delta("Hello there", Value::Null, Value::Null),
                json!({ "error": { "message": "no", "type": "server_error" } }),
            ]),
            json!({ "outcome": "provider_error", "reason": "error_in_body", "usage_status": "estimated", "output_tokens": 3 }),
        ),
    ]
}

fn compatible() -> Vec<Vector> {
    vec![
        json_chat(
            "xAI leaves reasoning out of the output",
            "api.x.ai",
            json!({ "prompt_tokens": 204, "completion_tokens": 1, "total_tokens": 287, "prompt_tokens_details": { "cached_tokens": 192 },
                "completion_tokens_details": { "reasoning_tokens": 82 } }),
            json!({ "input_tokens": 204, "cache_read_tokens": 192, "output_tokens": 83, "reasoning_tokens": 82, "usage_flags": null }),
        ),
        json_chat(
            "Mistral leaves audio out of the input",
            "api.mistral.ai",
            json!({ "prompt_tokens": 9, "completion_tokens": 248, "total_tokens": 632, "prompt_tokens_details": { "audio_tokens": 375 } }),
            json!({ "input_tokens": 384, "input_audio_tokens": 375, "output_tokens": 248, "total_tokens": 632, "usage_flags": null }),
        ),
        json_chat(
            "Mistral's older spelling of cached",
            "api.mistral.ai",
            json!({ "prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22, "num_cached_tokens": 16 }),
            json!({ "input_tokens": 20, "cache_read_tokens": 16 }),
        ),
        json_chat(
            "DeepSeek's hits and misses",
            "api.deepseek.com",
            json!({ "prompt_tokens": 70, "completion_tokens": 5, "total_tokens": 75, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 6 }),
            json!({ "input_tokens": 70, "cache_read_tokens": 64, "input_uncached_tokens": 6 }),
        ),
        json_chat(
            "Moonshot's cached at the root",
            "api.moonshot.ai",
            json!({ "prompt_tokens": 70, "completion_tokens": 5, "total_tokens": 75, "cached_tokens": 64 }),
            json!({ "input_tokens": 70, "cache_read_tokens": 64 }),
        ),
        json_chat(
            "Grok on Azure leaves the cache out",
            "res.services.ai.azure.com",
            json!({ "prompt_tokens": 208, "completion_tokens": 27, "total_tokens": 235, "prompt_tokens_details": { "cached_tokens": 314 } }),
            json!({ "input_tokens": 522, "cache_read_tokens": 314, "usage_flags": "cached_gt_input" }),
        ),
        json_chat(
            "OpenRouter's own cost",
            "openrouter.ai",
            json!({ "prompt_tokens": 579, "completion_tokens": 41, "total_tokens": 620, "cost": 7.84e-4 }),
            json!({ "input_tokens": 579, "output_tokens": 41, "cost_reported_usd": "0.000784" }),
        ),
        stream_chat(
            "Groq tells usage of streams in a place of its own",
            "api.groq.com",
            &[
                delta("Hello", Value::Null, Value::Null),
                json!({ "id": "c", "model": "m-1", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }], "x_groq": { "id": "r", "usage": counts(18, 73, 91) } }),
            ],
            json!({ "input_tokens": 18, "output_tokens": 73, "usage_status": "reported" }),
        ),
        stream_chat(
            "cumulative usage on every chunk is not summed",
            "api.deepseek.com",
            &[
                delta("He", Value::Null, counts(12, 1, 13)),
                delta("llo", Value::Null, counts(12, 4, 16)),
                delta("", json!("stop"), counts(12, 8, 20)),
                json!({ "id": "c", "choices": [], "usage": counts(12, 8, 20) }),
            ],
            json!({ "input_tokens": 12, "output_tokens": 8 }),
        ),
        stream_chat(
            "usage on the finish chunk, and one more chunk without",
            "api.mistral.ai",
            &[delta("Hello", json!("stop"), counts(13, 27, 40)), json!({ "id": "c", "model": "m-1", "choices": [] })],
            json!({ "input_tokens": 13, "output_tokens": 27, "usage_status": "reported" }),
        ),
    ]
}

fn framing() -> Vec<Vector> {
    let host = "api.openai.com";
    let usage = json!({ "id": "c", "model": "m-1", "choices": [], "usage": counts(5, 6, 11) });
    let told = json!({ "input_tokens": 5, "output_tokens": 6, "outcome": "completed", "usage_flags": null });
    let bytes = |text: String| text.into_bytes();
    let of = |name: &'static str, body: Vec<u8>| {
        vector(name, host, "POST /v1/chat/completions", asked(true), SSE, body, told.clone())
    };
    vec![
        of("lines end in CR LF", bytes(format!("data: {usage}\r\n\r\ndata: [DONE]\r\n\r\n"))),
        of("lines end in CR", bytes(format!("data: {usage}\r\rdata: [DONE]\r\r"))),
        of(
            "a byte order mark, comments, other fields",
            bytes(format!(
                "\u{feff}: hello\n\nid: 1\nretry: 5\nevent: x\ndata:{usage}\n\n: keep-alive\n\ndata: [DONE]\n\n"
            )),
        ),
        of(
            "data in several lines",
            bytes(format!(
                "data: {}\n\ndata: [DONE]\n\n",
                usage.to_string().replace("\"usage\":", "\ndata: \"usage\":")
            )),
        ),
        of("no empty line at the end", bytes(format!("data: {usage}\n\ndata: [DONE]"))),
        of(
            "the word usage in a text means nothing",
            bytes(format!(
                "data: {}\n\ndata: {usage}\n\ndata: [DONE]\n\n",
                delta("\"usage\":{\"prompt_tokens\":9}}", Value::Null, Value::Null)
            )),
        ),
    ]
}

fn doubtful() -> Vec<Vector> {
    let host = "api.openai.com";
    vec![
        json_chat("counts as decimals", host, json!({ "prompt_tokens": 12.0, "completion_tokens": 3e1, "total_tokens": 42 }), json!({ "input_tokens": 12, "output_tokens": 30, "usage_flags": null })),
        json_chat("a negative count is none", host, json!({ "prompt_tokens": -5, "completion_tokens": 7 }), json!({ "input_tokens": null, "output_tokens": 7, "usage_flags": "bad_number" })),
        vector(
            "a count beyond what anybody can hold is none",
            host,
            "POST /v1/chat/completions",
            asked(false),
            JSON,
            br#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":99999999999999999999,"completion_tokens":7}}"#.to_vec(),
            json!({ "input_tokens": null, "output_tokens": 7, "usage_flags": "bad_number" }),
        ),
        json_chat("a total that fits nothing is told", host, counts(10, 20, 31), json!({ "input_tokens": 10, "output_tokens": 20, "usage_flags": "total_mismatch" })),
        json_chat("no usage at all", host, Value::Null, json!({ "usage_status": "estimated", "output_tokens": 3 })),
    ]
}

fn anthropic() -> Vec<Vector> {
    let host = "api.anthropic.com";
    let ask = |stream: bool| json!({ "model": "claude-sonnet-4-5", "max_tokens": 100, "stream": stream, "messages": [{ "role": "user", "content": "Hi." }] });
    let message = |content: Value, usage: Value| json!({ "id": "msg", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": content, "stop_reason": null, "usage": usage });
    let start = |usage: Value| json!({ "type": "message_start", "message": message(json!([]), usage) });
    let text =
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hello there." } });
    let stop =
        |usage: Value| json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": usage });
    let last = json!({ "type": "message_stop" });
    let of = |name, records: &[Value], expected| {
        vector(name, host, "POST /v1/messages?beta=true", ask(true), SSE, named_sse(records), expected)
    };
    let mut whole_reply = message(
        json!([{ "type": "thinking", "thinking": "Hm." }, { "type": "text", "text": "Hello." }]),
        json!({ "input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 300,
            "cache_creation": { "ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200 },
            "output_tokens_details": { "thinking_tokens": 12 }, "server_tool_use": { "web_search_requests": 2 }, "service_tier": "standard" }),
    );
    whole_reply["stop_reason"] = json!("refusal");
    vec![
        vector(
            "claude: the cache is outside of the input",
            host,
            "POST /v1/messages",
            ask(false),
            JSON,
            whole(&whole_reply),
            json!({ "input_tokens": 2400, "input_uncached_tokens": 100, "cache_read_tokens": 2000, "cache_write_tokens": 300,
                "cache_write_5m_tokens": 100, "cache_write_1h_tokens": 200, "output_tokens": 50, "reasoning_tokens": 12, "web_searches": 2,
                "service_tier": "standard", "finish_reason": "refusal", "total_tokens": 2450, "usage_flags": null }),
        ),
        of(
            "claude, streamed: the first count of output is a placeholder",
            &[
                start(json!({ "input_tokens": 27, "output_tokens": 1 })),
                json!({ "type": "ping" }),
                text.clone(),
                stop(json!({ "output_tokens": 15 })),
                last.clone(),
            ],
            json!({ "input_tokens": 27, "output_tokens": 15, "usage_status": "reported", "outcome": "completed" }),
        ),
        of(
            "claude, streamed: input grows, and the lives of the cache are told once",
            &[
                start(
                    json!({ "input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 30, "cache_creation": { "ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20 } }),
                ),
                text.clone(),
                stop(json!({ "input_tokens": 40, "output_tokens": 15, "cache_creation_input_tokens": 30 })),
                last.clone(),
            ],
            json!({ "input_tokens": 70, "input_uncached_tokens": 40, "cache_write_1h_tokens": 20, "output_tokens": 15 }),
        ),
        of(
            "claude, cut before the count: the placeholder is never billed",
            &[start(json!({ "input_tokens": 27, "output_tokens": 1 })), text],
            json!({ "outcome": "upstream_reset", "usage_status": "partial", "input_tokens": 27, "output_tokens": 3, "usage_flags": "output_estimated" }),
        ),
        of(
            "claude, overloaded in the middle",
            &[
                start(json!({ "input_tokens": 27, "output_tokens": 1 })),
                json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
            ],
            json!({ "outcome": "provider_error", "usage_status": "partial", "input_tokens": 27 }),
        ),
    ]
}
