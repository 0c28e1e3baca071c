use serde_json::{Value, json};

use super::*;
use crate::identity::Source;
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
fn ok_every_source_of_identity() {
    let config = parse(&json!({ "sink": { "cluster": "c" }, "identity": {
        "tenant": [{ "from": "header", "name": "X-Tenant" }, { "from": "jwt", "provider": "corp", "claim": "org.id" },
                   { "from": "filter_state", "key": "tenant" }, { "from": "peer_san" }, { "from": "credential" },
                   { "from": "constant", "value": "none" }],
        "labels": { "team": [{ "from": "jwt", "provider": "corp", "claim": "https://corp.example/team" }] } } }));
    let identity = config.expect("valid").identity;
    let jwt = |claim: &str| Source::Jwt { provider: "corp".to_owned(), claim: claim.to_owned() };
    assert_eq!(
        identity.tenant,
        [
            Source::Header("x-tenant".to_owned()),
            jwt("org.id"),
            Source::FilterState("tenant".to_owned()),
            Source::PeerSan,
            Source::Credential,
            Source::Constant("none".to_owned()),
        ]
    );
    assert_eq!(identity.labels, [("team".to_owned(), vec![jwt("https://corp.example/team")])]);
}

#[test]
fn err_sources_with_too_little_or_too_much() {
    for (source, path) in [
        (json!({ "from": "jwt", "provider": "corp" }), "claim"),
        (json!({ "from": "jwt", "claim": "org" }), "provider"),
        (json!({ "from": "jwt", "provider": "corp", "claim": "" }), "claim"),
        (json!({ "from": "jwt", "provider": "corp", "claim": "a\u{0}b" }), "claim"),
        (json!({ "from": "jwt", "provider": "corp", "claim": "org", "key": "x" }), "key"),
        (json!({ "from": "filter_state" }), "key"),
        (json!({ "from": "filter_state", "key": "x", "name": "x-tenant" }), "name"),
        (json!({ "from": "filter_state", "key": "a\u{0}b" }), "key"),
        (json!({ "from": "peer_san", "key": "x" }), "key"),
        (json!({ "from": "header", "name": "x-tenant", "claim": "org" }), "claim"),
        (json!({ "from": "credential", "provider": "corp" }), "provider"),
        (json!({ "from": "spiffe" }), "from"),
    ] {
        let told =
            parse(&json!({ "sink": { "cluster": "c" }, "identity": { "tenant": [source] } })).expect_err("wrong");
        assert!(told.contains(&format!("identity.tenant[0].{path}")), "{source}: {told}");
    }
}

#[test]
fn err_what_is_no_object() {
    for text in ["", "[]", "nonsense", "{\"sink\":", "\u{0}"] {
        assert!(Config::parse(text.as_bytes(), &|_| None).is_err(), "{text}");
    }
}
