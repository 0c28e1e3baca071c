//! Server-sent events, on bytes.
