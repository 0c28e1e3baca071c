//! From the bytes of a body to its records: content encodings, server-sent events, frames, and the one event that is hidden.

pub mod base64_member;
pub mod eventstream;
pub mod hide;
pub mod inflate;
pub mod sse;
pub mod websocket;
