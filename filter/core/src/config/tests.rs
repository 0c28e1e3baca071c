use serde_json::{Value, json};

use super::*;
use crate::{
    backpressure::Mode,
    delivery::spec::OnFull,
    dialect::ErrorShape,
    event::format::Format,
    identity::Source,
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

/// What Envoy makes of a YAML file: text of fractions and exponents, and false of an unquoted off.
#[test]
fn ok_what_envoy_makes_of_yaml_is_understood() {
    let more =
        json!({ "amount": "2e5", "notify_at": ["0.8", 1, "1.25"], "window": { "kind": "fixed", "per": "minute" } });
    let mut text = limit(&more);
    text["providers"] = json!({ "backpressure": { "mode": false } });
    text["tags"] = json!({ "response_headers": false });
    let config = parse(&text).expect("valid");
    assert_eq!(
        (config.limits[0].amount, &config.limits[0].notify_at[..]),
        (200_000, &[800_000, 1_000_000, 1_250_000][..])
    );
    for (wrong, path) in [
        (json!({ "amount": "200000" }), "limits[0].amount"),
        (json!({ "amount": 1, "notify_at": ["1"] }), "limits[0].notify_at[0]"),
        (json!({ "amount": 1, "notify_at": ["inf"] }), "limits[0].notify_at[0]"),
        (json!({ "amount": 1, "on_exceed": false }), "limits[0].on_exceed: found false"),
    ] {
        let problems = parse(&limit(&wrong)).expect_err("it is wrong");
        assert!(problems.contains(path), "{wrong}: {problems}");
    }
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
fn ok_the_sink_as_it_is_told() {
    let sink = |more: &Value| {
        let mut sink = json!({ "cluster": "c" });
        sink.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        parse(&json!({ "sink": sink })).expect("valid").sink
    };
    let usual = sink(&json!({}));
    assert_eq!((usual.format, usual.gzip, usual.on_full), (Format::CloudEvents, false, OnFull::DropOldest));
    let other = sink(&json!({ "format": "otlp_logs", "gzip": true, "queue": { "on_full": "reject_requests" } }));
    assert_eq!((other.format, other.gzip, other.on_full), (Format::OtlpLogs, true, OnFull::RejectRequests));
    assert_eq!(sink(&json!({ "format": "ndjson" })).format, Format::Ndjson);
    parse(&json!({ "sink": { "cluster": "c", "format": "xml", "gzip": 1, "queue": { "on_full": "wait" } } }))
        .expect_err("three problems");
}

#[test]
fn err_features_that_are_not_built_are_refused() {
    assert!(parse(&json!({ "sink": { "cluster": "c", "rejected": "summary_per_hour" } })).is_err());
}

/// A configuration with one limit that says these things besides its id.
fn limit(more: &Value) -> Value {
    let mut limit = json!({ "id": "a" });
    limit.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({
        "sink": { "cluster": "c" },
        "header_hold": true,
        "identity": { "labels": { "team": [{ "from": "header", "name": "x-team" }] } },
        "limits": [limit],
    })
}

#[test]
fn ok_limits_of_every_kind() {
    for more in [
        json!({ "amount": 1 }),
        json!({ "amount": 2e5, "unit": "input_tokens", "window": { "kind": "sliding", "secs": 60 } }),
        json!({ "unit": "output_tokens", "window": { "kind": "bucket", "per_sec": 5, "burst": 9 } }),
        json!({ "amount": 9, "window": { "kind": "bucket", "per_sec": 5 } }),
        json!({ "amount": "25.00", "unit": "usd", "on_unpriced": "reject", "window": { "per": "month" } }),
        json!({ "unit": "usd", "window": { "kind": "bucket", "per_sec": "0.01", "burst": "5" } }),
        json!({ "amount": 10, "unit": "concurrent_requests", "on_exceed": "queue", "queue": { "max_waiting": 7 } }),
        json!({ "amount": 10, "on_exceed": "report_only", "notify_at": [0.5, 0.8, 1, 1.25] }),
        json!({ "amount": 1, "per": ["user", "label:team", "tenant"], "overrides": [{ "labels": { "team": "a*" }, "amount": 2 }] }),
        json!({ "amount": 1, "match": { "user": ["*"], "key": ["0*"], "labels": { "team": ["a", "b"] } } }),
    ] {
        let read = Config::parse(limit(&more).to_string().as_bytes(), &|_| None);
        assert!(read.is_ok(), "{more}: {}", read.expect_err("it is wrong"));
    }
    let read = Config::parse(limit(&json!({ "amount": "0.5", "unit": "usd" })).to_string().as_bytes(), &|_| None);
    let limits = read.expect("it is right").limits;
    assert_eq!((limits[0].amount, &limits[0].notify_at[..]), (500_000_000_000, &[800_000, 1_000_000][..]));
}

#[test]
fn err_limits_say_where_and_what_is_allowed() {
    for (more, told) in [
        (json!({}), "limits[0].amount: found nothing"),
        (json!({ "amount": 0 }), "limits[0].amount: found 0"),
        (json!({ "amount": 1.5 }), "limits[0].amount: found 1.5"),
        (json!({ "amount": 25, "unit": "usd" }), "with unit usd: a decimal in a string, such as \"25.00\""),
        (json!({ "amount": "25" }), "an integer from 1 to"),
        (json!({ "amount": "-1", "unit": "usd" }), "limits[0].amount"),
        (json!({ "amount": "0.0000000000001", "unit": "usd" }), "limits[0].amount"),
        (json!({ "amount": 1, "window": { "kind": "sliding" } }), "limits[0].window.secs: found nothing"),
        (json!({ "amount": 1, "window": { "kind": "bucket" } }), "limits[0].window.per_sec: found nothing"),
        (
            json!({ "amount": 1, "window": { "secs": 5 } }),
            "limits[0].window.secs: found secs in a window of kind fixed",
        ),
        (json!({ "amount": 1, "window": { "kind": "bucket", "per_sec": 1, "burst": 2 } }), "limits[0].amount"),
        (json!({ "amount": 1, "unit": "concurrent_requests", "window": {} }), "limits[0].window"),
        (json!({ "amount": 1, "queue": {} }), "limits[0].queue: found bounds of a queue with on_exceed reject"),
        (json!({ "amount": 1, "per": ["label:region"] }), "allowed: label:team"),
        (json!({ "amount": 1, "per": ["region"] }), "limits[0].per[0]"),
        (json!({ "amount": 1, "overrides": [{ "user": "a", "amount": 2 }] }), "limits[0].overrides[0].user"),
        (
            json!({ "amount": 1, "overrides": [{ "labels": { "team": "a" }, "amount": 2 }] }),
            "limits[0].overrides[0].labels",
        ),
        (json!({ "amount": 1, "notify_at": [0] }), "limits[0].notify_at[0]"),
        (json!({ "amount": 1, "notify_at": [0.8, 0.8] }), "limits[0].notify_at[1]"),
        (json!({ "amount": 1, "match": { "labels": { "team": "a" } } }), "limits[0].match.labels.team"),
    ] {
        let problems = parse(&limit(&more)).expect_err("it is wrong");
        assert!(problems.contains(told), "{more}: {problems}");
    }
    let mut unheld = limit(&json!({ "amount": 1, "on_exceed": "queue" }));
    unheld["header_hold"] = json!(false);
    assert!(parse(&unheld).expect_err("nothing can wait").contains("limits[0].on_exceed"));
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
    let told = mode(json!({ "mode": "queue" })).expect_err("nothing can be held");
    assert!(told.contains("providers.backpressure.mode") && told.contains("header_hold"), "{told}");
    let told = mode(json!({ "mode": "reject", "queue": { "max_waiting": 1 } })).expect_err("nobody waits");
    assert!(told.contains("providers.backpressure.queue") && told.contains("mode queue only"), "{told}");
    let queue = |queue: Value| {
        let backpressure = json!({ "mode": "queue", "queue": queue });
        let config =
            json!({ "sink": { "cluster": "c" }, "header_hold": true, "providers": { "backpressure": backpressure } });
        parse(&config).map(|config| config.backpressure)
    };
    assert_eq!(queue(json!({})), Ok(Mode::Queue { max_wait_ms: 2_000, max_waiting: 100 }));
    assert_eq!(
        queue(json!({ "max_wait_ms": 9, "max_waiting": 1 })),
        Ok(Mode::Queue { max_wait_ms: 9, max_waiting: 1 })
    );
    assert!(queue(json!({ "max_wait_ms": 0 })).is_err());
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
