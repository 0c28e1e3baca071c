//! `bedrock.converse`: Bedrock Converse and `ConverseStream`. The model is in the path; the stream is an AWS event stream whose last
//! event, `metadata`, tells the usage. Requests are usually signed and never changed.
//!
//! Source: botocore 1.44 bedrock-runtime `service-2.json`. Input leaves out what was read from and written to a cache.

use super::{Billing, Counting, DialectId, ErrorShape, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CONVERSE_OPERATION, &STREAM, &COUNT];

static CONVERSE_OPERATION: Operation = CONVERSE;

static STREAM: Operation = Operation {
    endpoint: "/model/{model}/converse-stream",
    paths: &["model/{model}/converse-stream"],
    streams: Streams::Always,
    ..CONVERSE
};

/// Counts the tokens of a request that is not made.
static COUNT: Operation = Operation {
    name: "count_tokens",
    endpoint: "/model/{model}/count-tokens",
    paths: &["model/{model}/count-tokens"],
    billing: Billing::Free,
    reply: &COUNTED,
    record: &COUNTED,
    counting: Counting::InputOnly,
    ..CONVERSE
};

const CONVERSE: Operation = Operation {
    dialect: DialectId::BedrockConverse,
    name: "chat",
    endpoint: "/model/{model}/converse",
    paths: &["model/{model}/converse"],
    detect: true,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    errors: ErrorShape::Aws,
    counting: Counting::CacheOutside,
    end_records: &["metadata"],
    ..Operation::BASE
};

static PART: Shape = Shape::object(&[
    ("text", &INPUT_TEXT),
    ("toolUse", &INPUT_JSON),
    ("toolResult", &INPUT_JSON),
    ("image", &UNBOUNDABLE),
    ("document", &UNBOUNDABLE),
    ("video", &UNBOUNDABLE),
]);
static CONTENT: Shape = Shape::array(&PART);
static MESSAGE: Shape = Shape::object(&[("content", &CONTENT)]).and(Field::Message);
static MESSAGES: Shape = Shape::array(&MESSAGE);
static INFERENCE: Shape = Shape::object(&[("maxTokens", &MAX_OUTPUT)]);
static REQUEST: Shape = Shape::object(&[
    ("messages", &MESSAGES),
    ("system", &CONTENT),
    ("inferenceConfig", &INFERENCE),
    ("toolConfig", &INPUT_JSON),
]);

static CACHE_CLASS: Shape =
    Shape::object(&[("ttl", &CLASS_NAME), ("inputTokens", &CLASS_COUNT)]).and(Field::CacheWriteClass);
static CACHE_CLASSES: Shape = Shape::array(&CACHE_CLASS);
static USAGE: Shape = Shape::object(&[
    ("inputTokens", &INPUT),
    ("outputTokens", &OUTPUT),
    ("totalTokens", &TOTAL),
    ("cacheReadInputTokens", &CACHE_READ),
    ("cacheWriteInputTokens", &CACHE_WRITE),
    ("cacheDetails", &CACHE_CLASSES),
])
.and(Field::Usage);

static TIER: Shape = Shape::object(&[("type", &SERVICE_TIER)]);
static REASONING_TEXT: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
static REASONING_CONTENT: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("reasoningText", &REASONING_TEXT)]);
static TOOL_USE: Shape = Shape::object(&[("input", &OUTPUT_TEXT)]);
static WRITTEN: Shape =
    Shape::object(&[("text", &OUTPUT_TEXT), ("reasoningContent", &REASONING_CONTENT), ("toolUse", &TOOL_USE)]);
static WRITTEN_PARTS: Shape = Shape::array(&WRITTEN);
static OUTPUT_MESSAGE: Shape = Shape::object(&[("content", &WRITTEN_PARTS)]);
static OUTPUT_OBJECT: Shape = Shape::object(&[("message", &OUTPUT_MESSAGE)]);
// The only place where reasoning is itemised, and only if the caller asks for these fields of the vendor's own reply.
static OUTPUT_DETAILS: Shape = Shape::object(&[("thinking_tokens", &REASONING)]);
static VENDOR_USAGE: Shape = Shape::object(&[("output_tokens_details", &OUTPUT_DETAILS)]);
static VENDOR_FIELDS: Shape = Shape::object(&[("usage", &VENDOR_USAGE)]);
// A prompt router says which model it chose.
static ROUTER: Shape = Shape::object(&[("invokedModelId", &RESPONSE_MODEL)]);
static TRACE: Shape = Shape::object(&[("promptRouter", &ROUTER)]);
static REPLY: Shape = Shape::object(&[
    ("output", &OUTPUT_OBJECT),
    ("stopReason", &FINISH_REASON),
    ("usage", &USAGE),
    ("serviceTier", &TIER),
    ("trace", &TRACE),
    ("additionalModelResponseFields", &VENDOR_FIELDS),
]);
static RECORD: Shape = Shape::object(&[
    ("delta", &WRITTEN),
    ("stopReason", &FINISH_REASON),
    ("usage", &USAGE),
    ("serviceTier", &TIER),
    ("trace", &TRACE),
    ("additionalModelResponseFields", &VENDOR_FIELDS),
]);

static COUNTED: Shape = Shape::object(&[("inputTokens", &INPUT)]);
