//! `openai.chat`: `OpenAI` Chat Completions and the many servers that speak it.
//!
//! Sources: openai-python `types/chat/*` and `types/completion_usage.py`. Spellings of compatible servers stand beside the original,
//! each with its server; the last value of a counter wins.

use super::{DialectId, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE_OPERATION, &WRITER, &VERTEX, &VERTEX_STREAM];

static CREATE_OPERATION: Operation = CREATE;

/// Writer has a path of its own for it, which elsewhere belongs to other dialects.
static WRITER: Operation = Operation { endpoint: "/v1/chat", paths: &["v1/chat"], detect: false, ..CREATE };

/// Mistral's and AI21's models on Vertex: the model is in the path, the verb says whether the reply is a stream.
static VERTEX: Operation = VERTEX_OPERATION;

static VERTEX_STREAM: Operation = Operation {
    endpoint: "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:streamRawPredict",
    paths: &["publishers/mistralai/models/{model}:streamRawPredict", "publishers/ai21/models/{model}:streamRawPredict"],
    streams: Streams::Always,
    ..VERTEX_OPERATION
};

const VERTEX_OPERATION: Operation = Operation {
    endpoint: "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:rawPredict",
    paths: &["publishers/mistralai/models/{model}:rawPredict", "publishers/ai21/models/{model}:rawPredict"],
    can_inject: false,
    ..CREATE
};

const CREATE: Operation = Operation {
    dialect: DialectId::OpenAiChat,
    name: "chat",
    endpoint: "/v1/chat/completions",
    // Azure names the deployment in the path, and its body may leave the model out.
    paths: &[
        "deployments/{model}/chat/completions",
        "chat/completions",
        // Mistral.
        "agents/completions",
        "serving-endpoints/{model}/invocations",
    ],
    detect: true,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    can_inject: true,
    bounded_parts: &["text", "refusal"],
    bounded_tools: &["function", "custom"],
    // Compared by its beginning, as openai-python does (`_streaming.py`).
    end_marker: Some(b"[DONE]"),
    // vLLM and Mistral: an error that is no member of anything.
    error_records: &["error"],
    // Fireworks; where the body tells it too, that wins.
    header_counters: &[("fireworks-cached-prompt-tokens", Field::CacheRead)],
    ..Operation::BASE
};

static PART: Shape = Shape::object(&[("type", &PART_TYPE), ("text", &INPUT_TEXT), ("refusal", &INPUT_TEXT)]);
pub(super) static CONTENT: Shape = Shape::value(Field::InputText).or_array(&PART);
static MESSAGE: Shape = Shape::object(&[
    ("content", &CONTENT),
    ("name", &INPUT_TEXT),
    ("refusal", &INPUT_TEXT),
    ("reasoning_content", &INPUT_TEXT),
    ("tool_calls", &INPUT_JSON),
    ("function_call", &INPUT_JSON),
    // A reference to audio that the server keeps.
    ("audio", &UNBOUNDABLE),
])
.and(Field::Message);
pub(super) static MESSAGES: Shape = Shape::array(&MESSAGE);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("stream_options", &STREAM_OPTIONS),
    ("max_completion_tokens", &MAX_OUTPUT),
    ("max_tokens", &MAX_OUTPUT),
    ("n", &CHOICES_WANTED),
    ("service_tier", &REQUEST_TIER),
    ("messages", &MESSAGES),
    ("tools", &TYPED_TOOLS),
    ("functions", &INPUT_JSON),
    ("response_format", &INPUT_JSON),
    ("web_search_options", &UNBOUNDABLE),
    // Mistral: an agent has instructions of its own.
    ("agent_id", &UNBOUNDABLE),
]);

// OpenRouter says a number of credits, which are USD; Perplexity an object with the parts and their sum.
static UPSTREAM_COST: Shape = Shape::value(Field::UpstreamCost);
pub(super) static COST_DETAILS: Shape = Shape::object(&[("upstream_inference_cost", &UPSTREAM_COST)]);
pub(super) static COST: Shape = Shape::object(&[("total_cost", &REPORTED_COST)]).and(Field::ReportedCost);
pub(super) static INPUT_DETAILS: Shape = Shape::object(&[
    ("cached_tokens", &CACHE_READ),
    ("cache_write_tokens", &CACHE_WRITE),
    // Alibaba, compatible mode.
    ("cache_creation_input_tokens", &CACHE_WRITE),
    ("audio_tokens", &INPUT_AUDIO),
    ("image_tokens", &INPUT_IMAGE),
    ("video_tokens", &INPUT_VIDEO),
]);
static OUTPUT_DETAILS: Shape = Shape::object(&[
    ("reasoning_tokens", &REASONING),
    ("audio_tokens", &OUTPUT_AUDIO),
    ("text_tokens", &OUTPUT_TEXT_TOKENS),
    ("image_tokens", &OUTPUT_IMAGE),
]);
pub(super) static USAGE: Shape = Shape::object(&[
    ("prompt_tokens", &INPUT),
    ("completion_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    ("prompt_tokens_details", &INPUT_DETAILS),
    ("completion_tokens_details", &OUTPUT_DETAILS),
    // Writer, and runs of assistants.
    ("prompt_token_details", &INPUT_DETAILS),
    ("completion_token_details", &OUTPUT_DETAILS),
    // DeepSeek: hit and miss are the input.
    ("prompt_cache_hit_tokens", &CACHE_READ),
    // Moonshot; also Anthropic's compatible layer.
    ("cached_tokens", &CACHE_READ),
    // Mistral.
    ("num_cached_tokens", &CACHE_READ),
    // Databricks.
    ("cache_read_input_tokens", &CACHE_READ),
    // Databricks, Perplexity.
    ("reasoning_tokens", &REASONING),
    ("cost", &COST),
    ("is_byok", &OWN_KEY),
    ("cost_details", &COST_DETAILS),
    // DeepInfra.
    ("estimated_cost", &REPORTED_COST),
    // xAI.
    ("cost_in_usd_ticks", &REPORTED_TICKS),
    // Perplexity.
    ("num_search_queries", &WEB_SEARCHES),
    ("citation_tokens", &CITATIONS),
    // GigaChat.
    ("precached_prompt_tokens", &CACHE_READ_OUTSIDE),
])
.and(Field::Usage);

static FUNCTION: Shape = Shape::object(&[("name", &OUTPUT_TEXT), ("arguments", &OUTPUT_TEXT)]);
static TOOL_CALL: Shape = Shape::object(&[("function", &FUNCTION)]);
static TOOL_CALLS: Shape = Shape::array(&TOOL_CALL);
static WRITTEN: Shape = Shape::object(&[
    ("content", &OUTPUT_TEXT),
    ("refusal", &OUTPUT_TEXT),
    // DeepSeek and others; `reasoning` is OpenRouter's, Groq's and Cerebras's name for the same.
    ("reasoning_content", &OUTPUT_TEXT),
    ("reasoning", &OUTPUT_TEXT),
    ("tool_calls", &TOOL_CALLS),
    ("function_call", &FUNCTION),
]);
static CHOICE: Shape = Shape::object(&[
    ("delta", &WRITTEN),
    ("message", &WRITTEN),
    ("finish_reason", &FINISH_REASON),
    // Moonshot: on the finish chunk of older streams. Newer ones say the same at the root as well, and the last value wins.
    ("usage", &USAGE),
]);
pub(super) static CHOICES: Shape = Shape::array(&CHOICE).and(Field::ChoicesArray);
pub(super) static ERROR: Shape = Shape::object(&[("type", &ERROR_TYPE), ("code", &ERROR_TYPE)]).and(Field::Error);
// MiniMax answers 200 and says here what went wrong; zero is success.
static BASE_RESP: Shape = Shape::object(&[("status_code", &ERROR_VALUE)]);
// Groq puts the usage of a stream here, or why it was aborted.
static X_GROQ: Shape = Shape::object(&[("usage", &USAGE), ("error", &ERROR_VALUE)]);
/// llama.cpp's server says this unasked, in a stream too: what it read, what it had in its cache, and what it wrote.
pub(super) static TIMINGS: Shape =
    Shape::object(&[("prompt_n", &METRICS_INPUT), ("cache_n", &METRICS_CACHE_READ), ("predicted_n", &METRICS_OUTPUT)]);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("service_tier", &SERVICE_TIER),
    ("choices", &CHOICES),
    ("usage", &USAGE),
    ("error", &ERROR),
    ("x_groq", &X_GROQ),
    ("timings", &TIMINGS),
    ("base_resp", &BASE_RESP),
    ("object", &RECORD_TYPE),
    // Spark.
    ("code", &CODE),
]);
