//! Who serves a model: rows of data, and the rules by which a request finds its row.

use std::borrow::Cow;

mod host;
pub(crate) mod path;
pub mod route;
pub mod table;

pub use table::reference;

/// The shape of a provider's own error bodies: what a refusal of ours looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`.
    Anthropic,
}

/// A wire shape that this build can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialectId {
    /// `openai.chat`.
    OpenAiChat,
    /// `anthropic.messages`.
    AnthropicMessages,
}

impl DialectId {
    /// All of them, with the name that events and the configuration use.
    pub const ALL: [(Self, &'static str); 2] =
        [(Self::OpenAiChat, "openai.chat"), (Self::AnthropicMessages, "anthropic.messages")];

    /// The name in events and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai.chat",
            Self::AnthropicMessages => "anthropic.messages",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(id, _)| *id)
    }
}

/// One provider: pure data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Stable id: the event's `provider`, and the first path segment of the prefix form.
    pub id: Cow<'static, str>,
    /// Hosts in lower case; a `*` stands for any run of characters.
    pub hosts: Cow<'static, [Cow<'static, str>]>,
    /// Where the prefix form goes; `None` for rows whose host is a template.
    pub authority: Option<Cow<'static, str>>,
    /// Whether the upstream connection is TLS.
    pub tls: bool,
    /// What it speaks.
    pub dialects: Cow<'static, [DialectId]>,
    /// Whether `stream_options.include_usage` may be asked for on the client's behalf.
    pub inject_include_usage: bool,
}
