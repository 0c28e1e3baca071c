//! How the provider is told to answer.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::pack::Packing;

/// The JSON of the request header `x-test`. What is not said is as usual.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// All input tokens but, for Anthropic, those of the cache.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Tokens read from the cache.
    pub cached: u64,
    /// Reasoning tokens within the output.
    pub reasoning: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
    /// … for five minutes.
    pub cache_5m: u64,
    /// … for an hour.
    pub cache_1h: u64,
    /// Deltas of a stream.
    pub chunks: usize,
    /// Milliseconds before the first byte, and between the deltas of a stream.
    pub delay_ms: u64,
    /// Sends the body in pieces of so many bytes; 0 sends each event, or a whole reply, in one.
    pub rechunk: usize,
    /// Compresses the body with gzip.
    pub gzip: bool,
    /// Compresses it so instead, whatever was asked for.
    pub packing: Option<Packing>,
    /// Puts so many spaces before the body.
    pub pad_bytes: usize,
    /// Says so, whatever the bytes are.
    pub encoding: Option<String>,
    /// Ends the connection after so many bytes.
    pub cut_after_bytes: Option<usize>,
    /// Resets it.
    pub reset_after_bytes: Option<usize>,
    /// Goes silent after so many bytes.
    pub stall_after_bytes: Option<usize>,
    /// Ends a stream with an error record.
    pub error_mid_stream: bool,
    /// Sends trailers.
    pub trailers: bool,
    /// Answers with this error.
    pub status: Option<u16>,
    /// What stands in its body.
    pub error: Option<Value>,
    /// Further response headers.
    pub headers: BTreeMap<String, String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            input: 12,
            output: 34,
            cached: 0,
            reasoning: 0,
            cache_write: 0,
            cache_5m: 0,
            cache_1h: 0,
            chunks: 3,
            delay_ms: 0,
            rechunk: 0,
            gzip: false,
            packing: None,
            pad_bytes: 0,
            encoding: None,
            cut_after_bytes: None,
            reset_after_bytes: None,
            stall_after_bytes: None,
            error_mid_stream: false,
            trailers: false,
            status: None,
            error: None,
            headers: BTreeMap::new(),
        }
    }
}

impl Behaviour {
    /// As a duration.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// How the body is compressed.
    #[must_use]
    pub fn packing(&self) -> Option<Packing> {
        self.packing.or(self.gzip.then_some(Packing::Gzip))
    }

    /// The header's value.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&str> {
        self.encoding.as_deref().or(self.packing().map(Packing::name))
    }
}
