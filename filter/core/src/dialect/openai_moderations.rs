//! `openai.moderations`: free, and without usage.

use super::{Billing, Counting, DialectId, ErrorShape, Operation, Streams, openai_chat::ERROR};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::OpenAiModerations,
    name: "moderation",
    endpoint: "/v1/moderations",
    method: "POST",
    paths: &["moderations"],
    detect: true,
    billing: Billing::Free,
    streams: Streams::Never,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::OpenAi,
    can_inject: false,
    counting: Counting::InputOnly,
    bounded_parts: &[],
    bounded_tools: &[],
    end_marker: None,
    end_records: &[],
    start_record: None,
    finish_ends: false,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
static REQUEST: Shape = Shape::object(&[("model", &MODEL)]);
static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static REPLY: Shape = Shape::object(&[("id", &RESPONSE_ID), ("model", &RESPONSE_MODEL), ("error", &ERROR)]);
