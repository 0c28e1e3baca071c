//! Laws of everything in meterr that reads hostile bytes.
//!
//! A target is a function that takes any bytes and panics where a law does not hold. The fuzzer (`tests/fuzz`) and the bounded tests of
//! this crate call the same functions. Most laws say: however the bytes are cut, the answer is the same; what a plain reference
//! reads, we read too; no answer is larger than what its documentation states.

mod config;
mod cut;
mod encoding;
mod eventstream;
mod exchange;
mod headers;
mod json;
mod ndjson;
pub mod seeds;
mod sse;
mod tree;
mod websocket;

pub use config::config;
pub use encoding::{base64_member, deflate, gzip};
pub use eventstream::{eventstream, message as event_stream_message};
pub use exchange::exchange;
pub use headers::headers;
pub use json::json;
pub use ndjson::ndjson;
pub use sse::{hide, sse};
pub use websocket::websocket;

/// A function that panics where a law does not hold.
pub type Law = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Law)] = &[
    ("sse", sse),
    ("hide", hide),
    ("eventstream", eventstream),
    ("ndjson", ndjson),
    ("json", json),
    ("gzip", gzip),
    ("deflate", deflate),
    ("base64_member", base64_member),
    ("config", config),
    ("headers", headers),
    ("exchange", exchange),
    ("websocket", websocket),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Law> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, law)| *law)
}
