//! `openai.images`: `OpenAI` Images. Only the GPT image models tell tokens; for the others the number of images is all there is.
//!
//! Source: openai-python `types/images_response.py`, `types/image_gen_completed_event.py`.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams, openai_chat::ERROR, openai_responses::USAGE,
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATIONS, &EDITS, &VARIATIONS];

static GENERATIONS: Operation = CREATE;

/// Its request is a form.
static EDITS: Operation = Operation { endpoint: "/v1/images/edits", paths: &["images/edits"], detect: false, ..CREATE };

static VARIATIONS: Operation =
    Operation { endpoint: "/v1/images/variations", paths: &["images/variations"], detect: false, ..CREATE };

const CREATE: Operation = Operation {
    dialect: DialectId::OpenAiImages,
    name: "image_generation",
    endpoint: "/v1/images/generations",
    method: "POST",
    paths: &["images/generations"],
    detect: true,
    billing: Billing::Billed,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    errors: ErrorShape::OpenAi,
    can_inject: false,
    counting: Counting::Inside,
    bounded_parts: &[],
    bounded_tools: &[],
    end_marker: None,
    end_records: &["image_generation.completed", "image_edit.completed"],
    start_record: None,
    finish_ends: false,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
static STREAM: Shape = Shape::value(Field::Stream);
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("stream", &STREAM), ("prompt", &INPUT_TEXT)]);

static RECORD_TYPE: Shape = Shape::value(Field::RecordType);
static IMAGES: Shape = Shape::value(Field::Images);
static REPLY: Shape = Shape::object(&[("data", &IMAGES), ("usage", &USAGE), ("error", &ERROR)]);
static RECORD: Shape = Shape::object(&[("type", &RECORD_TYPE), ("usage", &USAGE), ("error", &ERROR)]);
