use super::*;

fn hash(headers: &[(&str, &str)], path: &str) -> Option<String> {
    let headers = Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect());
    Some(Credential::of(&headers, path.as_bytes())?.hash(&CredentialKey::new(b"key")))
}

#[test]
fn ok_one_key_is_one_caller_wherever_it_stands() {
    let bearer = hash(&[("authorization", "Bearer sk-1")], "/").expect("a hash");
    for name in ["x-api-key", "api-key", "x-goog-api-key"] {
        assert_eq!(hash(&[(name, "sk-1")], "/").as_ref(), Some(&bearer), "{name}");
    }
    assert_eq!(hash(&[], "/v1?a=b&key=sk%2D1").as_ref(), Some(&bearer));
    assert_ne!(hash(&[("x-api-key", "sk-2")], "/"), Some(bearer));
    assert_eq!(hash(&[("authorization", "Basic abc")], "/"), None);
    assert_eq!(hash(&[], "/v1?key="), None);
}

#[test]
fn ok_signatures_and_tokens_are_who_they_name() {
    let signed = |rest: &str| {
        hash(
            &[("authorization", &format!("AWS4-HMAC-SHA256 Credential=AKID/20260101/us/bedrock/aws4_request, {rest}"))],
            "/",
        )
    };
    assert!(signed("Signature=a").is_some());
    assert_eq!(signed("Signature=a"), signed("Signature=b"));
    let jwt = |claims: &str, signature: &str| {
        let payload = BASE64.encode(claims);
        hash(&[("authorization", &format!("Bearer e30.{payload}.{signature}"))], "/")
    };
    let first = jwt(r#"{"iss":"i","sub":"s","exp":1}"#, "x");
    assert_eq!(first, jwt(r#"{"iss":"i","sub":"s","exp":2}"#, "y"), "a refreshed token");
    assert_ne!(first, jwt(r#"{"iss":"i","sub":"t"}"#, "x"));
    assert_ne!(first, jwt(r#"{"iss":"is","sub":""}"#, "x"));
}

#[test]
fn ok_nothing_of_a_key_is_printed() {
    assert_eq!(format!("{:?}", CredentialKey::new(b"secret")), "CredentialKey(..)");
    assert_eq!(format!("{:?}", Credential::Opaque(b"secret")), "Credential::Opaque(..)");
    assert_eq!(hash(&[("x-api-key", "planted")], "/").expect("a hash").len(), 16);
}
