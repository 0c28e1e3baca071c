//! `cohere.v1` and `cohere.v2`: Cohere's own shapes.
//!
//! Source: cohere-python 7.3 types. The counts are `billed_units`, which is what is billed: they leave the hidden prompt template out and
//! can be far below `tokens`. `cached_tokens` is on the scale of `tokens`, so that it is shown and no part of the input.

use super::{Billing, Counting, DialectId, ErrorShape, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static V2: &[&Operation] = &[&CHAT_V2, &EMBED_V2, &RERANK_V2];
pub(super) static V1: &[&Operation] = &[&CHAT_V1, &GENERATE, &EMBED_V1, &RERANK_V1, &TOKENIZE];

static CHAT_V2: Operation =
    Operation { endpoint: "/v2/chat", paths: &["v2/chat"], dialect: DialectId::CohereV2, ..CHAT };

static CHAT_V1: Operation = Operation { endpoint: "/v1/chat", paths: &["v1/chat"], ..CHAT };

static GENERATE: Operation =
    Operation { name: "text_completion", endpoint: "/v1/generate", paths: &["v1/generate"], ..CHAT };

static EMBED_V2: Operation =
    Operation { endpoint: "/v2/embed", paths: &["v2/embed"], dialect: DialectId::CohereV2, ..EMBED };

static EMBED_V1: Operation = Operation { endpoint: "/v1/embed", paths: &["v1/embed"], ..EMBED };

static RERANK_V2: Operation =
    Operation { name: "rerank", endpoint: "/v2/rerank", paths: &["v2/rerank"], dialect: DialectId::CohereV2, ..EMBED };

static RERANK_V1: Operation = Operation { name: "rerank", endpoint: "/v1/rerank", paths: &["v1/rerank"], ..EMBED };

/// Counts tokens without a model.
static TOKENIZE: Operation = Operation {
    name: "count_tokens",
    endpoint: "/v1/tokenize",
    paths: &["v1/tokenize"],
    billing: Billing::Free,
    ..EMBED
};

const CHAT: Operation = Operation {
    dialect: DialectId::CohereV1,
    name: "chat",
    endpoint: "/v1/chat",
    paths: &[],
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    errors: ErrorShape::Cohere,
    counting: Counting::Billed,
    bounded_parts: &["text", "document"],
    bounded_tools: &["function"],
    end_marker: Some(b"[DONE]"),
    error_reasons: &["ERROR"],
    end_records: &["message-end", "stream-end"],
    ..Operation::BASE
};

const EMBED: Operation =
    Operation { name: "embeddings", streams: Streams::Never, counting: Counting::InputOnly, ..CHAT };

static MESSAGE: Shape =
    Shape::object(&[("content", &TEXT_OR_PARTS), ("message", &INPUT_TEXT), ("tool_calls", &INPUT_JSON)])
        .and(Field::Message);
static MESSAGES: Shape = Shape::array(&MESSAGE);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("max_tokens", &MAX_OUTPUT),
    ("num_generations", &CHOICES_WANTED),
    ("messages", &MESSAGES),
    ("chat_history", &MESSAGES),
    ("message", &INPUT_TEXT),
    ("preamble", &INPUT_TEXT),
    ("prompt", &INPUT_TEXT),
    ("query", &INPUT_TEXT),
    ("texts", &TEXTS),
    ("documents", &DOCUMENTS),
    ("tools", &INPUT_JSON),
    ("images", &UNBOUNDABLE),
    ("inputs", &UNBOUNDABLE),
    ("connectors", &UNBOUNDABLE),
    ("conversation_id", &UNBOUNDABLE),
]);

static BILLED: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("search_units", &SEARCH_UNITS),
    ("image_tokens", &INPUT_IMAGE),
    // Images that were embedded.
    ("images", &IMAGES),
]);
/// What the model saw: taken where nothing is said to be billed.
static TOKENS: Shape = Shape::object(&[
    ("input_tokens", &VENDOR_INPUT),
    ("output_tokens", &VENDOR_OUTPUT),
    ("reasoning_tokens", &REASONING),
]);
static USAGE: Shape =
    Shape::object(&[("billed_units", &BILLED), ("tokens", &TOKENS), ("cached_tokens", &CACHE_READ)]).and(Field::Usage);

static WRITTEN_PART: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("thinking", &OUTPUT_TEXT)]);
static WRITTEN: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("thinking", &OUTPUT_TEXT)]).or_array(&WRITTEN_PART);
static FUNCTION: Shape = Shape::object(&[("name", &OUTPUT_TEXT), ("arguments", &OUTPUT_TEXT)]);
static TOOL_CALL: Shape = Shape::object(&[("function", &FUNCTION)]).or_array(&TOOL_CALL_ITEM);
static TOOL_CALL_ITEM: Shape = Shape::object(&[("function", &FUNCTION)]);
static OUTPUT_MESSAGE: Shape =
    Shape::object(&[("content", &WRITTEN), ("tool_plan", &OUTPUT_TEXT), ("tool_calls", &TOOL_CALL)]);
static GENERATION: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("finish_reason", &FINISH_REASON)]);
static GENERATIONS: Shape = Shape::array(&GENERATION);
static REPLY: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("generation_id", &RESPONSE_ID),
    ("message", &OUTPUT_MESSAGE),
    ("text", &OUTPUT_TEXT),
    ("generations", &GENERATIONS),
    ("finish_reason", &FINISH_REASON),
    ("usage", &USAGE),
    ("meta", &USAGE),
]);
/// The last record of v1 holds the whole reply once more: its text was counted as it came.
static WHOLE: Shape =
    Shape::object(&[("finish_reason", &FINISH_REASON), ("meta", &USAGE), ("generation_id", &RESPONSE_ID)]);
static DELTA: Shape = Shape::object(&[
    ("message", &OUTPUT_MESSAGE),
    ("finish_reason", &FINISH_REASON),
    ("usage", &USAGE),
    ("error", &ERROR_VALUE),
]);
static RECORD: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("event_type", &RECORD_TYPE),
    ("id", &RESPONSE_ID),
    ("delta", &DELTA),
    ("text", &OUTPUT_TEXT),
    ("is_finished", &LAST),
    ("finish_reason", &FINISH_REASON),
    ("response", &WHOLE),
]);
