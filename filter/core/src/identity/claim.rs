//! A claim of a verified JWT, out of the dynamic metadata that Envoy's `jwt_authn` filter leaves.
//!
//! Source: Envoy API v3, `JwtProvider.payload_in_metadata`: the payload is a `Struct` below the filter's own namespace, written
//! only after the signature, issuer, audience and times were found right.

use serde_json::Value;

use crate::protobuf;

/// Where `jwt_authn` writes, whatever name the filter has in the chain.
const NAMESPACE: &str = "envoy.filters.http.jwt_authn";

/// Below it a double, which every number in a `Struct` is, tells each integer from its neighbours.
const MAX_EXACT: u64 = 1 << 53;

/// The text of a claim in `metadata`, an `envoy.config.core.v3.Metadata`; `provider` is what `payload_in_metadata` says.
///
/// A text counts as it is; `true` and `false`, and an integer below 2^53, as they are written in JSON; a list if it has
/// one element. Everything else is no value: of several elements none is first by right, and a number that has lost digits could
/// be somebody else's.
pub(super) fn text(metadata: &[u8], provider: &str, claim: &str) -> Option<String> {
    let payload = protobuf::inner(protobuf::member(protobuf::member(metadata, NAMESPACE)?, provider)?)?;
    match protobuf::decoded(find(payload, claim)?)? {
        Value::Array(mut items) => match (items.pop(), items.is_empty()) {
            (Some(item), true) => written(item),
            _ => None,
        },
        value => written(value),
    }
}

/// The claim of that name, or the one below it that the rest after a dot names: names themselves may have dots (`kubernetes.io`,
/// `https://corp.example/org`), so the longest that exists is followed first.
fn find<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    protobuf::member(object, name).or_else(|| {
        name.rmatch_indices('.').find_map(|(at, _)| {
            let (head, rest) = (name.get(..at)?, name.get(at.checked_add(1)?..)?);
            find(protobuf::inner(protobuf::member(object, head)?)?, rest)
        })
    })
}

fn written(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => {
            let integer: i64 = protobuf::decimal(&number).parse().ok()?;
            (integer.unsigned_abs() < MAX_EXACT).then(|| integer.to_string())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
