//! `openai.moderations`: free, and without usage.

use super::{Billing, Counting, DialectId, Operation, common::*, openai_chat::ERROR};
use crate::json::scan::Shape;

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::OpenAiModerations,
    name: "moderation",
    endpoint: "/v1/moderations",
    paths: &["moderations"],
    detect: true,
    billing: Billing::Free,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    counting: Counting::InputOnly,
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[("model", &MODEL)]);
static REPLY: Shape = Shape::object(&[("id", &RESPONSE_ID), ("model", &RESPONSE_MODEL), ("error", &ERROR)]);
