//! What can have a price, and which counts hold which.
//!
//! Units and their dimensions are those of the package that the table comes from (genai-prices, `data_units.py`). A count with more
//! dimensions is part of every count with a subset of them: cached audio is part of the audio, of what was cached, and of the input.

use super::PicoUsd;
use crate::usage::{Flag, Usage};

/// What a price is for. The more dimensions, the earlier: whoever walks in this order meets a part before the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    CacheReadAudio,
    CacheReadImage,
    CacheWrite1h,
    CacheRead,
    CacheWrite,
    InputAudio,
    InputImage,
    InputVideo,
    OutputAudio,
    OutputImage,
    OutputVideo,
    Reasoning,
    Citation,
    Input,
    Output,
    InputAudioTime,
    AudioTime,
    AnnotatedPages,
    Pages,
    Characters,
    Messages,
    WebSearch,
    FileSearch,
    Request,
}

/// The part of the cost that a kind goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Other,
}

/// Scales on which work is counted. One work may be counted on several, and is priced on one of them or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Tokens,
    Time,
    Pages,
    Characters,
    Messages,
    /// On top of the work itself: searches, a fee for each request.
    Extra,
}

/// How many kinds there are.
pub(super) const KINDS: usize = Kind::Request as usize + 1;

const INPUT: u16 = 1;
const OUTPUT: u16 = 1 << 1;
const AUDIO: u16 = 1 << 2;
const IMAGE: u16 = 1 << 3;
const VIDEO: u16 = 1 << 4;
const READ: u16 = 1 << 5;
const WRITE: u16 = 1 << 6;
const HOUR: u16 = 1 << 7;
const REASONING: u16 = 1 << 8;
const CITATION: u16 = 1 << 9;
const TIME: u16 = 1 << 10;
const PAGES: u16 = 1 << 11;
const ANNOTATED: u16 = 1 << 12;
/// Part of nothing, and nothing is part of it.
const ALONE: u16 = 0;

impl Kind {
    /// All of them, parts before wholes.
    pub(super) const ALL: [Self; KINDS] = [
        Self::CacheReadAudio,
        Self::CacheReadImage,
        Self::CacheWrite1h,
        Self::CacheRead,
        Self::CacheWrite,
        Self::InputAudio,
        Self::InputImage,
        Self::InputVideo,
        Self::OutputAudio,
        Self::OutputImage,
        Self::OutputVideo,
        Self::Reasoning,
        Self::Citation,
        Self::Input,
        Self::Output,
        Self::InputAudioTime,
        Self::AudioTime,
        Self::AnnotatedPages,
        Self::Pages,
        Self::Characters,
        Self::Messages,
        Self::WebSearch,
        Self::FileSearch,
        Self::Request,
    ];

    /// All of them, those that count tokens apart. No kind is part of one of another scale.
    pub(super) fn by_scale() -> (&'static [Self], &'static [Self]) {
        let all: &'static [Self] = &Self::ALL;
        all.split_at_checked(Self::InputAudioTime as usize).unwrap_or((all, &[]))
    }

    /// What it is called in the table.
    pub(super) fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "in" => Self::Input,
            "out" => Self::Output,
            "cr" => Self::CacheRead,
            "cw" => Self::CacheWrite,
            "cwh" => Self::CacheWrite1h,
            "ina" => Self::InputAudio,
            "ini" => Self::InputImage,
            "inv" => Self::InputVideo,
            "outa" => Self::OutputAudio,
            "outi" => Self::OutputImage,
            "outv" => Self::OutputVideo,
            "cra" => Self::CacheReadAudio,
            "cri" => Self::CacheReadImage,
            "rs" => Self::Reasoning,
            "cit" => Self::Citation,
            "ch" => Self::Characters,
            "pg" => Self::Pages,
            "apg" => Self::AnnotatedPages,
            "msg" => Self::Messages,
            "ws" => Self::WebSearch,
            "fs" => Self::FileSearch,
            "req" => Self::Request,
            "hr" => Self::AudioTime,
            "hri" => Self::InputAudioTime,
            _ => return None,
        })
    }

    /// How many decimals of its price in the table, of a million, a thousand or an hour, make the smallest unit of a price for one.
    pub(super) const fn price_decimals(self) -> u32 {
        match self {
            Self::AudioTime | Self::InputAudioTime => 12,
            Self::Pages
            | Self::AnnotatedPages
            | Self::Messages
            | Self::WebSearch
            | Self::FileSearch
            | Self::Request => 21,
            _ => 18,
        }
    }

    const fn dimensions(self) -> u16 {
        match self {
            Self::CacheReadAudio => INPUT | AUDIO | READ,
            Self::CacheReadImage => INPUT | IMAGE | READ,
            Self::CacheWrite1h => INPUT | WRITE | HOUR,
            Self::CacheRead => INPUT | READ,
            Self::CacheWrite => INPUT | WRITE,
            Self::InputAudio => INPUT | AUDIO,
            Self::InputImage => INPUT | IMAGE,
            Self::InputVideo => INPUT | VIDEO,
            Self::OutputAudio => OUTPUT | AUDIO,
            Self::OutputImage => OUTPUT | IMAGE,
            Self::OutputVideo => OUTPUT | VIDEO,
            Self::Reasoning => OUTPUT | REASONING,
            Self::Citation => OUTPUT | CITATION,
            Self::Input => INPUT,
            Self::Output => OUTPUT,
            Self::InputAudioTime => TIME | INPUT,
            Self::AudioTime => TIME,
            Self::AnnotatedPages => PAGES | ANNOTATED,
            Self::Pages => PAGES,
            Self::Characters | Self::Messages | Self::WebSearch | Self::FileSearch | Self::Request => ALONE,
        }
    }

    /// Whether this count is part of that one.
    pub(super) fn is_part_of(self, whole: Self) -> bool {
        let (part, whole_dimensions) = (self.dimensions(), whole.dimensions());
        // Time has a direction too, and is no part of the tokens.
        self != whole
            && whole_dimensions != ALONE
            && part & whole_dimensions == whole_dimensions
            && part & TIME == whole_dimensions & TIME
    }

    /// Where its cost is told.
    pub(super) const fn part(self) -> Part {
        match self {
            Self::CacheRead | Self::CacheReadAudio | Self::CacheReadImage => Part::CacheRead,
            Self::CacheWrite | Self::CacheWrite1h => Part::CacheWrite,
            Self::Input | Self::InputAudio | Self::InputImage | Self::InputVideo => Part::Input,
            Self::Output
            | Self::OutputAudio
            | Self::OutputImage
            | Self::OutputVideo
            | Self::Reasoning
            | Self::Citation => Part::Output,
            _ => Part::Other,
        }
    }

    pub(super) const fn scale(self) -> Scale {
        match self {
            Self::AudioTime | Self::InputAudioTime => Scale::Time,
            Self::Pages | Self::AnnotatedPages => Scale::Pages,
            Self::Characters => Scale::Characters,
            Self::Messages => Scale::Messages,
            Self::WebSearch | Self::FileSearch | Self::Request => Scale::Extra,
            _ => Scale::Tokens,
        }
    }

    /// The count; `None` is unknown. Time is in units of 1e-12 seconds.
    pub(super) fn count(self, usage: &Usage) -> Option<u64> {
        // Counted on another scale than the input, it is no part of it (Cohere).
        let cached = |count: Option<u64>| count.filter(|_| !usage.flags.contains(Flag::CacheOtherScale));
        match self {
            Self::CacheReadAudio => cached(usage.cache_read_audio),
            Self::CacheReadImage => cached(usage.cache_read_image),
            Self::CacheWrite1h => usage.cache_write_1h,
            Self::CacheRead => cached(usage.cache_read),
            Self::CacheWrite => usage.cache_write,
            Self::InputAudio => usage.input_audio,
            Self::InputImage => usage.input_image,
            Self::InputVideo => usage.input_video,
            Self::OutputAudio => usage.output_audio,
            Self::OutputImage => usage.output_image,
            Self::OutputVideo => usage.output_video,
            Self::Reasoning => usage.reasoning,
            Self::Citation => usage.citations,
            Self::Input => usage.input,
            Self::Output => usage.output,
            Self::InputAudioTime | Self::AudioTime => pico_seconds(usage.audio_seconds.as_deref()?),
            Self::AnnotatedPages => usage.annotated_pages,
            Self::Pages => usage.pages,
            Self::Characters => usage.characters,
            Self::Messages => usage.text_messages,
            Self::WebSearch => usage.web_searches,
            Self::FileSearch => usage.file_searches,
            Self::Request => Some(1),
        }
    }
}

/// Seconds are decimals as money is, and are rounded as far behind the point.
fn pico_seconds(text: &str) -> Option<u64> {
    u64::try_from(PicoUsd::parse(text)?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_parts_come_before_wholes() {
        for (at, whole) in Kind::ALL.iter().enumerate() {
            assert_eq!(*whole as usize, at);
            for part in Kind::ALL.iter().skip(at) {
                assert!(!part.is_part_of(*whole), "{part:?} after {whole:?}");
            }
        }
        let (tokens, rest) = Kind::by_scale();
        assert!(tokens.iter().all(|kind| kind.scale() == Scale::Tokens));
        assert!(rest.iter().all(|kind| kind.scale() != Scale::Tokens));
        for (part, whole) in tokens.iter().flat_map(|kind| rest.iter().map(move |other| (*kind, *other))) {
            assert!(!part.is_part_of(whole) && !whole.is_part_of(part), "{part:?} and {whole:?}");
        }
        assert!(Kind::CacheReadAudio.is_part_of(Kind::InputAudio) && Kind::CacheReadAudio.is_part_of(Kind::Input));
        assert!(Kind::InputAudioTime.is_part_of(Kind::AudioTime) && !Kind::InputAudioTime.is_part_of(Kind::Input));
        assert!(!Kind::Reasoning.is_part_of(Kind::Input) && !Kind::Request.is_part_of(Kind::WebSearch));
    }
}
