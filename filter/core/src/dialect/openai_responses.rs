//! `openai.responses`: `OpenAI` Responses.
//!
//! Source: openai-python `types/responses/*`. A stream tells its usage unasked, in the record that ends it. `compact` answers with a
//! document of its own kind and the same usage. Hosted tools are counted apart: `tool_usage`.

use super::{
    Billing, Counting, DialectId, Job, Operation, Streams,
    common::*,
    openai_chat::{CONTENT, COST, COST_DETAILS, ERROR},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&COMPACT, &COUNT, &CANCEL, &CREATE, &RETRIEVE, &DECISIONS, &WEB_SOCKET];

static CREATE: Operation = Operation { job: Job::Starts, ..RESPONSES };

static COMPACT: Operation = Operation {
    endpoint: "/v1/responses/compact",
    paths: &["responses/compact"],
    detect: false,
    streams: Streams::Never,
    ..RESPONSES
};

/// Tells usage as a response does: openai-python `types/decision.py`.
static DECISIONS: Operation = Operation {
    name: "decision",
    endpoint: "/v1/decisions",
    paths: &["v1/decisions"],
    detect: false,
    streams: Streams::Never,
    ..RESPONSES
};

/// Counts the tokens of a request that is not made.
static COUNT: Operation = Operation {
    name: "count_tokens",
    endpoint: "/v1/responses/input_tokens",
    paths: &["responses/input_tokens"],
    detect: false,
    billing: Billing::Free,
    streams: Streams::Never,
    reply: &COUNTED,
    record: &COUNTED,
    counting: Counting::InputOnly,
    ..RESPONSES
};

/// A stored response tells its usage again, whole or as a stream. That of one made in the background is told here first.
static RETRIEVE: Operation = Operation {
    name: "retrieve",
    endpoint: "/v1/responses/{id}",
    method: "GET",
    paths: &["responses/{id}"],
    detect: false,
    billing: Billing::Reread,
    job: Job::Tells,
    ..RESPONSES
};

static CANCEL: Operation = Operation {
    name: "cancel",
    endpoint: "/v1/responses/{id}/cancel",
    paths: &["responses/{id}/cancel"],
    detect: false,
    billing: Billing::Reread,
    streams: Streams::Never,
    job: Job::Tells,
    ..RESPONSES
};

/// The WebSocket mode: each message `response.create` is a request, and what would be events of a stream are messages. One response is under
/// way at a time (developers.openai.com, "WebSocket mode").
static WEB_SOCKET: Operation = Operation {
    method: "GET",
    detect: false,
    streams: Streams::WebSocket,
    request: &CLIENT_MESSAGE,
    reply: &REFUSED,
    ..RESPONSES
};

const RESPONSES: Operation = Operation {
    dialect: DialectId::OpenAiResponses,
    name: "chat",
    endpoint: "/v1/responses",
    paths: &["responses"],
    detect: true,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &RESPONSE,
    record: &RECORD,
    bounded_parts: &[
        "text",
        "input_text",
        "output_text",
        "refusal",
        "summary_text",
        "reasoning_text",
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
    ],
    bounded_tools: &["function", "custom"],
    // The second may come without saying what went wrong.
    error_records: &["error", "response.failed"],
    end_records: &["response.completed", "response.incomplete", "response.failed", "response.cancelled"],
    ..Operation::BASE
};

static ITEM: Shape = Shape::object(&[
    // A message may leave its type out.
    ("type", &PART_TYPE),
    ("content", &CONTENT),
    ("summary", &CONTENT),
    ("arguments", &INPUT_TEXT),
    ("input", &INPUT_TEXT),
    ("output", &CONTENT),
])
.and(Field::Message);
static INPUTS: Shape = Shape::value(Field::InputText).or_array(&ITEM);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("max_output_tokens", &MAX_OUTPUT),
    ("service_tier", &REQUEST_TIER),
    ("instructions", &INPUT_TEXT),
    ("input", &INPUTS),
    ("tools", &TYPED_TOOLS),
    ("text", &INPUT_JSON),
    // What the server keeps is fed to the model too.
    ("previous_response_id", &UNBOUNDABLE),
    ("conversation", &UNBOUNDABLE),
    ("prompt", &UNBOUNDABLE),
]);

static INPUT_DETAILS: Shape = Shape::object(&[
    ("cached_tokens", &CACHE_READ),
    ("cache_write_tokens", &CACHE_WRITE),
    ("audio_tokens", &INPUT_AUDIO),
    ("image_tokens", &INPUT_IMAGE),
]);
static OUTPUT_DETAILS: Shape = Shape::object(&[
    ("reasoning_tokens", &REASONING),
    ("audio_tokens", &OUTPUT_AUDIO),
    ("image_tokens", &OUTPUT_IMAGE),
]);
pub(super) static USAGE: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    ("input_tokens_details", &INPUT_DETAILS),
    ("output_tokens_details", &OUTPUT_DETAILS),
    // OpenRouter says a number of credits, which are USD; Perplexity an object with the parts and their sum.
    ("cost", &COST),
    ("is_byok", &OWN_KEY),
    ("cost_details", &COST_DETAILS),
    // xAI.
    ("cost_in_usd_ticks", &REPORTED_TICKS),
])
.and(Field::Usage);

static INCOMPLETE: Shape = Shape::object(&[("reason", &FINISH_REASON)]);
static WRITTEN: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("refusal", &OUTPUT_TEXT)]);
static WRITTEN_PARTS: Shape = Shape::array(&WRITTEN);
static ITEM_TYPE: Shape = Shape::value(Field::OutputItemType);
static ITEM_ACTION: Shape = Shape::value(Field::OutputItemAction);
// What a web search does may also be to open a page of what was found, which is free.
static ACTION: Shape = Shape::object(&[("type", &ITEM_ACTION)]);
static OUTPUT_ITEM: Shape = Shape::object(&[
    ("type", &ITEM_TYPE),
    ("action", &ACTION),
    ("content", &WRITTEN_PARTS),
    ("summary", &WRITTEN_PARTS),
    ("arguments", &OUTPUT_TEXT),
])
.and(Field::OutputItem);
static OUTPUT_ITEMS: Shape = Shape::array(&OUTPUT_ITEM).and(Field::OutputItems);
static SEARCH_USAGE: Shape = Shape::object(&[("num_requests", &WEB_SEARCHES)]);
/// What another model took, beside the usage of the one that answers.
pub(super) static OTHER_USAGE: Shape =
    Shape::object(&[("input_tokens", &OTHER_INPUT), ("output_tokens", &OTHER_OUTPUT), ("total_tokens", &OTHER_TOKENS)]);
static TOOL_USAGE: Shape = Shape::object(&[("web_search", &SEARCH_USAGE), ("image_gen", &OTHER_USAGE)]);
static RESPONSE: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("service_tier", &SERVICE_TIER),
    ("status", &STATUS),
    ("incomplete_details", &INCOMPLETE),
    ("output", &OUTPUT_ITEMS),
    ("usage", &USAGE),
    ("tool_usage", &TOOL_USAGE),
    ("error", &ERROR),
]);

/// In a stream the output came in deltas before: what the last record repeats of its text is not counted again.
static LAST_ITEM: Shape = Shape::object(&[("type", &ITEM_TYPE), ("action", &ACTION)]).and(Field::OutputItem);
static LAST_ITEMS: Shape = Shape::array(&LAST_ITEM).and(Field::OutputItems);
static LAST_RESPONSE: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("service_tier", &SERVICE_TIER),
    ("status", &STATUS),
    ("incomplete_details", &INCOMPLETE),
    ("output", &LAST_ITEMS),
    ("usage", &USAGE),
    ("tool_usage", &TOOL_USAGE),
    ("error", &ERROR),
]);
static RECORD: Shape =
    Shape::object(&[("type", &RECORD_TYPE), ("delta", &OUTPUT_TEXT), ("response", &LAST_RESPONSE), ("error", &ERROR)]);

static CLIENT_MESSAGE: Shape = Shape::object(&[("type", &RECORD_TYPE), ("model", &MODEL)]);

/// An upgrade that was refused.
static REFUSED: Shape = Shape::object(&[("error", &ERROR)]);

static COUNTED: Shape = Shape::object(&[("input_tokens", &INPUT), ("error", &ERROR)]);
