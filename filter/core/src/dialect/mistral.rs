//! `mistral`: what Mistral has beside the shapes that it shares with `OpenAI`: reading documents, counted in pages, and conversations.
//!
//! Source: mistralai 3.7, `models/ocrusageinfo.py`, `models/conversationusageinfo.py`. What connectors add to a conversation is said apart
//! and checked against the total.

use super::{
    DialectId, Operation, Streams,
    common::*,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&OCR, &CONVERSATIONS, &TURN];

static OCR: Operation = Operation {
    dialect: DialectId::Mistral,
    name: "ocr",
    endpoint: "/v1/ocr",
    paths: &["v1/ocr"],
    request: &OCR_REQUEST,
    reply: &OCR_REPLY,
    record: &OCR_REPLY,
    error_records: &["error"],
    is_estimable: false,
    ..Operation::BASE
};

static CONVERSATIONS: Operation = CONVERSATION;

/// A turn of a conversation that the server keeps.
static TURN: Operation = Operation {
    endpoint: "/v1/conversations/{id}",
    paths: &["v1/conversations/{id}", "v1/conversations/{id}/restart"],
    request: &TURN_REQUEST,
    ..CONVERSATION
};

const CONVERSATION: Operation = Operation {
    dialect: DialectId::Mistral,
    endpoint: "/v1/conversations",
    paths: &["v1/conversations"],
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    end_records: &["conversation.response.done"],
    error_records: &["error", "conversation.response.error"],
    ..Operation::BASE
};

static OCR_REQUEST: Shape = Shape::object(&[("model", &MODEL), ("document", &UNBOUNDABLE)]);
static OCR_USAGE: Shape = Shape::object(&[("pages_processed", &PAGES)]).and(Field::Usage);
static OCR_REPLY: Shape = Shape::object(&[
    ("model", &RESPONSE_MODEL),
    ("usage_info", &OCR_USAGE),
    ("object", &RECORD_TYPE),
    ("error", &ERROR),
]);

static COMPLETION_ARGS: Shape = Shape::object(&[("max_tokens", &MAX_OUTPUT)]);
static ENTRY: Shape = Shape::object(&[("content", &TEXT_OR_PARTS)]).and(Field::Message);
static INPUTS: Shape = Shape::value(Field::InputText).or_array(&ENTRY);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("inputs", &INPUTS),
    ("instructions", &INPUT_TEXT),
    ("tools", &INPUT_JSON),
    ("completion_args", &COMPLETION_ARGS),
    // An agent has instructions of its own.
    ("agent_id", &UNBOUNDABLE),
]);
/// What the server keeps is fed to the model too.
static TURN_REQUEST: Shape =
    Shape::object(&[("stream", &STREAM), ("inputs", &UNBOUNDABLE), ("completion_args", &COMPLETION_ARGS)]);

static WRITTEN: Shape = Shape::object(&[("content", &OUTPUT_TEXT), ("model", &RESPONSE_MODEL)]);
static OUTPUTS: Shape = Shape::array(&WRITTEN);
static REPLY: Shape = Shape::object(&[
    ("conversation_id", &RESPONSE_ID),
    ("outputs", &OUTPUTS),
    ("usage", &USAGE),
    ("object", &RECORD_TYPE),
    ("error", &ERROR),
]);
static RECORD: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("conversation_id", &RESPONSE_ID),
    ("content", &OUTPUT_TEXT),
    ("model", &RESPONSE_MODEL),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
