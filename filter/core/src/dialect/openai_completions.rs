//! `openai.completions`: `OpenAI`'s legacy Completions, which many servers still speak.
//!
//! Source: openai-python `types/completion*.py`. The usage is that of chat.

use super::{
    DialectId, Operation, Streams,
    common::*,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::OpenAiCompletions,
    name: "text_completion",
    endpoint: "/v1/completions",
    paths: &["deployments/{model}/completions", "fim/completions", "v1/completions", "completions"],
    detect: true,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    can_inject: true,
    end_marker: Some(b"[DONE]"),
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("stream_options", &STREAM_OPTIONS),
    ("max_tokens", &MAX_OUTPUT),
    ("n", &CHOICES_WANTED),
    ("best_of", &CHOICES_WANTED),
    ("prompt", &PROMPTS),
    ("suffix", &INPUT_TEXT),
]);

// Mistral's fill-in-the-middle answers as chat does.
static WRITTEN: Shape = Shape::object(&[("content", &OUTPUT_TEXT)]);
static CHOICE: Shape = Shape::object(&[
    ("text", &OUTPUT_TEXT),
    ("message", &WRITTEN),
    ("delta", &WRITTEN),
    ("finish_reason", &FINISH_REASON),
]);
static CHOICES: Shape = Shape::array(&CHOICE).and(Field::ChoicesArray);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("choices", &CHOICES),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
