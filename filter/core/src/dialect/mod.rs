//! Wire shapes: one file a shape. A dialect is a list of operations; an operation is a table from paths in its documents to fields, and
//! the few rules that a table cannot say.

mod error_shape;
pub mod operation;

mod anthropic_messages;
mod bedrock_converse;
mod bedrock_invoke;
mod cloudflare;
mod cohere;
mod common;
mod dashscope;
mod gemini;
mod gemini_interactions;
mod llamacpp;
mod mistral;
mod ollama;
mod openai_assistants;
mod openai_audio;
mod openai_batches;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_images;
mod openai_moderations;
mod openai_realtime;
mod openai_responses;
mod rerank;
mod tgi;
mod watsonx;

pub use error_shape::ErrorShape;
pub(crate) use openai_realtime::{About, TRANSCRIPTION as REALTIME_TRANSCRIPTION, about};
pub use operation::{Billing, Counting, Job, Matched, Operation, Streams, detect, find};

macro_rules! dialects {
    ($($(#[$doc:meta])* $id:ident: $name:literal, $operations:expr;)+) => {
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
                    $(Self::$id => $operations,)+
                }
            }
        }
    };
}

dialects! {
    /// `OpenAI` Chat Completions and the many servers that speak it.
    OpenAiChat: "openai.chat", openai_chat::OPERATIONS;
    /// `OpenAI`'s legacy Completions.
    OpenAiCompletions: "openai.completions", openai_completions::OPERATIONS;
    /// `OpenAI` Responses.
    OpenAiResponses: "openai.responses", openai_responses::OPERATIONS;
    /// `OpenAI` Realtime, over a WebSocket.
    OpenAiRealtime: "openai.realtime", openai_realtime::OPERATIONS;
    /// `OpenAI` Embeddings and the many servers that speak them.
    OpenAiEmbeddings: "openai.embeddings", openai_embeddings::OPERATIONS;
    /// `OpenAI` Images.
    OpenAiImages: "openai.images", openai_images::OPERATIONS;
    /// `OpenAI` transcriptions.
    OpenAiAudio: "openai.audio", openai_audio::OPERATIONS;
    /// `OpenAI` moderations.
    OpenAiModerations: "openai.moderations", openai_moderations::OPERATIONS;
    /// `OpenAI` Assistants.
    OpenAiAssistants: "openai.assistants", openai_assistants::OPERATIONS;
    /// `OpenAI` batches.
    OpenAiBatches: "openai.batches", openai_batches::OPERATIONS;
    /// Anthropic Messages, wherever its own shape is spoken.
    AnthropicMessages: "anthropic.messages", anthropic_messages::OPERATIONS;
    /// Gemini, on AI Studio and Vertex.
    GeminiGenerate: "gemini.generate", gemini::OPERATIONS;
    /// Gemini's Interactions.
    GeminiInteractions: "gemini.interactions", gemini_interactions::OPERATIONS;
    /// Bedrock Converse.
    BedrockConverse: "bedrock.converse", bedrock_converse::OPERATIONS;
    /// Bedrock `InvokeModel`.
    BedrockInvoke: "bedrock.invoke", bedrock_invoke::OPERATIONS;
    /// Cohere's second version.
    CohereV2: "cohere.v2", cohere::V2;
    /// Cohere's first version.
    CohereV1: "cohere.v1", cohere::V1;
    /// Ollama's native API.
    Ollama: "ollama", ollama::OPERATIONS;
    /// Alibaba's native API.
    DashScope: "dashscope", dashscope::OPERATIONS;
    /// IBM watsonx.ai.
    Watsonx: "watsonx", watsonx::OPERATIONS;
    /// Hugging Face's Text Generation Inference.
    Tgi: "tgi", tgi::OPERATIONS;
    /// llama.cpp's server.
    LlamaCpp: "llamacpp", llamacpp::OPERATIONS;
    /// Cloudflare Workers AI.
    Cloudflare: "cloudflare", cloudflare::OPERATIONS;
    /// Mistral's documents and conversations.
    Mistral: "mistral", mistral::OPERATIONS;
    /// Reranking by tokens.
    Rerank: "rerank", rerank::OPERATIONS;
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
