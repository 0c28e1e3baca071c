//! Who pays.
//!
//! A value counts only if it is 1 to [`MAX_VALUE`] bytes of UTF-8 without control characters, and one from a header only if it is
//! said once: anything else is as if the source were not there, and the next one is asked. So nothing unbounded or unprintable gets
//! into events, metrics or counters, and a second, conflicting header cannot choose who pays.
//!
//! What a client says of itself counts only where the operator named the header that it says it in. Everything else comes from what
//! Envoy has verified (a token, a certificate) or an earlier filter has written; the credential alone is verified by the provider.

use crate::{
    head::Headers,
    host::{Properties, Property},
};

mod claim;
pub mod credential;

use credential::{Credential, CredentialKey};

/// Longest tenant, user or label value, in bytes: longer than any UUID, SPIFFE id or mail address in use, short enough for a metric.
pub const MAX_VALUE: usize = 256;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header that the operator trusts; it is removed before the request goes upstream. Lower case.
    Header(String),
    /// A claim of a token that Envoy's `jwt_authn` has verified: a text, a boolean, an integer below 2^53, or a list of one of these.
    Jwt {
        /// What `payload_in_metadata` of the provider says.
        provider: String,
        /// The claim's name; dots lead into objects.
        claim: String,
    },
    /// The text that an earlier filter left in filter state under that key.
    FilterState(String),
    /// The first URI among the subject alternative names of the client's certificate, such as a SPIFFE id.
    PeerSan,
    /// The keyed hash of what the caller authenticates with.
    Credential,
    /// A fixed value.
    Constant(String),
}

/// The first source that gives a value wins.
pub type Sources = Vec<Source>;

/// How callers are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who pays.
    pub tenant: Sources,
    /// End user.
    pub user: Sources,
    /// Credential.
    pub key: Sources,
    /// Free labels, by name.
    pub labels: Vec<(String, Sources)>,
    /// Whether a request without a tenant is refused with 401 rather than metered as `unknown`.
    pub reject_missing: bool,
    /// Environment variable that holds the key of the credential hash.
    pub credential_key_env: String,
}

/// Who one request belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who pays; `None` if no source gave a value.
    pub tenant: Option<String>,
    /// End user.
    pub user: Option<String>,
    /// Keyed hash of the credential, 16 hex digits.
    pub key_id: Option<String>,
    /// Labels that have a value.
    pub labels: Vec<(String, String)>,
}

/// What a request's sources read from, each part of it got at most once and only when a source asks for it.
struct Request<'a> {
    headers: &'a Headers<'a>,
    /// `:path` with its query.
    path: &'a [u8],
    hasher: &'a CredentialKey,
    properties: &'a dyn Properties,
    /// The credential's hash, once asked for.
    credential: Option<Option<String>>,
    /// Properties asked for so far.
    known: Vec<(Property<'a>, Option<Vec<u8>>)>,
}

impl<'a> Request<'a> {
    fn first(&mut self, sources: &'a Sources) -> Option<String> {
        sources.iter().find_map(|source| match source {
            Source::Header(name) => header(self.headers, name),
            Source::Jwt { provider, claim } => {
                let text = claim::text(self.property(Property::Metadata)?, provider, claim)?;
                accepted(text.as_bytes())
            }
            Source::FilterState(key) => accepted(self.property(Property::FilterState(key))?),
            Source::PeerSan => accepted(self.property(Property::PeerUriSan)?),
            Source::Credential => self.credential(),
            Source::Constant(value) => Some(value.clone()),
        })
    }

    fn credential(&mut self) -> Option<String> {
        let hash = || Some(Credential::of(self.headers, self.path)?.hash(self.hasher));
        self.credential.get_or_insert_with(hash).clone()
    }

    fn property(&mut self, property: Property<'a>) -> Option<&[u8]> {
        let at = self.known.iter().position(|(asked, _)| *asked == property).unwrap_or(self.known.len());
        if at == self.known.len() {
            self.known.push((property, self.properties.get(property)));
        }
        self.known.get(at)?.1.as_deref()
    }
}

impl Identity {
    /// Who a request belongs to. `path` is `:path` with its query: some clients put their key there.
    ///
    /// The credential is hashed, and each property asked of the host, at most once, and only if a source comes to need it.
    #[must_use]
    #[inline(never)]
    pub fn resolve(
        &self,
        headers: &Headers<'_>,
        path: &[u8],
        hasher: &CredentialKey,
        properties: &dyn Properties,
    ) -> Caller {
        let mut request = Request { headers, path, hasher, properties, credential: None, known: Vec::new() };
        Caller {
            tenant: request.first(&self.tenant),
            user: request.first(&self.user),
            key_id: request.first(&self.key),
            labels: (self.labels.iter())
                .filter_map(|(name, sources)| Some((name.clone(), request.first(sources)?)))
                .collect(),
        }
    }

    /// The keyed hash of what the request authenticates with, 16 hex digits, whoever pays for it.
    #[must_use]
    pub fn credential(headers: &Headers<'_>, path: &[u8], hasher: &CredentialKey) -> Option<String> {
        Some(Credential::of(headers, path)?.hash(hasher))
    }

    /// Request headers that must not go upstream: all that a source names, each once, in lower case.
    #[must_use]
    #[inline(never)]
    pub fn stripped_headers(&self) -> Vec<&str> {
        let labels = self.labels.iter().map(|(_, sources)| sources);
        let sources = [&self.tenant, &self.user, &self.key].into_iter().chain(labels).flatten();
        let headers = sources.filter_map(|source| match source {
            Source::Header(name) => Some(name.as_str()),
            Source::Jwt { .. }
            | Source::FilterState(_)
            | Source::PeerSan
            | Source::Credential
            | Source::Constant(_) => None,
        });
        let mut names = Vec::new();
        for name in headers {
            if let Err(at) = names.binary_search(&name) {
                names.insert(at, name);
            }
        }
        names
    }
}

/// The value of a trusted header, by the rules at the top of this file.
fn header(headers: &Headers<'_>, name: &str) -> Option<String> {
    let mut values = headers.iter().filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value.trim_ascii());
    let value = values.next()?;
    if values.any(|other| other != value) { None } else { accepted(value) }
}

/// The text of a value, by the rules at the top of this file; the white space around it does not count.
fn accepted(value: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(value.trim_ascii()).ok()?;
    let fits = (1..=MAX_VALUE).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
