//! `openai.responses`: `OpenAI` Responses.
//!
//! Source: openai-python `types/responses/*`. A stream tells its usage unasked, in the record that ends it. `compact` answers with a
//! document of its own kind and the same usage. Hosted tools are counted apart: `tool_usage`.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams,
    openai_chat::{COST, COST_DETAILS, ERROR},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&COMPACT, &COUNT, &CANCEL, &CREATE, &RETRIEVE];

static CREATE: Operation = RESPONSES;

static COMPACT: Operation = Operation {
    endpoint: "/v1/responses/compact",
    paths: &["responses/compact"],
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

/// A stored response tells its usage again, whole or as a stream.
static RETRIEVE: Operation = Operation {
    name: "retrieve",
    endpoint: "/v1/responses/{id}",
    method: "GET",
    paths: &["responses/{id}"],
    detect: false,
    billing: Billing::Reread,
    ..RESPONSES
};

static CANCEL: Operation = Operation {
    name: "cancel",
    endpoint: "/v1/responses/{id}/cancel",
    paths: &["responses/{id}/cancel"],
    detect: false,
    billing: Billing::Reread,
    streams: Streams::Never,
    ..RESPONSES
};

const RESPONSES: Operation = Operation {
    dialect: DialectId::OpenAiResponses,
    name: "chat",
    endpoint: "/v1/responses",
    method: "POST",
    paths: &["responses"],
    detect: true,
    billing: Billing::Billed,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &RESPONSE,
    record: &RECORD,
    errors: ErrorShape::OpenAi,
    can_inject: false,
    counting: Counting::Inside,
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
    end_marker: None,
    end_records: &["response.completed", "response.incomplete", "response.failed", "response.cancelled"],
    start_record: None,
    finish_ends: false,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
static STREAM: Shape = Shape::value(Field::Stream);
static MAX_OUTPUT: Shape = Shape::value(Field::MaxOutputTokens);
static REQUEST_TIER: Shape = Shape::value(Field::RequestTier);
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static INPUT_JSON: Shape = Shape::value(Field::InputJson);
static PART_TYPE: Shape = Shape::value(Field::PartType);
static TOOL_TYPE: Shape = Shape::value(Field::ToolType);
static UNBOUNDABLE: Shape = Shape::value(Field::Unboundable);
static PART: Shape = Shape::object(&[("type", &PART_TYPE), ("text", &INPUT_TEXT), ("refusal", &INPUT_TEXT)]);
static CONTENT: Shape = Shape::value(Field::InputText).or_array(&PART);
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
static TOOL: Shape = Shape::object(&[("type", &TOOL_TYPE)]).and(Field::InputJson);
static TOOLS: Shape = Shape::array(&TOOL);
static REQUEST: Shape = Shape::object(&[
    ("model", &MODEL),
    ("stream", &STREAM),
    ("max_output_tokens", &MAX_OUTPUT),
    ("service_tier", &REQUEST_TIER),
    ("instructions", &INPUT_TEXT),
    ("input", &INPUTS),
    ("tools", &TOOLS),
    ("text", &INPUT_JSON),
    // What the server keeps is fed to the model too.
    ("previous_response_id", &UNBOUNDABLE),
    ("conversation", &UNBOUNDABLE),
    ("prompt", &UNBOUNDABLE),
]);

static INPUT: Shape = Shape::value(Field::Input);
static OUTPUT: Shape = Shape::value(Field::Output);
static TOTAL: Shape = Shape::value(Field::Total);
static CACHE_READ: Shape = Shape::value(Field::CacheRead);
static CACHE_WRITE: Shape = Shape::value(Field::CacheWrite);
static REASONING: Shape = Shape::value(Field::Reasoning);
static INPUT_AUDIO: Shape = Shape::value(Field::InputAudio);
static INPUT_IMAGE: Shape = Shape::value(Field::InputImage);
static OUTPUT_AUDIO: Shape = Shape::value(Field::OutputAudio);
static OUTPUT_IMAGE: Shape = Shape::value(Field::OutputImage);
static REPORTED_TICKS: Shape = Shape::value(Field::ReportedTicks);
static OWN_KEY: Shape = Shape::value(Field::OwnKey);
static WEB_SEARCHES: Shape = Shape::value(Field::WebSearches);
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

static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static SERVICE_TIER: Shape = Shape::value(Field::ServiceTier);
static STATUS: Shape = Shape::value(Field::Status);
static FINISH_REASON: Shape = Shape::value(Field::FinishReason);
static INCOMPLETE: Shape = Shape::object(&[("reason", &FINISH_REASON)]);
static RECORD_TYPE: Shape = Shape::value(Field::RecordType);
static OUTPUT_TEXT: Shape = Shape::value(Field::OutputText);
static WRITTEN: Shape = Shape::object(&[("text", &OUTPUT_TEXT), ("refusal", &OUTPUT_TEXT)]);
static WRITTEN_PARTS: Shape = Shape::array(&WRITTEN);
static ITEM_TYPE: Shape = Shape::value(Field::OutputItemType);
static ITEM_ACTION: Shape = Shape::value(Field::OutputItemAction);
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
static LAST_ITEM: Shape = Shape::object(&[("type", &ITEM_TYPE), ("action", &ACTION)]).and(Field::OutputItem);
static LAST_ITEMS: Shape = Shape::array(&LAST_ITEM).and(Field::OutputItems);
static SEARCH_USAGE: Shape = Shape::object(&[("num_requests", &WEB_SEARCHES)]);
// Another model makes the images, at a price of its own.
static UNPRICED_USE: Shape = Shape::value(Field::UnpricedUse);
static IMAGE_USAGE: Shape = Shape::object(&[("total_tokens", &UNPRICED_USE)]);
static TOOL_USAGE: Shape = Shape::object(&[("web_search", &SEARCH_USAGE), ("image_gen", &IMAGE_USAGE)]);
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
static LAST: Shape = Shape::object(&[
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
    Shape::object(&[("type", &RECORD_TYPE), ("delta", &OUTPUT_TEXT), ("response", &LAST), ("error", &ERROR)]);

static COUNTED: Shape = Shape::object(&[("input_tokens", &INPUT), ("error", &ERROR)]);
