use proptest::prelude::*;

use super::*;

/// 2026-08-19T14:33:42Z.
const NOW: Timestamp = Timestamp::from_secs(1_787_150_022);

fn spent(family: RateLimitFamily, headers: &[(&str, &str)]) -> Option<u64> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    family.spent_ms(&Headers::new(headers), NOW)
}

#[test]
fn ok_names_lead_back() {
    for (family, name) in RateLimitFamily::ALL.iter().zip(RateLimitFamily::NAMES) {
        assert_eq!((family.name(), RateLimitFamily::from_name(name)), (*name, Some(*family)));
    }
    assert_eq!(RateLimitFamily::from_name("nobody"), None);
}

#[test]
fn ok_each_family_says_when_it_comes_back() {
    use RateLimitFamily::{Anthropic, Azure, Cerebras, DigitalOcean, Ietf, Mistral, OpenAi, OpenRouter, Together};
    let epoch = (NOW.secs() + 30).to_string();
    let epoch_ms = format!("{epoch}000");
    for (family, headers, ms) in [
        (OpenAi, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "17.5s")][..], 17_500),
        (OpenAi, &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "250ms")], 250),
        (Azure, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "500")], 500),
        (
            Anthropic,
            &[
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-08-19T14:34:12Z"),
            ],
            30_000,
        ),
        (
            Anthropic,
            &[("anthropic-ratelimit-unified-status", "rejected"), ("anthropic-ratelimit-unified-reset", &epoch)],
            30_000,
        ),
        (Mistral, &[("x-ratelimit-remaining-req-minute", "0")], 18_000),
        (Together, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], 1_000),
        (OpenRouter, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &epoch_ms)], 30_000),
        (
            Cerebras,
            &[("x-ratelimit-remaining-tokens-minute", "0"), ("x-ratelimit-reset-tokens-minute", "26.28409")],
            26_285,
        ),
        (
            DigitalOcean,
            &[("x-ratelimit-remaining-tokens-per-day", "0"), ("x-ratelimit-reset-tokens-per-day", &epoch)],
            30_000,
        ),
        (Ietf, &[("ratelimit", "\"default\";r=0;t=23, \"day\";r=0; t=7, \"other\";r=5;t=99")], 23_000),
        (Ietf, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")], 9_000),
    ] {
        assert_eq!(spent(family, headers), Some(ms), "{family:?}: {headers:?}");
        let left: Vec<_> = headers
            .iter()
            .map(|(name, value)| {
                let is_told = name.contains("remaining") || name.ends_with("status");
                (*name, if is_told { "1" } else { *value })
            })
            .collect();
        if !headers.iter().any(|(name, _)| *name == "ratelimit") {
            assert_eq!(spent(family, &left), None, "something is left: {left:?}");
        }
    }
    assert_eq!(spent(Ietf, &[("ratelimit", "\"default\";r=1;t=23")]), None);
}

#[test]
fn ok_the_longest_of_several_buckets_is_meant() {
    let headers = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "2s"),
        ("x-ratelimit-remaining-tokens", "-3"),
        ("x-ratelimit-reset-tokens", "40s"),
    ];
    assert_eq!(spent(RateLimitFamily::OpenAi, &headers), Some(40_000));
}

/// A day's requests are full again in a day, but one of them is there in nine seconds, and a minute's worth after a minute.
#[test]
fn ok_a_bucket_that_refills_is_not_waited_for_until_it_is_full() {
    let day = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "50m0s")];
    let with = |limit| [day[0], day[1], ("x-ratelimit-limit-requests", limit)];
    assert_eq!(spent(RateLimitFamily::OpenAi, &with("10000")), Some(MAX_REFILL_MS));
    assert_eq!(spent(RateLimitFamily::OpenAi, &with("2")), Some(1_500_000), "one request takes 25 minutes");
    assert_eq!(spent(RateLimitFamily::OpenAi, &with("0")), None, "there is no such bucket");
    assert_eq!(spent(RateLimitFamily::OpenAi, &day), Some(3_000_000));
    let window = [("x-ratelimit-remaining-requests-hour", "0"), ("x-ratelimit-reset-requests-hour", "1800")];
    assert_eq!(
        spent(RateLimitFamily::Cerebras, &window),
        Some(1_800_000),
        "a window that starts anew is another matter"
    );
}

#[test]
fn err_what_does_not_say_when_is_not_believed() {
    for family in RateLimitFamily::ALL {
        let names = family.buckets().iter().map(|bucket| match bucket.spent {
            Spent::Zero(name) => (name, "0"),
            Spent::Is(name, word) => (name, word),
        });
        let headers: Vec<_> = names.chain([("ratelimit", "\"a\";r=0")]).collect();
        let expected = if *family == RateLimitFamily::Mistral { Some(18_000) } else { None };
        assert_eq!(spent(*family, &headers), expected, "{family:?}");
    }
    let odd = [("x-ratelimit-remaining-requests", "none"), ("x-ratelimit-reset-requests", "5s")];
    assert_eq!(spent(RateLimitFamily::OpenAi, &odd), None);
}

#[test]
fn ok_zero_in_all_its_spellings() {
    for text in ["0", " 0 ", "0.0", "000", "-1", "-0.5"] {
        assert!(is_zero(text.as_bytes()), "{text}");
    }
    for text in ["", "-", ".", "1", "0.1", "zero", "0x0", "0 1"] {
        assert!(!is_zero(text.as_bytes()), "{text}");
    }
}

proptest! {
    #[test]
    fn any_header_is_bounded(
        family in 0..RateLimitFamily::ALL.len(),
        values in prop::collection::vec("[-0-9.:TZa-z;=, \"]{0,24}", 24),
        now in any::<u64>(),
    ) {
        let family = RateLimitFamily::ALL[family];
        let names = family.buckets().iter().flat_map(|bucket| {
            let spent = match bucket.spent { Spent::Zero(name) | Spent::Is(name, _) => name };
            let reset = match bucket.reset { Reset::Header(name, _) => Some(name), Reset::Minute => None };
            [Some(spent), bucket.limit, reset].into_iter().flatten()
        });
        let headers = names.chain(["ratelimit"]).zip(&values);
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let ms = family.spent_ms(&Headers::new(headers), Timestamp(now));
        prop_assert!(ms.is_none_or(|ms| ms <= crate::delay::MAX_DATED_MS));
    }
}
