//! `dashscope`: Alibaba's native API. A request header asks for a stream of server-sent events; each tells usage, cumulative.
//!
//! Source: dashscope-python 2.0; recorded exchanges.

use super::{Billing, Counting, DialectId, ErrorShape, Job, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATION, &EMBEDDING, &RERANK, &SYNTHESIS, &TASK];

static GENERATION: Operation = GENERATE;

static EMBEDDING: Operation = Operation {
    name: "embeddings",
    endpoint: "/api/v1/services/embeddings/{task}",
    paths: &["services/embeddings/{id}/{id}"],
    streams: Streams::Never,
    counting: Counting::InputOnly,
    ..GENERATE
};

static RERANK: Operation = Operation {
    name: "rerank",
    endpoint: "/api/v1/services/rerank/{task}/{task}",
    paths: &["services/rerank/text-rerank/text-rerank"],
    streams: Streams::Never,
    counting: Counting::InputOnly,
    ..GENERATE
};

/// Images are made by a task, whose result is polled.
static SYNTHESIS: Operation = Operation {
    name: "image_generation",
    endpoint: "/api/v1/services/aigc/{task}/image-synthesis",
    paths: &["services/aigc/{id}/image-synthesis"],
    streams: Streams::Never,
    job: Job::Starts,
    reply: &TASK_REPLY,
    is_estimable: false,
    ..GENERATE
};

/// Tells the usage of a task each time that it is read: the first reading is billed, if the task was started here.
static TASK: Operation = Operation {
    name: "retrieve",
    endpoint: "/api/v1/tasks/{id}",
    method: "GET",
    paths: &["api/v1/tasks/{id}"],
    billing: Billing::Reread,
    streams: Streams::Never,
    job: Job::Tells,
    request: &NOTHING,
    reply: &TASK_REPLY,
    ..GENERATE
};

const GENERATE: Operation = Operation {
    dialect: DialectId::DashScope,
    name: "chat",
    endpoint: "/api/v1/services/aigc/{task}/generation",
    paths: &["services/aigc/text-generation/generation", "services/aigc/multimodal-generation/generation"],
    streams: Streams::ByReply,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::DashScope,
    bounded_tools: &["function"],
    finish_ends: true,
    ..Operation::BASE
};

static PART: Shape =
    Shape::object(&[("text", &INPUT_TEXT), ("image", &UNBOUNDABLE), ("audio", &UNBOUNDABLE), ("video", &UNBOUNDABLE)]);
static CONTENT: Shape = Shape::value(Field::InputText).or_array(&PART);
static MESSAGE: Shape = Shape::object(&[("content", &CONTENT)]).and(Field::Message);
static MESSAGES: Shape = Shape::array(&MESSAGE);
static INPUT_OBJECT: Shape = Shape::object(&[("messages", &MESSAGES), ("prompt", &INPUT_TEXT), ("texts", &TEXTS)]);
static PARAMETERS: Shape = Shape::object(&[("max_tokens", &MAX_OUTPUT), ("tools", &TYPED_TOOLS)]);
static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("input", &INPUT_OBJECT), ("parameters", &PARAMETERS)]);

static INPUT_DETAILS: Shape = Shape::object(&[("cached_tokens", &CACHE_READ)]);
static OUTPUT_DETAILS: Shape = Shape::object(&[("reasoning_tokens", &REASONING)]);
static USAGE: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    // Images, speech and transcriptions: dashscope-python 2.0.
    ("image_count", &IMAGES),
    ("characters", &CHARACTERS),
    ("duration", &SECONDS),
    ("prompt_tokens_details", &INPUT_DETAILS),
    ("input_tokens_details", &INPUT_DETAILS),
    ("output_tokens_details", &OUTPUT_DETAILS),
])
.and(Field::Usage);

static WRITTEN_PART: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
static WRITTEN_CONTENT: Shape = Shape::value(Field::OutputText).or_array(&WRITTEN_PART);
static WRITTEN: Shape = Shape::object(&[("content", &WRITTEN_CONTENT), ("reasoning_content", &OUTPUT_TEXT)]);
static CHOICE: Shape = Shape::object(&[("message", &WRITTEN), ("finish_reason", &FINISH_REASON)]);
static CHOICES: Shape = Shape::array(&CHOICE);
static OUTPUT_OBJECT: Shape =
    Shape::object(&[("choices", &CHOICES), ("text", &OUTPUT_TEXT), ("finish_reason", &FINISH_REASON)]);
/// Present in errors only, also under 200.
static REPLY: Shape = Shape::object(&[
    ("request_id", &RESPONSE_ID),
    ("output", &OUTPUT_OBJECT),
    ("usage", &USAGE),
    ("code", &ERROR_VALUE),
]);

static TASK_OUTPUT: Shape = Shape::object(&[("task_id", &RESPONSE_ID), ("task_status", &STATUS)]);
static TASK_REPLY: Shape = Shape::object(&[("output", &TASK_OUTPUT), ("usage", &USAGE), ("code", &ERROR_VALUE)]);
