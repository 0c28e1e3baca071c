//! `dashscope`: Alibaba's native API. A request header asks for a stream of server-sent events; each tells usage, cumulative.
//!
//! Source: dashscope-python 2.0; recorded exchanges.

use super::{Billing, Counting, DialectId, ErrorShape, Operation, Streams};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATION, &EMBEDDING];

static GENERATION: Operation = GENERATE;

static EMBEDDING: Operation = Operation {
    name: "embeddings",
    endpoint: "/api/v1/services/embeddings/{task}",
    paths: &["services/embeddings/{id}/{id}"],
    streams: Streams::Never,
    counting: Counting::InputOnly,
    ..GENERATE
};

const GENERATE: Operation = Operation {
    dialect: DialectId::DashScope,
    name: "chat",
    endpoint: "/api/v1/services/aigc/{task}/generation",
    method: "POST",
    paths: &["services/aigc/text-generation/generation", "services/aigc/multimodal-generation/generation"],
    detect: false,
    billing: Billing::Billed,
    streams: Streams::ByReply,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::DashScope,
    can_inject: false,
    counting: Counting::Inside,
    bounded_parts: &[],
    bounded_tools: &["function"],
    end_marker: None,
    end_records: &[],
    start_record: None,
    finish_ends: true,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
static MAX_OUTPUT: Shape = Shape::value(Field::MaxOutputTokens);
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static TOOL_TYPE: Shape = Shape::value(Field::ToolType);
static UNBOUNDABLE: Shape = Shape::value(Field::Unboundable);
static PART: Shape =
    Shape::object(&[("text", &INPUT_TEXT), ("image", &UNBOUNDABLE), ("audio", &UNBOUNDABLE), ("video", &UNBOUNDABLE)]);
static CONTENT: Shape = Shape::value(Field::InputText).or_array(&PART);
static MESSAGE: Shape = Shape::object(&[("content", &CONTENT)]).and(Field::Message);
static MESSAGES: Shape = Shape::array(&MESSAGE);
static TEXTS: Shape = Shape::value(Field::InputText).or_array(&INPUT_TEXT);
static INPUT_OBJECT: Shape = Shape::object(&[("messages", &MESSAGES), ("prompt", &INPUT_TEXT), ("texts", &TEXTS)]);
static TOOL: Shape = Shape::object(&[("type", &TOOL_TYPE)]).and(Field::InputJson);
static TOOLS: Shape = Shape::array(&TOOL);
static PARAMETERS: Shape = Shape::object(&[("max_tokens", &MAX_OUTPUT), ("tools", &TOOLS)]);
static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("input", &INPUT_OBJECT), ("parameters", &PARAMETERS)]);

static INPUT: Shape = Shape::value(Field::Input);
static OUTPUT: Shape = Shape::value(Field::Output);
static TOTAL: Shape = Shape::value(Field::Total);
static CACHE_READ: Shape = Shape::value(Field::CacheRead);
static REASONING: Shape = Shape::value(Field::Reasoning);
static INPUT_DETAILS: Shape = Shape::object(&[("cached_tokens", &CACHE_READ)]);
static OUTPUT_DETAILS: Shape = Shape::object(&[("reasoning_tokens", &REASONING)]);
static USAGE: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    ("prompt_tokens_details", &INPUT_DETAILS),
    ("input_tokens_details", &INPUT_DETAILS),
    ("output_tokens_details", &OUTPUT_DETAILS),
])
.and(Field::Usage);

static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static FINISH_REASON: Shape = Shape::value(Field::FinishReason);
static OUTPUT_TEXT: Shape = Shape::value(Field::OutputText);
static WRITTEN_PART: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
static WRITTEN_CONTENT: Shape = Shape::value(Field::OutputText).or_array(&WRITTEN_PART);
static WRITTEN: Shape = Shape::object(&[("content", &WRITTEN_CONTENT), ("reasoning_content", &OUTPUT_TEXT)]);
static CHOICE: Shape = Shape::object(&[("message", &WRITTEN), ("finish_reason", &FINISH_REASON)]);
static CHOICES: Shape = Shape::array(&CHOICE);
static OUTPUT_OBJECT: Shape =
    Shape::object(&[("choices", &CHOICES), ("text", &OUTPUT_TEXT), ("finish_reason", &FINISH_REASON)]);
/// Present in errors only, also under 200.
static ERROR: Shape = Shape::value(Field::Error);
static REPLY: Shape =
    Shape::object(&[("request_id", &RESPONSE_ID), ("output", &OUTPUT_OBJECT), ("usage", &USAGE), ("code", &ERROR)]);
