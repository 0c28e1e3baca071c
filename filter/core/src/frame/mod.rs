//! Framing: how the bytes of a body become records.

pub mod inflate;
pub mod sse;
