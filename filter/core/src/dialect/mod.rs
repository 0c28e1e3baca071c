//! Wire shapes: one file a shape. A dialect is a list of operations; an operation is a table from paths in its documents to fields, and
//! the few rules that a table cannot say.

pub mod operation;

mod anthropic_messages;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_responses;

pub use operation::{Billing, Counting, Matched, Operation, Streams, find};

/// The shape of a provider's own error bodies: what a refusal of ours looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`.
    Anthropic,
}

macro_rules! dialects {
    ($($(#[$doc:meta])* $id:ident: $name:literal, $module:ident;)+) => {
        /// A wire shape that this build can read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DialectId {
            $($(#[$doc])* $id,)+
        }

        impl DialectId {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$id),+];

            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name in events and in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)+
                }
            }

            /// What can be asked for in it. Where the paths of two operations both match, the first is meant.
            #[must_use]
            pub const fn operations(self) -> &'static [&'static Operation] {
                match self {
                    $(Self::$id => $module::OPERATIONS,)+
                }
            }
        }
    };
}

dialects! {
    /// `OpenAI` Chat Completions and the many servers that speak it.
    OpenAiChat: "openai.chat", openai_chat;
    /// `OpenAI`'s legacy Completions.
    OpenAiCompletions: "openai.completions", openai_completions;
    /// `OpenAI` Responses.
    OpenAiResponses: "openai.responses", openai_responses;
    /// `OpenAI` Embeddings and the many servers that speak them.
    OpenAiEmbeddings: "openai.embeddings", openai_embeddings;
    /// Anthropic Messages, wherever its own shape is spoken.
    AnthropicMessages: "anthropic.messages", anthropic_messages;
}

impl DialectId {
    /// The dialect of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_each_operation_belongs_to_its_dialect_and_can_be_asked_for() {
        for id in DialectId::ALL {
            assert_eq!(DialectId::from_name(id.name()), Some(*id));
            assert!(!id.operations().is_empty(), "{}", id.name());
            for operation in id.operations() {
                assert_eq!(operation.dialect, *id, "{operation:?}");
                assert!(!operation.paths.is_empty() && operation.endpoint.starts_with('/'), "{operation:?}");
            }
        }
    }
}
