//! Families of rate-limit headers: which headers a provider sends, and how their resets are written.
//!
//! A family is believed where a bucket says that nothing is left *and* when it comes back. What every provider may say on a refusal
//! (`retry-after` and the like) belongs to no family; see [`crate::backpressure`].

use crate::{
    delay::{Bare, wait_ms},
    head::Headers,
    named::named,
    time::Timestamp,
};

/// When a bucket comes back.
#[derive(Clone, Copy, Debug)]
enum Reset {
    /// This header says so.
    Header(&'static str, Bare),
    /// With the next minute of the clock.
    Minute,
}

/// How a bucket says that nothing is left.
#[derive(Clone, Copy, Debug)]
enum Spent {
    /// This header is zero, or below.
    Zero(&'static str),
    /// This header is that word.
    Is(&'static str, &'static str),
}

/// One of the limits that a provider tells.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    spent: Spent,
    /// The header that says how much the whole bucket is.
    limit: Option<&'static str>,
    reset: Reset,
}

/// A bucket whose headers are named alike: `remaining`, `limit` or `reset` stands where the `_` is.
macro_rules! bucket {
    ($bare:ident, $before:literal _ $after:literal) => {
        Bucket {
            spent: Spent::Zero(concat!($before, "remaining", $after)),
            limit: Some(concat!($before, "limit", $after)),
            reset: Reset::Header(concat!($before, "reset", $after), Bare::$bare),
        }
    };
}

named! {
    /// A family of rate-limit headers.
    pub enum RateLimitFamily {
        /// No headers, or none that are known.
        Absent = "none",
        /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens,…}`, some of them for a project; resets are Go durations (recorded).
        OpenAi = "openai",
        /// The same names; a reset is a bare number of milliseconds (recorded).
        Azure = "azure",
        /// `anthropic-ratelimit-{requests,tokens,…}-{limit,remaining,reset}`; resets are RFC 3339 (recorded). Subscriptions tell a status
        /// and an epoch instead.
        Anthropic = "anthropic",
        /// `x-ratelimit-{limit,remaining}-{req,tokens}-minute`, no reset: the window is the minute of the clock (recorded).
        Mistral = "mistral",
        /// `x-trial-endpoint-call-{limit,remaining}` (recorded). When they come back is not said.
        Cohere = "cohere",
        /// `x-ratelimit-{limit,remaining,reset}` for requests; resets are seconds (recorded).
        Together = "together",
        /// `x-ratelimit-{limit,remaining}-requests`, `x-ratelimit-limit-tokens-…`. When they come back is not said.
        Fireworks = "fireworks",
        /// `x-ratelimit-{limit,remaining,reset}`, as headers or in the body of the refusal; resets are milliseconds since the epoch.
        OpenRouter = "openrouter",
        /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}-{minute,hour,day}`; resets are decimal seconds.
        Cerebras = "cerebras",
        /// `x-ratelimit-{limit,remaining,reset}-requests` for a minute, the same with `-day` for a day. How a reset is written is not
        /// known for sure.
        SambaNova = "sambanova",
        /// `x-msh-ratelimit-limit-{requests,tokens}`. What remains is not said.
        Moonshot = "moonshot",
        /// `OpenAI`'s names without a reset, and on a refusal `x-ratelimit-timeremaining`, which is read from everybody.
        GitHub = "github",
        /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens-per-minute,tokens-per-day}`; resets are seconds since the epoch.
        DigitalOcean = "digitalocean",
        /// IETF draft-ietf-httpapi-ratelimit-headers: `ratelimit: "name";r=…;t=…`, and the older `ratelimit-{limit,remaining,reset}`
        /// (Replicate); resets are seconds.
        Ietf = "ietf",
    }
}

impl RateLimitFamily {
    /// Whether a reset says when the bucket is full again. It refills all the time, so that something fits much earlier.
    const fn refills(self) -> bool {
        matches!(self, Self::OpenAi | Self::Azure | Self::Anthropic)
    }

    const fn buckets(self) -> &'static [Bucket] {
        match self {
            Self::Absent | Self::Cohere | Self::Fireworks | Self::Moonshot | Self::GitHub => &[],
            Self::OpenAi => &[
                bucket!(Seconds, "x-ratelimit-" _ "-requests"),
                bucket!(Seconds, "x-ratelimit-" _ "-tokens"),
                bucket!(Seconds, "x-ratelimit-" _ "-input-images"),
                bucket!(Seconds, "x-ratelimit-" _ "-project-requests"),
                bucket!(Seconds, "x-ratelimit-" _ "-project-tokens"),
            ],
            Self::Azure => {
                &[bucket!(Millis, "x-ratelimit-" _ "-requests"), bucket!(Millis, "x-ratelimit-" _ "-tokens")]
            }
            Self::Anthropic => ANTHROPIC,
            Self::Mistral => MISTRAL,
            Self::Together | Self::OpenRouter => &[bucket!(Seconds, "x-ratelimit-" _ "")],
            Self::Cerebras => &[
                bucket!(Seconds, "x-ratelimit-" _ "-requests-minute"),
                bucket!(Seconds, "x-ratelimit-" _ "-tokens-minute"),
                bucket!(Seconds, "x-ratelimit-" _ "-requests-hour"),
                bucket!(Seconds, "x-ratelimit-" _ "-tokens-hour"),
                bucket!(Seconds, "x-ratelimit-" _ "-requests-day"),
                bucket!(Seconds, "x-ratelimit-" _ "-tokens-day"),
            ],
            Self::SambaNova => {
                &[bucket!(Seconds, "x-ratelimit-" _ "-requests"), bucket!(Seconds, "x-ratelimit-" _ "-requests-day")]
            }
            Self::DigitalOcean => &[
                bucket!(Seconds, "x-ratelimit-" _ "-requests"),
                bucket!(Seconds, "x-ratelimit-" _ "-tokens-per-minute"),
                bucket!(Seconds, "x-ratelimit-" _ "-tokens-per-day"),
            ],
            Self::Ietf => &[bucket!(Seconds, "ratelimit-" _ "")],
        }
    }
}

const ANTHROPIC: &[Bucket] = {
    const fn unified(status: &'static str, reset: &'static str) -> Bucket {
        Bucket { spent: Spent::Is(status, "rejected"), limit: None, reset: Reset::Header(reset, Bare::Seconds) }
    }
    &[
        bucket!(Seconds, "anthropic-ratelimit-requests-" _ ""),
        bucket!(Seconds, "anthropic-ratelimit-tokens-" _ ""),
        bucket!(Seconds, "anthropic-ratelimit-input-tokens-" _ ""),
        bucket!(Seconds, "anthropic-ratelimit-output-tokens-" _ ""),
        unified("anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-reset"),
        unified("anthropic-ratelimit-unified-5h-status", "anthropic-ratelimit-unified-5h-reset"),
        unified("anthropic-ratelimit-unified-7d-status", "anthropic-ratelimit-unified-7d-reset"),
    ]
};

const MISTRAL: &[Bucket] = {
    const fn minute(remaining: &'static str) -> Bucket {
        Bucket { spent: Spent::Zero(remaining), limit: None, reset: Reset::Minute }
    }
    &[
        minute("x-ratelimit-remaining-req-minute"),
        minute("x-ratelimit-remaining-tokens-minute"),
        minute("x-ratelimit-remaining-audio-seconds-minute"),
        minute("x-ratelimit-remaining-ocr-pages-minute"),
    ]
};

/// Longest wait for a bucket that refills all the time, in milliseconds, unless a single unit takes longer: what such a provider calls
/// a reset is when the bucket is full, and a bucket of a day's requests is of use long before.
const MAX_REFILL_MS: u64 = 60_000;

impl RateLimitFamily {
    /// Milliseconds until the buckets that are spent come back, by these response headers; `None` if none is, or none says when.
    #[must_use]
    pub fn spent_ms(self, headers: &Headers<'_>, now: Timestamp) -> Option<u64> {
        let waits = self.buckets().iter().filter_map(|bucket| bucket.spent_ms(self.refills(), headers, now));
        let structured = match self {
            Self::Ietf => headers.get("ratelimit").and_then(|value| structured_ms(value, now)),
            _ => None,
        };
        waits.chain(structured).max()
    }
}

impl Bucket {
    fn spent_ms(&self, refills: bool, headers: &Headers<'_>, now: Timestamp) -> Option<u64> {
        let is_spent = match self.spent {
            Spent::Zero(name) => headers.get(name).is_some_and(is_zero),
            Spent::Is(name, word) => headers.get(name).is_some_and(|value| value.trim_ascii() == word.as_bytes()),
        };
        // Nothing of nothing is left of a bucket that there is not.
        if !is_spent || self.limit.and_then(|name| headers.get(name)).is_some_and(is_zero) {
            return None;
        }
        let full_ms = match self.reset {
            Reset::Header(name, bare) => wait_ms(headers.get(name)?, bare, now)?,
            Reset::Minute => 60_000 - now.millis() % 60_000,
        };
        if !refills {
            return Some(full_ms);
        }
        let units = self.limit.and_then(|name| headers.text(name)?.trim().parse::<u64>().ok()).unwrap_or(1);
        Some(full_ms.min(full_ms.div_ceil(units.max(1)).max(MAX_REFILL_MS)))
    }
}

/// Whether a number says that nothing is left.
pub(crate) fn is_zero(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let (digits, is_negative) = match value.strip_prefix(b"-") {
        Some(digits) => (digits, true),
        None => (value, false),
    };
    let is_number = digits.iter().any(u8::is_ascii_digit) && digits.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    is_number && (is_negative || digits.iter().all(|b| matches!(b, b'0' | b'.')))
}

/// The wait of the structured header: a list of names with parameters, of which `r` is what is left and `t` the seconds to the reset.
fn structured_ms(value: &[u8], now: Timestamp) -> Option<u64> {
    let item = |item: &[u8]| {
        let parameter = |name: &[u8]| {
            let mut parameters = item.split(|b| *b == b';').skip(1).map(<[u8]>::trim_ascii);
            parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix(b"="))
        };
        parameter(b"r").is_some_and(is_zero).then(|| wait_ms(parameter(b"t")?, Bare::Seconds, now))?
    };
    value.split(|b| *b == b',').filter_map(item).max()
}

#[cfg(test)]
mod tests;
