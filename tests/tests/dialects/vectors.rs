//! The exchanges.

use serde_json::{Value, json};

use super::{
    Vector, chat,
    events::{chunks, converse, lines, message, named_sse, sse},
    free,
};

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const SSE: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");
const EVENTS: (&str, &str) = ("content-type", "application/vnd.amazon.eventstream");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

pub(crate) fn vector(
    name: &'static str,
    host: &'static str,
    asked: &'static str,
    request: Value,
    header: (&'static str, &'static str),
    reply: Vec<u8>,
    expected: Value,
) -> Vector {
    Vector { name, host, asked, request, headers: vec![header], reply, expected }
}

pub(crate) fn whole(reply: &Value) -> Vec<u8> {
    reply.to_string().into_bytes()
}

pub(crate) fn all() -> Vec<Vector> {
    [chat::all(), openai(), gemini(), bedrock(), others(), free::all()].into_iter().flatten().collect()
}

fn openai() -> Vec<Vector> {
    let usage = json!({ "input_tokens": 1220, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 1217 },
        "output_tokens": 100, "output_tokens_details": { "reasoning_tokens": 54 }, "total_tokens": 1320 });
    let response = json!({ "id": "resp_1", "object": "response", "model": "gpt-5.6-sol", "status": "completed",
        "service_tier": "default", "error": null, "incomplete_details": null, "usage": usage,
        "output": [{ "type": "message", "content": [{ "type": "output_text", "text": "Hi." }] }] });
    let mut begun = response.clone();
    begun["status"] = json!("in_progress");
    begun["usage"] = Value::Null;
    let told = json!({ "dialect": "openai.responses", "input_tokens": 1220, "cache_write_tokens": 1217, "output_tokens": 100,
        "reasoning_tokens": 54, "total_tokens": 1320, "usage_flags": null, "outcome": "completed", "finish_reason": "completed",
        "usage_status": "reported", "billable": true });
    let asked = json!({ "model": "gpt-5.6-sol", "input": "Hi." });
    vec![
        vector(
            "responses",
            "api.openai.com",
            "POST /v1/responses",
            asked.clone(),
            JSON,
            whole(&response),
            told.clone(),
        ),
        vector(
            "responses, streamed",
            "api.openai.com",
            "POST /v1/responses",
            json!({ "model": "gpt-5.6-sol", "input": "Hi.", "stream": true }),
            SSE,
            named_sse(&[
                json!({ "type": "response.created", "response": begun }),
                json!({ "type": "response.output_text.delta", "delta": "Hi.", "sequence_number": 4 }),
                json!({ "type": "response.completed", "response": response }),
            ]),
            told,
        ),
        vector(
            "responses, to be made later",
            "api.openai.com",
            "POST /v1/responses",
            json!({ "model": "gpt-5.6-sol", "input": "Hi.", "background": true }),
            JSON,
            whole(&json!({ "id": "resp_1", "model": "gpt-5.6-sol", "status": "queued", "usage": null, "output": [] })),
            json!({ "usage_status": "missing", "input_tokens": null, "output_tokens": null, "cost_status": "unpriced" }),
        ),
        vector(
            "responses that fail in the middle",
            "api.openai.com",
            "POST /v1/responses",
            json!({ "model": "gpt-5.6-sol", "input": "Hi.", "stream": true }),
            SSE,
            named_sse(&[
                json!({ "type": "response.created", "response": begun }),
                json!({ "type": "response.failed", "response": { "status": "failed", "usage": null, "error": { "code": "server_error" } } }),
            ]),
            json!({ "outcome": "provider_error", "reason": "error_in_body", "usage_status": "none" }),
        ),
        vector(
            "compaction",
            "api.openai.com",
            "POST /v1/responses/compact",
            asked,
            JSON,
            whole(
                &json!({ "id": "c", "object": "response.compaction", "usage": { "input_tokens": 141, "output_tokens": 183, "total_tokens": 324 } }),
            ),
            json!({ "input_tokens": 141, "output_tokens": 183, "endpoint": "/v1/responses/compact" }),
        ),
        vector(
            "embeddings",
            "api.openai.com",
            "POST /v1/embeddings",
            json!({ "model": "text-embedding-3-small", "input": ["one", "two"] }),
            JSON,
            whole(
                &json!({ "model": "text-embedding-3-small", "data": [{ "embedding": [0.5, -1e-3] }], "usage": { "prompt_tokens": 8, "total_tokens": 8 } }),
            ),
            json!({ "operation": "embeddings", "input_tokens": 8, "output_tokens": 0, "total_tokens": 8, "stream": false }),
        ),
        vector(
            "completions",
            "api.openai.com",
            "POST /v1/completions",
            json!({ "model": "gpt-3.5-turbo-instruct", "prompt": "Once" }),
            JSON,
            whole(
                &json!({ "id": "cmpl", "model": "gpt-3.5-turbo-instruct", "choices": [{ "text": " upon", "finish_reason": "length" }],
                "usage": { "prompt_tokens": 9, "completion_tokens": 16, "total_tokens": 25 } }),
            ),
            json!({ "operation": "text_completion", "input_tokens": 9, "output_tokens": 16, "finish_reason": "length" }),
        ),
        vector(
            "images",
            "api.openai.com",
            "POST /v1/images/generations",
            json!({ "model": "gpt-image-1", "prompt": "A whale" }),
            JSON,
            whole(&json!({ "created": 1, "data": [{ "b64_json": "AAAA" }, { "b64_json": "BBBB" }],
                "usage": { "input_tokens": 13, "input_tokens_details": { "text_tokens": 13, "image_tokens": 0 }, "output_tokens": 4160, "total_tokens": 4173 } })),
            json!({ "images": 2, "input_tokens": 13, "output_tokens": 4160, "operation": "image_generation" }),
        ),
        vector(
            "images without tokens",
            "api.openai.com",
            "POST /v1/images/generations",
            json!({ "model": "dall-e-3", "prompt": "A whale" }),
            JSON,
            whole(&json!({ "created": 1, "data": [{ "url": "https://example.com/1.png" }] })),
            json!({ "images": 1, "input_tokens": null, "output_tokens": null, "usage_status": "reported" }),
        ),
        vector(
            "transcription by tokens",
            "api.openai.com",
            "POST /v1/audio/transcriptions",
            json!({ "model": "gpt-4o-transcribe" }),
            JSON,
            whole(
                &json!({ "text": "Hello.", "usage": { "type": "tokens", "input_tokens": 26, "input_token_details": { "text_tokens": 5, "audio_tokens": 21 }, "output_tokens": 4, "total_tokens": 30 } }),
            ),
            json!({ "input_tokens": 26, "input_audio_tokens": 21, "output_tokens": 4, "usage_flags": null }),
        ),
        vector(
            "transcription by seconds",
            "api.openai.com",
            "POST /v1/audio/transcriptions",
            json!({ "model": "whisper-1" }),
            JSON,
            whole(&json!({ "text": "Hello.", "usage": { "type": "duration", "seconds": 9.5 } })),
            json!({ "audio_seconds": 9.5, "usage_status": "reported", "input_tokens": null }),
        ),
    ]
}

fn gemini() -> Vec<Vector> {
    let host = "generativelanguage.googleapis.com";
    let asked = json!({ "contents": [{ "parts": [{ "text": "Hi." }] }] });
    let reply = |usage: Value| {
        json!({ "candidates": [{ "content": { "parts": [{ "text": "Hello." }] }, "finishReason": "STOP" }],
        "usageMetadata": usage, "modelVersion": "gemini-2.5-pro", "responseId": "r" })
    };
    let thoughts = json!({ "promptTokenCount": 48, "candidatesTokenCount": 14, "thoughtsTokenCount": 61, "totalTokenCount": 123,
        "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 40 }, { "tokenCount": 8, "modality": "AUDIO" }] });
    let told = json!({ "dialect": "gemini.generate", "input_tokens": 48, "output_tokens": 75, "reasoning_tokens": 61, "total_tokens": 123,
        "input_audio_tokens": 8, "usage_flags": null, "request_model": "gemini-2.5-pro", "outcome": "completed" });
    let first = json!({ "candidates": [{ "content": { "parts": [{ "text": "Hel" }] } }], "usageMetadata": { "trafficType": "ON_DEMAND" } });
    vec![
        vector(
            "gemini",
            host,
            "POST /v1beta/models/gemini-2.5-pro:generateContent",
            asked.clone(),
            JSON,
            whole(&reply(thoughts.clone())),
            told.clone(),
        ),
        vector(
            "gemini, as events",
            host,
            "POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            asked.clone(),
            SSE,
            sse(&[first.clone(), reply(thoughts.clone())]),
            told.clone(),
        ),
        vector(
            "gemini, as an array",
            host,
            "POST /v1beta/models/gemini-2.5-pro:streamGenerateContent",
            asked.clone(),
            JSON,
            format!("[{first}\n,\r\n{}\n]", reply(thoughts)).into_bytes(),
            told,
        ),
        vector(
            "gemini with tools",
            host,
            "POST /v1beta/models/gemini-2.5-pro:generateContent",
            asked.clone(),
            JSON,
            whole(&reply(
                json!({ "promptTokenCount": 85, "toolUsePromptTokenCount": 149, "candidatesTokenCount": 122, "thoughtsTokenCount": 87, "totalTokenCount": 443 }),
            )),
            json!({ "input_tokens": 234, "output_tokens": 209, "reasoning_tokens": 87, "usage_flags": null }),
        ),
        vector(
            "gemini, cached",
            "us-central1-aiplatform.googleapis.com",
            "POST /v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
            asked.clone(),
            JSON,
            whole(&reply(
                json!({ "promptTokenCount": 9622, "cachedContentTokenCount": 9609, "candidatesTokenCount": 35, "thoughtsTokenCount": 136, "totalTokenCount": 9793 }),
            )),
            json!({ "provider": "vertex-ai", "input_tokens": 9622, "cache_read_tokens": 9609, "input_uncached_tokens": 13, "output_tokens": 171 }),
        ),
        vector(
            "gemini that refuses the prompt",
            host,
            "POST /v1beta/models/gemini-2.5-pro:generateContent",
            asked.clone(),
            JSON,
            whole(
                &json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": { "promptTokenCount": 7, "totalTokenCount": 7 } }),
            ),
            json!({ "input_tokens": 7, "output_tokens": 0, "usage_status": "reported", "finish_reason": "SAFETY" }),
        ),
        vector(
            "gemini embeddings",
            host,
            "POST /v1beta/models/gemini-embedding-2:batchEmbedContents",
            json!({ "requests": [{ "content": { "parts": [{ "text": "Hi." }] } }] }),
            JSON,
            whole(
                &json!({ "embeddings": [{ "values": [0.1] }], "usageMetadata": { "promptTokenCount": 261, "promptTokenDetails": [{ "modality": "IMAGE", "tokenCount": 258 }, { "modality": "TEXT", "tokenCount": 3 }] } }),
            ),
            json!({ "input_tokens": 261, "input_image_tokens": 258, "output_tokens": 0 }),
        ),
        vector(
            "vertex embeddings",
            "us-central1-aiplatform.googleapis.com",
            "POST /v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict",
            json!({ "instances": [{ "content": "one" }, { "content": "two" }] }),
            JSON,
            whole(
                &json!({ "predictions": [{ "embeddings": { "statistics": { "token_count": 3 } } }, { "embeddings": { "statistics": { "token_count": 4 } } }] }),
            ),
            json!({ "input_tokens": 7, "operation": "embeddings" }),
        ),
        vector(
            "interactions, streamed",
            host,
            "POST /v1beta/interactions",
            json!({ "model": "gemini-2.5-flash", "input": "Hi.", "stream": true }),
            SSE,
            sse(&[
                json!({ "event_type": "interaction.start", "interaction": { "id": "v1_a", "status": "in_progress" } }),
                json!({ "event_type": "content.delta", "delta": { "type": "text", "text": "Hello." } }),
                json!({ "event_type": "interaction.complete", "interaction": { "id": "v1_a", "model": "gemini-2.5-flash", "status": "completed",
                    "usage": { "total_input_tokens": 5, "total_output_tokens": 3, "total_thought_tokens": 20, "total_tokens": 28 } } }),
            ]),
            json!({ "input_tokens": 5, "output_tokens": 23, "reasoning_tokens": 20, "usage_flags": null, "outcome": "completed" }),
        ),
    ]
}

fn bedrock() -> Vec<Vector> {
    let host = "bedrock-runtime.us-east-1.amazonaws.com";
    let asked = json!({ "messages": [{ "role": "user", "content": [{ "text": "Hi." }] }] });
    let invoke = json!({ "anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{ "role": "user", "content": "Hi." }] });
    let mut headers_only = vector(
        "invoke with counts in headers only",
        host,
        "POST /model/cohere.embed-english-v3/invoke",
        json!({ "texts": ["Hi."], "input_type": "search_document" }),
        JSON,
        whole(&json!({ "embeddings": [[0.25]], "response_type": "embeddings_floats" })),
        json!({ "input_tokens": 3, "output_tokens": 0, "usage_status": "reported" }),
    );
    headers_only.headers.push(("x-amzn-bedrock-input-token-count", "3"));
    vec![
        vector(
            "converse",
            host,
            "POST /model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse",
            asked.clone(),
            JSON,
            whole(
                &json!({ "output": { "message": { "role": "assistant", "content": [{ "text": "Hello." }] } }, "stopReason": "end_turn",
                "usage": { "inputTokens": 10, "outputTokens": 4, "totalTokens": 7365, "cacheWriteInputTokens": 7351, "cacheReadInputTokens": 0,
                    "cacheDetails": [{ "inputTokens": 7351, "ttl": "5m" }] } }),
            ),
            json!({ "dialect": "bedrock.converse", "request_model": "us.anthropic.claude-sonnet-4-20250514-v1:0", "input_tokens": 7361,
                "cache_write_tokens": 7351, "cache_write_5m_tokens": 7351, "output_tokens": 4, "usage_flags": null }),
        ),
        vector(
            "converse, streamed",
            host,
            "POST /model/amazon.nova-lite-v1:0/converse-stream",
            asked.clone(),
            EVENTS,
            converse(&[
                ("messageStart", json!({ "role": "assistant", "p": "abc" })),
                ("contentBlockDelta", json!({ "contentBlockIndex": 0, "delta": { "text": "Hello." }, "p": "ab" })),
                ("messageStop", json!({ "stopReason": "end_turn", "p": "a" })),
                (
                    "metadata",
                    json!({ "metrics": { "latencyMs": 9 }, "usage": { "inputTokens": 12, "outputTokens": 250, "totalTokens": 1290, "cacheReadInputTokens": 1028 } }),
                ),
            ]),
            json!({ "input_tokens": 1040, "cache_read_tokens": 1028, "output_tokens": 250, "stream": true, "outcome": "completed", "usage_flags": null }),
        ),
        vector(
            "converse that is throttled in the middle",
            host,
            "POST /model/amazon.nova-lite-v1:0/converse-stream",
            asked,
            EVENTS,
            [
                converse(&[("messageStart", json!({ "role": "assistant" }))]),
                message("throttlingException", ":exception-type", br#"{"message":"slow down"}"#),
            ]
            .concat(),
            json!({ "outcome": "provider_error", "reason": "error_in_body", "status": 200 }),
        ),
        vector(
            "invoke that fails in the middle",
            host,
            "POST /model/meta.llama3-8b-instruct-v1:0/invoke-with-response-stream",
            json!({ "prompt": "Hi." }),
            EVENTS,
            [
                chunks(&[json!({ "generation": "He", "prompt_token_count": 10, "generation_token_count": 1, "stop_reason": null })]),
                message("modelStreamErrorException", ":exception-type", br#"{"message":"no","originalStatusCode":500}"#),
            ]
            .concat(),
            json!({ "outcome": "provider_error", "reason": "error_in_body", "status": 200, "usage_status": "partial",
                "input_tokens": 10, "output_tokens": 1 }),
        ),
        vector(
            "invoke of Claude, streamed",
            host,
            "POST /model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream",
            invoke,
            EVENTS,
            chunks(&[
                json!({ "type": "message_start", "message": { "id": "msg", "model": "claude-3-haiku-20240307", "usage": { "input_tokens": 21, "output_tokens": 2 } } }),
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hello." } }),
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 22 } }),
                json!({ "type": "message_stop", "amazon-bedrock-invocationMetrics": { "inputTokenCount": 21, "outputTokenCount": 22, "invocationLatency": 9 } }),
            ]),
            json!({ "dialect": "bedrock.invoke", "input_tokens": 21, "output_tokens": 22, "finish_reason": "end_turn", "outcome": "completed" }),
        ),
        vector(
            "invoke of Llama, streamed: its own counts are not final",
            host,
            "POST /model/meta.llama3-8b-instruct-v1:0/invoke-with-response-stream",
            json!({ "prompt": "Hi.", "max_gen_len": 60 }),
            EVENTS,
            chunks(&[
                json!({ "generation": "He", "prompt_token_count": 10, "generation_token_count": 1, "stop_reason": null }),
                json!({ "generation": "llo", "prompt_token_count": null, "generation_token_count": 2, "stop_reason": "length",
                    "amazon-bedrock-invocationMetrics": { "inputTokenCount": 10, "outputTokenCount": 60 } }),
            ]),
            json!({ "input_tokens": 10, "output_tokens": 60, "finish_reason": "length" }),
        ),
        vector(
            "invoke of Titan",
            host,
            "POST /model/amazon.titan-text-express-v1/invoke",
            json!({ "inputText": "Hi." }),
            JSON,
            whole(
                &json!({ "inputTextTokenCount": 28, "results": [{ "tokenCount": 197, "outputText": "Hello.", "completionReason": "FINISH" }] }),
            ),
            json!({ "input_tokens": 28, "output_tokens": 197, "finish_reason": "FINISH" }),
        ),
        headers_only,
    ]
}

fn others() -> Vec<Vector> {
    let question = json!([{ "role": "user", "content": "Hi." }]);
    vec![
        vector(
            "cohere: what is billed, and a cache on another scale",
            "api.cohere.com",
            "POST /v2/chat",
            json!({ "model": "command-a-03-2025", "messages": question }),
            JSON,
            whole(&json!({ "id": "x", "message": { "content": [{ "type": "text", "text": "Hello." }] }, "finish_reason": "COMPLETE",
                "usage": { "billed_units": { "input_tokens": 8.0, "output_tokens": 50 }, "tokens": { "input_tokens": 1394, "output_tokens": 55 }, "cached_tokens": 1360 } })),
            json!({ "dialect": "cohere.v2", "input_tokens": 8, "output_tokens": 50, "cache_read_tokens": 1360, "input_uncached_tokens": null, "usage_flags": "cache_other_scale" }),
        ),
        vector(
            "cohere, streamed",
            "api.cohere.com",
            "POST /v2/chat",
            json!({ "model": "command-a-03-2025", "messages": question, "stream": true }),
            SSE,
            [
                named_sse(&[
                    json!({ "type": "message-start", "id": "x" }),
                    json!({ "type": "content-delta", "delta": { "message": { "content": { "text": "Hello." } } } }),
                    json!({ "type": "message-end", "delta": { "finish_reason": "COMPLETE", "usage": { "billed_units": { "input_tokens": 8, "output_tokens": 2 } } } }),
                ]),
                b"data: [DONE]\n\n".to_vec(),
            ]
            .concat(),
            json!({ "input_tokens": 8, "output_tokens": 2, "finish_reason": "COMPLETE", "outcome": "completed", "usage_flags": null }),
        ),
        vector(
            "cohere's search units",
            "api.cohere.com",
            "POST /v2/rerank",
            json!({ "model": "rerank-v3.5", "query": "a", "documents": ["b"] }),
            JSON,
            whole(&json!({ "id": "x", "results": [], "meta": { "api_version": { "version": "2" }, "billed_units": { "search_units": 1 } } })),
            json!({ "operation": "rerank", "search_units": 1, "input_tokens": null, "usage_status": "reported" }),
        ),
        vector(
            "ollama streams unless told otherwise",
            "ollama.com",
            "POST /api/chat",
            json!({ "model": "llama3.2", "messages": question }),
            NDJSON,
            lines(&[
                json!({ "model": "llama3.2", "message": { "role": "assistant", "content": "Hel" }, "done": false }),
                json!({ "model": "llama3.2", "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 298 }),
            ]),
            json!({ "dialect": "ollama", "stream": true, "input_tokens": 26, "output_tokens": 298, "outcome": "completed", "finish_reason": "stop" }),
        ),
        vector(
            "ollama whole, its prompt cached",
            "ollama.com",
            "POST /api/generate",
            json!({ "model": "llama3.2", "prompt": "Hi.", "stream": false }),
            JSON,
            whole(&json!({ "model": "llama3.2", "response": "Hello.", "done": true, "done_reason": "stop", "eval_count": 3 })),
            json!({ "stream": false, "input_tokens": 0, "output_tokens": 3, "operation": "text_completion" }),
        ),
        vector(
            "dashscope, streamed by header",
            "dashscope.aliyuncs.com",
            "POST /api/v1/services/aigc/text-generation/generation",
            json!({ "model": "qwen-max", "input": { "messages": question } }),
            SSE,
            sse(&[
                json!({ "output": { "choices": [{ "message": { "content": "Hel" }, "finish_reason": "null" }] }, "usage": { "input_tokens": 25, "output_tokens": 1, "total_tokens": 26 }, "request_id": "r" }),
                json!({ "output": { "choices": [{ "message": { "content": "lo." }, "finish_reason": "stop" }] }, "usage": { "input_tokens": 25, "output_tokens": 19, "total_tokens": 44, "prompt_tokens_details": { "cached_tokens": 0 } }, "request_id": "r" }),
            ]),
            json!({ "dialect": "dashscope", "stream": true, "input_tokens": 25, "output_tokens": 19, "finish_reason": "stop", "outcome": "completed" }),
        ),
        vector(
            "watsonx counts up",
            "us-south.ml.cloud.ibm.com",
            "POST /ml/v1/text/generation_stream?version=2024-02-15",
            json!({ "model_id": "google/flan-ul2", "input": "Hi." }),
            SSE,
            sse(&[
                json!({ "model_id": "google/flan-ul2", "results": [{ "generated_text": "He", "generated_token_count": 1, "input_token_count": 8, "stop_reason": "not_finished" }] }),
                json!({ "model_id": "google/flan-ul2", "results": [{ "generated_text": "llo", "generated_token_count": 11, "input_token_count": 0, "stop_reason": "eos_token" }] }),
            ]),
            json!({ "dialect": "watsonx", "stream": true, "input_tokens": 8, "output_tokens": 11, "response_model": "google/flan-ul2" }),
        ),
        vector(
            "voyage's rerank",
            "api.voyageai.com",
            "POST /v1/rerank",
            json!({ "model": "rerank-2-lite", "query": "a", "documents": ["b", "c"] }),
            JSON,
            whole(&json!({ "object": "list", "data": [], "model": "rerank-2-lite", "usage": { "total_tokens": 43 } })),
            json!({ "provider": "voyage", "input_tokens": 43, "output_tokens": 0, "total_tokens": 43 }),
        ),
        vector(
            "claude on vertex",
            "us-east5-aiplatform.googleapis.com",
            "POST /v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict",
            json!({ "anthropic_version": "vertex-2023-10-16", "max_tokens": 10, "messages": question }),
            JSON,
            whole(&json!({ "id": "msg", "type": "message", "model": "claude-sonnet-4-20250514", "content": [{ "type": "text", "text": "Hello." }], "stop_reason": "end_turn",
                "usage": { "input_tokens": 16, "output_tokens": 16, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0 } })),
            json!({ "provider": "vertex-ai", "dialect": "anthropic.messages", "request_model": "claude-sonnet-4@20250514", "input_tokens": 20, "output_tokens": 16 }),
        ),
    ]
}
