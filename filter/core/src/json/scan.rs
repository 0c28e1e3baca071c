//! A push scanner: bytes in, in pieces of any size; picked values out.
//!
//! A [`Shape`] is a static tree of the paths that somebody wants to see. Whatever stands elsewhere in the document is skipped
//! without being stored, so that the word `usage` inside a prompt means nothing and a megabyte of base64 costs no memory.

mod machine;
pub(crate) mod span;
#[cfg(test)]
mod tests;

pub use machine::{End, Scanner};

/// What a picked value means. One vocabulary for all dialects: a dialect is mostly a table from its paths to these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    // ---- request ----
    /// Model name that the client asked for.
    RequestModel,
    /// `stream`.
    Stream,
    /// The `stream_options` value as a whole.
    StreamOptions,
    /// `stream_options.include_usage`.
    IncludeUsage,
    /// Any spelling of the cap on output tokens.
    MaxOutputTokens,
    /// `n`, `best_of`, `candidateCount`.
    Choices,
    /// Service tier as asked for.
    RequestTier,
    /// One message, item or part: counted for the template allowance.
    Message,
    /// Text that the model reads: counted for the input estimate.
    InputText,
    /// Text that is spoken: its characters are what is billed.
    SpokenText,
    /// JSON that the model reads as a whole, such as a tool's schema: its bytes count for the input estimate.
    InputJson,
    /// A token that the client counted itself: one number in a list of them.
    InputToken,
    /// The `type` of a content part.
    PartType,
    /// The `type` of a tool.
    ToolType,
    /// Something whose presence means that the provider may feed the model more than the body holds.
    Unboundable,
    // ---- reply ----
    /// `id` of the reply.
    ResponseId,
    /// Model that answered.
    ResponseModel,
    /// Service tier that served.
    ServiceTier,
    /// `finish_reason`, `stop_reason`.
    FinishReason,
    /// Where a reply that may be made later stands: `queued`, `in_progress`, or how it ended.
    Status,
    /// Whether this is the last record: `done`.
    Last,
    /// The record's own kind: `type` in Anthropic events, `object` in `OpenAI` chunks.
    RecordType,
    /// Text, reasoning or tool arguments that the model wrote: counted for the output estimate and for time to first token.
    OutputText,
    /// The `choices` array as a whole.
    ChoicesArray,
    /// The usage value as a whole.
    Usage,
    /// One of several replies in one document or stream: their counters are summed.
    Summed,
    /// An error value as a whole.
    Error,
    /// A machine-readable kind of error.
    ErrorType,
    /// A code that is 0 or 200 unless something went wrong.
    Code,
    // ---- counters, as on the wire (inclusion conventions are the dialect's business) ----
    /// Headline input counter.
    Input,
    /// Headline output counter.
    Output,
    /// The provider's own total.
    Total,
    /// Input read from a cache.
    CacheRead,
    /// … of it audio.
    CacheReadAudio,
    /// … of it images.
    CacheReadImage,
    /// Input read from a cache that the headline counter and the total leave out, whatever the dialect says (GigaChat).
    CacheReadOutside,
    /// Input written to a cache.
    CacheWrite,
    /// … with a life of five minutes.
    CacheWrite5m,
    /// … with a life of one hour.
    CacheWrite1h,
    /// Audio in the input.
    InputAudio,
    /// Images in the input.
    InputImage,
    /// Video in the input.
    InputVideo,
    /// Text in the output.
    OutputTextTokens,
    /// Hidden or visible reasoning in the output.
    Reasoning,
    /// Audio in the output.
    OutputAudio,
    /// Images in the output.
    OutputImage,
    /// Video in the output.
    OutputVideo,
    /// Citations in the output that the headline counter and the total leave out (Perplexity).
    Citations,
    /// Input that tools added, counted apart from the prompt (Gemini).
    ToolInput,
    /// Input by the provider's name for a family of models; the headline counter wins (Bedrock's vendors).
    VendorInput,
    /// … output.
    VendorOutput,
    /// Input as the platform measured it, beside what the model says (Bedrock); the headline counter wins.
    MetricsInput,
    /// … output.
    MetricsOutput,
    /// … read from a cache.
    MetricsCacheRead,
    /// … written to a cache.
    MetricsCacheWrite,
    /// Input of one of several parts: they are summed.
    SummedInput,
    /// Units of search or rerank.
    SearchUnits,
    /// Images that were made.
    Images,
    /// Pages that were read.
    Pages,
    /// Characters that were spoken.
    Characters,
    /// Searches of stored files that the provider ran.
    FileSearches,
    /// Web searches that the provider ran.
    WebSearches,
    // ---- seen, not counted ----
    /// Tokens of another model, which a tool used: they are no part of the counts. All of them.
    OtherTokens,
    /// Those that it read.
    OtherInput,
    /// Those that it wrote.
    OtherOutput,
    // ---- counters in lists ----
    /// A list's element that counts a class of the input, such as audio.
    InputClass,
    /// … of the output.
    OutputClass,
    /// … of what was read from a cache.
    CacheReadClass,
    /// … of what was written to a cache, by its life.
    CacheWriteClass,
    /// The name of the class in such an element.
    ClassName,
    /// Its count.
    ClassCount,
    // ---- what a session is set to ----
    /// Model that transcribes the input of a realtime session.
    TranscriptionModel,
    /// Format of the audio that a realtime session gives.
    AudioFormat,
    // ---- other units ----
    /// Seconds of audio that are billed, as written.
    AudioSeconds,
    /// Length of the audio in seconds, as written: what is billed, where nothing else is said.
    Duration,
    /// The provider's own statement of cost in USD, as written.
    ReportedCost,
    /// The same in ticks of 1e-10 USD (xAI).
    ReportedTicks,
    /// Whether the caller pays the upstream with a key of its own: the statement is only the fee (`OpenRouter`).
    OwnKey,
    /// What the upstream charges then, in USD.
    UpstreamCost,
    /// Something that has a price of its own and that the usage leaves out: images that a tool made, searches that nobody counts.
    UnpricedUse,
    /// The list of what a reply consists of.
    OutputItems,
    /// One element of it, as a whole.
    OutputItem,
    /// Its type: a tool that the provider ran has one of its own.
    OutputItemType,
    /// What that tool did.
    OutputItemAction,
    /// Speed or latency mode that served.
    Speed,
    /// Where the model ran.
    InferenceGeo,
    // ---- sub-inferences (Anthropic) ----
    /// The list as a whole.
    Iterations,
    /// One of them, as a whole.
    Iteration,
    /// Its kind.
    IterationKind,
    /// Its model.
    IterationModel,
    /// Its input.
    IterationInput,
    /// Its output.
    IterationOutput,
    /// What it read from a cache.
    IterationCacheRead,
    /// What it wrote to a cache.
    IterationCacheWrite,
    /// … with a life of five minutes.
    IterationCacheWrite5m,
    /// … with a life of one hour.
    IterationCacheWrite1h,
    /// What the platform measured, as a whole: it comes last.
    InvocationMetrics,
    // ---- what a refusal says of waiting ----
    /// How long: `retryDelay` of `google.rpc.RetryInfo`.
    RetryDelay,
    /// What is left, repeated from the headers of somebody else.
    RateRemaining,
    /// When it comes back.
    RateReset,
    /// Words for people.
    ErrorMessage,
}

impl Field {
    /// Whether it is a text that is only weighed: nobody reads what it says.
    #[must_use]
    pub const fn is_weighed(self) -> bool {
        matches!(self, Self::InputText | Self::SpokenText | Self::OutputText)
    }
}

/// A node of the tree of wanted paths.
#[derive(Debug)]
pub struct Shape {
    /// What the value here means, if it is wanted itself.
    pub field: Option<Field>,
    /// Wanted members, if the value is an object.
    pub members: &'static [(&'static str, &'static Self)],
    /// The bits of their names, by [`trait_of`]: most names that pass have none of them.
    traits: u64,
    /// Wanted elements, if the value is an array.
    pub items: Option<&'static Self>,
}

/// One of 64 bits, by a name's length and its ends.
const fn trait_of(name: &[u8]) -> u64 {
    let ([first, ..], [.., last]) = (name, name) else { return 1 };
    let sum = (*first as usize).wrapping_mul(5).wrapping_add((*last as usize).wrapping_mul(3)).wrapping_add(name.len());
    1 << (sum & 63)
}

impl Shape {
    /// What the member of that name is, if it is wanted.
    #[must_use]
    pub(crate) fn member(&self, name: &[u8]) -> Option<&'static Self> {
        if self.traits & trait_of(name) == 0 {
            return None;
        }
        // Names are short, and mostly another: a comparison of memory takes longer than one of the first bytes.
        let is = |other: &str| other.len() == name.len() && other.bytes().eq(name.iter().copied());
        self.members.iter().find(|(other, _)| is(other)).map(|(_, shape)| *shape)
    }

    /// A value that is wanted itself.
    #[must_use]
    pub const fn value(field: Field) -> Self {
        Self { field: Some(field), members: &[], traits: 0, items: None }
    }

    /// An object with wanted members.
    #[must_use]
    pub const fn object(members: &'static [(&'static str, &'static Self)]) -> Self {
        let (mut traits, mut rest) = (0, members);
        while let [(name, _), others @ ..] = rest {
            traits |= trait_of(name.as_bytes());
            rest = others;
        }
        Self { field: None, members, traits, items: None }
    }

    /// An array with wanted elements.
    #[must_use]
    pub const fn array(items: &'static Self) -> Self {
        Self { field: None, members: &[], traits: 0, items: Some(items) }
    }

    /// The same node, itself wanted too.
    #[must_use]
    pub const fn and(self, field: Field) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The same node, whose value may also be an array (`content` is a string or a list of parts).
    #[must_use]
    pub const fn or_array(self, items: &'static Self) -> Self {
        Self { items: Some(items), ..self }
    }
}

/// A picked value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written; at most [`MAX_NUMBER`] bytes, longer ones are cut and can no longer be read exactly.
    Number(&'a [u8]),
    /// A string.
    Text {
        /// The first [`MAX_TEXT`] bytes, unescaped. Not necessarily UTF-8. None of a text that [is weighed](Field::is_weighed).
        head: &'a [u8],
        /// Length of the whole string in unescaped bytes.
        bytes: u64,
        /// Length of the whole string in characters, if it [is weighed](Field::is_weighed); else 0.
        chars: u64,
        /// What it weighs, if it does: [`estimate::weigh`](crate::usage::estimate::weigh).
        weight: u64,
    },
    /// An object begins.
    ObjectStart,
    /// An object ended, with so many members.
    ObjectEnd(u64),
    /// An array begins.
    ArrayStart,
    /// An array ended, with so many elements.
    ArrayEnd(u64),
}

/// A picked value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// What it means.
    pub field: Field,
    /// The value.
    pub value: Value<'a>,
    /// Offset of its first byte in the document; for the end of an object or array, that of its opening bracket.
    pub start: u64,
    /// Offset past its last byte (for a start of object or array: past the bracket).
    pub end: u64,
}

/// Longest string head that is kept, in bytes: longer than any model name, id or tier.
pub const MAX_TEXT: usize = 256;
/// Longest number that is kept, in bytes: longer than any exact counter or price.
pub const MAX_NUMBER: usize = 48;
