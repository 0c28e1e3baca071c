//! From the bytes of a body to its records: content encodings, server-sent events, forms, frames, and the one event that is hidden.

pub mod base64_member;
pub mod eventstream;
pub mod hide;
pub mod inflate;
pub mod multipart;
pub mod sse;
pub mod websocket;
