use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{time::Timestamp, usage::Usage};

fn query<'a>(provider: &'a str, model: &'a str, usage: &'a Usage) -> Query<'a> {
    let now = Timestamp::from_secs(1_790_000_000);
    Query { provider, request_model: Some(model), response_model: None, service_tier: None, usage, reported: None, now }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Some(input), output: Some(output), ..Usage::default() }
}

#[test]
fn ok_as_the_package_itself_calculates() {
    let cases = include_str!("../../../../tests/fixtures/prices.jsonl");
    let mut compared = 0;
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let number = |name: &str| case[name].as_u64();
        let count = |name: &str| number(name).filter(|count| *count > 0);
        let usage = Usage {
            cache_read: count("cache_read"),
            cache_write: count("cache_write"),
            cache_write_1h: count("cache_write_1h"),
            input: number("input"),
            output: number("output"),
            ..Usage::default()
        };
        let query = Query {
            now: Timestamp::from_secs(number("at").expect("a time")),
            service_tier: case["tier"].as_str(),
            ..query(case["provider"].as_str().expect("text"), case["model"].as_str().expect("text"), &usage)
        };
        let cost = price(&Adjustments::default(), &query);
        let total = cost.total.unwrap_or_else(|| panic!("no price: {case}"));
        assert_eq!(cost.priced_model.as_deref(), case["id"].as_str(), "{case}");
        // The package does not round; our parts are each rounded once to 1e-12.
        let exact = pico(case["usd"].as_str().expect("text"));
        assert!(total.0.abs_diff(exact) <= 3, "{total} instead of {case}");
        compared += 1;
    }
    assert!(compared > 200, "{compared} cases");
}

/// A decimal in units of 1e-12, cut.
fn pico(text: &str) -> u128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain(core::iter::repeat('0')).take(12).collect();
    whole.parse::<u128>().expect("digits") * 1_000_000_000_000 + fraction.parse::<u128>().expect("digits")
}

#[test]
fn ok_display_is_a_plain_decimal() {
    for (pico, text) in [
        (0, "0"),
        (1, "0.000000000001"),
        (1_000_000_000_000, "1"),
        (285_000_000, "0.000285"),
        (12_500_000_000_000, "12.5"),
    ] {
        assert_eq!(PicoUsd(pico).to_string(), text);
    }
    assert_eq!((PicoUsd(1_499_999).micros(), PicoUsd(1_500_000).micros()), (1, 2));
}

#[test]
fn ok_unknown_is_never_free() {
    let nobody = price(&Adjustments::default(), &query("corp", "llama", &usage(1, 1)));
    assert_eq!((nobody.status, nobody.total), (CostStatus::Unpriced, None));
    let half = Usage { output: None, ..usage(10, 0) };
    assert_eq!(price(&Adjustments::default(), &query("openai", "gpt-4o-mini", &half)).status, CostStatus::Partial);
}

#[test]
fn ok_the_operator_knows_better() {
    let price_of = |usd_per_mtok: i128| Some(usd_per_mtok * 1_000_000_000_000_000_000);
    let adjustments = Adjustments {
        overrides: vec![PriceOverride {
            provider: "corp".to_owned(),
            model: "llama-*".to_owned(),
            input: price_of(1),
            output: price_of(2),
            cache_read: None,
            cache_write: None,
        }],
        discounts: vec![Discount { provider: "openai".to_owned(), factor_millionths: 850_000 }],
    };
    let cached = Usage { cache_read: Some(400_000), ..usage(1_000_000, 500_000) };
    let own = price(&adjustments, &query("corp", "llama-3", &cached));
    assert_eq!((own.total.map(|t| t.to_string()).as_deref(), own.source), (Some("2"), Some("override")));
    assert_eq!(own.cache_read.map(|t| t.to_string()).as_deref(), Some("0.4"), "input's price");
    let less = price(&adjustments, &query("openai", "gpt-4o-mini", &usage(1_000_000, 0)));
    assert_eq!(less.total.map(|t| t.to_string()).as_deref(), Some("0.1275"), "15 % off 0.15");
    assert!(known_model(&adjustments, "corp", "llama-x") && !known_model(&adjustments, "corp", "x"));
}

proptest! {
    /// The total is the sum of the parts, and nothing wraps whatever the counts are.
    #[test]
    fn sum_of_the_parts(input in any::<u64>(), output in any::<u64>(), read in any::<u64>(), write in any::<u64>(), hour in any::<u64>()) {
        let usage = Usage {
            cache_read: Some(read), cache_write: Some(write), cache_write_1h: Some(hour), ..usage(input, output)
        };
        let cost = price(&Adjustments::default(), &query("anthropic", "claude-sonnet-4-5", &usage));
        let parts = [cost.input, cost.output, cost.cache_read, cost.cache_write, cost.other];
        let sum: u128 = parts.into_iter().flatten().map(|part| part.0).sum();
        prop_assert_eq!(cost.total.unwrap_or_default().0, sum);
    }
}

#[test]
fn ok_what_the_provider_says_is_read_exactly() {
    let read = |text| PicoUsd::parse(text).map(|cost| cost.to_string());
    assert_eq!(read("0.000784").as_deref(), Some("0.000784"));
    assert_eq!(read("12").as_deref(), Some("12"));
    assert_eq!(read("0.0000000000005").as_deref(), Some("0"), "half to even");
    assert_eq!(read("0.0000000000015").as_deref(), Some("0.000000000002"));
    assert_eq!(read("0.00000000000051").as_deref(), Some("0.000000000001"));
    for text in ["", "-1", "1e3", "1.x"] {
        assert_eq!(read(text), None, "{text}");
    }
}
