use core::cell::RefCell;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{host::NoProperties, protobuf::encode};

fn from_header(name: &str) -> Source {
    Source::Header(name.to_owned())
}

fn from_jwt(claim: &str) -> Source {
    Source::Jwt { provider: "corp".to_owned(), claim: claim.to_owned() }
}

fn from_state(key: &str) -> Source {
    Source::FilterState(key.to_owned())
}

fn identity() -> Identity {
    Identity {
        tenant: vec![from_header("x-tenant"), Source::Credential, Source::Constant("fallback".to_owned())],
        user: vec![from_header("x-user")],
        key: vec![Source::Credential],
        labels: vec![("team".to_owned(), vec![from_header("x-team")])],
        reject_missing: false,
        credential_key_env: "KEY".to_owned(),
    }
}

/// A stream with these properties, which remembers what it was asked.
#[derive(Default)]
struct Stream {
    metadata: Option<Vec<u8>>,
    state: Vec<(&'static str, Vec<u8>)>,
    uri_san: Option<Vec<u8>>,
    asked: RefCell<Vec<String>>,
}

impl Stream {
    fn with_claims(claims: &Value) -> Self {
        let namespaces = [
            ("envoy.filters.http.ext_authz", json!({ "corp": { "org": "not ours" } })),
            ("envoy.filters.http.jwt_authn", json!({ "other": { "org": "of another issuer" }, "corp": claims })),
        ];
        Self { metadata: Some(encode::metadata(&namespaces)), ..Self::default() }
    }

    fn with_state(key: &'static str, value: &[u8]) -> Self {
        Self { state: vec![(key, value.to_vec())], ..Self::default() }
    }

    fn with_san(uri: &[u8]) -> Self {
        Self { uri_san: Some(uri.to_vec()), ..Self::default() }
    }
}

impl Properties for Stream {
    fn get(&self, property: Property<'_>) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push(format!("{property:?}"));
        match property {
            Property::Metadata => self.metadata.clone(),
            Property::FilterState(key) => self.state.iter().find(|(k, _)| *k == key).map(|(_, value)| value.clone()),
            Property::PeerUriSan => self.uri_san.clone(),
        }
    }
}

fn resolve_by(identity: &Identity, headers: &[(&str, &str)], path: &str, properties: &dyn Properties) -> Caller {
    let headers = Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect());
    identity.resolve(&headers, path.as_bytes(), &CredentialKey::new(b"key"), properties)
}

fn resolve(headers: &[(&str, &str)], path: &str) -> Caller {
    resolve_by(&identity(), headers, path, &NoProperties)
}

/// The tenant by these sources, of a request that claims to be somebody in a header that no source names.
fn tenant(sources: &[Source], stream: &Stream) -> Option<String> {
    let identity = Identity { tenant: sources.to_vec(), ..identity() };
    resolve_by(&identity, &[("x-org", "evil"), ("org", "evil"), ("tenant", "evil")], "/", stream).tenant
}

fn claim(claims: &Value, name: &str) -> Option<String> {
    tenant(&[from_jwt(name)], &Stream::with_claims(claims))
}

#[test]
fn ok_the_first_source_that_gives_a_value_wins() {
    let caller = resolve(&[("x-tenant", " acme "), ("authorization", "Bearer sk-1"), ("x-team", "red")], "/");
    assert_eq!((caller.tenant.as_deref(), caller.user.as_deref()), (Some("acme"), None));
    assert_eq!(caller.labels, [("team".to_owned(), "red".to_owned())]);
    let by_key = resolve(&[("authorization", "Bearer sk-1")], "/");
    assert_eq!(by_key.tenant, by_key.key_id);
    assert_eq!(by_key.key_id.as_ref().map(String::len), Some(16));
    assert_eq!(resolve(&[], "/").tenant.as_deref(), Some("fallback"));
}

#[test]
fn err_values_that_cannot_be_trusted_are_none() {
    let long = "x".repeat(MAX_VALUE + 1);
    for value in ["", "  ", &long, "a\u{7f}b", "a\u{85}b"] {
        assert_eq!(resolve(&[("x-tenant", value)], "/").tenant.as_deref(), Some("fallback"), "{value}");
        assert_eq!(claim(&json!({ "org": value }), "org"), None, "{value}");
        assert_eq!(tenant(&[from_state("tenant")], &Stream::with_state("tenant", value.as_bytes())), None, "{value}");
        assert_eq!(tenant(&[Source::PeerSan], &Stream::with_san(value.as_bytes())), None, "{value}");
    }
    assert_eq!(tenant(&[from_state("tenant")], &Stream::with_state("tenant", b"\xff")), None);
    assert_eq!(tenant(&[Source::PeerSan], &Stream::with_san(b"spiffe://corp/\xff")), None);
    assert_eq!(resolve(&[("x-tenant", "a"), ("x-tenant", "b")], "/").tenant.as_deref(), Some("fallback"));
    assert_eq!(resolve(&[("x-tenant", "a"), ("x-tenant", "a")], "/").tenant.as_deref(), Some("a"));
}

#[test]
fn ok_headers_of_identity_are_stripped() {
    let mut identity = identity();
    identity.user.extend([from_jwt("sub"), from_state("user"), Source::PeerSan]);
    assert_eq!(identity.stripped_headers(), ["x-team", "x-tenant", "x-user"]);
}

#[test]
fn ok_a_claim_of_the_named_provider() {
    assert_eq!(claim(&json!({ "org": "acme" }), "org").as_deref(), Some("acme"));
    let longest = "x".repeat(MAX_VALUE);
    assert_eq!(claim(&json!({ "org": longest }), "org"), Some(longest));
    assert_eq!(claim(&json!({ "org": "Müller" }), "org").as_deref(), Some("Müller"));
    let other = Source::Jwt { provider: "other".to_owned(), claim: "org".to_owned() };
    assert_eq!(tenant(&[other], &Stream::with_claims(&json!({}))).as_deref(), Some("of another issuer"));
}

#[test]
fn ok_claims_that_are_no_text() {
    for (value, expected) in [
        (json!(0), "0"),
        (json!(42), "42"),
        (json!(-7), "-7"),
        (json!(-0.0), "0"),
        (json!(9_007_199_254_740_991_u64), "9007199254740991"),
        // As a double its bytes are the text `dbcdef1C`.
        (json!(4_897_660_266_046_052_u64), "4897660266046052"),
        (json!("dbcdef1C"), "dbcdef1C"),
        (json!("42"), "42"),
        (json!(true), "true"),
        (json!(false), "false"),
        (json!(["one"]), "one"),
        (json!([42]), "42"),
    ] {
        assert_eq!(claim(&json!({ "org": value }), "org").as_deref(), Some(expected), "{value}");
    }
}

#[test]
fn err_claims_that_name_nobody() {
    for value in [
        json!(null),
        json!(1.5),
        // One more, and its neighbour, are the same double.
        json!(9_007_199_254_740_992_u64),
        json!(-9_007_199_254_740_992_i64),
        json!(1e300),
        json!([]),
        json!(["one", "two"]),
        json!([["one"]]),
        json!([null]),
        json!({}),
        json!({ "id": "acme" }),
    ] {
        assert_eq!(claim(&json!({ "org": value }), "org"), None, "{value}");
    }
    for name in ["org", "ORG", "org.id", "", ".", "..", "org.", ".org"] {
        assert_eq!(claim(&json!({ "Org": "acme", "user": "ann" }), name), None, "{name}");
    }
}

#[test]
fn ok_dots_lead_into_objects_after_the_longest_name() {
    let claims = json!({
        "org": { "id": "acme", "deep": { "er": [7] }, "a.b": "dotted" },
        "org.name": "whole",
        "kubernetes.io": { "namespace": "shop" },
        "https://corp.example/org": { "id": "by address" },
    });
    for (name, expected) in [
        ("org.id", "acme"),
        ("org.deep.er", "7"),
        ("org.a.b", "dotted"),
        ("org.name", "whole"),
        ("kubernetes.io.namespace", "shop"),
        ("https://corp.example/org.id", "by address"),
    ] {
        assert_eq!(claim(&claims, name).as_deref(), Some(expected), "{name}");
    }
    for name in ["org", "org.id.x", "org.name.x", "kubernetes.io", "kubernetes", "org..id", "deep.er"] {
        assert_eq!(claim(&claims, name), None, "{name}");
    }
}

#[test]
fn ok_filter_state_and_certificates() {
    assert_eq!(tenant(&[from_state("a.b")], &Stream::with_state("a.b", b"acme")).as_deref(), Some("acme"));
    assert_eq!(tenant(&[from_state("tenant")], &Stream::with_state("other", b"acme")), None);
    let spiffe = "spiffe://corp.example/ns/shop/sa/web";
    assert_eq!(tenant(&[Source::PeerSan], &Stream::with_san(spiffe.as_bytes())).as_deref(), Some(spiffe));
    assert_eq!(tenant(&[Source::PeerSan], &Stream::default()), None);
}

#[test]
fn ok_the_host_is_asked_only_what_is_needed_and_once() {
    let stream = Stream::with_claims(&json!({ "org": "acme", "sub": "ann", "roles": ["dev"] }));
    let by_claims = Identity {
        tenant: vec![from_header("x-tenant"), from_jwt("tenant"), from_jwt("org"), Source::PeerSan, from_state("t")],
        user: vec![from_jwt("sub"), from_state("user")],
        key: vec![Source::PeerSan, from_state("id"), Source::Credential],
        labels: vec![
            ("role".to_owned(), vec![from_jwt("roles")]),
            ("peer".to_owned(), vec![Source::PeerSan, from_state("id")]),
        ],
        ..identity()
    };
    let caller = resolve_by(&by_claims, &[], "/", &stream);
    assert_eq!((caller.tenant.as_deref(), caller.user.as_deref()), (Some("acme"), Some("ann")));
    assert_eq!(*stream.asked.borrow(), ["Metadata", "PeerUriSan", "FilterState(\"id\")"]);
    assert_eq!(caller.labels, [("role".to_owned(), "dev".to_owned())]);
    stream.asked.borrow_mut().clear();
    let _by_headers = resolve_by(&identity(), &[("authorization", "Bearer sk-1")], "/", &stream);
    assert!(stream.asked.borrow().is_empty(), "no source wants them");
    let header_first = Identity { tenant: vec![from_header("x-tenant"), from_jwt("org")], ..identity() };
    let _by_header = resolve_by(&header_first, &[("x-tenant", "beta")], "/", &stream);
    assert!(stream.asked.borrow().is_empty(), "an earlier source gave a value");
}

proptest! {
    #[test]
    fn whatever_the_host_says(metadata in prop::collection::vec(any::<u8>(), 0..200), name in "[a.]{0,12}") {
        let stream = Stream { metadata: Some(metadata.clone()), uri_san: Some(metadata.clone()), ..Stream::default() };
        for sources in [[from_jwt(&name)], [Source::PeerSan]] {
            let value = tenant(&sources, &stream);
            prop_assert!(value.is_none_or(|text| (1..=MAX_VALUE).contains(&text.len()) && !text.contains(char::is_control)));
        }
    }

    #[test]
    fn any_text_of_a_claim_is_that_text_or_nothing(text in ".{0,300}") {
        let trimmed = text.trim_ascii();
        let good = (1..=MAX_VALUE).contains(&trimmed.len()) && !trimmed.contains(char::is_control);
        prop_assert_eq!(claim(&json!({ "org": text }), "org"), good.then(|| trimmed.to_owned()));
    }
}
