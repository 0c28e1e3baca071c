//! `watsonx`: IBM watsonx.ai. Each record of a stream tells the tokens generated so far; those of the input may be 0 in later ones.
//!
//! Source: ibm-watsonx-ai 1.8; recorded exchanges.

use super::{
    Counting, DialectId, ErrorShape, Operation, Streams,
    common::*,
    openai_chat::{CHOICES, MESSAGES, USAGE},
};
use crate::json::scan::Shape;

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATION, &GENERATION_STREAM, &CHAT, &CHAT_STREAM, &EMBEDDINGS];

static GENERATION: Operation = GENERATE;

static GENERATION_STREAM: Operation = Operation {
    endpoint: "/ml/v1/text/generation_stream",
    paths: &["text/generation_stream", "generation/text_stream"],
    streams: Streams::Always,
    ..GENERATE
};

static CHAT: Operation = Operation { name: "chat", endpoint: "/ml/v1/text/chat", paths: &["text/chat"], ..GENERATE };

static CHAT_STREAM: Operation = Operation {
    name: "chat",
    endpoint: "/ml/v1/text/chat_stream",
    paths: &["text/chat_stream"],
    streams: Streams::Always,
    ..GENERATE
};

static EMBEDDINGS: Operation = Operation {
    name: "embeddings",
    endpoint: "/ml/v1/text/embeddings",
    paths: &["text/embeddings", "text/rerank"],
    counting: Counting::InputOnly,
    ..GENERATE
};

const GENERATE: Operation = Operation {
    dialect: DialectId::Watsonx,
    name: "text_completion",
    endpoint: "/ml/v1/text/generation",
    paths: &["text/generation", "generation/text"],
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::Watsonx,
    bounded_parts: &["text"],
    bounded_tools: &["function"],
    keeps_largest: true,
    ..Operation::BASE
};

static PARAMETERS: Shape = Shape::object(&[("max_new_tokens", &MAX_OUTPUT)]);
static REQUEST: Shape = Shape::object(&[
    ("model_id", &MODEL),
    ("input", &INPUT_TEXT),
    ("inputs", &TEXTS),
    ("messages", &MESSAGES),
    ("tools", &TYPED_TOOLS),
    ("parameters", &PARAMETERS),
    ("max_tokens", &MAX_OUTPUT),
]);

static RESULT: Shape = Shape::object(&[
    ("generated_text", &OUTPUT_TEXT),
    ("input_token_count", &INPUT),
    ("generated_token_count", &OUTPUT),
    ("stop_reason", &FINISH_REASON),
]);
static RESULTS: Shape = Shape::array(&RESULT);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model_id", &RESPONSE_MODEL),
    ("results", &RESULTS),
    ("input_token_count", &INPUT),
    ("choices", &CHOICES),
    ("usage", &USAGE),
    ("errors", &ERROR_VALUE),
]);
