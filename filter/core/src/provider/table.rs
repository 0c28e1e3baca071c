//! The built-in rows.
//!
//! A row stands here only if its hosts, its dialects and what it does with `stream_options.include_usage` are known from the
//! provider's own SDK or documentation, or from recorded traffic. Where the last is in doubt, nothing is injected.

use std::borrow::Cow;

use super::Row;
use crate::dialect::DialectId;

/// Speaks `openai.chat` only.
const CHAT: &[DialectId] = &[DialectId::OpenAiChat];
/// Speaks both dialects, each under its own path.
const BOTH: &[DialectId] = &[DialectId::OpenAiChat, DialectId::AnthropicMessages];

/// `id: [hosts], goes to, dialects, inject`; every one of these is reached over TLS.
macro_rules! rows {
    ($($id:literal: [$($host:literal),+], $authority:expr, $dialects:ident, inject: $inject:literal;)+) => {
        &[$(Row {
            id: Cow::Borrowed($id),
            hosts: {
                const HOSTS: &[Cow<'static, str>] = &[$(Cow::Borrowed($host)),+];
                Cow::Borrowed(HOSTS)
            },
            authority: $authority,
            tls: true,
            dialects: Cow::Borrowed($dialects),
            inject_include_usage: $inject,
        }),+]
    };
}

/// Where the prefix form goes.
const fn to(authority: &'static str) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(authority))
}

/// The host is the customer's own: only the configuration can name it.
const TEMPLATE: Option<Cow<'static, str>> = None;

static ROWS: &[Row] = rows! {
    // Data-residency hosts: openai-python 3.54, `_data_residency.py`.
    "openai": ["api.openai.com", "us.api.openai.com", "eu.api.openai.com", "ae.api.openai.com", "au.api.openai.com",
        "in.api.openai.com", "jp.api.openai.com"], to("api.openai.com"), CHAT, inject: true;
    "azure-openai": ["*.openai.azure.com", "*.cognitiveservices.azure.com", "*.azure-api.net"], TEMPLATE, CHAT, inject: true;
    // Claude on Foundry: `/anthropic/v1/messages`, anthropic-python 2.12, `lib/foundry.py`.
    "azure-foundry": ["*.services.ai.azure.com", "*.inference.ai.azure.com"], TEMPLATE, BOTH, inject: true;
    // The chat form is its OpenAI-compatible layer; nothing is injected there.
    "anthropic": ["api.anthropic.com"], to("api.anthropic.com"), BOTH, inject: false;
    // Only the compatible layer, `/v1beta/openai`.
    "google-ai-studio": ["generativelanguage.googleapis.com"], to("generativelanguage.googleapis.com"), CHAT, inject: true;
    // Usage comes on the finish chunk unasked; the option is not accepted (recorded streams).
    "mistral": ["api.mistral.ai", "codestral.mistral.ai"], to("api.mistral.ai"), CHAT, inject: false;
    // Chat paths begin with `/openai/v1`.
    "groq": ["api.groq.com"], to("api.groq.com"), CHAT, inject: true;
    "xai": ["api.x.ai", "us-east-1.api.x.ai", "eu-west-1.api.x.ai"], to("api.x.ai"), BOTH, inject: true;
    // Messages under `/anthropic/v1/messages` (recorded).
    "deepseek": ["api.deepseek.com"], to("api.deepseek.com"), BOTH, inject: true;
    "together": ["api.together.xyz", "api.together.ai"], to("api.together.xyz"), CHAT, inject: true;
    // Both below `/inference/v1`.
    "fireworks": ["api.fireworks.ai", "us.api.fireworks.ai"], to("api.fireworks.ai"), BOTH, inject: true;
    // Usage is on every chunk, cumulative: perplexityai 0.46.
    "perplexity": ["api.perplexity.ai"], to("api.perplexity.ai"), CHAT, inject: false;
    // Both below `/api/v1`; usage is always on, the option is deprecated but taken: openrouter 1.3.
    "openrouter": ["openrouter.ai"], to("openrouter.ai"), BOTH, inject: true;
    "cerebras": ["api.cerebras.ai"], to("api.cerebras.ai"), CHAT, inject: true;
    "sambanova": ["api.sambanova.ai"], to("api.sambanova.ai"), BOTH, inject: true;
    "nvidia-nim": ["integrate.api.nvidia.com"], to("integrate.api.nvidia.com"), CHAT, inject: true;
    // Chat below `/v1/openai`, messages below `/anthropic`.
    "deepinfra": ["api.deepinfra.com"], to("api.deepinfra.com"), BOTH, inject: true;
    "huggingface-router": ["router.huggingface.co"], to("router.huggingface.co"), CHAT, inject: true;
    "moonshot": ["api.moonshot.ai", "api.moonshot.cn", "api.kimi.com"], to("api.moonshot.ai"), BOTH, inject: true;
    // Usage comes on the last chunk unasked: zai-sdk 0.2.
    "zai": ["api.z.ai"], to("api.z.ai"), BOTH, inject: false;
    "zhipu": ["open.bigmodel.cn"], to("open.bigmodel.cn"), BOTH, inject: false;
    // Only the compatible layers, `/compatible-mode/v1` and `/apps/anthropic`.
    "alibaba": ["dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"],
        to("dashscope.aliyuncs.com"), BOTH, inject: true;
    "minimax": ["api.minimax.io", "api.minimaxi.com", "api.minimax.chat"], to("api.minimax.io"), BOTH, inject: true;
    "github-models": ["models.github.ai", "models.inference.ai.azure.com"], to("models.github.ai"), CHAT, inject: true;
    "vercel-ai-gateway": ["ai-gateway.vercel.sh"], to("ai-gateway.vercel.sh"), BOTH, inject: true;
};

/// All built-in rows.
#[must_use]
pub fn rows() -> &'static [Row] {
    ROWS
}

/// The provider table of the README, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut table =
        String::from("| provider | hosts | prefix form goes to | dialects | asks for usage |\n|---|---|---|---|---|\n");
    for row in ROWS {
        let hosts: Vec<String> = row.hosts.iter().map(|host| format!("`{host}`")).collect();
        let dialects: Vec<String> = row.dialects.iter().map(|dialect| format!("`{}`", dialect.name())).collect();
        let authority = row.authority.as_ref().map_or_else(
            || "only with `authority` in `providers.extra`".to_owned(),
            |authority| format!("`{authority}`"),
        );
        let asks = if row.inject_include_usage { "yes" } else { "no" };
        let line =
            format!("| `{}` | {} | {authority} | {} | {asks} |\n", row.id, hosts.join(", "), dialects.join(", "));
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
