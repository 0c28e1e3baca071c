//! `ollama`: Ollama's native API. Replies are NDJSON unless the request says `stream: false`; the last record has `done: true` and
//! the counts.
//!
//! Source: ollama-python 0.6, ollama `api/types.go`: a count of zero is left out, such as that of a prompt that was cached whole.

use super::{Counting, DialectId, ErrorShape, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CHAT_OPERATION, &GENERATE, &EMBED, &EMBEDDINGS];

static CHAT_OPERATION: Operation = CHAT;

static GENERATE: Operation =
    Operation { name: "text_completion", endpoint: "/api/generate", paths: &["api/generate"], ..CHAT };

static EMBED: Operation = Operation {
    name: "embeddings",
    endpoint: "/api/embed",
    paths: &["api/embed"],
    streams: Streams::Never,
    counting: Counting::InputOnly,
    ..CHAT
};

/// The older form, which tells no counts.
static EMBEDDINGS: Operation = Operation {
    name: "embeddings",
    endpoint: "/api/embeddings",
    paths: &["api/embeddings"],
    streams: Streams::Never,
    counting: Counting::InputOnly,
    ..CHAT
};

const CHAT: Operation = Operation {
    dialect: DialectId::Ollama,
    name: "chat",
    endpoint: "/api/chat",
    paths: &["api/chat"],
    detect: true,
    streams: Streams::Unless,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::Text,
    counting: Counting::ZeroLeftOut,
    bounded_tools: &["function"],
    ..Operation::BASE
};

static MESSAGE: Shape =
    Shape::object(&[("content", &INPUT_TEXT), ("tool_calls", &INPUT_JSON), ("images", &UNBOUNDABLE)])
        .and(Field::Message);
static MESSAGES: Shape = Shape::array(&MESSAGE);
static OPTIONS: Shape = Shape::object(&[("num_predict", &MAX_OUTPUT)]);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("options", &OPTIONS),
    ("messages", &MESSAGES),
    ("prompt", &INPUT_TEXT),
    ("system", &INPUT_TEXT),
    ("suffix", &INPUT_TEXT),
    ("input", &TEXTS),
    ("tools", &INPUT_JSON),
    ("format", &INPUT_JSON),
    ("images", &UNBOUNDABLE),
    ("context", &UNBOUNDABLE),
]);

static WRITTEN: Shape = Shape::object(&[("content", &OUTPUT_TEXT), ("thinking", &OUTPUT_TEXT)]);
static REPLY: Shape = Shape::object(&[
    ("model", &RESPONSE_MODEL),
    ("message", &WRITTEN),
    ("response", &OUTPUT_TEXT),
    ("thinking", &OUTPUT_TEXT),
    ("done", &LAST),
    ("done_reason", &FINISH_REASON),
    ("prompt_eval_count", &INPUT),
    ("eval_count", &OUTPUT),
    ("error", &ERROR_VALUE),
]);
