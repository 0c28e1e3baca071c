//! `bedrock.invoke`: Bedrock `InvokeModel`. The body is the vendor's own; the stream is an AWS event stream of chunks that hold the
//! vendor's records in Base64, the last with what Bedrock measured (`amazon-bedrock-invocationMetrics`). A whole reply's headers tell
//! counts too, for several vendors the only ones.
//!
//! Sources: botocore 1.44 bedrock-runtime `service-2.json`; recorded exchanges. Order: the vendor's headline counters, what Bedrock
//! measured, the counters of Titan and Llama, which are not final in chunks. Input leaves out what was read from and written to a cache.

use super::{
    Counting, DialectId, ErrorShape, Operation, Streams,
    anthropic_messages::{CONTENT, MESSAGES},
    common::*,
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&INVOKE_OPERATION, &STREAM];

static INVOKE_OPERATION: Operation = INVOKE;

static STREAM: Operation = Operation {
    endpoint: "/model/{model}/invoke-with-response-stream",
    paths: &["model/{model}/invoke-with-response-stream"],
    streams: Streams::Always,
    ..INVOKE
};

const INVOKE: Operation = Operation {
    dialect: DialectId::BedrockInvoke,
    name: "chat",
    endpoint: "/model/{model}/invoke",
    paths: &["model/{model}/invoke"],
    detect: true,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::Aws,
    counting: Counting::Vendor,
    bounded_parts: &["text", "tool_use", "tool_result", "thinking", "redacted_thinking"],
    bounded_tools: &["custom", "function"],
    end_records: &["message_stop"],
    start_record: Some("message_start"),
    header_counters: &[
        ("x-amzn-bedrock-input-token-count", Field::MetricsInput),
        ("x-amzn-bedrock-output-token-count", Field::MetricsOutput),
        ("x-amzn-bedrock-cache-read-input-token-count", Field::MetricsCacheRead),
        ("x-amzn-bedrock-cache-write-input-token-count", Field::MetricsCacheWrite),
    ],
    in_base64: true,
    ..Operation::BASE
};

static TITAN_CONFIG: Shape = Shape::object(&[("maxTokenCount", &MAX_OUTPUT)]);
static NOVA_CONFIG: Shape = Shape::object(&[("maxTokens", &MAX_OUTPUT), ("max_new_tokens", &MAX_OUTPUT)]);
static REQUEST: Shape = Shape::object(&[
    ("messages", &MESSAGES),
    ("system", &CONTENT),
    ("tools", &TYPED_TOOLS),
    ("prompt", &INPUT_TEXT),
    ("inputText", &INPUT_TEXT),
    ("message", &INPUT_TEXT),
    ("texts", &TEXTS),
    ("max_tokens", &MAX_OUTPUT),
    ("max_tokens_to_sample", &MAX_OUTPUT),
    ("max_gen_len", &MAX_OUTPUT),
    ("textGenerationConfig", &TITAN_CONFIG),
    ("inferenceConfig", &NOVA_CONFIG),
]);

static OUTPUT_DETAILS: Shape = Shape::object(&[("thinking_tokens", &REASONING), ("reasoning_tokens", &REASONING)]);
static USAGE: Shape = Shape::object(&[
    // Anthropic.
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("cache_read_input_tokens", &CACHE_READ),
    ("cache_creation_input_tokens", &CACHE_WRITE),
    ("cache_creation", &CACHE_CREATION),
    ("output_tokens_details", &OUTPUT_DETAILS),
    // Nova.
    ("inputTokens", &INPUT),
    ("outputTokens", &OUTPUT),
    ("cacheReadInputTokenCount", &CACHE_READ),
    ("cacheWriteInputTokenCount", &CACHE_WRITE),
    // AI21, gpt-oss, Qwen.
    ("prompt_tokens", &VENDOR_INPUT),
    ("completion_tokens", &VENDOR_OUTPUT),
    ("completion_tokens_details", &OUTPUT_DETAILS),
])
.and(Field::Usage);
static METRICS: Shape = Shape::object(&[
    ("inputTokenCount", &METRICS_INPUT),
    ("outputTokenCount", &METRICS_OUTPUT),
    ("cacheReadInputTokenCount", &METRICS_CACHE_READ),
    ("cacheWriteInputTokenCount", &METRICS_CACHE_WRITE),
])
.and(Field::InvocationMetrics);

static ERROR: Shape = Shape::object(&[("type", &ERROR_TYPE)]).and(Field::Error);
static MESSAGE_START: Shape = Shape::object(&[("id", &RESPONSE_ID), ("model", &RESPONSE_MODEL), ("usage", &USAGE)]);
static BLOCK: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("thinking", &OUTPUT_TEXT)]);
static BLOCKS: Shape = Shape::array(&BLOCK);
static DELTA: Shape = Shape::object(&[
    ("text", &OUTPUT_TEXT),
    ("thinking", &OUTPUT_TEXT),
    ("partial_json", &OUTPUT_TEXT),
    ("stop_reason", &FINISH_REASON),
]);
static NOVA_DELTA: Shape = Shape::object(&[("delta", &DELTA)]);
static NOVA_STOP: Shape = Shape::object(&[("stopReason", &FINISH_REASON)]);
static NOVA_METADATA: Shape = Shape::object(&[("usage", &USAGE)]);
static TITAN_RESULT: Shape = Shape::object(&[
    ("tokenCount", &VENDOR_OUTPUT),
    ("outputText", &OUTPUT_TEXT),
    ("completionReason", &FINISH_REASON),
]);
static TITAN_RESULTS: Shape = Shape::array(&TITAN_RESULT);
static CHOICE_MESSAGE: Shape = Shape::object(&[("content", &OUTPUT_TEXT)]);
static CHOICE: Shape = Shape::object(&[
    ("text", &OUTPUT_TEXT),
    ("message", &CHOICE_MESSAGE),
    ("delta", &CHOICE_MESSAGE),
    ("finish_reason", &FINISH_REASON),
]);
static CHOICES: Shape = Shape::array(&CHOICE);
static GENERATION: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("finish_reason", &FINISH_REASON)]);
static GENERATIONS: Shape = Shape::array(&GENERATION);
static MISTRAL_OUTPUT: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("stop_reason", &FINISH_REASON)]);
static MISTRAL_OUTPUTS: Shape = Shape::array(&MISTRAL_OUTPUT);
static REPLY: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("stop_reason", &FINISH_REASON),
    ("content", &BLOCKS),
    ("usage", &USAGE),
    ("message", &MESSAGE_START),
    ("delta", &DELTA),
    ("content_block", &BLOCK),
    ("error", &ERROR),
    // Nova.
    ("contentBlockDelta", &NOVA_DELTA),
    ("messageStop", &NOVA_STOP),
    ("metadata", &NOVA_METADATA),
    ("stopReason", &FINISH_REASON),
    // Anthropic's text completions, Llama, Mistral, Cohere, AI21 and others.
    ("completion", &OUTPUT_TEXT),
    ("generation", &OUTPUT_TEXT),
    ("outputs", &MISTRAL_OUTPUTS),
    ("generations", &GENERATIONS),
    ("text", &OUTPUT_TEXT),
    ("choices", &CHOICES),
    ("finish_reason", &FINISH_REASON),
    ("prompt_token_count", &VENDOR_INPUT),
    ("generation_token_count", &VENDOR_OUTPUT),
    // Titan.
    ("inputTextTokenCount", &VENDOR_INPUT),
    ("totalOutputTextTokenCount", &VENDOR_OUTPUT),
    ("results", &TITAN_RESULTS),
    ("outputText", &OUTPUT_TEXT),
    ("completionReason", &FINISH_REASON),
    ("amazon-bedrock-invocationMetrics", &METRICS),
]);
