use super::*;

fn identity() -> Identity {
    Identity {
        tenant: vec![
            Source::Header("x-tenant".to_owned()),
            Source::Credential,
            Source::Constant("fallback".to_owned()),
        ],
        user: vec![Source::Header("x-user".to_owned())],
        key: vec![Source::Credential],
        labels: vec![("team".to_owned(), vec![Source::Header("x-team".to_owned())])],
        reject_missing: false,
        credential_key_env: "KEY".to_owned(),
    }
}

fn resolve(headers: &[(&str, &str)], path: &str) -> Caller {
    let headers = Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect());
    identity().resolve(&headers, path.as_bytes(), &CredentialKey::new(b"key"))
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
    for value in ["", "  ", &long, "a\u{7f}b"] {
        assert_eq!(resolve(&[("x-tenant", value)], "/").tenant.as_deref(), Some("fallback"), "{value}");
    }
    assert_eq!(resolve(&[("x-tenant", "a"), ("x-tenant", "b")], "/").tenant.as_deref(), Some("fallback"));
}

#[test]
fn ok_headers_of_identity_are_stripped() {
    assert_eq!(identity().stripped_headers(), ["x-team", "x-tenant", "x-user"]);
}
