//! Who pays.

pub mod credential;

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
