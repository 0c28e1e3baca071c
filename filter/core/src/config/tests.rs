use serde_json::{Value, json};

use super::*;
use crate::limit::spec::{Calendar, Reserve, Window};

fn parse(config: &Value) -> Result<Config, String> {
    Config::parse(config.to_string().as_bytes(), &|_| None).map_err(|problems| problems.to_string())
}

#[test]
fn ok_a_sink_alone_is_a_configuration() {
    let config = parse(&json!({ "sink": { "cluster": "collector" } })).expect("valid");
    assert_eq!((config.max_hold_bytes, config.header_hold), (1_048_576, false));
    assert_eq!((config.sink.batch_events, config.sink.queue_bytes), (100, 33_554_432));
    assert_eq!(config.identity.credential_key_env, "METERR_CREDENTIAL_KEY");
    assert_eq!(config.identity.tenant.len(), 2);
    assert_eq!(config.prefix_authorities, ["localhost", "127.0.0.1", "[::1]"]);
}

#[test]
fn ok_numbers_may_come_as_doubles() {
    let text = br#"{"sink":{"cluster":"c"},"limits":[{"id":"a","unit":"tokens","amount":2e5,"per":["tenant"],
        "window":{"kind":"fixed","per":"hour"},"reserve":"worst_case"}],"max_hold_bytes":1.5e3}"#;
    let config = Config::parse(text, &|_| None).expect("valid");
    let limit = &config.limits[0];
    assert_eq!(
        (limit.amount, limit.reserve, limit.window),
        (200_000, Reserve::WorstCase, Window::Fixed(Calendar::Hour))
    );
    assert_eq!(config.max_hold_bytes, 1_500);
}

#[test]
fn err_every_problem_is_named_at_once() {
    let told = parse(&json!({
        "identiy": {},
        "limits": [{ "id": "a", "unit": "tokens", "amount": -5, "window": { "kind": "fixed", "per": "fortnight" } }],
        "sink": { "cluster": 7 },
        "max_hold_bytes": "much",
    }))
    .expect_err("wrong");
    for part in [
        "identiy",
        "nearest: identity",
        "limits[0].amount",
        "limits[0].window.per",
        "minute",
        "sink.cluster",
        "max_hold_bytes",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}

#[test]
fn err_secrets_are_not_repeated() {
    let told = parse(
        &json!({ "sink": { "cluster": "c", "headers": { "authorization": { "valu": "s3cret" }, "x": "s3cret" } } }),
    )
    .expect_err("wrong");
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn err_features_that_are_not_built_are_refused() {
    let limit = |more: Value| {
        let mut limit =
            json!({ "id": "a", "amount": 1, "unit": "tokens", "window": { "kind": "fixed", "per": "minute" } });
        limit.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "sink": { "cluster": "c" }, "limits": [limit] })
    };
    assert!(parse(&limit(json!({}))).is_ok());
    for more in
        [json!({ "unit": "usd" }), json!({ "queue": {} }), json!({ "on_exceed": "queue" }), json!({ "per": ["user"] })]
    {
        assert!(parse(&limit(more.clone())).is_err(), "{more}");
    }
    assert!(parse(&json!({ "sink": { "cluster": "c", "format": "ndjson" } })).is_err());
}

#[test]
fn err_what_is_no_object() {
    for text in ["", "[]", "nonsense", "{\"sink\":", "\u{0}"] {
        assert!(Config::parse(text.as_bytes(), &|_| None).is_err(), "{text}");
    }
}

#[test]
fn ok_and_err_prices_in_tiers() {
    let of = |tiers: Value| {
        let own = json!({ "provider": "corp", "model": "*", "input_usd_per_mtok": "1", "tier_kind": "graduated", "tiers": tiers });
        parse(&json!({ "sink": { "cluster": "c" }, "prices": { "overrides": [own] } }))
    };
    let tier = |above: u64| json!({ "above_tokens": above, "input_usd_per_mtok": "0.5" });
    let own = of(json!([tier(1000), tier(2000)])).expect("valid").prices.overrides.remove(0);
    assert_eq!((own.tier_kind, own.tiers.len()), (crate::price::TierKind::Graduated, 2));
    assert_eq!((own.tiers[1].above, own.tiers[1].prices.input), (2000, Some(500_000_000_000_000_000)));
    for (tiers, told) in [
        (json!([tier(2000), tier(1000)]), "prices.overrides[0].tiers[1].above_tokens"),
        (json!([tier(1000), tier(1000)]), "more than 1000"),
        (json!([{ "above_tokens": 1 }]), "no price"),
        (json!([tier(0)]), "above_tokens"),
    ] {
        let problems = of(tiers).expect_err("wrong");
        assert!(problems.contains(told), "{told} in\n{problems}");
    }
}
