//! Wire shapes: one file a shape. A dialect is a table from its paths to fields, and the few rules that a table cannot say.

use crate::{
    json::scan::Shape,
    provider::{DialectId, ErrorShape},
};

mod anthropic_messages;
mod openai_chat;

/// A wire shape. Pure data and pure functions.
#[derive(Debug)]
pub struct Dialect {
    /// Which one.
    pub id: DialectId,
    /// The event's `dialect`.
    pub name: &'static str,
    /// `OpenTelemetry` operation name.
    pub operation: &'static str,
    /// The event's `endpoint`.
    pub endpoint: &'static str,
    /// What is wanted from the request.
    pub request: &'static Shape,
    /// What is wanted from a whole JSON reply.
    pub reply: &'static Shape,
    /// What is wanted from each record of a stream.
    pub record: &'static Shape,
    /// What its errors look like.
    pub errors: ErrorShape,
    /// Whether streams tell their usage only when `stream_options.include_usage` asks for it.
    pub can_inject: bool,
    /// Whether the input counter leaves out what was read from and written to a cache.
    pub cache_outside_input: bool,
    /// Types of content parts whose tokens are bounded by their bytes; anything else may stand for more than it holds.
    pub bounded_parts: &'static [&'static str],
    /// Types of tools whose tokens are bounded by their bytes.
    pub bounded_tools: &'static [&'static str],
    /// Data that ends a stream and is no JSON.
    pub end_marker: Option<&'static [u8]>,
    /// `type` of the record that ends a stream.
    pub end_record: Option<&'static str>,
    /// `type` of the record that says the input counters and only a placeholder for the output.
    pub start_record: Option<&'static str>,
}

impl DialectId {
    /// The dialect itself.
    #[must_use]
    pub const fn dialect(self) -> &'static Dialect {
        match self {
            Self::OpenAiChat => &openai_chat::DIALECT,
            Self::AnthropicMessages => &anthropic_messages::DIALECT,
        }
    }
}
