//! `openai.embeddings`: `OpenAI` Embeddings and the many servers that speak them.
//!
//! Sources: openai-python `types/create_embedding_response.py`; Voyage and Jina, whose usage is `total_tokens` alone.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::OpenAiEmbeddings,
    name: "embeddings",
    endpoint: "/v1/embeddings",
    method: "POST",
    paths: &["deployments/{model}/embeddings", "multimodalembeddings", "embeddings"],
    detect: true,
    billing: Billing::Billed,
    streams: Streams::Never,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::OpenAi,
    can_inject: false,
    counting: Counting::InputOnly,
    bounded_parts: &["text"],
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
static TOKEN: Shape = Shape::value(Field::InputToken);
static PART_TYPE: Shape = Shape::value(Field::PartType);
/// Jina: `{"text": …}` or `{"image": …}`; vLLM: chat messages.
static ITEM: Shape = Shape {
    field: Some(Field::InputText),
    members: &[("type", &PART_TYPE), ("text", &INPUT_TEXT)],
    items: Some(&TOKEN),
};
static INPUTS: Shape = Shape::value(Field::InputText).or_array(&ITEM);
static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("input", &INPUTS)]);

static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static REPLY: Shape =
    Shape::object(&[("id", &RESPONSE_ID), ("model", &RESPONSE_MODEL), ("usage", &USAGE), ("error", &ERROR)]);
