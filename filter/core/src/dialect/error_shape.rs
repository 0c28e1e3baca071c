//! Shapes of error bodies, by name. What one looks like is written in [`crate::limit::reply`].

use crate::named::named;

named! {
    /// The shape of a provider's own error bodies: what a refusal of ours looks like.
    pub enum ErrorShape {
        /// `{"error":{"message","type","param","code"}}`.
        OpenAi = "openai",
        /// `{"error":{"code","message"}}` (recorded).
        Azure = "azure",
        /// `{"type":"error","error":{"type","message"},"request_id"}`.
        Anthropic = "anthropic",
        /// `{"error":{"code","message","status","details"}}` (Gemini, Vertex).
        Google = "google",
        /// `{"message"}`, and the kind in the header `x-amzn-errortype` (Bedrock).
        Aws = "aws",
        /// `{"id","message"}`.
        Cohere = "cohere",
        /// `{"object":"error","message","type","param","code"}`; `{"detail"}` for credentials (recorded).
        Mistral = "mistral",
        /// `{"code","error":"…"}` (recorded).
        Xai = "xai",
        /// `{"error":{"message","type","code"}}` with the status as code (recorded).
        Perplexity = "perplexity",
        /// `{"error":{"code","message","metadata"}}` with the status as code (recorded).
        OpenRouter = "openrouter",
        /// `{"message","type","param","code"}`.
        Cerebras = "cerebras",
        /// `{"detail":"…"}` (Voyage, recorded).
        Detail = "detail",
        /// `{"status","title","detail"}`: problem details (NVIDIA).
        Nvidia = "nvidia",
        /// `{"success":false,"errors":[{"code","message"}],"messages":[],"result":null}`.
        Cloudflare = "cloudflare",
        /// `{"error":"…","error_type"}` (Text Generation Inference).
        Tgi = "tgi",
        /// `{"error":"…"}` (Ollama).
        Text = "text",
        /// `{"code","message","request_id"}`.
        DashScope = "dashscope",
        /// `{"errors":[{"code","message"}],"trace","status_code"}` (refusals in public bug reports).
        Watsonx = "watsonx",
    }
}

impl ErrorShape {
    /// Whether the shape is known from an SDK, from documentation or from recorded traffic.
    #[must_use]
    pub const fn is_verified(self) -> bool {
        !matches!(self, Self::DashScope)
    }
}
