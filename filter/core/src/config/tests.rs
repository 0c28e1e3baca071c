use serde_json::{Value, json};

use super::*;
use crate::{
    backpressure::Mode,
    dialect::ErrorShape,
    limit::spec::{Calendar, Reserve, Window},
    provider::RateLimitFamily,
};

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
fn ok_and_err_backpressure() {
    let with = |backpressure: Value, limit: &str| {
        parse(&json!({ "sink": { "cluster": "c" }, "providers": { "backpressure": backpressure },
                       "limits": [{ "id": limit, "amount": 1 }] }))
    };
    let mode = |backpressure: Value| with(backpressure, "a").map(|config| config.backpressure);
    assert_eq!(mode(json!({})), Ok(Mode::Off));
    for (name, expected) in [("off", Mode::Off), ("report_only", Mode::ReportOnly), ("reject", Mode::Reject)] {
        assert_eq!(mode(json!({ "mode": name })), Ok(expected));
    }
    let told = mode(json!({ "mode": "queue" })).expect_err("not built yet");
    assert!(told.contains("providers.backpressure.mode") && told.contains("report_only"), "{told}");
    assert!(mode(json!({ "mode": "reject", "max_wait_ms": 1 })).is_err());
    let told = with(json!({ "mode": "reject" }), "provider").expect_err("its limit id");
    assert!(told.contains("limits[0].id"), "{told}");
    assert!(with(json!({}), "provider").is_ok(), "while it is off, the id is anybody's");
}

#[test]
fn ok_and_err_rows_say_their_headers_and_errors() {
    let row = |more: Value| {
        let mut row = json!({ "id": "corp", "hosts": ["llm.corp.internal"], "dialects": ["openai.chat"] });
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let config = parse(&json!({ "sink": { "cluster": "c" }, "providers": { "extra": [row] } }))?;
        Ok::<_, String>((config.extra[0].rate_limits, config.extra[0].errors))
    };
    assert_eq!(row(json!({})), Ok((RateLimitFamily::Absent, ErrorShape::OpenAi)));
    let named = json!({ "rate_limit_headers": "ietf", "error_shape": "tgi" });
    assert_eq!(row(named), Ok((RateLimitFamily::Ietf, ErrorShape::Tgi)));
    assert_eq!(row(json!({ "id": "xai" })), Ok((RateLimitFamily::OpenAi, ErrorShape::Xai)), "the built-in row's");
    for wrong in [json!({ "rate_limit_headers": "A" }), json!({ "error_shape": 7 })] {
        assert!(row(wrong.clone()).is_err_and(|told| told.contains("providers.extra[0].")), "{wrong}");
    }
}

#[test]
fn err_what_is_no_object() {
    for text in ["", "[]", "nonsense", "{\"sink\":", "\u{0}"] {
        assert!(Config::parse(text.as_bytes(), &|_| None).is_err(), "{text}");
    }
}
