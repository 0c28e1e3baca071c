//! `gemini.generate`: Gemini on AI Studio and Vertex. The model is in the path, the verb says whether the reply is a stream: server-sent
//! events with `alt=sse`, else one JSON array whose elements come one by one.
//!
//! Source: google-genai `types.py` (`GenerateContentResponseUsageMetadata`, `EmbedContentResponse`). Each chunk may tell usage; it is
//! cumulative. Vertex sends a usage without counters on every chunk but the last. A count of zero is left out.

use super::{Billing, Counting, DialectId, ErrorShape, Job, Operation, Streams, common::*};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] =
    &[&GENERATE_OPERATION, &STREAM, &COUNT, &EMBED, &EMBED_BATCH, &PREDICT, &BATCH, &BATCH_RESULTS];

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
    // Models that make images answer here too, and tell nothing.
    is_estimable: false,
    reply: &PREDICTIONS_REPLY,
    record: &PREDICTIONS_REPLY,
    ..GENERATE
};

/// Many requests at half the price, made later.
static BATCH: Operation = Operation {
    endpoint: "/v1beta/models/{model}:batchGenerateContent",
    paths: &["{model}:batchGenerateContent"],
    billing: Billing::Free,
    job: Job::Starts,
    ..BATCH_OPERATION
};

/// Tells the usage of each reply each time that it is read, and all of them twice: one place is read. The first reading is billed.
static BATCH_RESULTS: Operation = Operation {
    endpoint: "/v1beta/batches/{id}",
    method: "GET",
    paths: &["v1beta/batches/{id}", "v1alpha/batches/{id}", "v1/batches/{id}"],
    billing: Billing::Reread,
    job: Job::Tells,
    ..BATCH_OPERATION
};

const BATCH_OPERATION: Operation = Operation {
    name: "batch",
    detect: false,
    request: &NOTHING,
    reply: &BATCH_REPLY,
    record: &BATCH_REPLY,
    ..GENERATE
};

const GENERATE: Operation = Operation {
    dialect: DialectId::GeminiGenerate,
    name: "generate_content",
    endpoint: "/v1beta/models/{model}:generateContent",
    paths: &["{model}:generateContent"],
    detect: true,
    request: &REQUEST,
    reply: &RESPONSES,
    record: &RESPONSES,
    errors: ErrorShape::Google,
    counting: Counting::ThoughtsOutside,
    finish_ends: true,
    ..Operation::BASE
};

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

static INPUT_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokenCount", &CLASS_COUNT)]).and(Field::InputClass);
static INPUT_CLASSES: Shape = Shape::array(&INPUT_CLASS);
static OUTPUT_CLASS: Shape =
    Shape::object(&[("modality", &CLASS_NAME), ("tokenCount", &CLASS_COUNT)]).and(Field::OutputClass);
static OUTPUT_CLASSES: Shape = Shape::array(&OUTPUT_CLASS);
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
    ("serviceTier", &SERVICE_TIER),
    ("trafficType", &SERVICE_TIER),
])
.and(Field::Usage);

static OUTPUT_PART: Shape = Shape::object(&[("text", &OUTPUT_TEXT)]);
static OUTPUT_PARTS: Shape = Shape::array(&OUTPUT_PART);
static OUTPUT_CONTENT: Shape = Shape::object(&[("parts", &OUTPUT_PARTS)]);
static CANDIDATE: Shape = Shape::object(&[("content", &OUTPUT_CONTENT), ("finishReason", &FINISH_REASON)]);
static CANDIDATES: Shape = Shape::array(&CANDIDATE);
static FEEDBACK: Shape = Shape::object(&[("blockReason", &FINISH_REASON)]);
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

static BATCH_STATE: Shape = Shape::object(&[("state", &STATUS)]);
static BATCH_RESPONSE: Shape =
    Shape::object(&[("modelVersion", &RESPONSE_MODEL), ("candidates", &CANDIDATES), ("usageMetadata", &USAGE)])
        .and(Field::Summed);
static BATCH_ITEM: Shape = Shape::object(&[("response", &BATCH_RESPONSE)]);
static BATCH_ITEMS: Shape = Shape::array(&BATCH_ITEM);
static BATCH_INLINED: Shape = Shape::object(&[("inlinedResponses", &BATCH_ITEMS)]);
static BATCH_OUTPUT: Shape = Shape::object(&[("inlinedResponses", &BATCH_INLINED)]);
static BATCH_REPLY: Shape = Shape::object(&[
    ("name", &RESPONSE_ID),
    ("metadata", &BATCH_STATE),
    ("response", &BATCH_OUTPUT),
    ("error", &ERROR),
]);

static COUNTED: Shape =
    Shape::object(&[("totalTokens", &INPUT), ("cachedContentTokenCount", &CACHE_READ), ("error", &ERROR)]);

static STATISTICS: Shape = Shape::object(&[("token_count", &SUMMED_INPUT)]);
static EMBEDDING: Shape = Shape::object(&[("statistics", &STATISTICS)]);
static PREDICTION: Shape = Shape::object(&[("embeddings", &EMBEDDING)]);
static PREDICTIONS: Shape = Shape::array(&PREDICTION);
static PREDICTIONS_REPLY: Shape = Shape::object(&[("predictions", &PREDICTIONS), ("error", &ERROR)]);
