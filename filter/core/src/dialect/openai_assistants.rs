//! `openai.assistants`: runs of assistants, which some servers still have. A run is made later, or told as a stream; its usage is the sum of
//! its steps, and only the run's own is counted.
//!
//! Source: openai-python `types/beta/threads/run.py`, `types/beta/assistant_stream_event.py`; recorded runs.

use super::{
    Billing, DialectId, Job, Operation, Streams,
    common::*,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE, &SUBMIT, &CANCEL, &RETRIEVE];

static CREATE: Operation = RUN;

/// Goes on with a run that was started before; what it tells is the usage of all of it.
static SUBMIT: Operation = Operation {
    endpoint: "/v1/threads/{thread}/runs/{id}/submit_tool_outputs",
    paths: &["threads/{id}/runs/{id}/submit_tool_outputs"],
    billing: Billing::Reread,
    job: Job::Tells,
    ..RUN
};

static CANCEL: Operation = Operation {
    name: "cancel",
    endpoint: "/v1/threads/{thread}/runs/{id}/cancel",
    paths: &["threads/{id}/runs/{id}/cancel"],
    ..TOLD
};

static RETRIEVE: Operation = Operation {
    name: "retrieve",
    endpoint: "/v1/threads/{thread}/runs/{id}",
    method: "GET",
    paths: &["threads/{id}/runs/{id}"],
    ..TOLD
};

const TOLD: Operation =
    Operation { billing: Billing::Reread, job: Job::Tells, streams: Streams::Never, request: &NOTHING, ..RUN };

const RUN: Operation = Operation {
    dialect: DialectId::OpenAiAssistants,
    name: "chat",
    endpoint: "/v1/threads/{thread}/runs",
    paths: &["threads/runs", "threads/{id}/runs"],
    streams: Streams::ByBody,
    job: Job::Starts,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    end_marker: Some(b"[DONE]"),
    error_records: &["error"],
    skipped_events: Some("thread.run.step."),
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("max_completion_tokens", &MAX_OUTPUT),
    ("instructions", &INPUT_TEXT),
    // What the server keeps is fed to the model too.
    ("assistant_id", &UNBOUNDABLE),
]);

static VALUE: Shape = Shape::object(&[("value", &OUTPUT_TEXT)]);
static PART: Shape = Shape::object(&[("text", &VALUE)]);
static PARTS: Shape = Shape::array(&PART);
static DELTA: Shape = Shape::object(&[("content", &PARTS)]);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("object", &RECORD_TYPE),
    ("model", &RESPONSE_MODEL),
    ("status", &STATUS),
    ("delta", &DELTA),
    ("usage", &USAGE),
    ("last_error", &LAST_ERROR),
    ("error", &ERROR),
]);
static LAST_ERROR: Shape = Shape::object(&[("code", &ERROR_TYPE)]).and(Field::Error);
