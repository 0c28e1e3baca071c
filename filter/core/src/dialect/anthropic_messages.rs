//! `anthropic.messages`: Anthropic Messages, wherever its own shape is spoken.
//!
//! Source: anthropic-python `types/usage.py`, `types/message_delta_usage.py`, `lib/streaming/_messages.py`.

use super::{Billing, Counting, DialectId, ErrorShape, Job, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] =
    &[&CREATE, &COUNT_TOKENS, &VERTEX_COUNT_TOKENS, &VERTEX, &VERTEX_STREAM, &BATCH, &BATCH_RESULTS];

static CREATE: Operation = MESSAGES_OPERATION;

/// Free, with its own rate limit at the provider.
static COUNT_TOKENS: Operation = COUNT_TOKENS_OPERATION;

static VERTEX_COUNT_TOKENS: Operation = Operation {
    endpoint: "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/count-tokens:rawPredict",
    paths: &["publishers/anthropic/models/count-tokens:rawPredict"],
    ..COUNT_TOKENS_OPERATION
};

/// Vertex names the model in the path and streams by verb: anthropic-python `lib/vertex`.
static VERTEX: Operation = Operation {
    endpoint: "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
    paths: &["publishers/anthropic/models/{model}:rawPredict"],
    ..MESSAGES_OPERATION
};

static VERTEX_STREAM: Operation = Operation {
    endpoint: "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
    paths: &["publishers/anthropic/models/{model}:streamRawPredict"],
    streams: Streams::Always,
    ..MESSAGES_OPERATION
};

/// Many messages at half the price, made later.
static BATCH: Operation = Operation {
    name: "batch",
    endpoint: "/v1/messages/batches",
    paths: &["v1/messages/batches"],
    detect: false,
    billing: Billing::Free,
    streams: Streams::Never,
    job: Job::Starts,
    request: &NOTHING,
    reply: &BATCH_REPLY,
    record: &BATCH_REPLY,
    ..MESSAGES_OPERATION
};

/// A line for each message, which tells its usage each time that it is read: the first reading of all lines is billed.
static BATCH_RESULTS: Operation = Operation {
    name: "batch",
    endpoint: "/v1/messages/batches/{id}/results",
    method: "GET",
    paths: &["v1/messages/batches/{id}/results"],
    detect: false,
    billing: Billing::Reread,
    streams: Streams::Never,
    job: Job::Tells,
    service_tier: Some("batch"),
    request: &NOTHING,
    reply: &BATCH_LINE,
    record: &BATCH_LINE,
    end_records: &[],
    start_record: None,
    ..MESSAGES_OPERATION
};

const COUNT_TOKENS_OPERATION: Operation = Operation {
    name: "count_tokens",
    endpoint: "/v1/messages/count_tokens",
    paths: &["v1/messages/count_tokens"],
    billing: Billing::Free,
    streams: Streams::Never,
    reply: &COUNT,
    record: &COUNT,
    counting: Counting::InputOnly,
    ..MESSAGES_OPERATION
};

const MESSAGES_OPERATION: Operation = Operation {
    dialect: DialectId::AnthropicMessages,
    name: "chat",
    endpoint: "/v1/messages",
    paths: &["v1/messages"],
    detect: true,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    errors: ErrorShape::Anthropic,
    counting: Counting::CacheOutside,
    bounded_parts: &["text", "tool_use", "tool_result", "thinking", "redacted_thinking"],
    bounded_tools: &["custom"],
    end_records: &["message_stop"],
    // Its `output_tokens` is a placeholder of one to eight tokens.
    start_record: Some("message_start"),
    ..Operation::BASE
};

static PART: Shape = Shape::object(&[
    ("type", &PART_TYPE),
    ("text", &INPUT_TEXT),
    ("thinking", &INPUT_TEXT),
    ("input", &INPUT_JSON),
    ("content", &TEXT_OR_PARTS),
]);
pub(super) static CONTENT: Shape = Shape::value(Field::InputText).or_array(&PART);
static MESSAGE: Shape = Shape::object(&[("content", &CONTENT)]).and(Field::Message);
pub(super) static MESSAGES: Shape = Shape::array(&MESSAGE);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("max_tokens", &MAX_OUTPUT),
    ("service_tier", &REQUEST_TIER),
    ("system", &CONTENT),
    ("messages", &MESSAGES),
    ("tools", &TYPED_TOOLS),
    ("mcp_servers", &UNBOUNDABLE),
    ("container", &UNBOUNDABLE),
]);

static OUTPUT_DETAILS: Shape = Shape::object(&[("thinking_tokens", &REASONING)]);
static SERVER_TOOLS: Shape = Shape::object(&[("web_search_requests", &WEB_SEARCHES)]);
static USAGE: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("cache_read_input_tokens", &CACHE_READ),
    ("cache_creation_input_tokens", &CACHE_WRITE),
    ("cache_creation", &CACHE_CREATION),
    ("output_tokens_details", &OUTPUT_DETAILS),
    ("server_tool_use", &SERVER_TOOLS),
    ("service_tier", &SERVICE_TIER),
])
.and(Field::Usage);

static ERROR: Shape = Shape::object(&[("type", &ERROR_TYPE)]).and(Field::Error);
static BLOCK: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("thinking", &OUTPUT_TEXT)]);
static BLOCKS: Shape = Shape::array(&BLOCK);
static REPLY: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("stop_reason", &FINISH_REASON),
    ("content", &BLOCKS),
    ("usage", &USAGE),
    ("error", &ERROR),
]);

static DELTA: Shape = Shape::object(&[
    ("text", &OUTPUT_TEXT),
    ("thinking", &OUTPUT_TEXT),
    ("partial_json", &OUTPUT_TEXT),
    ("stop_reason", &FINISH_REASON),
]);
static START: Shape = Shape::object(&[("id", &RESPONSE_ID), ("model", &RESPONSE_MODEL), ("usage", &USAGE)]);
static RECORD: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("message", &START),
    ("delta", &DELTA),
    ("content_block", &BLOCK),
    ("usage", &USAGE),
    ("error", &ERROR),
]);

static BATCH_REPLY: Shape = Shape::object(&[("id", &RESPONSE_ID), ("processing_status", &STATUS), ("error", &ERROR)]);
static BATCH_MESSAGE: Shape =
    Shape::object(&[("model", &RESPONSE_MODEL), ("stop_reason", &FINISH_REASON), ("usage", &USAGE)]);
static BATCH_RESULT: Shape = Shape::object(&[("message", &BATCH_MESSAGE)]);
static BATCH_LINE: Shape = Shape::object(&[("result", &BATCH_RESULT)]).and(Field::Summed);

static COUNT: Shape = Shape::object(&[("input_tokens", &INPUT), ("error", &ERROR), ("type", &RECORD_TYPE)]);
