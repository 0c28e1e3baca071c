//! `openai.images`: `OpenAI` Images. Only the GPT image models tell tokens; for the others the number of images is all there is.
//!
//! Source: openai-python `types/images_response.py`, `types/image_gen_completed_event.py`.

use super::{
    DialectId, Operation, Streams,
    common::*,
    openai_chat::ERROR,
    openai_responses::{OTHER_USAGE, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATIONS, &EDITS, &VARIATIONS];

static GENERATIONS: Operation = CREATE;

/// Its request is a form.
static EDITS: Operation = Operation {
    endpoint: "/v1/images/edits",
    paths: &["deployments/{model}/images/edits", "images/edits"],
    detect: false,
    ..CREATE
};

static VARIATIONS: Operation =
    Operation { endpoint: "/v1/images/variations", paths: &["images/variations"], detect: false, ..CREATE };

const CREATE: Operation = Operation {
    dialect: DialectId::OpenAiImages,
    name: "image_generation",
    endpoint: "/v1/images/generations",
    paths: &["deployments/{model}/images/generations", "images/generations"],
    detect: true,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    is_estimable: false,
    // One for each image.
    counted_records: Some(Field::Images),
    end_records: &["image_generation.completed", "image_edit.completed"],
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("stream", &STREAM), ("prompt", &INPUT_TEXT)]);

// Another model writes the SVG.
static REPLY: Shape =
    Shape::object(&[("data", &IMAGES), ("usage", &USAGE), ("svg_usage", &OTHER_USAGE), ("error", &ERROR)]);
static RECORD: Shape = Shape::object(&[("type", &RECORD_TYPE), ("usage", &USAGE), ("error", &ERROR)]);
