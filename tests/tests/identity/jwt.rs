//! `envoy/examples/jwt.yaml`: a claim of a token that Envoy's `jwt_authn` has verified.

use meterr_tests::{example, stack::Stack};
use serde_json::{Value, json};

use crate::{
    assert_no_tenant, assert_refused_by_envoy, chat, client,
    material::{Material, now, signed, signing_key, token},
    of_tenant, send, start, status, two_requests_a_tenant,
};

const HEADER: &str = "x-corp-token";

#[test]
fn ok_a_claim_is_the_tenant_and_counts_for_it_alone() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = start("jwt.yaml", &material, two_requests_a_tenant);
    let acme = material.token(&json!({ "org": "acme", "sub": "ann", "team": { "name": "red" } }));
    let globex = material.token(&json!({ "org": "globex", "sub": "bob" }));
    let ask = |token: &str| chat(&client, &stack).header(HEADER, token);
    let reply = send(ask(&acme));
    assert_eq!(reply.status(), 200);
    let id = reply.headers()["x-stand-in-id"].to_str().expect("an id").to_owned();
    let head = stack.provider().head(&id).expect("the provider remembers");
    assert!(!head.contains_key(HEADER), "the token is not the provider's business: {head:?}");
    assert_eq!(head["authorization"], "Bearer sk-provider");
    assert_eq!(status(ask(&acme)), 200);
    assert_eq!(status(ask(&acme)), 429, "the third of acme");
    assert_eq!(status(ask(&globex)), 200, "another tenant has its own counter");
    let events = stack.events(4);
    assert_eq!((of_tenant(&events, "acme"), of_tenant(&events, "globex")), (3, 1));
    let first = &events.iter().find(|event| event["data"]["tenant"] == "acme").expect("one of acme")["data"];
    assert_eq!((&first["user"], &first["labels"]), (&json!("ann"), &json!({ "team": "red" })));
    assert_eq!((&first["input_tokens"], &first["output_tokens"]), (&json!(12), &json!(34)));
    stack.finish();
}

#[test]
fn err_forged_tokens_choose_no_tenant() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = start("jwt.yaml", &material, |_| {});
    let good = material.token(&json!({ "org": "acme" }));
    let claims =
        json!({ "iss": "https://login.corp.example", "aud": "llm", "sub": "eve", "org": "acme", "exp": now() + 60 });
    let globex = material.token(&json!({ "org": "globex" }));
    let signature = |token: &str| token.rsplit('.').next().expect("three parts").to_owned();
    let signed_part = |token: &str| token.rsplit_once('.').expect("three parts").0.to_owned();
    let of_acme = |more: Value| {
        let mut claims = json!({ "org": "acme" });
        claims.as_object_mut().expect("claims").extend(more.as_object().expect("claims").clone());
        material.token(&claims)
    };
    let other_key = signing_key();
    let by_nobody = signed(&json!({ "alg": "none", "typ": "JWT" }), &claims, |_| b"none".to_vec());
    for (token, words) in [
        (token(&other_key, &json!({ "org": "acme" })), "Jwt verification fails"),
        (format!("{}.{}", signed_part(&good), signature(&globex)), "Jwt verification fails"),
        (by_nobody, "Jwt header [alg] is not supported"),
        (of_acme(json!({ "exp": now() - 3_600 })), "Jwt is expired"),
        (of_acme(json!({ "nbf": now() + 3_600 })), "Jwt not yet valid"),
        (of_acme(json!({ "aud": "billing" })), "Audiences in Jwt are not allowed"),
        (of_acme(json!({ "iss": "https://login.evil.example" })), "Jwt issuer is not configured"),
        ("acme".to_owned(), "Jwt is not in the form"),
    ] {
        assert_refused_by_envoy(chat(&client, &stack).header(HEADER, token), words);
    }
    assert_refused_by_envoy(chat(&client, &stack), "Jwt is missing");
    // Beside a good token one that is not: the pair is neither acme's nor globex's.
    let forged = token(&other_key, &json!({ "org": "globex" }));
    for pair in [[&good, &forged], [&forged, &good]] {
        let twice = chat(&client, &stack).header(HEADER, pair[0]).header(HEADER, pair[1]);
        assert_refused_by_envoy(twice, "Jwt verification fails");
    }
    // What a client says of itself in words that look like ours, or like the filter's own.
    let names = ["x-tenant-id", "x-org", "org", "x-meterr-tenant", "x-jwt-payload", "envoy.filters.http.jwt_authn"];
    let claimed = names.iter().fold(chat(&client, &stack), |request, name| request.header(*name, "globex"));
    assert_eq!(status(claimed.header(HEADER, &good)), 200);
    let events = stack.events(1);
    assert_eq!(of_tenant(&events, "acme"), 1, "{events:#?}");
    stack.finish();
}

/// Labels from all kinds of claims, as they come through Envoy and its own forms of numbers, booleans and lists.
#[test]
fn ok_every_kind_of_claim_comes_through_as_it_was_signed() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let claims = json!({
        "text": "a b", "umlaut": "Müller", "whole": 42, "large": 4_897_660_266_046_052_u64, "same": "dbcdef1C", "negative": -3,
        "yes": true, "no": false, "one": ["only"], "two": ["a", "b"], "none": [], "null": null, "fraction": 1.5,
        "huge": 18_446_744_073_709_551_615_u64, "object": { "inner": { "deep": 7 } }, "kubernetes.io": { "namespace": "shop" },
        "https://corp.example/org": "by address", "control": "a\u{1}b", "long": "x".repeat(257), "longest": "x".repeat(256),
    });
    let names = [
        "text",
        "umlaut",
        "whole",
        "large",
        "same",
        "negative",
        "yes",
        "no",
        "one",
        "two",
        "none",
        "null",
        "fraction",
        "huge",
        "object",
        "object.inner.deep",
        "kubernetes.io.namespace",
        "https://corp.example/org",
        "control",
        "long",
        "longest",
        "absent",
        "text.absent",
    ];
    let stack = start("jwt.yaml", &material, |configuration| {
        let source = |claim: &str| json!([{ "from": "jwt", "provider": "corp", "claim": claim }]);
        let labels = names.iter().enumerate().map(|(nth, name)| (format!("l{nth}"), source(name)));
        configuration["identity"]["labels"] = Value::Object(labels.collect());
        configuration["identity"]["tenant"] = json!([{ "from": "jwt", "provider": "corp", "claim": "whole" }]);
    });
    assert_eq!(status(chat(&client, &stack).header(HEADER, material.token(&claims))), 200);
    let data = stack.events(1).remove(0)["data"].take();
    assert_eq!(data["tenant"], "42");
    let labels = data["labels"].as_object().expect("labels");
    let got = |name: &str| labels.get(&format!("l{}", names.iter().position(|other| *other == name).expect("a name")));
    for (name, expected) in [
        ("text", "a b"),
        ("umlaut", "Müller"),
        ("whole", "42"),
        ("large", "4897660266046052"),
        ("same", "dbcdef1C"),
        ("negative", "-3"),
        ("yes", "true"),
        ("no", "false"),
        ("one", "only"),
        ("object.inner.deep", "7"),
        ("kubernetes.io.namespace", "shop"),
        ("https://corp.example/org", "by address"),
        ("longest", &"x".repeat(256)),
    ] {
        assert_eq!(got(name), Some(&json!(expected)), "{name}");
    }
    assert_eq!(labels.len(), 13, "and no other: {labels:?}");
    stack.finish();
}

#[test]
fn err_a_token_without_the_claim_pays_for_nobody() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = start("jwt.yaml", &material, |_| {});
    for claims in
        [json!({}), json!({ "org": null }), json!({ "org": ["acme", "globex"] }), json!({ "org": { "id": "acme" } })]
    {
        assert_no_tenant(chat(&client, &stack).header(HEADER, material.token(&claims)).header("org", "acme"));
    }
    assert_eq!(of_tenant(&stack.events(4), "unknown"), 4);
    stack.finish();
}

/// Where the operator lets requests without a token pass, they are nobody's; a token that is there must still be right.
#[test]
fn ok_without_a_token_the_next_source_is_asked() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let optional =
        json!({ "requires_any": { "requirements": [{ "provider_name": "corp" }, { "allow_missing": {} }] } });
    let stack = Stack::example("jwt.yaml", material.path(), &[], |file| {
        example::each(file, &mut |object| {
            if object.contains_key("rules") {
                object["rules"][0]["requires"] = optional.clone();
            }
        });
        example::configure(file, &mut |configuration| {
            configuration["identity"]["on_missing"] = json!("meter");
            configuration["identity"]["tenant"] = json!([{ "from": "jwt", "provider": "corp", "claim": "org" },
                                                         { "from": "jwt", "provider": "other", "claim": "org" },
                                                         { "from": "constant", "value": "guest" }]);
        });
    });
    assert_eq!(status(chat(&client, &stack)), 200);
    assert_eq!(status(chat(&client, &stack).header(HEADER, material.token(&json!({ "org": "acme" })))), 200);
    let forged = token(&signing_key(), &json!({ "org": "acme" }));
    assert_refused_by_envoy(chat(&client, &stack).header(HEADER, forged), "");
    let events = stack.events(2);
    assert_eq!((of_tenant(&events, "guest"), of_tenant(&events, "acme")), (1, 1), "{events:#?}");
    stack.finish();
}
