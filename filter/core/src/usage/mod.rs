//! What an exchange consumed, by class of token, and how surely that is known.

use core::fmt;

mod check;
pub mod estimate;
pub mod meter;
pub(crate) mod number;

/// How usage became known. The names are the event's `usage_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageStatus {
    /// The provider said so, completely.
    Reported,
    /// The stream was cut: the provider's counts so far, placeholders replaced by the larger of seen and estimate.
    Partial,
    /// Nobody said; we estimated.
    Estimated,
    /// Nothing was consumed.
    #[default]
    None,
    /// Something was consumed and nobody said how much.
    Missing,
}

impl UsageStatus {
    /// The word in events and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Partial => "partial",
            Self::Estimated => "estimated",
            Self::None => "none",
            Self::Missing => "missing",
        }
    }
}

/// Token and unit counts of one exchange, in `OpenTelemetry`'s meaning: input includes cache reads and writes, output includes
/// reasoning. `None` is unknown, which is never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: Option<u64>,
    /// All output tokens.
    pub output: Option<u64>,
    /// Input that was neither read from nor written to a cache.
    pub input_uncached: Option<u64>,
    /// Input read from a cache.
    pub cache_read: Option<u64>,
    /// … of it audio.
    pub cache_read_audio: Option<u64>,
    /// … of it images.
    pub cache_read_image: Option<u64>,
    /// Input written to a cache, whatever its life.
    pub cache_write: Option<u64>,
    /// … with a life of five minutes.
    pub cache_write_5m: Option<u64>,
    /// … with a life of one hour.
    pub cache_write_1h: Option<u64>,
    /// Audio in the input.
    pub input_audio: Option<u64>,
    /// Images in the input.
    pub input_image: Option<u64>,
    /// Video in the input.
    pub input_video: Option<u64>,
    /// Text in the output.
    pub output_text: Option<u64>,
    /// Reasoning in the output.
    pub reasoning: Option<u64>,
    /// Audio in the output.
    pub output_audio: Option<u64>,
    /// Images in the output.
    pub output_image: Option<u64>,
    /// Video in the output.
    pub output_video: Option<u64>,
    /// Citations in the output, which Perplexity prices apart.
    pub citations: Option<u64>,
    /// Input of sub-inferences that the headline leaves out (Claude's advisor and compaction), cache included.
    pub iteration_input: Option<u64>,
    /// … output.
    pub iteration_output: Option<u64>,
    /// Input of another model that a tool used (images or vector graphics that it made), which has no price here.
    pub other_input: Option<u64>,
    /// … output.
    pub other_output: Option<u64>,
    /// Web searches.
    pub web_searches: Option<u64>,
    /// Searches of stored files.
    pub file_searches: Option<u64>,
    /// Pages that were read.
    pub pages: Option<u64>,
    /// … and annotated.
    pub annotated_pages: Option<u64>,
    /// Text messages in a voice session.
    pub text_messages: Option<u64>,
    /// Units of search or rerank.
    pub search_units: Option<u64>,
    /// Images that were made.
    pub images: Option<u64>,
    /// Characters that were spoken.
    pub characters: Option<u64>,
    /// Seconds of audio: a plain decimal.
    pub audio_seconds: Option<String>,
    /// Anomalies that were noticed.
    pub flags: Flags,
    /// How the counts became known.
    pub status: UsageStatus,
}

impl Usage {
    /// Input plus output; `None` while either is unknown.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        Some(self.input?.saturating_add(self.output?))
    }

    /// Whether every count is zero or unknown, whatever its unit.
    pub(crate) fn says_nothing(&self) -> bool {
        let tokens = [self.input, self.output, self.cache_read, self.cache_write, self.reasoning];
        let units = [self.web_searches, self.search_units, self.images, self.characters];
        self.audio_seconds.is_none() && tokens.iter().chain(&units).all(|count| count.unwrap_or(0) == 0)
    }
}

/// An anomaly worth a look. The names are those in the event's `usage_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    /// The provider's total does not follow from its parts by any known convention.
    TotalMismatch,
    /// More cached input than input: cached was counted outside.
    CachedGtInput,
    /// Reasoning was counted outside of output and has been added.
    ReasoningExcluded,
    /// Audio was counted outside of input and has been added.
    AudioExcluded,
    /// Cached tokens are counted on another scale than input.
    CacheOtherScale,
    /// A counter was negative, fractional, too large or no number.
    BadNumber,
    /// The reply's content encoding cannot be read here.
    UnreadableEncoding,
    /// The reply is not what its content type says.
    MalformedBody,
    /// A compressed reply expanded past the cap.
    OutputCapExceeded,
    /// Output tokens are our estimate.
    OutputEstimated,
    /// Input tokens are our estimate.
    InputEstimated,
    /// The usage chunk was asked for by us and could not be hidden.
    UsageChunkVisible,
    /// `reserve: worst_case` could not bound this request.
    Unbounded,
    /// The counts are those of several models, and have no price as one.
    MixedModels,
    /// A tool used another model, whose tokens are told apart and are not in the counts.
    OtherModelUsage,
    /// The provider reports nothing at all for a reply that has content.
    ZeroUsage,
    /// The provider says another cost than the price table.
    CostMismatch,
}

const FLAGS: [(Flag, &str); 17] = [
    (Flag::TotalMismatch, "total_mismatch"),
    (Flag::CachedGtInput, "cached_gt_input"),
    (Flag::ReasoningExcluded, "reasoning_excluded"),
    (Flag::AudioExcluded, "audio_excluded"),
    (Flag::CacheOtherScale, "cache_other_scale"),
    (Flag::BadNumber, "bad_number"),
    (Flag::UnreadableEncoding, "unreadable_encoding"),
    (Flag::MalformedBody, "malformed_body"),
    (Flag::OutputCapExceeded, "output_cap_exceeded"),
    (Flag::OutputEstimated, "output_estimated"),
    (Flag::InputEstimated, "input_estimated"),
    (Flag::UsageChunkVisible, "usage_chunk_visible"),
    (Flag::Unbounded, "unbounded"),
    (Flag::MixedModels, "mixed_models"),
    (Flag::OtherModelUsage, "other_model_usage"),
    (Flag::ZeroUsage, "zero_usage"),
    (Flag::CostMismatch, "cost_mismatch"),
];

/// A set of [`Flag`]s. Displays as the comma-separated list of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// The codes that an event may hold.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        FLAGS.into_iter().map(|(_, code)| code)
    }

    /// No anomaly.
    pub const NONE: Self = Self(0);

    /// Adds one flag.
    pub const fn insert(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u8;
    }

    /// These and one more.
    #[must_use]
    pub const fn with(mut self, flag: Flag) -> Self {
        self.insert(flag);
        self
    }

    /// Whether the flag is set.
    #[must_use]
    pub const fn contains(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether none is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (flag, name) in FLAGS {
            if self.contains(flag) {
                f.write_str(if first { "" } else { "," })?;
                f.write_str(name)?;
                first = false;
            }
        }
        Ok(())
    }
}
