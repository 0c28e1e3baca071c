//! `gemini.interactions`: Gemini's Interactions API.
//!
//! Source: google-genai 3.4 `types.py`. Output leaves thoughts out, input leaves out what tools added.

use super::{Billing, Counting, DialectId, ErrorShape, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE_OPERATION, &RETRIEVE];

static CREATE_OPERATION: Operation = CREATE;

/// A stored interaction tells its usage again.
static RETRIEVE: Operation = Operation {
    name: "retrieve",
    endpoint: "/v1beta/interactions/{id}",
    method: "GET",
    paths: &["interactions/{id}"],
    billing: Billing::Reread,
    ..CREATE
};

const CREATE: Operation = Operation {
    dialect: DialectId::GeminiInteractions,
    name: "generate_content",
    endpoint: "/v1beta/interactions",
    paths: &["interactions"],
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &INTERACTION,
    record: &RECORD,
    errors: ErrorShape::Google,
    counting: Counting::ThoughtsOutside,
    bounded_parts: &["text"],
    bounded_tools: &["function"],
    end_marker: Some(b"[DONE]"),
    end_records: &["interaction.completed", "interaction.complete"],
    ..Operation::BASE
};

static TURN: Shape =
    Shape::object(&[("type", &PART_TYPE), ("text", &INPUT_TEXT), ("content", &TEXT_OR_PARTS)]).and(Field::Message);
static INPUTS: Shape = Shape::value(Field::InputText).or_array(&TURN);
static GENERATION: Shape = Shape::object(&[("max_output_tokens", &MAX_OUTPUT)]);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("agent", &MODEL),
    ("stream", &STREAM),
    ("input", &INPUTS),
    ("system_instruction", &INPUT_TEXT),
    ("tools", &TYPED_TOOLS),
    ("generation_config", &GENERATION),
    // What the server keeps is fed to the model too.
    ("previous_interaction_id", &UNBOUNDABLE),
]);

static INPUT_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokens", &CLASS_COUNT)]).and(Field::InputClass);
static INPUT_CLASSES: Shape = Shape::array(&INPUT_CLASS);
static OUTPUT_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokens", &CLASS_COUNT)]).and(Field::OutputClass);
static OUTPUT_CLASSES: Shape = Shape::array(&OUTPUT_CLASS);
static USAGE: Shape = Shape::object(&[
    ("total_input_tokens", &INPUT),
    ("total_output_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    ("total_cached_tokens", &CACHE_READ),
    ("total_thought_tokens", &REASONING),
    ("total_tool_use_tokens", &TOOL_INPUT),
    ("input_tokens_by_modality", &INPUT_CLASSES),
    ("output_tokens_by_modality", &OUTPUT_CLASSES),
])
.and(Field::Usage);

static WRITTEN: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
static OUTPUTS: Shape = Shape::array(&WRITTEN);
static ERROR: Shape = Shape::object(&[("code", &ERROR_TYPE)]).and(Field::Error);
static INTERACTION: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("status", &STATUS),
    ("service_tier", &SERVICE_TIER),
    ("outputs", &OUTPUTS),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
static RECORD: Shape = Shape::object(&[
    ("event_type", &RECORD_TYPE),
    ("type", &RECORD_TYPE),
    ("delta", &WRITTEN),
    ("interaction", &INTERACTION),
    ("error", &ERROR),
]);
