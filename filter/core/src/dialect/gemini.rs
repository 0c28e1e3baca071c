//! `gemini.generate`: Gemini on AI Studio and Vertex. The model is in the path, the verb says whether the reply is a stream: server-sent
//! events with `alt=sse`, else one JSON array whose elements come one by one.
//!
//! Source: google-genai `types.py` (`GenerateContentResponseUsageMetadata`, `EmbedContentResponse`). Each chunk may tell usage; it is
//! cumulative. Vertex sends a usage without counters on every chunk but the last. A count of zero is left out.

use super::{Billing, Counting, DialectId, ErrorShape, Operation, Streams};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&GENERATE_OPERATION, &STREAM, &COUNT, &EMBED, &EMBED_BATCH, &PREDICT];

static GENERATE_OPERATION: Operation = GENERATE;

static STREAM: Operation = Operation {
    endpoint: "/v1beta/models/{model}:streamGenerateContent",
    paths: &["{model}:streamGenerateContent"],
    streams: Streams::Always,
    ..GENERATE
};

/// Counts the tokens of a request that is not made.
static COUNT: Operation = Operation {
    name: "count_tokens",
    endpoint: "/v1beta/models/{model}:countTokens",
    paths: &["{model}:countTokens"],
    billing: Billing::Free,
    reply: &COUNTED,
    record: &COUNTED,
    counting: Counting::InputOnly,
    ..GENERATE
};

static EMBED: Operation = Operation {
    name: "embeddings",
    endpoint: "/v1beta/models/{model}:embedContent",
    paths: &["{model}:embedContent"],
    counting: Counting::InputOnly,
    ..GENERATE
};

static EMBED_BATCH: Operation = Operation {
    name: "embeddings",
    endpoint: "/v1beta/models/{model}:batchEmbedContents",
    paths: &["{model}:batchEmbedContents"],
    counting: Counting::InputOnly,
    request: &EMBED_REQUESTS,
    ..GENERATE
};

/// Vertex's embeddings of older models. Each prediction tells its own tokens, so that nothing but the last would be kept: they are
/// summed.
static PREDICT: Operation = Operation {
    name: "embeddings",
    endpoint: "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:predict",
    paths: &["publishers/google/models/{model}:predict"],
    detect: false,
    counting: Counting::InputOnly,
    reply: &PREDICTIONS_REPLY,
    record: &PREDICTIONS_REPLY,
    ..GENERATE
};

const GENERATE: Operation = Operation {
    dialect: DialectId::GeminiGenerate,
    name: "generate_content",
    endpoint: "/v1beta/models/{model}:generateContent",
    method: "POST",
    paths: &["{model}:generateContent"],
    detect: true,
    billing: Billing::Billed,
    streams: Streams::Never,
    request: &REQUEST,
    reply: &RESPONSES,
    record: &RESPONSES,
    errors: ErrorShape::Google,
    can_inject: false,
    counting: Counting::ThoughtsOutside,
    bounded_parts: &[],
    bounded_tools: &[],
    end_marker: None,
    end_records: &[],
    start_record: None,
    finish_ends: true,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static CHOICES_WANTED: Shape = Shape::value(Field::Choices);
static MAX_OUTPUT: Shape = Shape::value(Field::MaxOutputTokens);
static INPUT_TEXT: Shape = Shape::value(Field::InputText);
static INPUT_JSON: Shape = Shape::value(Field::InputJson);
static UNBOUNDABLE: Shape = Shape::value(Field::Unboundable);
static PART: Shape = Shape::object(&[
    ("text", &INPUT_TEXT),
    ("functionCall", &INPUT_JSON),
    ("functionResponse", &INPUT_JSON),
    ("inlineData", &UNBOUNDABLE),
    ("fileData", &UNBOUNDABLE),
]);
static PARTS: Shape = Shape::array(&PART);
static CONTENT: Shape = Shape::object(&[("parts", &PARTS)]).and(Field::Message);
static CONTENTS: Shape = Shape::object(&[("parts", &PARTS)]).or_array(&CONTENT);
static GENERATION: Shape = Shape::object(&[("candidateCount", &CHOICES_WANTED), ("maxOutputTokens", &MAX_OUTPUT)]);
static FUNCTIONS: Shape = Shape::object(&[
    ("functionDeclarations", &INPUT_JSON),
    ("googleSearch", &UNBOUNDABLE),
    ("codeExecution", &UNBOUNDABLE),
    ("urlContext", &UNBOUNDABLE),
]);
static TOOLS: Shape = Shape::array(&FUNCTIONS);
static INSTANCE: Shape = Shape::object(&[("content", &INPUT_TEXT), ("prompt", &INPUT_TEXT)]);
static INSTANCES: Shape = Shape::array(&INSTANCE);
static REQUEST: Shape = Shape::object(&[
    ("contents", &CONTENTS),
    ("content", &CONTENT),
    ("instances", &INSTANCES),
    ("systemInstruction", &CONTENT),
    ("system_instruction", &CONTENT),
    ("generationConfig", &GENERATION),
    ("tools", &TOOLS),
    // What the server keeps is fed to the model too.
    ("cachedContent", &UNBOUNDABLE),
]);
static EMBED_REQUEST: Shape = Shape::object(&[("content", &CONTENT)]);
static EMBED_EACH: Shape = Shape::array(&EMBED_REQUEST);
static EMBED_REQUESTS: Shape = Shape::object(&[("requests", &EMBED_EACH)]);

static INPUT: Shape = Shape::value(Field::Input);
static OUTPUT: Shape = Shape::value(Field::Output);
static TOTAL: Shape = Shape::value(Field::Total);
static CACHE_READ: Shape = Shape::value(Field::CacheRead);
static REASONING: Shape = Shape::value(Field::Reasoning);
static TOOL_INPUT: Shape = Shape::value(Field::ToolInput);
static CLASS_NAME: Shape = Shape::value(Field::ClassName);
static CLASS_COUNT: Shape = Shape::value(Field::ClassCount);
static INPUT_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokenCount", &CLASS_COUNT)]).and(Field::InputClass);
static INPUT_CLASSES: Shape = Shape::array(&INPUT_CLASS);
static OUTPUT_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokenCount", &CLASS_COUNT)]).and(Field::OutputClass);
static OUTPUT_CLASSES: Shape = Shape::array(&OUTPUT_CLASS);
static CACHE_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokenCount", &CLASS_COUNT)]).and(Field::CacheReadClass);
static CACHE_CLASSES: Shape = Shape::array(&CACHE_CLASS);
static SERVICE_TIER: Shape = Shape::value(Field::ServiceTier);
static USAGE: Shape = Shape::object(&[
    ("promptTokenCount", &INPUT),
    ("candidatesTokenCount", &OUTPUT),
    ("totalTokenCount", &TOTAL),
    ("cachedContentTokenCount", &CACHE_READ),
    ("thoughtsTokenCount", &REASONING),
    ("toolUsePromptTokenCount", &TOOL_INPUT),
    ("promptTokensDetails", &INPUT_CLASSES),
    // The spelling of `batchEmbedContents`.
    ("promptTokenDetails", &INPUT_CLASSES),
    ("candidatesTokensDetails", &OUTPUT_CLASSES),
    ("cacheTokensDetails", &CACHE_CLASSES),
    ("serviceTier", &SERVICE_TIER),
    ("trafficType", &SERVICE_TIER),
])
.and(Field::Usage);

static RESPONSE_ID: Shape = Shape::value(Field::ResponseId);
static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static FINISH_REASON: Shape = Shape::value(Field::FinishReason);
static OUTPUT_TEXT: Shape = Shape::value(Field::OutputText);
static OUTPUT_PART: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
static OUTPUT_PARTS: Shape = Shape::array(&OUTPUT_PART);
static OUTPUT_CONTENT: Shape = Shape::object(&[("parts", &OUTPUT_PARTS)]);
// Google counts prompts or queries, by model, and gives some of them away: what a search cost, the reply does not tell.
static UNPRICED_USE: Shape = Shape::value(Field::UnpricedUse);
static GROUNDING: Shape = Shape::object(&[("webSearchQueries", &UNPRICED_USE)]);
static CANDIDATE: Shape =
    Shape::object(&[("content", &OUTPUT_CONTENT), ("finishReason", &FINISH_REASON), ("groundingMetadata", &GROUNDING)]);
static CANDIDATES: Shape = Shape::array(&CANDIDATE);
static FEEDBACK: Shape = Shape::object(&[("blockReason", &FINISH_REASON)]);
static ERROR_TYPE: Shape = Shape::value(Field::ErrorType);
static ERROR: Shape = Shape::object(&[("status", &ERROR_TYPE)]).and(Field::Error);
const MEMBERS: &[(&str, &Shape)] = &[
    ("responseId", &RESPONSE_ID),
    ("modelVersion", &RESPONSE_MODEL),
    ("candidates", &CANDIDATES),
    ("promptFeedback", &FEEDBACK),
    ("usageMetadata", &USAGE),
    ("error", &ERROR),
    // The code-assist endpoint wraps the whole.
    ("response", &WRAPPED),
];
static WRAPPED: Shape = Shape::object(&[
    ("responseId", &RESPONSE_ID),
    ("modelVersion", &RESPONSE_MODEL),
    ("candidates", &CANDIDATES),
    ("promptFeedback", &FEEDBACK),
    ("usageMetadata", &USAGE),
    ("error", &ERROR),
]);
static RESPONSE: Shape = Shape::object(MEMBERS);
static RESPONSES: Shape = Shape::object(MEMBERS).or_array(&RESPONSE);

static COUNTED: Shape =
    Shape::object(&[("totalTokens", &INPUT), ("cachedContentTokenCount", &CACHE_READ), ("error", &ERROR)]);

static SUMMED: Shape = Shape::value(Field::SummedInput);
static STATISTICS: Shape = Shape::object(&[("token_count", &SUMMED)]);
static EMBEDDING: Shape = Shape::object(&[("statistics", &STATISTICS)]);
static PREDICTION: Shape = Shape::object(&[("embeddings", &EMBEDDING)]);
static PREDICTIONS: Shape = Shape::array(&PREDICTION);
static PREDICTIONS_REPLY: Shape = Shape::object(&[("predictions", &PREDICTIONS), ("error", &ERROR)]);
