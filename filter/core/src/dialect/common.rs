//! What most dialects pick: values by their meaning, and the few shapes that several of them share to the letter.

pub(super) use super::operation::NOTHING;
use crate::json::scan::{Field, Shape};

macro_rules! leaves {
    ($($name:ident: $field:ident;)+) => {
        $(pub(super) static $name: Shape = Shape::value(Field::$field);)+
    };
}

// ---- request ----
leaves! {
    MODEL: RequestModel;
    STREAM: Stream;
    INCLUDE_USAGE: IncludeUsage;
    MAX_OUTPUT: MaxOutputTokens;
    CHOICES_WANTED: Choices;
    REQUEST_TIER: RequestTier;
    INPUT_TEXT: InputText;
    SPOKEN_TEXT: SpokenText;
    INPUT_JSON: InputJson;
    INPUT_TOKEN: InputToken;
    PART_TYPE: PartType;
    TOOL_TYPE: ToolType;
    UNBOUNDABLE: Unboundable;
}

/// One text or several.
pub(super) static TEXTS: Shape = Shape::value(Field::InputText).or_array(&INPUT_TEXT);
/// A text, texts, tokens, or lists of tokens.
pub(super) static PROMPTS: Shape = Shape::value(Field::InputText).or_array(&PROMPT);
static PROMPT: Shape = Shape::value(Field::InputText).or_array(&INPUT_TOKEN);
static TYPED_PART: Shape = Shape::object(&[("type", &PART_TYPE), ("text", &INPUT_TEXT)]);
/// A text, or content parts that are known by their type.
pub(super) static TEXT_OR_PARTS: Shape = Shape::value(Field::InputText).or_array(&TYPED_PART);
/// Tools that are known by their type.
pub(super) static TYPED_TOOLS: Shape = Shape::array(&TYPED_TOOL);
static TYPED_TOOL: Shape = Shape::object(&[("type", &TOOL_TYPE)]).and(Field::InputJson);
/// `OpenAI`'s `stream_options`.
pub(super) static STREAM_OPTIONS: Shape = Shape::object(&[("include_usage", &INCLUDE_USAGE)]).and(Field::StreamOptions);
/// Documents to rank: texts, or objects that hold one.
pub(super) static DOCUMENTS: Shape = Shape::array(&DOCUMENT);
static DOCUMENT: Shape = Shape::object(&[("text", &INPUT_TEXT)]).and(Field::InputText);

// ---- reply ----
leaves! {
    RESPONSE_ID: ResponseId;
    RESPONSE_MODEL: ResponseModel;
    SERVICE_TIER: ServiceTier;
    SPEED: Speed;
    FINISH_REASON: FinishReason;
    STATUS: Status;
    LAST: Last;
    RECORD_TYPE: RecordType;
    OUTPUT_TEXT: OutputText;
    ERROR_VALUE: Error;
    ERROR_TYPE: ErrorType;
    CODE: Code;
}

// ---- counters ----
leaves! {
    INPUT: Input;
    OUTPUT: Output;
    TOTAL: Total;
    CACHE_READ: CacheRead;
    CACHE_READ_AUDIO: CacheReadAudio;
    CACHE_READ_IMAGE: CacheReadImage;
    CACHE_READ_OUTSIDE: CacheReadOutside;
    CACHE_WRITE: CacheWrite;
    CACHE_WRITE_5M: CacheWrite5m;
    CACHE_WRITE_1H: CacheWrite1h;
    INPUT_AUDIO: InputAudio;
    INPUT_IMAGE: InputImage;
    INPUT_VIDEO: InputVideo;
    OUTPUT_TEXT_TOKENS: OutputTextTokens;
    REASONING: Reasoning;
    OUTPUT_AUDIO: OutputAudio;
    OUTPUT_IMAGE: OutputImage;
    CITATIONS: Citations;
    TOOL_INPUT: ToolInput;
    SUMMED_INPUT: SummedInput;
    VENDOR_INPUT: VendorInput;
    VENDOR_OUTPUT: VendorOutput;
    METRICS_INPUT: MetricsInput;
    METRICS_OUTPUT: MetricsOutput;
    METRICS_CACHE_READ: MetricsCacheRead;
    METRICS_CACHE_WRITE: MetricsCacheWrite;
    SEARCH_UNITS: SearchUnits;
    IMAGES: Images;
    PAGES: Pages;
    CHARACTERS: Characters;
    WEB_SEARCHES: WebSearches;
    OTHER_TOKENS: OtherTokens;
    OTHER_INPUT: OtherInput;
    OTHER_OUTPUT: OtherOutput;
    UNPRICED_USE: UnpricedUse;
    CLASS_NAME: ClassName;
    CLASS_COUNT: ClassCount;
    SECONDS: AudioSeconds;
    DURATION: Duration;
    REPORTED_COST: ReportedCost;
    REPORTED_TICKS: ReportedTicks;
    OWN_KEY: OwnKey;
}

/// What was written to a cache, by its life: Anthropic.
pub(super) static CACHE_CREATION: Shape =
    Shape::object(&[("ephemeral_5m_input_tokens", &CACHE_WRITE_5M), ("ephemeral_1h_input_tokens", &CACHE_WRITE_1H)]);
