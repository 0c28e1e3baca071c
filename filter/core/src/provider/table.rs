//! The built-in rows.
//!
//! A row is verified if its hosts, its dialects and what it does with `stream_options.include_usage` are known from the provider's own SDK
//! or documentation, or from recorded traffic; the others come from third-party lists of providers. The same holds for the family of its
//! rate-limit headers and for the shape of its errors, each by itself. Where it is in doubt whether the option is taken, nothing is
//! injected.

use std::borrow::Cow;

use super::{Apart, RateLimitFamily, Row, Verified};
use crate::dialect::{
    DialectId::{
        self, AnthropicMessages as Messages, BedrockConverse as Converse, BedrockInvoke as Invoke, Cloudflare,
        CohereV1, CohereV2, DashScope, GeminiGenerate as Gemini, GeminiInteractions as Interactions, Mistral, Ollama,
        OpenAiAssistants as Assistants, OpenAiAudio as Audio, OpenAiBatches as Batches, OpenAiChat as Chat,
        OpenAiCompletions as Completions, OpenAiEmbeddings as Embeddings, OpenAiImages as Images,
        OpenAiModerations as Moderations, OpenAiRealtime as Realtime, OpenAiResponses as Responses, Rerank, Tgi,
        Watsonx,
    },
    ErrorShape,
};

/// `id: [hosts], goes to, [dialects], inject, verified, limits(family of headers, verified), errors(shape where the dialect's is
/// OpenAI's, verified), apart(what it counts apart)`; every one of these is reached over TLS.
macro_rules! rows {
    (@apart) => { Apart::Nothing };
    (@apart $apart:ident) => { Apart::$apart };
    ($($id:literal: [$($host:literal),+], $authority:expr, [$($dialect:ident),+], $inject:ident, $verified:ident,
        limits($family:ident, $sure_limits:ident), errors($shape:ident, $sure_errors:ident)$(, apart($apart:ident))?;)+) => {
        &[$(Row {
            id: Cow::Borrowed($id),
            hosts: {
                const HOSTS: &[Cow<'static, str>] = &[$(Cow::Borrowed($host)),+];
                Cow::Borrowed(HOSTS)
            },
            authority: $authority,
            tls: true,
            dialects: {
                const DIALECTS: &[DialectId] = &[$($dialect),+];
                Cow::Borrowed(DIALECTS)
            },
            inject_include_usage: $inject,
            rate_limits: RateLimitFamily::$family,
            errors: ErrorShape::$shape,
            apart: rows!(@apart $($apart)?),
            verified: Verified { basics: $verified, rate_limits: $sure_limits, errors: $sure_errors },
        }),+]
    };
}

/// Whether the option is injected.
const ASKS: bool = true;
const SILENT: bool = false;
/// Whether the row is verified.
const KNOWN: bool = true;
const UNSURE: bool = false;

/// Where the prefix form goes.
const fn to(authority: &'static str) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(authority))
}

/// The host is the customer's own: only the configuration can name it.
const TEMPLATE: Option<Cow<'static, str>> = None;

static ROWS: &[Row] = rows! {
    // Data-residency hosts: openai-python 3.54, `_data_residency.py`.
    "openai": ["api.openai.com", "us.api.openai.com", "eu.api.openai.com", "ae.api.openai.com", "au.api.openai.com",
        "in.api.openai.com", "jp.api.openai.com"], to("api.openai.com"),
        [Chat, Responses, Realtime, Embeddings, Completions, Images, Audio, Moderations, Batches, Assistants], ASKS, KNOWN,
        limits(OpenAi, KNOWN), errors(OpenAi, KNOWN);
    "azure-openai": ["*.openai.azure.com", "*.cognitiveservices.azure.com", "*.azure-api.net"], TEMPLATE,
        [Chat, Responses, Realtime, Embeddings, Completions, Images, Audio, Batches, Assistants], ASKS, KNOWN,
        limits(Azure, KNOWN), errors(Azure, KNOWN);
    // Claude on Foundry: `/anthropic/v1/messages`, anthropic-python 2.12, `lib/foundry.py`.
    "azure-foundry": ["*.services.ai.azure.com", "*.inference.ai.azure.com"], TEMPLATE,
        [Chat, Responses, Realtime, Messages, Embeddings], ASKS, KNOWN,
        limits(Azure, KNOWN), errors(Azure, KNOWN);
    // The chat form is its OpenAI-compatible layer; nothing is injected there.
    "anthropic": ["api.anthropic.com"], to("api.anthropic.com"), [Messages, Chat], SILENT, KNOWN,
        limits(Anthropic, KNOWN), errors(OpenAi, UNSURE);
    // Signed: anthropic-python 2.12, `lib/aws`.
    "anthropic-aws": ["aws-external-anthropic.*.api.aws"], TEMPLATE, [Messages], SILENT, KNOWN,
        limits(Anthropic, KNOWN), errors(OpenAi, KNOWN);
    // Below `/v1/projects/…/invoke`: anthropic-python 2.12, `lib/google_cloud`.
    "anthropic-gcp": ["claude.googleapis.com"], to("claude.googleapis.com"), [Messages], SILENT, KNOWN,
        limits(Anthropic, UNSURE), errors(OpenAi, KNOWN);
    // The chat form is below `/openai/v1`.
    "bedrock": ["bedrock-runtime.*.amazonaws.com", "bedrock-runtime-fips.*.amazonaws.com", "bedrock-runtime.*.amazonaws.com.cn",
        "bedrock-runtime.*.api.aws"], TEMPLATE, [Converse, Invoke, Chat], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "bedrock-mantle": ["bedrock-mantle.*.api.aws"], TEMPLATE, [Chat, Responses, Messages], ASKS, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "google-ai-studio": ["generativelanguage.googleapis.com"], to("generativelanguage.googleapis.com"),
        [Gemini, Interactions, Chat, Embeddings], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "vertex-ai": ["aiplatform.googleapis.com", "*-aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com"], to("aiplatform.googleapis.com"),
        [Gemini, Messages, Chat], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "cohere": ["api.cohere.com", "api.cohere.ai"], to("api.cohere.com"), [CohereV2, CohereV1, Chat, Embeddings], SILENT, KNOWN,
        limits(Cohere, KNOWN), errors(OpenAi, UNSURE);
    // Usage comes on the finish chunk unasked; the option is not accepted (recorded streams).
    "mistral": ["api.mistral.ai", "codestral.mistral.ai"], to("api.mistral.ai"),
        [Chat, Embeddings, Completions, Audio, Moderations, Mistral], SILENT, KNOWN,
        limits(Mistral, KNOWN), errors(Mistral, KNOWN), apart(InputAudio);
    // Below `/openai/v1`.
    "groq": ["api.groq.com"], to("api.groq.com"), [Chat, Responses, Embeddings, Audio], ASKS, KNOWN,
        limits(OpenAi, KNOWN), errors(OpenAi, KNOWN);
    "xai": ["api.x.ai", "us-east-1.api.x.ai", "eu-west-1.api.x.ai"], to("api.x.ai"), [Chat, Responses, Realtime, Messages, Images], ASKS, KNOWN,
        limits(OpenAi, KNOWN), errors(Xai, KNOWN), apart(Reasoning);
    // Messages below `/anthropic` (recorded).
    "deepseek": ["api.deepseek.com"], to("api.deepseek.com"), [Chat, Responses, Messages, Completions], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, KNOWN);
    "together": ["api.together.xyz", "api.together.ai"], to("api.together.xyz"),
        [Chat, Completions, Embeddings, Rerank, Images], ASKS, KNOWN,
        limits(Together, KNOWN), errors(OpenAi, KNOWN);
    // All below `/inference/v1`.
    "fireworks": ["api.fireworks.ai", "us.api.fireworks.ai"], to("api.fireworks.ai"),
        [Chat, Completions, Responses, Messages, Embeddings, Rerank], ASKS, KNOWN,
        limits(Fireworks, KNOWN), errors(OpenAi, KNOWN);
    // Usage is on every chunk, cumulative: perplexityai 0.46.
    "perplexity": ["api.perplexity.ai"], to("api.perplexity.ai"), [Chat, Responses, Embeddings], SILENT, KNOWN,
        limits(Absent, KNOWN), errors(Perplexity, KNOWN);
    // Below `/api/v1`; usage is always on, the option is deprecated but taken: openrouter 1.3.
    "openrouter": ["openrouter.ai"], to("openrouter.ai"), [Chat, Responses, Messages, Embeddings, Completions, Images], ASKS, KNOWN,
        limits(OpenRouter, KNOWN), errors(OpenRouter, KNOWN);
    "cerebras": ["api.cerebras.ai"], to("api.cerebras.ai"), [Chat, Completions], ASKS, KNOWN,
        limits(Cerebras, KNOWN), errors(Cerebras, KNOWN);
    "sambanova": ["api.sambanova.ai"], to("api.sambanova.ai"), [Chat, Responses, Messages, Embeddings, Audio], ASKS, KNOWN,
        limits(SambaNova, UNSURE), errors(OpenAi, UNSURE);
    "nvidia-nim": ["integrate.api.nvidia.com"], to("integrate.api.nvidia.com"), [Chat, Embeddings, Completions], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(Nvidia, KNOWN);
    // Chat below `/v1/openai`, messages below `/anthropic`.
    "deepinfra": ["api.deepinfra.com"], to("api.deepinfra.com"), [Chat, Messages, Embeddings, Completions], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "huggingface-router": ["router.huggingface.co"], to("router.huggingface.co"), [Chat, Responses], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "huggingface-endpoints": ["*.endpoints.huggingface.cloud"], TEMPLATE, [Chat, Completions, Embeddings, Tgi], ASKS, UNSURE,
        limits(Absent, KNOWN), errors(Tgi, KNOWN);
    "moonshot": ["api.moonshot.ai", "api.moonshot.cn", "api.kimi.com"], to("api.moonshot.ai"), [Chat, Messages], ASKS, KNOWN,
        limits(Moonshot, UNSURE), errors(OpenAi, UNSURE);
    // Usage comes on the last chunk unasked: zai-sdk 0.2.
    "zai": ["api.z.ai"], to("api.z.ai"), [Chat, Messages], SILENT, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "zhipu": ["open.bigmodel.cn"], to("open.bigmodel.cn"), [Chat, Messages, Embeddings], SILENT, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    // Compatible layers below `/compatible-mode/v1` and `/apps/anthropic`.
    "alibaba": ["dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"], to("dashscope.aliyuncs.com"),
        [Chat, DashScope, Responses, Messages, Embeddings], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "minimax": ["api.minimax.io", "api.minimaxi.com", "api.minimax.chat"], to("api.minimax.io"), [Chat, Messages, Responses], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "volcengine": ["ark.*.volces.com", "ark.*.bytepluses.com"], TEMPLATE, [Chat, Responses, Embeddings, Images], ASKS, UNSURE,
        limits(OpenAi, KNOWN), errors(OpenAi, UNSURE);
    "baidu": ["qianfan.baidubce.com"], to("qianfan.baidubce.com"), [Chat, Embeddings], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "tencent": ["api.hunyuan.cloud.tencent.com"], to("api.hunyuan.cloud.tencent.com"), [Chat, Embeddings], ASKS, UNSURE,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "spark": ["spark-api-open.xf-yun.com"], to("spark-api-open.xf-yun.com"), [Chat], SILENT, UNSURE,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "stepfun": ["api.stepfun.com"], to("api.stepfun.com"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "baichuan": ["api.baichuan-ai.com"], to("api.baichuan-ai.com"), [Chat, Embeddings], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "yi": ["api.lingyiwanwu.com"], to("api.lingyiwanwu.com"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "siliconflow": ["api.siliconflow.cn", "api.siliconflow.com"], to("api.siliconflow.com"), [Chat, Messages, Embeddings, Rerank], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "modelscope": ["api-inference.modelscope.cn"], to("api-inference.modelscope.cn"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "xiaomi-mimo": ["api.xiaomimimo.com"], to("api.xiaomimimo.com"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "streamlake": ["vanchin.streamlake.ai"], to("vanchin.streamlake.ai"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "longcat": ["api.longcat.chat"], to("api.longcat.chat"), [Chat, Messages], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "ai360": ["api.360.cn"], to("api.360.cn"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    // `/studio/v1/chat/completions`; usage on the last chunk unasked: ai21 4.3.
    "ai21": ["api.ai21.com"], to("api.ai21.com"), [Chat], SILENT, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "watsonx": ["*.ml.cloud.ibm.com"], TEMPLATE, [Watsonx], SILENT, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, KNOWN);
    // Below `/client/v4/accounts/{account}/ai/v1`.
    "cloudflare": ["api.cloudflare.com"], to("api.cloudflare.com"), [Chat, Responses, Embeddings, Cloudflare], ASKS, UNSURE,
        limits(Absent, KNOWN), errors(Cloudflare, UNSURE);
    // `/serving-endpoints/chat/completions` (recorded).
    "databricks": ["*.cloud.databricks.com", "*.azuredatabricks.net", "*.gcp.databricks.com"], TEMPLATE,
        [Chat, Responses, Embeddings, Messages], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    // `/api/v2/cortex/v1/chat/completions` (recorded).
    "snowflake": ["*.snowflakecomputing.com"], TEMPLATE, [Chat], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, UNSURE);
    "github-models": ["models.github.ai", "models.inference.ai.azure.com"], to("models.github.ai"), [Chat, Embeddings], ASKS, KNOWN,
        limits(GitHub, KNOWN), errors(OpenAi, UNSURE);
    "github-copilot": ["api.githubcopilot.com", "api.*.githubcopilot.com"], to("api.githubcopilot.com"), [Chat, Responses, Messages], ASKS, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "vercel-ai-gateway": ["ai-gateway.vercel.sh"], to("ai-gateway.vercel.sh"), [Chat, Responses, Messages, Embeddings], ASKS, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    // The SDK's other host serves MongoDB's keys: voyageai 0.5.
    "voyage": ["api.voyageai.com", "ai.mongodb.com"], to("api.voyageai.com"), [Embeddings, Rerank], SILENT, KNOWN,
        limits(Absent, KNOWN), errors(Detail, KNOWN);
    "jina": ["api.jina.ai"], to("api.jina.ai"), [Embeddings, Rerank], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "nomic": ["api-atlas.nomic.ai"], to("api-atlas.nomic.ai"), [Embeddings], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "ollama": ["ollama.com"], to("ollama.com"), [Ollama, Chat, Responses, Messages, Completions, Embeddings], ASKS, KNOWN,
        limits(Absent, KNOWN), errors(OpenAi, KNOWN);
    "novita": ["api.novita.ai"], to("api.novita.ai"), [Chat, Messages, Embeddings], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "nebius": ["api.studio.nebius.ai", "api.tokenfactory.nebius.com"], to("api.tokenfactory.nebius.com"), [Chat, Embeddings, Completions], ASKS, UNSURE,
        limits(OpenAi, UNSURE), errors(OpenAi, UNSURE);
    "nscale": ["inference.api.nscale.com"], to("inference.api.nscale.com"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "hyperbolic": ["api.hyperbolic.xyz"], to("api.hyperbolic.xyz"), [Chat, Completions], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "lambda": ["api.lambda.ai", "api.lambdalabs.com"], to("api.lambda.ai"), [Chat, Completions], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "baseten": ["inference.baseten.co", "model-*.api.baseten.co"], to("inference.baseten.co"), [Chat, Messages], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "parasail": ["api.parasail.io"], to("api.parasail.io"), [Chat, Responses], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "featherless": ["api.featherless.ai"], to("api.featherless.ai"), [Chat, Completions], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "friendli": ["api.friendli.ai"], to("api.friendli.ai"), [Chat, Completions], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "inception": ["api.inceptionlabs.ai"], to("api.inceptionlabs.ai"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "inference-net": ["api.inference.net"], to("api.inference.net"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "scaleway": ["api.scaleway.ai"], to("api.scaleway.ai"), [Chat, Embeddings], ASKS, UNSURE,
        limits(OpenAi, UNSURE), errors(OpenAi, UNSURE);
    "ovhcloud": ["oai.endpoints.kepler.ai.cloud.ovh.net"], to("oai.endpoints.kepler.ai.cloud.ovh.net"), [Chat, Embeddings], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "digitalocean": ["inference.do-ai.run"], to("inference.do-ai.run"), [Chat, Responses, Messages], ASKS, UNSURE,
        limits(DigitalOcean, KNOWN), errors(OpenAi, UNSURE);
    // Recorded.
    "crusoe": ["api.inference.crusoecloud.com"], to("api.inference.crusoecloud.com"), [Chat], ASKS, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "wandb": ["api.inference.wandb.ai"], to("api.inference.wandb.ai"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "clarifai": ["api.clarifai.com"], to("api.clarifai.com"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "upstage": ["api.upstage.ai"], to("api.upstage.ai"), [Chat, Embeddings], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "reka": ["api.reka.ai"], to("api.reka.ai"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    // Recorded: `/v1/chat`, with a spelling of its own for details.
    "writer": ["api.writer.com"], to("api.writer.com"), [Chat], SILENT, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "sarvam": ["api.sarvam.ai"], to("api.sarvam.ai"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "krutrim": ["cloud.olakrutrim.com"], to("cloud.olakrutrim.com"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    // Recorded; resets are seconds since the epoch (docs, "Rate limits").
    "venice": ["api.venice.ai"], to("api.venice.ai"), [Chat, Embeddings], ASKS, KNOWN,
        limits(OpenAi, KNOWN), errors(OpenAi, UNSURE);
    "poe": ["api.poe.com"], to("api.poe.com"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "chutes": ["llm.chutes.ai"], to("llm.chutes.ai"), [Chat], ASKS, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    // Recorded.
    "doubleword": ["api.doubleword.ai"], to("api.doubleword.ai"), [Chat, Embeddings], ASKS, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "heroku": ["us.inference.heroku.com", "eu.inference.heroku.com"], to("us.inference.heroku.com"), [Chat, Embeddings], SILENT, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "avian": ["api.avian.io"], to("api.avian.io"), [Chat], SILENT, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "chatgpt": ["chatgpt.com"], to("chatgpt.com"), [Responses], SILENT, KNOWN,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "arcee": ["api.arcee.ai"], to("api.arcee.ai"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "meta": ["api.meta.ai", "api.llama.com"], to("api.llama.com"), [Chat, Responses, Messages], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
    "amazon-nova": ["api.nova.amazon.com"], to("api.nova.amazon.com"), [Chat], SILENT, UNSURE,
        limits(Absent, UNSURE), errors(OpenAi, UNSURE);
};

/// All built-in rows.
#[must_use]
pub fn rows() -> &'static [Row] {
    ROWS
}

/// What the built-in row of that provider counts apart.
#[must_use]
pub fn apart(provider: &str) -> Apart {
    ROWS.iter().find(|row| row.id == provider).map_or(Apart::Nothing, |row| row.apart)
}

/// The provider table of the README, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut table = String::from(
        "| provider | hosts | prefix form goes to | dialects | asks for usage | counts apart | rate-limit headers | errors | verified |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let doubt = |is_known: bool| if is_known { "" } else { " ?" };
    for row in ROWS {
        let hosts: Vec<String> = row.hosts.iter().map(|host| format!("`{host}`")).collect();
        let dialects: Vec<String> = row.dialects.iter().map(|dialect| format!("`{}`", dialect.name())).collect();
        let authority = row.authority.as_ref().map_or_else(
            || "only with `authority` in `providers.extra`".to_owned(),
            |authority| format!("`{authority}`"),
        );
        let asks = if row.inject_include_usage { "yes" } else { "no" };
        let apart = match row.apart {
            Apart::Nothing => "",
            Apart::Reasoning => "reasoning",
            Apart::InputAudio => "audio input",
        };
        let Verified { basics, rate_limits, errors } = row.verified;
        let mut shapes: Vec<String> = Vec::new();
        for own in row.dialects.iter().filter_map(|dialect| Some(dialect.operations().first()?.errors)) {
            let is_known = own.is_verified() && (errors || own != ErrorShape::OpenAi);
            let shape = format!("`{}`{}", row.errors_in(own).name(), doubt(is_known));
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        let line = format!(
            "| `{}` | {} | {authority} | {} | {asks} | {apart} | `{}`{} | {} | {} |\n",
            row.id,
            hosts.join(", "),
            dialects.join(", "),
            row.rate_limits.name(),
            doubt(rate_limits),
            shapes.join(", "),
            if basics { "yes" } else { "no" },
        );
        table.push_str(&line);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_ids_are_unique_and_fit_a_path_segment() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS.iter().skip(at + 1).all(|other| other.id != row.id), "{} twice", row.id);
            assert!(row.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", row.id);
        }
    }

    /// A host that is matched by a pattern is matched by one row only: a pattern's shortest and a longer instance stand for it.
    #[test]
    fn ok_no_host_belongs_to_two_rows() {
        for row in ROWS {
            for pattern in row.hosts.iter() {
                for instance in ["", "a", "a.b"] {
                    let host = pattern.replace('*', instance);
                    // A host without a star wins over all patterns.
                    let exact = ROWS.iter().filter(|row| row.hosts.iter().any(|other| **other == host)).count();
                    if exact == 1 && *pattern != host {
                        continue;
                    }
                    let owns = |row: &&Row| {
                        row.hosts.iter().any(|other| {
                            if exact == 1 {
                                **other == host
                            } else {
                                crate::glob::matches(other.as_bytes(), host.as_bytes())
                            }
                        })
                    };
                    let owners: Vec<_> = ROWS.iter().filter(owns).collect();
                    assert_eq!(owners.len(), 1, "{host}: {owners:?}");
                }
            }
        }
    }

    #[test]
    fn ok_the_prefix_form_leads_to_a_host_of_the_row() {
        for row in ROWS {
            let template = row.hosts.iter().all(|host| host.contains('*'));
            assert_eq!(row.authority.is_none(), template, "{}", row.id);
            if let Some(authority) = &row.authority {
                assert!(row.hosts.contains(authority), "{}", row.id);
            }
            assert!(!row.dialects.is_empty(), "{}", row.id);
            assert!(row.hosts.iter().all(|host| host.bytes().all(|b| !b.is_ascii_uppercase())), "{}", row.id);
        }
    }

    #[test]
    fn ok_every_row_is_in_the_reference() {
        let table = reference();
        assert!(ROWS.iter().all(|row| table.contains(&format!("| `{}` |", row.id))));
        assert_eq!(table.lines().count(), ROWS.len() + 2);
    }
}
