//! `watsonx`: IBM watsonx.ai. Each record of a stream tells the tokens generated so far; those of the input may be 0 in later ones.
//!
//! Source: ibm-watsonx-ai 1.8; recorded exchanges.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams,
    openai_chat::{CHOICES, MESSAGES, TOOLS, USAGE},
};
use crate::json::scan::{Field, Shape};

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
    method: "POST",
    paths: &["text/generation", "generation/text"],
    detect: false,
    billing: Billing::Billed,
    streams: Streams::Never,
    request: &REQUEST,
    reply: &REPLY,
    record: &REPLY,
    errors: ErrorShape::Watsonx,
    can_inject: false,
    counting: Counting::Inside,
    bounded_parts: &["text"],
    bounded_tools: &["function"],
    end_marker: None,
    end_records: &[],
    start_record: None,
    finish_ends: false,
    header_counters: &[],
    in_base64: false,
    keeps_largest: true,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
static MAX_OUTPUT: Shape = Shape::value(Field::MaxOutputTokens);
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static INPUTS: Shape = Shape::value(Field::InputText).or_array(&INPUT_TEXT);
static PARAMETERS: Shape = Shape::object(&[("max_new_tokens", &MAX_OUTPUT)]);
static REQUEST: Shape = Shape::object(&[
    ("model_id", &MODEL),
    ("input", &INPUT_TEXT),
    ("inputs", &INPUTS),
    ("messages", &MESSAGES),
    ("tools", &TOOLS),
    ("parameters", &PARAMETERS),
    ("max_tokens", &MAX_OUTPUT),
]);

static INPUT: Shape = Shape::value(Field::Input);
static OUTPUT: Shape = Shape::value(Field::Output);
static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static FINISH_REASON: Shape = Shape::value(Field::FinishReason);
static OUTPUT_TEXT: Shape = Shape::value(Field::OutputText);
static ERRORS: Shape = Shape::value(Field::Error);
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
    ("errors", &ERRORS),
]);
