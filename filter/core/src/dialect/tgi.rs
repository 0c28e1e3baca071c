//! `tgi`: the native form of Hugging Face's Text Generation Inference. Counts are in the headers of a whole reply, and in `details` of the
//! last event of a stream.
//!
//! Source: text-generation-inference `router/src/server.rs`, `router/src/infer/mod.rs`.

use super::{DialectId, ErrorShape, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATE, &GENERATE_STREAM];

static GENERATE: Operation = OPERATION;

static GENERATE_STREAM: Operation =
    Operation { endpoint: "/generate_stream", paths: &["generate_stream"], streams: Streams::Always, ..OPERATION };

/// Other servers have such paths too: only a row says that it is this one.
const OPERATION: Operation = Operation {
    dialect: DialectId::Tgi,
    name: "text_completion",
    endpoint: "/generate",
    paths: &["generate"],
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    errors: ErrorShape::Tgi,
    header_counters: &[("x-prompt-tokens", Field::Input), ("x-generated-tokens", Field::Output)],
    finish_ends: true,
    ..Operation::BASE
};

static PARAMETERS: Shape = Shape::object(&[("max_new_tokens", &MAX_OUTPUT), ("best_of", &CHOICES_WANTED)]);
static REQUEST: Shape = Shape::object(&[("inputs", &INPUT_TEXT), ("parameters", &PARAMETERS)]);

static DETAILS: Shape =
    Shape::object(&[("input_length", &INPUT), ("generated_tokens", &OUTPUT), ("finish_reason", &FINISH_REASON)]);
static REPLY: Shape =
    Shape::object(&[("generated_text", &OUTPUT_TEXT), ("details", &DETAILS), ("error", &ERROR_VALUE)]);
static TOKEN: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
/// The last event repeats the whole text.
static RECORD: Shape = Shape::object(&[("token", &TOKEN), ("details", &DETAILS), ("error", &ERROR_VALUE)]);
