//! `cloudflare`: the native form of Workers AI. The model is in the path; the reply stands in an envelope.
//!
//! Source: genai-prices 0.2 (`result.usage`); Cloudflare's API reference, "Execute AI model". Models that are not for text answer with
//! documents of their own, or with none, and tell no usage.

use super::{DialectId, Operation, Streams, common::*, openai_chat};
use crate::json::scan::Shape;

pub(super) static OPERATIONS: &[&Operation] = &[&RUN];

static RUN: Operation = Operation {
    dialect: DialectId::Cloudflare,
    endpoint: "/client/v4/accounts/{account}/ai/run/{model}",
    paths: &["ai/run/{model+}"],
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    bounded_parts: &["text"],
    end_marker: Some(b"[DONE]"),
    may_be_opaque: true,
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[
    ("stream", &STREAM),
    ("max_tokens", &MAX_OUTPUT),
    ("prompt", &INPUT_TEXT),
    ("text", &TEXTS),
    ("messages", &openai_chat::MESSAGES),
    ("tools", &INPUT_JSON),
    ("image", &UNBOUNDABLE),
    ("audio", &UNBOUNDABLE),
]);

static RESULT: Shape = Shape::object(&[("response", &OUTPUT_TEXT), ("usage", &openai_chat::USAGE)]);
static REPLY: Shape = Shape::object(&[("result", &RESULT), ("errors", &ERROR_VALUE)]);
/// Events have no envelope.
static RECORD: Shape =
    Shape::object(&[("response", &OUTPUT_TEXT), ("usage", &openai_chat::USAGE), ("errors", &ERROR_VALUE)]);
