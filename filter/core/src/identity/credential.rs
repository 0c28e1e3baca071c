//! From a credential to a keyed hash. The credential itself never leaves this module.

mod memo;

use core::fmt;
use std::{cell::RefCell, rc::Rc};

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::memo::Memo;
use crate::{head::Headers, path};

/// Longest JWT payload that is looked into, in bytes: identity providers stay far below what a header can carry. A longer token is
/// hashed as it is.
const MAX_JWT_PAYLOAD: usize = 16 * 1024;
/// Block of SHA-256 in bytes.
const BLOCK: usize = 64;
/// Base64 of JWTs (RFC 7515, section 2) has no padding; some issuers write it all the same.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The key of the credential hash, and the hashes that were made with it lately. Debug shows nothing of it.
#[derive(Clone)]
pub struct CredentialKey(Rc<Keyed>);

struct Keyed {
    mac: Hmac<Sha256>,
    memo: RefCell<Memo>,
}

/// A keyed hash as it is shown: 16 hex digits.
type Hex = [u8; 16];

/// How a value is read before it is hashed.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Opaque,
    Bearer,
}

impl CredentialKey {
    /// Takes a key of any length; 32 random bytes are as good as it gets.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        // What HMAC does with a key (RFC 2104, section 2), done here because it cannot fail this way.
        let mut block = [0; BLOCK];
        let digest;
        let key = if bytes.len() > BLOCK {
            digest = Sha256::digest(bytes);
            digest.as_slice()
        } else {
            bytes
        };
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        let mac: Hmac<Sha256> = Hmac::new(&block.into());
        let memo = RefCell::new(Memo::new(&mac.clone().chain_update(b"memo").finalize().into_bytes().into()));
        Self(Rc::new(Keyed { mac, memo }))
    }

    /// The hash of a value that is read so: as it was made when the value was last seen, or made now.
    fn recall(&self, reading: Reading, value: &[u8], make: impl FnOnce() -> Hex) -> Hex {
        // Nothing else has it: to make a hash is to ask for none.
        match self.0.memo.try_borrow_mut() {
            Ok(mut memo) => memo.recall(reading as u8, value, make),
            Err(_) => make(),
        }
    }

    /// The first 8 bytes of HMAC-SHA256 over the parts, each with its length before it, as 16 hex digits.
    fn hash(&self, parts: &[&[u8]]) -> Hex {
        let mut mac = self.0.mac.clone();
        for part in parts {
            // Without the length, issuer "ab" with subject "c" would be issuer "a" with subject "bc".
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        let bytes = mac.finalize().into_bytes();
        let mut hex = [0; 16];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = [byte >> 4, byte & 15].map(|nibble| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        }
        hex
    }
}

impl fmt::Debug for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialKey(..)")
    }
}

/// What a caller authenticates with. Debug shows only its kind.
pub(super) enum Credential<'a> {
    /// An opaque key, from whatever header or query it came: the same key is the same caller wherever it stands.
    Opaque(&'a [u8]),
    /// What stands behind `Bearer`: a JWT, or as opaque as a key.
    Bearer(&'a [u8]),
    /// The `key` of a query, decoded.
    Decoded(Vec<u8>),
    /// The access key id of a SigV4 signature. The signature itself changes with each request.
    AccessKey(&'a [u8]),
}

/// Issuer and subject of a JWT, so that a refreshed token is the same caller. Nobody has verified the signature here: that is the
/// provider's business, or that of Envoy's `jwt_authn`.
struct Subject {
    /// `iss`.
    issuer: String,
    /// `sub`.
    subject: String,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opaque(_) | Self::Decoded(_) => "Credential::Opaque(..)",
            Self::Bearer(_) => "Credential::Bearer(..)",
            Self::AccessKey(_) => "Credential::AccessKey(..)",
        })
    }
}

impl<'a> Credential<'a> {
    /// The credential of a request: the first of `authorization`, `x-api-key`, `api-key`, `x-goog-api-key` and the query's `key`
    /// that holds one.
    pub(super) fn of(headers: &Headers<'a>, path: &'a [u8]) -> Option<Self> {
        let header = |name| headers.get(name).map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
        header("authorization")
            .and_then(Self::of_authorization)
            .or_else(|| ["x-api-key", "api-key", "x-goog-api-key"].into_iter().find_map(header).map(Self::Opaque))
            .or_else(|| query_key(path).map(Self::Decoded))
    }

    fn of_authorization(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(u8::is_ascii_whitespace)?;
        let (scheme, rest) = value.split_at_checked(end)?;
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Some(Self::Bearer(rest)).filter(|_| !rest.is_empty());
        }
        if is_signature_scheme(scheme) { access_key(rest).map(Self::AccessKey) } else { None }
    }

    /// The keyed hash: 16 hex digits. The kind is hashed too, so that an access key id is never taken for an opaque key.
    pub(super) fn hash(&self, key: &CredentialKey) -> String {
        let opaque = |value| key.hash(&[b"opaque", value]);
        let hex = match self {
            Self::Opaque(value) => key.recall(Reading::Opaque, value, || opaque(value)),
            Self::Decoded(value) => key.recall(Reading::Opaque, value, || opaque(value)),
            Self::Bearer(token) => key.recall(Reading::Bearer, token, || match Subject::of(token) {
                Some(Subject { issuer, subject }) => key.hash(&[b"jwt", issuer.as_bytes(), subject.as_bytes()]),
                None => opaque(token),
            }),
            // A signature is new with each request, and its key id short.
            Self::AccessKey(id) => key.hash(&[b"sigv4", id]),
        };
        hex.into_iter().map(char::from).collect()
    }
}

impl Subject {
    /// The caller behind a token of the shape `header.payload.signature`, if the payload names issuer and subject.
    fn of(token: &[u8]) -> Option<Self> {
        let mut parts = token.split(|b| *b == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && !header.is_empty() && !signature.is_empty();
        if !is_whole || payload.len() > MAX_JWT_PAYLOAD {
            return None;
        }
        let mut claims: Value = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
        let mut claim = |name| match claims.get_mut(name).map(Value::take) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        Some(Self { issuer: claim("iss")?, subject: claim("sub")? })
    }
}

/// Whether a request carries an AWS signature (version 4, symmetric or not), which covers its host and path.
#[must_use]
pub fn is_sigv4(headers: &Headers<'_>) -> bool {
    let scheme = |value: &[u8]| {
        let value = value.trim_ascii_start();
        is_signature_scheme(value.split(u8::is_ascii_whitespace).next().unwrap_or_default())
    };
    headers.get("authorization").is_some_and(scheme)
}

/// Whether the AWS signature of a request covers that header; the name in lower case. A signature that does not say what it covers counts
/// as covering everything.
#[must_use]
pub fn signs(headers: &Headers<'_>, name: &str) -> bool {
    if !is_sigv4(headers) {
        return false;
    }
    let value = headers.get("authorization").unwrap_or_default();
    let parameters = value.split(|b| *b == b',' || b.is_ascii_whitespace());
    let signed = parameters.into_iter().find_map(|parameter| parameter.strip_prefix(b"SignedHeaders="));
    signed.is_none_or(|names| names.split(|b| *b == b';').any(|signed| signed.eq_ignore_ascii_case(name.as_bytes())))
}

/// `AWS4-HMAC-SHA256` or `AWS4-ECDSA-P256-SHA256`: AWS General Reference, "Elements of an AWS API request signature".
fn is_signature_scheme(scheme: &[u8]) -> bool {
    scheme.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"aws4-"))
}

/// The access key id of `Credential=AKID/date/region/service/aws4_request, SignedHeaders=…`.
fn access_key(parameters: &[u8]) -> Option<&[u8]> {
    let parameter = parameters.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let scope = parameter.into_iter().find_map(|parameter| parameter.strip_prefix(b"Credential="))?;
    scope.split(|b| *b == b'/').next().filter(|id| !id.is_empty())
}

/// The value of `key` in the query of a path, percent-decoded so that one key has one hash however it is written.
fn query_key(path: &[u8]) -> Option<Vec<u8>> {
    path::query_value(path::split(path).1?, "key")
}

#[cfg(test)]
mod tests;
