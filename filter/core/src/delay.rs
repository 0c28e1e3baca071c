//! How long somebody asks to wait, in every form that is in use: one reader for all of them.
//!
//! | form | example | who |
//! |---|---|---|
//! | seconds or milliseconds | `57`, `26.28409`, `500` | `Retry-After`, Cerebras; `retry-after-ms`, Azure |
//! | units | `1m26.4s`, `6ms`, `26 seconds` | `OpenAI` (Go durations), `google.rpc.RetryInfo`, messages |
//! | ISO 8601 duration | `PT1.5S` | gateways |
//! | seconds, milliseconds … since the epoch | `1783621800`, `1791331200000` | DigitalOcean, `OpenRouter` |
//! | RFC 3339 | `2026-08-19T14:34:12Z` | Anthropic |
//! | HTTP date | `Sun, 06 Nov 1994 08:49:37 GMT` | `Retry-After` |

use crate::time::Timestamp;

/// Longest wait that is believed where no date is stated, in milliseconds: an hour. Whoever means more will say it again.
pub const MAX_SPAN_MS: u64 = 3_600_000;

/// Longest wait until a stated date that is believed, in milliseconds: a day.
pub const MAX_DATED_MS: u64 = 86_400_000;

/// What a bare number means that is too small for a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
}

/// What was said, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Span(u128),
    At(u128),
}

/// Milliseconds to wait from `now`, rounded up; 0 for a date that has passed. `None` if it cannot be read: negative, no number, a year
/// or a month in an ISO 8601 duration. At most [`MAX_SPAN_MS`], or [`MAX_DATED_MS`] where a date is stated.
#[must_use]
pub fn wait_ms(text: &[u8], bare: Bare, now: Timestamp) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?.trim();
    let (nanos, max) = match said(text, bare)? {
        Said::Span(nanos) => (nanos, MAX_SPAN_MS),
        Said::At(nanos) => (nanos.saturating_sub(u128::from(now.0)), MAX_DATED_MS),
    };
    Some(u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX).min(max))
}

/// The wait that the words of a message state, in milliseconds: "Please try again in 1m26.4s." (`OpenAI`, Groq), "Please retry in
/// 48.9s." (Gemini), "retry after 26 seconds" (Azure). At most [`MAX_SPAN_MS`].
#[must_use]
pub fn in_words(message: &[u8]) -> Option<u64> {
    let lower = message.to_ascii_lowercase();
    let after = |phrase: &str| {
        let phrase = phrase.as_bytes();
        let at = lower.windows(phrase.len()).position(|window| window == phrase)?;
        units(lower.get(at + phrase.len()..)?).map(|(nanos, _)| nanos)
    };
    let nanos = ["try again in ", "retry in ", "retry after "].into_iter().find_map(after)?;
    Some(u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX).min(MAX_SPAN_MS))
}

fn said(text: &str, bare: Bare) -> Option<Said> {
    if let Some(duration) = text.strip_prefix(['P', 'p']) {
        return iso_8601(duration.as_bytes()).map(Said::Span);
    }
    let at = |instant: Timestamp| Said::At(u128::from(instant.0));
    match text.as_bytes() {
        [first, ..] if first.is_ascii_alphabetic() => Timestamp::from_http_date(text).map(at),
        [_, _, _, _, b'-', ..] => Timestamp::from_rfc3339(text).map(at),
        bytes => match decimal(bytes)? {
            (billionths, []) => Some(number(billionths, bare)),
            _ => match units(bytes)? {
                (nanos, []) => Some(Said::Span(nanos)),
                _ => None,
            },
        },
    }
}

/// A bare number of billionths: its size tells a date from a wait.
fn number(billionths: u128, bare: Bare) -> Said {
    const BILLION: u128 = 1_000_000_000;
    match billionths / BILLION {
        0..1_000_000_000 => Said::Span(match bare {
            Bare::Seconds => billionths,
            Bare::Millis => billionths.div_ceil(1_000),
        }),
        1_000_000_000..1_000_000_000_000 => Said::At(billionths),
        1_000_000_000_000..1_000_000_000_000_000 => Said::At(billionths / 1_000),
        1_000_000_000_000_000..1_000_000_000_000_000_000 => Said::At(billionths / 1_000_000),
        _ => Said::At(billionths / BILLION),
    }
}

/// A decimal at the start, in billionths, and what follows it. Further decimals are dropped.
fn decimal(text: &[u8]) -> Option<(u128, &[u8])> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', after)) if digits(after) > 0 => after.split_at_checked(digits(after))?,
        _ => (&[][..], rest),
    };
    if whole.is_empty() {
        return None;
    }
    let value = |digits: &mut dyn Iterator<Item = u8>| {
        digits.fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    };
    let billionths = value(&mut fraction.iter().copied().chain(core::iter::repeat(b'0')).take(9));
    Some((u128::from(value(&mut whole.iter().copied())) * 1_000_000_000 + u128::from(billionths), rest))
}

/// Amounts with units at the start, summed, in nanoseconds, and what follows them.
fn units(text: &[u8]) -> Option<(u128, &[u8])> {
    let mut sum: Option<u128> = None;
    let mut rest = text;
    while let Some((nanos, after)) = one_unit(rest.trim_ascii_start()) {
        sum = Some(sum.unwrap_or(0).saturating_add(nanos));
        rest = after;
    }
    Some((sum?, rest))
}

fn one_unit(text: &[u8]) -> Option<(u128, &[u8])> {
    let (billionths, rest) = decimal(text)?;
    let rest = rest.trim_ascii_start();
    let len = rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii()).count();
    let (unit, rest) = rest.split_at_checked(len)?;
    let nanos = match core::str::from_utf8(unit).ok()? {
        "ns" => 1,
        // Go writes the micro sign; the Greek letter looks the same.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    Some((scaled(billionths, nanos), rest))
}

/// The rest of an ISO 8601 duration after its `P`, in nanoseconds. Years and months have no length.
fn iso_8601(text: &[u8]) -> Option<u128> {
    let (mut rest, mut is_time, mut sum) = (text, false, None);
    while !rest.is_empty() {
        if let [b'T' | b't', after @ ..] = rest
            && !is_time
            && !after.is_empty()
        {
            (rest, is_time) = (after, true);
        }
        let (billionths, after) = decimal(rest)?;
        let (unit, after) = after.split_first()?;
        let nanos = match (is_time, unit.to_ascii_uppercase()) {
            (false, b'W') => 604_800_000_000_000,
            (false, b'D') => 86_400_000_000_000,
            (true, b'H') => 3_600_000_000_000,
            (true, b'M') => 60_000_000_000,
            (true, b'S') => 1_000_000_000,
            _ => return None,
        };
        sum = Some(sum.unwrap_or(0_u128).saturating_add(scaled(billionths, nanos)));
        rest = after;
    }
    sum
}

const fn scaled(billionths: u128, nanos: u128) -> u128 {
    billionths.saturating_mul(nanos).div_ceil(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-08-19T14:33:42Z.
    const NOW: Timestamp = Timestamp::from_secs(1_787_150_022);

    fn secs(text: &str) -> Option<u64> {
        wait_ms(text.as_bytes(), Bare::Seconds, NOW)
    }

    #[test]
    fn ok_units() {
        for (text, ms) in [
            ("1s", 1_000),
            ("6m0s", 360_000),
            ("1h", 3_600_000),
            ("1m26.4s", 86_400),
            ("17.399999999s", 17_400),
            ("250ms", 250),
            ("6ms", 6),
            ("0s", 0),
            ("1.5ms", 2),
            ("3us", 1),
            ("900\u{b5}s", 1),
            ("900\u{3bc}s", 1),
            ("20ns", 1),
            ("48s", 48_000),
            ("48.939935699s", 48_940),
            ("26 seconds", 26_000),
            (" 1 minute 30 seconds ", 90_000),
            ("1h2m3s", MAX_SPAN_MS),
            ("0h2m3s", 123_000),
            ("1d", MAX_SPAN_MS),
        ] {
            assert_eq!(secs(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn ok_numbers() {
        for (text, ms) in [("7", 7_000), ("26.28409", 26_285), ("0", 0), ("11726.28", MAX_SPAN_MS), ("0.0001", 1)] {
            assert_eq!(secs(text), Some(ms), "{text}");
        }
        for (text, ms) in [("500", 500), ("7", 7), ("0", 0), ("1.5", 2)] {
            assert_eq!(wait_ms(text.as_bytes(), Bare::Millis, NOW), Some(ms), "{text}");
        }
    }

    #[test]
    fn ok_dates() {
        let at = NOW.secs() + 30;
        for text in [
            at.to_string(),
            format!("{at}.0"),
            format!("{at}000"),
            format!("{at}000000"),
            format!("{at}000000000"),
            "2026-08-19T14:34:12Z".to_owned(),
            "2026-08-19t14:34:12.000z".to_owned(),
            "2026-08-19 14:34:12Z".to_owned(),
            "2026-08-19T16:34:12+02:00".to_owned(),
            "2026-08-19T09:04:12-05:30".to_owned(),
            "Wed, 19 Aug 2026 14:34:12 GMT".to_owned(),
        ] {
            assert_eq!(secs(&text), Some(30_000), "{text}");
            assert_eq!(wait_ms(text.as_bytes(), Bare::Millis, NOW), Some(30_000), "{text}");
        }
        assert_eq!(secs("2026-08-19T14:33:42.0005Z"), Some(1));
        for text in ["2020-01-01T00:00:00Z", "1500000000", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(secs(text), Some(0), "{text} has passed");
        }
        for text in ["9999-12-31T23:59:59Z", "9999999999", "99999999999999999999999999", "1787154000000"] {
            assert!(secs(text).is_some_and(|ms| ms > MAX_SPAN_MS), "a date may be later than an hour: {text}");
        }
        assert_eq!(secs("2026-09-19T14:34:12Z"), Some(MAX_DATED_MS));
    }

    #[test]
    fn ok_iso_8601_durations() {
        for (text, ms) in
            [("PT30S", 30_000), ("PT1M26.4S", 86_400), ("PT1H", 3_600_000), ("P1DT2H", MAX_SPAN_MS), ("pt0s", 0)]
        {
            assert_eq!(secs(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn err_what_says_no_wait() {
        for text in [
            "",
            " ",
            "-1",
            "-1s",
            "+5",
            "soon",
            "s",
            ".5",
            "5.",
            "1e3",
            "NaN",
            "inf",
            "1h30",
            "1x",
            "1s!",
            "P",
            "PT",
            "PTS",
            "P1Y",
            "P1M",
            "PT1",
            "P1DT",
            "1s2",
            "2026-13-01T00:00:00Z",
            "2026-08-19T25:00:00Z",
            "2026-08-19",
            "2026-08-19Tx",
            "2026-08-19T14:34:12+2",
            "1,5",
            "0x10",
            "\u{b5}s",
        ] {
            assert_eq!(secs(text), None, "{text}");
        }
        assert_eq!(wait_ms(b"\xff1s", Bare::Seconds, NOW), None);
    }

    #[test]
    fn ok_words() {
        for (text, ms) in [
            (
                "Rate limit reached for gpt-4o on requests per day: Limit 200, Used 200. Please try again in 7m12s. Visit",
                432_000,
            ),
            ("Please try again in 20ms.", 20),
            ("You exceeded your current quota. Please retry in 48.939935699s.", 48_940),
            ("Your requests have exceeded call rate limit. Please retry after 26 seconds. To increase", 26_000),
            ("Try Again In 2s", 2_000),
            ("try again in 99999h", MAX_SPAN_MS),
        ] {
            assert_eq!(in_words(text.as_bytes()), Some(ms), "{text}");
        }
        for text in ["", "try again in ", "try again in a moment", "retry after 5 apples", "Too Many Requests"] {
            assert_eq!(in_words(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// No text is too odd, and none asks for more than the bounds.
        #[test]
        fn any_text_is_bounded(text in any::<Vec<u8>>(), now in any::<u64>(), millis in any::<bool>()) {
            let bare = if millis { Bare::Millis } else { Bare::Seconds };
            prop_assert!(wait_ms(&text, bare, Timestamp(now)).is_none_or(|ms| ms <= MAX_DATED_MS));
            prop_assert!(in_words(&text).is_none_or(|ms| ms <= MAX_SPAN_MS));
        }

        /// The same for texts that look like what is meant.
        #[test]
        fn any_likely_text_is_bounded(
            text in "(P|PT)?[0-9]{0,40}(\\.[0-9]{0,30})?(ns|us|µs|ms|s|m|h|d|H|M|S|T|Z| |:|-|,|GMT)?[0-9]{0,12}[a-zA-Z:.+-]{0,12}",
            now in any::<u64>(),
        ) {
            prop_assert!(wait_ms(text.as_bytes(), Bare::Seconds, Timestamp(now)).is_none_or(|ms| ms <= MAX_DATED_MS));
            let message = format!("try again in {text}");
            prop_assert!(in_words(message.as_bytes()).is_none_or(|ms| ms <= MAX_SPAN_MS));
        }

        /// A longer span is never a shorter wait, in whatever unit; and none is shorter than it says.
        #[test]
        fn spans_are_monotone(a in 0..u64::MAX / 2, more in 0..u64::MAX / 2, unit in 0..5_usize, nanos in 0..1_000_000_000_u32) {
            let unit = ["ms", "s", "m", "h", "d"][unit];
            let ms = |count: u64| wait_ms(format!("{count}.{nanos:09}{unit}").as_bytes(), Bare::Seconds, NOW);
            let (short, long) = (ms(a), ms(a.saturating_add(more)));
            prop_assert!(short.is_some() && short <= long);
            prop_assert!(short >= Some(a.min(MAX_SPAN_MS)));
        }

        /// A date and the same date in another form are the same wait. (A `u64` of nanoseconds ends in the year 2554.)
        #[test]
        fn dates_agree(secs in 1_000_000_000..18_000_000_000_u64, now in 1_000_000_000..18_000_000_000_u64) {
            let (at, now) = (Timestamp::from_secs(secs), Timestamp::from_secs(now));
            let ms = |text: String| wait_ms(text.as_bytes(), Bare::Seconds, now);
            let expected = at.millis().saturating_sub(now.millis()).min(MAX_DATED_MS);
            prop_assert_eq!(ms(secs.to_string()), Some(expected));
            prop_assert_eq!(ms(at.rfc3339()), Some(expected));
            prop_assert_eq!(ms(format!("{secs}000")), Some(expected));
        }
    }
}
