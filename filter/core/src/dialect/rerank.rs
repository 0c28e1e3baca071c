//! `rerank`: reranking as Voyage, Jina, vLLM, llama.cpp, Together and others speak it: tokens of query and documents.
//!
//! Source: voyageai 0.5; recorded exchanges.

use super::{
    Counting, DialectId, Operation,
    common::*,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::Shape;

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::Rerank,
    name: "rerank",
    endpoint: "/v1/rerank",
    paths: &["rerank", "reranking"],
    detect: true,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    counting: Counting::InputOnly,
    ..Operation::BASE
};

static REQUEST: Shape =
    Shape::object(&[("model", &MODEL), ("query", &INPUT_TEXT), ("documents", &DOCUMENTS), ("texts", &DOCUMENTS)]);

static BILLED: Shape = Shape::object(&[("search_units", &SEARCH_UNITS)]);
static META: Shape = Shape::object(&[("billed_units", &BILLED)]);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("usage", &USAGE),
    ("meta", &META),
    ("error", &ERROR),
]);
