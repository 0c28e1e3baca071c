//! `openai.embeddings`: `OpenAI` Embeddings and the many servers that speak them.
//!
//! Sources: openai-python `types/create_embedding_response.py`; Voyage and Jina, whose usage is `total_tokens` alone.

use super::{
    Counting, DialectId, Operation,
    common::*,
    openai_chat::{ERROR, USAGE},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CREATE];

static CREATE: Operation = Operation {
    dialect: DialectId::OpenAiEmbeddings,
    name: "embeddings",
    endpoint: "/v1/embeddings",
    paths: &["deployments/{model}/embeddings", "multimodalembeddings", "contextualizedembeddings", "embeddings"],
    detect: true,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    counting: Counting::InputOnly,
    bounded_parts: &["text"],
    ..Operation::BASE
};

/// Jina: `{"text": …}` or `{"image": …}`; vLLM: chat messages.
static ITEM: Shape =
    Shape::object(&[("type", &PART_TYPE), ("text", &INPUT_TEXT)]).and(Field::InputText).or_array(&INPUT_TOKEN);
static INPUTS: Shape = Shape::value(Field::InputText).or_array(&ITEM);
static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("input", &INPUTS)]);

static REPLY: Shape =
    Shape::object(&[("id", &RESPONSE_ID), ("model", &RESPONSE_MODEL), ("usage", &USAGE), ("error", &ERROR)]);
