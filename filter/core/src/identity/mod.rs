//! Who pays.
//!
//! A value taken from a header counts only if it is 1 to [`MAX_VALUE`] bytes of UTF-8 without control characters and is said once:
//! anything else is as if the header were not there, and the next source is asked. So nothing unbounded or unprintable gets into
//! events, metrics or counters, and a second, conflicting header cannot choose who pays.

use core::cell::OnceCell;

use crate::head::Headers;

pub mod credential;

use credential::{Credential, CredentialKey};

/// Longest tenant, user or label value, in bytes: longer than any UUID, SPIFFE id or mail address in use, short enough for a metric.
pub const MAX_VALUE: usize = 256;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header that the operator trusts; it is removed before the request goes upstream. Lower case.
    Header(String),
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

impl Identity {
    /// Who a request belongs to. `path` is `:path` with its query: some clients put their key there.
    ///
    /// The credential is hashed at most once, and only if a source asks for it.
    #[must_use]
    pub fn resolve(&self, headers: &Headers<'_>, path: &[u8], hasher: &CredentialKey) -> Caller {
        let hash = OnceCell::new();
        let credential = || hash.get_or_init(|| Self::credential(headers, path, hasher)).clone();
        let first = |sources: &Sources| {
            sources.iter().find_map(|source| match source {
                Source::Header(name) => header(headers, name),
                Source::Credential => credential(),
                Source::Constant(value) => Some(value.clone()),
            })
        };
        let labels = self.labels.iter().filter_map(|(name, sources)| Some((name.clone(), first(sources)?)));
        Caller {
            tenant: first(&self.tenant),
            user: first(&self.user),
            key_id: first(&self.key),
            labels: labels.collect(),
        }
    }

    /// The keyed hash of what the request authenticates with, 16 hex digits, whoever pays for it.
    #[must_use]
    pub fn credential(headers: &Headers<'_>, path: &[u8], hasher: &CredentialKey) -> Option<String> {
        Some(Credential::of(headers, path)?.hash(hasher))
    }

    /// Request headers that must not go upstream: all that a source names, each once, in lower case.
    #[must_use]
    pub fn stripped_headers(&self) -> Vec<&str> {
        let labels = self.labels.iter().map(|(_, sources)| sources);
        let sources = [&self.tenant, &self.user, &self.key].into_iter().chain(labels).flatten();
        let mut names: Vec<&str> = sources
            .filter_map(|source| match source {
                Source::Header(name) => Some(name.as_str()),
                Source::Credential | Source::Constant(_) => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The value of a trusted header, by the rules at the top of this file.
fn header(headers: &Headers<'_>, name: &str) -> Option<String> {
    let mut values = headers.iter().filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value.trim_ascii());
    let value = values.next()?;
    if values.any(|other| other != value) || value.is_empty() || value.len() > MAX_VALUE {
        return None;
    }
    let text = core::str::from_utf8(value).ok()?;
    if text.chars().any(char::is_control) { None } else { Some(text.to_owned()) }
}

#[cfg(test)]
mod tests;
