//! `openai.batches`: many requests at half the price, made later. The batch tells the sum of its usage once it is done, each time that it is
//! read: the first time is billed, if the batch was started here. Its files tell the same once more and are not metered.
//!
//! Source: openai-python `types/batch.py`, `types/batch_usage.py`.

use super::{Billing, DialectId, Job, Operation, common::*, openai_chat::ERROR, openai_responses::USAGE};
use crate::json::scan::Shape;

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE, &RETRIEVE, &CANCEL];

static CREATE: Operation = Operation { billing: Billing::Free, job: Job::Starts, ..BATCH };

static RETRIEVE: Operation =
    Operation { endpoint: "/v1/batches/{id}", method: "GET", paths: &["batches/{id}"], ..BATCH };

static CANCEL: Operation = Operation { endpoint: "/v1/batches/{id}/cancel", paths: &["batches/{id}/cancel"], ..BATCH };

const BATCH: Operation = Operation {
    dialect: DialectId::OpenAiBatches,
    name: "batch",
    endpoint: "/v1/batches",
    paths: &["batches"],
    billing: Billing::Reread,
    job: Job::Tells,
    service_tier: Some("batch"),
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[("model", &MODEL)]);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("status", &STATUS),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
