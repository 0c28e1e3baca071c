//! `rerank`: reranking as Voyage, Jina, vLLM, llama.cpp, Together and others speak it: tokens of query and documents.
//!
//! Source: voyageai 0.5; recorded exchanges.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::Rerank,
    name: "rerank",
    endpoint: "/v1/rerank",
    method: "POST",
    paths: &["rerank", "reranking"],
    detect: true,
    billing: Billing::Billed,
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
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static DOCUMENT: Shape = Shape { field: Some(Field::InputText), members: &[("text", &INPUT_TEXT)], items: None };
static DOCUMENTS: Shape = Shape::array(&DOCUMENT);
static REQUEST: Shape =
    Shape::object(&[("model", &MODEL), ("query", &INPUT_TEXT), ("documents", &DOCUMENTS), ("texts", &DOCUMENTS)]);

static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static SEARCH_UNITS: Shape = Shape::value(Field::SearchUnits);
static BILLED: Shape = Shape::object(&[("search_units", &SEARCH_UNITS)]);
static META: Shape = Shape::object(&[("billed_units", &BILLED)]);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("usage", &USAGE),
    ("meta", &META),
    ("error", &ERROR),
]);
