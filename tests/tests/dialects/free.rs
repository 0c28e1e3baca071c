//! What nobody pays for: counting tokens, reading what was billed, moderation.

use serde_json::{Value, json};

use super::{
    Vector,
    vectors::{JSON, vector, whole},
};

pub(crate) fn all() -> Vec<Vector> {
    let counted = json!({ "billable": false, "cost_usd": null, "cost_status": "free" });
    let with = |more: Value| {
        let mut fields = counted.clone();
        fields.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        fields
    };
    let question = json!([{ "role": "user", "content": "Hi." }]);
    vec![
        vector(
            "counting tokens for Claude",
            "api.anthropic.com",
            "POST /v1/messages/count_tokens",
            json!({ "model": "claude-sonnet-4-5", "messages": question }),
            JSON,
            whole(&json!({ "input_tokens": 14 })),
            with(json!({ "operation": "count_tokens", "input_tokens": 14 })),
        ),
        vector(
            "counting tokens for Gemini",
            "generativelanguage.googleapis.com",
            "POST /v1beta/models/gemini-2.5-flash:countTokens",
            json!({ "contents": [{ "parts": [{ "text": "Hi." }] }] }),
            JSON,
            whole(&json!({ "totalTokens": 3 })),
            with(json!({ "input_tokens": 3 })),
        ),
        vector(
            "counting tokens for responses",
            "api.openai.com",
            "POST /v1/responses/input_tokens",
            json!({ "model": "gpt-5", "input": "Hi." }),
            JSON,
            whole(&json!({ "object": "response.input_tokens", "input_tokens": 8 })),
            with(json!({ "input_tokens": 8 })),
        ),
        vector(
            "reading a stored response",
            "api.openai.com",
            "GET /v1/responses/resp_1",
            Value::Null,
            JSON,
            whole(
                &json!({ "id": "resp_1", "model": "gpt-5", "status": "completed", "usage": { "input_tokens": 8, "output_tokens": 9, "total_tokens": 17 } }),
            ),
            with(
                json!({ "operation": "retrieve", "input_tokens": 8, "output_tokens": 9, "endpoint": "/v1/responses/{id}" }),
            ),
        ),
        vector(
            "counting tokens for Bedrock",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "POST /model/anthropic.claude-3-haiku-20240307-v1:0/count-tokens",
            json!({ "input": { "converse": { "messages": [] } } }),
            JSON,
            whole(&json!({ "inputTokens": 9 })),
            with(json!({ "operation": "count_tokens", "input_tokens": 9, "usage_status": "reported" })),
        ),
        vector(
            "counting tokens for Claude on Vertex",
            "us-east5-aiplatform.googleapis.com",
            "POST /v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            json!({ "model": "claude-sonnet-4", "messages": question }),
            JSON,
            whole(&json!({ "input_tokens": 14 })),
            with(json!({ "operation": "count_tokens", "input_tokens": 14 })),
        ),
        vector(
            "tokens of a text, without a model",
            "api.cohere.com",
            "POST /v1/tokenize",
            json!({ "text": "Hi.", "model": "command" }),
            JSON,
            whole(&json!({ "tokens": [1, 2], "token_strings": ["H", "i."] })),
            with(json!({ "operation": "count_tokens", "usage_status": "none", "input_tokens": null })),
        ),
        vector(
            "reading a stored interaction",
            "generativelanguage.googleapis.com",
            "GET /v1beta/interactions/v1_a",
            Value::Null,
            JSON,
            whole(&json!({ "id": "v1_a", "model": "gemini-2.5-flash", "status": "completed",
                "usage": { "total_input_tokens": 5, "total_output_tokens": 3, "total_tokens": 8 } })),
            with(json!({ "operation": "retrieve", "input_tokens": 5 })),
        ),
        vector(
            "moderation",
            "api.openai.com",
            "POST /v1/moderations",
            json!({ "model": "omni-moderation-latest", "input": "Hi." }),
            JSON,
            whole(&json!({ "id": "modr", "model": "omni-moderation-latest", "results": [{ "flagged": false }] })),
            with(json!({ "operation": "moderation", "usage_status": "none" })),
        ),
    ]
}
