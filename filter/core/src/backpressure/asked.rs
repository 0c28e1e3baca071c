//! What a response says of waiting: its headers, and the body of a refusal.

use core::ops::Range;

use crate::{
    delay::{Bare, in_words, wait_ms},
    frame::inflate::{Encoding, Inflater},
    head::Headers,
    json::scan::{Field, Found, Scanner, Shape, Value},
    provider::{RateLimitFamily, rate_limit::is_zero},
    time::Timestamp,
};

/// What the headers of a response say.
#[derive(Debug)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// To wait so many milliseconds.
    Wait(u64),
    /// It is a refusal that does not say how long: perhaps its body does.
    InBody(ErrorBody),
}

impl Asked {
    /// By the status and the headers.
    #[must_use]
    pub fn by(status: u32, headers: &Headers<'_>, family: RateLimitFamily, now: Timestamp) -> Self {
        // Envoy's own rate limits answer with 429 too.
        if headers.get("x-envoy-ratelimited").is_some() {
            return Self::Nothing;
        }
        let spent_ms = || family.spent_ms(headers, now).filter(|ms| *ms > 0);
        // 413 is left out on purpose: Groq sends a `retry-after` with a request that no wait makes smaller. So are successes: Anthropic
        // and Together send one with them too (recorded).
        if !matches!(status, 429 | 503 | 529) {
            return spent_ms().map_or(Self::Nothing, Self::Wait);
        }
        let header = |(name, bare)| wait_ms(headers.get(name)?, bare, now).filter(|ms| *ms > 0);
        // Azure may say 0 milliseconds beside a second: a zero says nothing.
        let stated =
            [("retry-after-ms", Bare::Millis), ("retry-after", Bare::Seconds), ("x-amz-retry-after", Bare::Millis)];
        if let Some(ms) = stated.into_iter().find_map(header) {
            return Self::Wait(ms);
        }
        // GitHub's; what the body of a refusal says of itself goes before it.
        let otherwise_ms = header(("x-ratelimit-timeremaining", Bare::Seconds)).or_else(spent_ms);
        let encoding = headers.get("content-encoding").map_or(Some(Encoding::Identity), Encoding::from_header);
        Self::InBody(ErrorBody { inflater: encoding.map(Inflater::new), kept: Vec::new(), since: now, otherwise_ms })
    }
}

/// Most bytes of a refusal that are read, decoded: real ones are one or two kilobytes.
const MAX_BODY: usize = 16 * 1024;

/// The body of a refusal, of which the first 16 KiB are kept until it has ended.
#[derive(Debug)]
pub struct ErrorBody {
    inflater: Option<Inflater>,
    kept: Vec<u8>,
    since: Timestamp,
    /// What the headers say if the body says nothing.
    otherwise_ms: Option<u64>,
}

impl ErrorBody {
    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { inflater, kept, .. } = self;
        let Some(inflate) = inflater else { return };
        let read = inflate.push(bytes, &mut |decoded| {
            let room = MAX_BODY.saturating_sub(kept.len());
            kept.extend_from_slice(decoded.get(..room).unwrap_or(decoded));
        });
        if read.is_err() || kept.len() >= MAX_BODY {
            *inflater = None;
        }
    }

    /// How many milliseconds from when on; `None` if it is not said.
    #[must_use]
    pub fn wait(&self) -> Option<(u64, Timestamp)> {
        let told = Told::read(&self.kept);
        let now = self.since;
        let text = |range: Range<usize>| self.kept.get(range);
        let delay_ms = || wait_ms(&told.delay, Bare::Seconds, now);
        let reset_ms = || wait_ms(&told.reset, Bare::Seconds, now).filter(|_| is_zero(&told.remaining));
        let words_ms = || in_words(text(told.message.clone())?);
        let ms = [&delay_ms as &dyn Fn() -> Option<u64>, &reset_ms, &|| self.otherwise_ms, &words_ms];
        let ms = ms.into_iter().find_map(|ms| ms().filter(|ms| *ms > 0))?;
        Some((ms, now))
    }
}

/// What the body of a refusal may say.
#[derive(Debug, Default)]
struct Told {
    /// `google.rpc.RetryInfo`.
    delay: Vec<u8>,
    /// `OpenRouter` repeats its upstream's headers.
    remaining: Vec<u8>,
    reset: Vec<u8>,
    /// Where the words for people stand.
    message: Range<usize>,
}

const DELAY: Shape = Shape::value(Field::RetryDelay);
const MESSAGE: Shape = Shape::value(Field::ErrorMessage);
const RATE_HEADERS: Shape = Shape::object(&[
    ("X-RateLimit-Remaining", &Shape::value(Field::RateRemaining)),
    ("X-RateLimit-Reset", &Shape::value(Field::RateReset)),
]);
const ERROR_MEMBERS: &[(&str, &Shape)] = &[
    ("message", &MESSAGE),
    ("details", &Shape::array(&Shape::object(&[("retryDelay", &DELAY)]))),
    ("metadata", &Shape::object(&[("headers", &RATE_HEADERS)])),
];
/// `error` is an object, or a text; a message may stand beside it; Gemini puts the whole into an array when it streams one.
const REFUSAL_MEMBERS: &[(&str, &Shape)] = &[
    ("error", &Shape::object(ERROR_MEMBERS).and(Field::ErrorMessage)),
    ("message", &MESSAGE),
    ("detail", &MESSAGE),
    ("errors", &Shape::array(&Shape::object(&[("message", &MESSAGE)]))),
];
static REFUSAL: Shape = Shape::object(REFUSAL_MEMBERS).or_array(&Shape::object(REFUSAL_MEMBERS));

impl Told {
    fn read(body: &[u8]) -> Self {
        let mut told = Self::default();
        let mut scanner = Scanner::new(&REFUSAL);
        scanner.push_one(body, &mut |Found { field, value, start, end }| {
            let text = match value {
                Value::Text { head, .. } => head,
                Value::Number(digits) => digits,
                _ => return,
            };
            match field {
                Field::RetryDelay => told.delay = text.to_vec(),
                Field::RateRemaining => told.remaining = text.to_vec(),
                Field::RateReset => told.reset = text.to_vec(),
                Field::ErrorMessage => {
                    // Read as it stands, for the scanner keeps only its beginning.
                    let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                    told.message = at(start)..at(end);
                }
                _ => {}
            }
        });
        told
    }
}
