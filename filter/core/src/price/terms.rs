//! On what terms a call was served: tier, speed, place. They move the price of tokens.
//!
//! What the table knows for a model comes first. The factors here are what providers document for all of their models; a term without
//! either leaves the call unpriced: the usual price would be a wrong number.

use super::exact::ONE;

/// The usual price, or where another one is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term<'a> {
    Usual,
    /// As on the wire, and the same in the table's words.
    Named(&'a str, &'a str),
}

/// What a service tier means. Words for the usual one differ from provider to provider.
pub(super) fn tier(wire: Option<&str>) -> Term<'_> {
    match wire.unwrap_or_default() {
        ""
        | "default"
        | "standard"
        | "auto"
        | "on_demand"
        | "unspecified"
        | "ON_DEMAND"
        | "TRAFFIC_TYPE_UNSPECIFIED" => Term::Usual,
        // Vertex's `trafficType`: google-genai 3.4, `types.py`.
        wire @ "ON_DEMAND_FLEX" => Term::Named(wire, "flex"),
        wire @ "ON_DEMAND_PRIORITY" => Term::Named(wire, "priority"),
        wire => Term::Named(wire, wire),
    }
}

/// What a speed or a latency mode means.
pub(super) fn speed(wire: Option<&str>) -> Term<'_> {
    match wire.unwrap_or_default() {
        "" | "standard" => Term::Usual,
        wire => Term::Named(wire, wire),
    }
}

/// What a provider of the table documents for a tier of all of its models, in millionths of the usual price.
const TIERS: &[(&str, &str, u32)] = &[
    // platform.claude.com/docs/en/build-with-claude/batch-processing: half, cache reads and writes included. The priority tier is
    // capacity that was bought ahead at a price that is not public.
    ("anthropic", "batch", ONE / 2),
    // developers.openai.com/api/docs/guides/batch, /flex-processing: half, and flex costs what a batch does. What priority costs is told
    // model by model: the table has it, or nobody.
    ("openai", "batch", ONE / 2),
    ("openai", "flex", ONE / 2),
    // ai.google.dev/gemini-api/docs/optimization and cloud.google.com/vertex-ai/generative-ai/docs/flex-paygo: half. Priority is "75 % to
    // 100 % more".
    ("google", "batch", ONE / 2),
    ("google", "flex", ONE / 2),
    // learn.microsoft.com/azure/ai-foundry/openai/how-to/batch: half of the global standard deployment.
    ("azure", "batch", ONE / 2),
    // docs.aws.amazon.com/bedrock/latest/userguide/capacity-limits-cost-optimization.html: half. How much flex saves and priority costs
    // is not told there.
    ("aws", "batch", ONE / 2),
    // console.groq.com/docs/flex-processing: the price of on-demand. Performance is capacity that was bought ahead.
    ("groq", "flex", ONE),
    // docs.mistral.ai/capabilities/batch: half.
    ("mistral", "batch", ONE / 2),
];

/// The factor of a tier that a provider documents for all of its models.
pub(super) fn tier_factor(provider: &str, tier: &str) -> Option<u32> {
    TIERS.iter().find(|(of, name, _)| *of == provider && *name == tier).map(|(_, _, factor)| *factor)
}

/// The factor of the place where Claude ran: platform.claude.com/docs/en/manage-claude/data-residency. Other providers have a price list
/// for each place, or a model's name. `None` is a place of unknown price.
pub(super) fn place_factor(provider: &str, place: Option<&str>) -> Option<u32> {
    match place.unwrap_or_default() {
        _ if provider != "anthropic" => Some(ONE),
        "" | "global" | "not_available" => Some(ONE),
        "us" => Some(ONE / 10 * 11),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_words_for_the_usual() {
        for word in [None, Some("default"), Some("standard"), Some("ON_DEMAND"), Some("on_demand")] {
            assert_eq!(tier(word), Term::Usual);
        }
        assert_eq!(tier(Some("ON_DEMAND_FLEX")), Term::Named("ON_DEMAND_FLEX", "flex"));
        assert_eq!(speed(Some("fast")), Term::Named("fast", "fast"));
    }

    #[test]
    fn ok_two_factors_make_whole_millionths() {
        for (_, _, factor) in TIERS {
            let both = u64::from(*factor) * u64::from(ONE / 10 * 11);
            assert_eq!(both % u64::from(ONE), 0, "{factor}");
        }
    }

    #[test]
    fn err_a_place_of_unknown_price() {
        assert_eq!(place_factor("anthropic", Some("eu")), None);
        assert_eq!(place_factor("deepseek", Some("eu")), Some(ONE));
    }
}
