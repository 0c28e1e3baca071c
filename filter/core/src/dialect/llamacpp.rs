//! `llamacpp`: the native completion of llama.cpp's server. Several prompts give an array of replies.
//!
//! Source: llama.cpp `tools/server`: `tokens_evaluated` is the whole prompt, cached or not; `timings.cache_n` is what was cached.

use super::{DialectId, Operation, Streams, common::*, openai_chat::ERROR};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&COMPLETION];

/// Applications have such a path too: only a row says that it is this server.
static COMPLETION: Operation = Operation {
    dialect: DialectId::LlamaCpp,
    name: "text_completion",
    endpoint: "/completion",
    paths: &["completion"],
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RESULT,
    end_marker: Some(b"[DONE]"),
    ..Operation::BASE
};

static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("n_predict", &MAX_OUTPUT),
    ("n_cmpl", &CHOICES_WANTED),
    ("prompt", &PROMPTS),
]);

static TIMINGS: Shape = Shape::object(&[("cache_n", &CACHE_READ)]);
const MEMBERS: &[(&str, &Shape)] = &[
    ("model", &RESPONSE_MODEL),
    ("content", &OUTPUT_TEXT),
    ("stop", &LAST),
    ("stop_type", &FINISH_REASON),
    ("tokens_evaluated", &INPUT),
    ("tokens_predicted", &OUTPUT),
    ("timings", &TIMINGS),
    ("error", &ERROR),
];
static RESULT: Shape = Shape::object(MEMBERS);
static EACH: Shape = Shape::object(MEMBERS).and(Field::Summed);
static REPLY: Shape = Shape::object(MEMBERS).or_array(&EACH);
