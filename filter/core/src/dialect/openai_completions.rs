//! `openai.completions`: `OpenAI`'s legacy Completions, which many servers still speak.
//!
//! Source: openai-python `types/completion*.py`. The usage is that of chat.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::OpenAiCompletions,
    name: "text_completion",
    endpoint: "/v1/completions",
    method: "POST",
    paths: &["deployments/{model}/completions", "fim/completions", "v1/completions", "completions"],
    detect: true,
    billing: Billing::Billed,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::OpenAi,
    can_inject: true,
    counting: Counting::Inside,
    bounded_parts: &[],
    bounded_tools: &[],
    end_marker: Some(b"[DONE]"),
    end_records: &[],
    start_record: None,
    finish_ends: false,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
static STREAM: Shape = Shape::value(Field::Stream);
static INCLUDE_USAGE: Shape = Shape::value(Field::IncludeUsage);
static STREAM_OPTIONS: Shape = Shape::object(&[("include_usage", &INCLUDE_USAGE)]).and(Field::StreamOptions);
static MAX_OUTPUT: Shape = Shape::value(Field::MaxOutputTokens);
static CHOICES_WANTED: Shape = Shape::value(Field::Choices);
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static TOKEN: Shape = Shape::value(Field::InputToken);
/// A text, texts, tokens, or lists of tokens.
static PROMPTS: Shape = Shape::value(Field::InputText).or_array(&PROMPT);
static PROMPT: Shape = Shape::value(Field::InputText).or_array(&TOKEN);
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

static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static FINISH_REASON: Shape = Shape::value(Field::FinishReason);
static OUTPUT_TEXT: Shape = Shape::value(Field::OutputText);
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
