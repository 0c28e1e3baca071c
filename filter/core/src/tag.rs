//! What an exchange is tagged with.

/// Which response headers are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseHeaders {
    /// Only `x-meterr-id`.
    Off,
    /// Also `ratelimit` and `ratelimit-policy`.
    Limits,
    /// Also usage, on non-stream replies, which are held until counted.
    Usage,
}

/// How exchanges are tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    /// Which response headers are added.
    pub response_headers: ResponseHeaders,
    /// Whether metrics carry the tenant.
    pub metric_tenant: bool,
    /// Most distinct series of tenant and model.
    pub max_series: usize,
}
