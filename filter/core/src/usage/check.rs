//! From the counters on the wire to [`Usage`], by the dialect's convention of what includes what, checked against the provider's own
//! total. Where they disagree, the known other conventions are tried in order; what fits none is flagged, never guessed.

use super::{Flag, Usage, meter::Counters};
use crate::{
    dialect::{Counting, Operation},
    json::scan::Field,
    provider::{Apart, table},
};

/// What the counters mean.
#[inline(never)]
pub(super) fn usage(operation: &Operation, provider: &str, counters: &Counters) -> Usage {
    let mut usage = Usage {
        cache_read: counters.get(Field::CacheRead),
        cache_read_audio: counters.get(Field::CacheReadAudio),
        cache_read_image: counters.get(Field::CacheReadImage),
        cache_write: counters.get(Field::CacheWrite),
        cache_write_5m: counters.get(Field::CacheWrite5m),
        cache_write_1h: counters.get(Field::CacheWrite1h),
        input_audio: counters.get(Field::InputAudio),
        input_image: counters.get(Field::InputImage),
        input_video: counters.get(Field::InputVideo),
        output_text: counters.get(Field::OutputTextTokens),
        reasoning: counters.get(Field::Reasoning),
        output_audio: counters.get(Field::OutputAudio),
        output_image: counters.get(Field::OutputImage),
        output_video: counters.get(Field::OutputVideo),
        citations: counters.get(Field::Citations),
        web_searches: counters.get(Field::WebSearches),
        file_searches: counters.get(Field::FileSearches),
        search_units: counters.get(Field::SearchUnits),
        images: counters.get(Field::Images),
        pages: counters.get(Field::Pages),
        characters: counters.get(Field::Characters),
        input: counters.get(Field::Input),
        output: counters.get(Field::Output),
        ..Usage::default()
    };
    let total = counters.get(Field::Total);
    match operation.counting {
        Counting::Inside => {
            measured(&mut usage, counters);
            inside(&mut usage, total, provider);
            beside(&mut usage, counters);
        }
        Counting::CacheOutside => {
            outside(&mut usage);
            if total.zip(usage.total()).is_some_and(|(said, sum)| said != sum) {
                usage.flags.insert(Flag::TotalMismatch);
            }
        }
        Counting::ThoughtsOutside => thoughts_outside(&mut usage, counters),
        Counting::Vendor => vendor(&mut usage, counters),
        Counting::Billed => billed(&mut usage, counters),
        Counting::ZeroLeftOut => {
            if usage.output.is_some() {
                usage.input = usage.input.or(zero_unless_bad(counters, Field::Input));
            }
            inside(&mut usage, total, provider);
        }
        Counting::InputOnly => input_only(&mut usage, counters),
    }
    spoil(&mut usage, operation.counting, counters);
    // Thoughts are part of the output.
    if usage.output.is_some_and(|output| usage.reasoning.unwrap_or(0) > output) {
        usage.flags.insert(Flag::TotalMismatch);
    }
    usage
}

/// What is left out is zero; what is no count is unknown.
fn zero_unless_bad(counters: &Counters, field: Field) -> Option<u64> {
    (!counters.is_bad(field)).then_some(0)
}

/// What a sum would need and is no count leaves the sum unknown.
fn spoil(usage: &mut Usage, counting: Counting, counters: &Counters) {
    let is_bad = |fields: &[Field]| fields.iter().any(|field| counters.is_bad(*field));
    let is_read_bad = is_bad(&[Field::CacheRead, Field::MetricsCacheRead, Field::CacheReadOutside]);
    let is_write_bad = is_bad(&[Field::CacheWrite, Field::MetricsCacheWrite]);
    let is_cache_bad = (is_read_bad && usage.cache_read.is_none()) || (is_write_bad && usage.cache_write.is_none());
    match counting {
        Counting::CacheOutside | Counting::Vendor if is_cache_bad => usage.input = None,
        Counting::Inside if is_bad(&[Field::CacheReadOutside]) => usage.input = None,
        Counting::ThoughtsOutside if is_bad(&[Field::ToolInput]) => usage.input = None,
        _ => {}
    }
    if is_cache_bad && matches!(counting, Counting::Inside | Counting::ThoughtsOutside | Counting::InputOnly) {
        usage.input_uncached = None;
    }
    if counting == Counting::ThoughtsOutside && is_bad(&[Field::Output, Field::Reasoning])
        || counting == Counting::Inside && is_bad(&[Field::Citations])
    {
        usage.output = None;
    }
}

/// Where nobody says what was used, what the server measured, whose input leaves its cache out (llama.cpp).
fn measured(usage: &mut Usage, counters: &Counters) {
    if usage.input.is_some() || usage.output.is_some() {
        return;
    }
    let Some(read) = counters.get(Field::MetricsInput) else { return };
    if counters.is_bad(Field::MetricsCacheRead) {
        return;
    }
    let cached = counters.get(Field::MetricsCacheRead);
    usage.input = Some(read.saturating_add(cached.unwrap_or(0)));
    usage.cache_read = usage.cache_read.or(cached);
    usage.output = counters.get(Field::MetricsOutput);
}

/// What some vendors count beside the headline counters and the total, whatever their dialect says.
fn beside(usage: &mut Usage, counters: &Counters) {
    if let Some(cached) = counters.get(Field::CacheReadOutside) {
        usage.cache_read = Some(usage.cache_read.unwrap_or(0).saturating_add(cached));
        usage.input = usage.input.map(|input| input.saturating_add(cached));
    }
    if let Some(citations) = usage.citations {
        usage.output = usage.output.map(|output| output.saturating_add(citations));
    }
}

/// Input leaves out the cache (Anthropic).
#[inline]
fn outside(usage: &mut Usage) {
    let lives = match (usage.cache_write_5m, usage.cache_write_1h) {
        (None, None) => None,
        (short, long) => Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0))),
    };
    match (usage.cache_write, lives) {
        (None, _) => usage.cache_write = lives,
        (Some(all), Some(sum)) if all != sum => usage.flags.insert(Flag::TotalMismatch),
        _ => {}
    }
    usage.input_uncached = usage.input;
    usage.input = usage.input.map(|uncached| uncached.saturating_add(cached(usage)));
}

/// Tools' input comes on top of the prompt, thoughts on top of the output (Gemini). A count of zero is left out.
fn thoughts_outside(usage: &mut Usage, counters: &Counters) {
    let (tools, thoughts) = (counters.get(Field::ToolInput).unwrap_or(0), usage.reasoning.unwrap_or(0));
    let candidates = usage.output.unwrap_or(0);
    let mut output = candidates.saturating_add(thoughts);
    let Some(prompt) = usage.input else {
        usage.output = usage.output.or(usage.reasoning).map(|_| output);
        return;
    };
    let input = prompt.saturating_add(tools);
    if let Some(total) = counters.get(Field::Total)
        && input.saturating_add(output) != total
    {
        // Some older servers count thoughts as candidates.
        if input.saturating_add(candidates) == total && thoughts <= candidates {
            output = candidates;
        } else {
            usage.flags.insert(Flag::TotalMismatch);
        }
    }
    usage.input = Some(input);
    usage.output = Some(output);
    uncached(usage);
}

/// The vendor's headline counters, else what Bedrock measured, else the vendor's other counters. Input leaves the cache out.
fn vendor(usage: &mut Usage, counters: &Counters) {
    let first = |fields: [Field; 2]| fields.into_iter().find_map(|field| counters.get(field));
    usage.input = usage.input.or_else(|| first([Field::MetricsInput, Field::VendorInput]));
    usage.output = usage.output.or_else(|| first([Field::MetricsOutput, Field::VendorOutput]));
    usage.cache_read = usage.cache_read.or_else(|| counters.get(Field::MetricsCacheRead));
    usage.cache_write = usage.cache_write.or_else(|| counters.get(Field::MetricsCacheWrite));
    // Embeddings have no output, and say nothing of it.
    if usage.input.is_some() {
        let is_bad =
            [Field::Output, Field::MetricsOutput, Field::VendorOutput].into_iter().any(|field| counters.is_bad(field));
        usage.output = usage.output.or((!is_bad).then_some(0));
    }
    outside(usage);
}

/// What is billed (Cohere). Cached tokens are counted on another scale, and no part of it.
fn billed(usage: &mut Usage, counters: &Counters) {
    usage.input = usage.input.or_else(|| counters.get(Field::VendorInput));
    usage.output = usage.output.or_else(|| counters.get(Field::VendorOutput));
    if usage.cache_read.is_some_and(|cached| cached > 0) {
        usage.flags.insert(Flag::CacheOtherScale);
    } else {
        usage.input_uncached = usage.input;
    }
}

/// There is no output: whatever is counted is input.
fn input_only(usage: &mut Usage, counters: &Counters) {
    usage.input = usage.input.or_else(|| counters.get(Field::Total));
    usage.output = usage.output.or(zero_unless_bad(counters, Field::Output));
    uncached(usage);
}

/// Input includes the cache and output includes reasoning (`OpenAI`), unless the total says otherwise.
fn inside(usage: &mut Usage, total: Option<u64>, provider: &str) {
    let reasoning = usage.reasoning.unwrap_or(0);
    let audio = usage.input_audio.unwrap_or(0);
    let mut fits = true;
    match (usage.input, usage.output, total) {
        (Some(input), Some(output), Some(total)) if input.saturating_add(output) != total => {
            let sum = input.saturating_add(output);
            if reasoning > 0 && sum.saturating_add(reasoning) == total {
                usage.output = Some(output.saturating_add(reasoning));
                // From anybody who is not known for it, it is worth a look.
                if table::apart(provider) != Apart::Reasoning {
                    usage.flags.insert(Flag::ReasoningExcluded);
                }
            } else if audio > 0 && sum.saturating_add(audio) == total {
                usage.input = Some(input.saturating_add(audio));
                if table::apart(provider) != Apart::InputAudio {
                    usage.flags.insert(Flag::AudioExcluded);
                }
            } else {
                fits = false;
            }
        }
        (Some(input), None, Some(total)) => usage.output = total.checked_sub(input),
        (None, output, Some(total)) => usage.input = total.checked_sub(output.unwrap_or(0)),
        _ => {}
    }
    if let Some(output) = usage.output
        && reasoning > output
    {
        usage.output = Some(output.saturating_add(reasoning));
        usage.flags.insert(Flag::ReasoningExcluded);
    }
    uncached(usage);
    // The total may include what has just been found to be counted outside.
    if !fits && usage.total() != total {
        usage.flags.insert(Flag::TotalMismatch);
    }
}

/// The cache is part of the input. Where more is cached than was put in, it was counted outside.
fn uncached(usage: &mut Usage) {
    let cached = cached(usage);
    if let Some(input) = usage.input
        && cached > input
    {
        usage.input = Some(input.saturating_add(cached));
        usage.flags.insert(Flag::CachedGtInput);
    }
    usage.input_uncached = usage.input.map(|input| input.saturating_sub(cached));
}

/// What of the input was read from or written to a cache; counted on another scale it is no part of it.
fn cached(usage: &Usage) -> u64 {
    if usage.flags.contains(Flag::CacheOtherScale) {
        return 0;
    }
    usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0))
}

/// Takes our estimate for an input that nobody said whole. It is no less than the parts that were said, and where it is more,
/// nobody knows of what.
pub(super) fn estimated_input(usage: &mut Usage, tokens: u64) {
    let parts = usage.input_uncached.unwrap_or(0).saturating_add(cached(usage));
    usage.input = Some(tokens.max(parts));
    if tokens > parts {
        usage.input_uncached = None;
    }
    usage.flags.insert(Flag::InputEstimated);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::DialectId;

    fn checked(dialect: DialectId, provider: &str, values: &[(Field, u64)]) -> Usage {
        let mut counters = Counters::default();
        for (field, value) in values {
            counters.set(*field, *value);
        }
        usage(dialect.operations()[0], provider, &counters)
    }

    fn openai(provider: &str, p: u64, c: u64, r: u64, cached: u64, t: u64) -> Usage {
        let values = [
            (Field::Input, p),
            (Field::Output, c),
            (Field::Reasoning, r),
            (Field::CacheRead, cached),
            (Field::Total, t),
        ];
        checked(DialectId::OpenAiChat, provider, &values)
    }

    #[test]
    fn ok_reasoning_inside_and_outside() {
        let inside = openai("openai", 10, 20, 15, 0, 30);
        assert_eq!((inside.input, inside.output, inside.flags.to_string()), (Some(10), Some(20), String::new()));
        let xai = openai("xai", 204, 1, 82, 0, 287);
        assert_eq!((xai.output, xai.flags.is_empty()), (Some(83), true));
        let other = openai("corp", 204, 1, 82, 0, 287);
        assert_eq!((other.output, other.flags.to_string().as_str()), (Some(83), "reasoning_excluded"));
        let perplexity = openai("perplexity", 33, 7163, 73_997, 0, 7196);
        assert_eq!(perplexity.output, Some(81_160));
    }

    #[test]
    fn ok_cached_beyond_input_was_counted_outside() {
        let grok = openai("azure-foundry", 208, 10, 0, 314, 218);
        assert_eq!((grok.input, grok.input_uncached, grok.cache_read), (Some(522), Some(208), Some(314)));
        assert_eq!(grok.flags.to_string(), "cached_gt_input");
    }

    #[test]
    fn ok_the_parts_of_the_input_are_its_sum_in_every_convention() {
        for dialect in [DialectId::OpenAiChat, DialectId::GeminiGenerate, DialectId::OpenAiEmbeddings] {
            let values = [(Field::Input, 10), (Field::Output, 5), (Field::CacheRead, 50)];
            let usage = checked(dialect, "x", &values);
            assert_eq!((usage.input, usage.input_uncached), (Some(60), Some(10)), "{dialect:?}");
            assert_eq!(usage.flags.to_string(), "cached_gt_input", "{dialect:?}");
        }
    }

    #[test]
    fn ok_mistral_counts_audio_outside_and_totals_that_fit_nothing_are_flagged() {
        let values = [(Field::Input, 9), (Field::Output, 248), (Field::InputAudio, 375), (Field::Total, 632)];
        let mistral = checked(DialectId::OpenAiChat, "mistral", &values);
        assert_eq!((mistral.input, mistral.total(), mistral.flags.is_empty()), (Some(384), Some(632), true));
        assert_eq!(openai("openai", 10, 20, 0, 0, 31).flags.to_string(), "total_mismatch");
    }

    #[test]
    fn ok_a_total_that_includes_what_was_counted_outside_fits() {
        let cached = openai("azure-foundry", 208, 10, 0, 314, 532);
        assert_eq!((cached.input, cached.input_uncached, cached.total()), (Some(522), Some(208), Some(532)));
        assert_eq!(cached.flags.to_string(), "cached_gt_input");
        let neither = openai("azure-foundry", 208, 10, 0, 314, 999);
        assert_eq!((neither.input, neither.flags.to_string().as_str()), (Some(522), "total_mismatch,cached_gt_input"));
    }

    fn gemini(prompt: u64, candidates: u64, thoughts: u64, tools: u64, total: u64) -> Usage {
        let values = [
            (Field::Input, prompt),
            (Field::Output, candidates),
            (Field::Reasoning, thoughts),
            (Field::ToolInput, tools),
            (Field::Total, total),
        ];
        checked(DialectId::GeminiGenerate, "vertex-ai", &values)
    }

    #[test]
    fn ok_gemini_counts_thoughts_and_tools_outside_unless_its_total_says_otherwise() {
        let outside = gemini(10, 20, 15, 5, 50);
        assert_eq!((outside.input, outside.output, outside.flags.is_empty()), (Some(15), Some(35), true));
        let inside = gemini(10, 20, 15, 5, 35);
        assert_eq!((inside.input, inside.output, inside.flags.is_empty()), (Some(15), Some(20), true));
        let neither = gemini(10, 20, 15, 5, 36);
        assert_eq!((neither.output, neither.flags.to_string().as_str()), (Some(35), "total_mismatch"));
        let impossible = gemini(10, 2, 15, 0, 12);
        assert_eq!((impossible.output, impossible.flags.to_string().as_str()), (Some(17), "total_mismatch"));
        let cut = checked(DialectId::GeminiGenerate, "vertex-ai", &[(Field::Output, 20), (Field::Reasoning, 15)]);
        assert_eq!((cut.input, cut.output), (None, Some(35)));
    }

    #[test]
    fn ok_bedrock_is_checked_with_its_cache() {
        let values = |total| {
            [
                (Field::Input, 10),
                (Field::Output, 20),
                (Field::CacheRead, 300),
                (Field::CacheWrite, 40),
                (Field::Total, total),
            ]
        };
        let fits = checked(DialectId::BedrockConverse, "bedrock", &values(370));
        assert_eq!((fits.input, fits.input_uncached, fits.flags.is_empty()), (Some(350), Some(10), true));
        let other = checked(DialectId::BedrockConverse, "bedrock", &values(30));
        assert_eq!((other.input, other.flags.to_string().as_str()), (Some(350), "total_mismatch"));
    }

    #[test]
    fn ok_anthropic_counts_the_cache_outside() {
        let values = [
            (Field::Input, 100),
            (Field::Output, 50),
            (Field::CacheRead, 2000),
            (Field::CacheWrite, 300),
            (Field::CacheWrite5m, 100),
            (Field::CacheWrite1h, 200),
        ];
        let usage = checked(DialectId::AnthropicMessages, "anthropic", &values);
        assert_eq!((usage.input, usage.input_uncached, usage.total()), (Some(2400), Some(100), Some(2450)));
        assert!(usage.flags.is_empty());
        // Thoughts are part of its output.
        let values = [(Field::Input, 100), (Field::Output, 50), (Field::Reasoning, 51)];
        let usage = checked(DialectId::AnthropicMessages, "anthropic", &values);
        assert_eq!((usage.output, usage.flags.to_string().as_str()), (Some(50), "total_mismatch"));
    }

    #[test]
    fn ok_nothing_wraps() {
        let most = 1 << 53;
        let usage = openai("x", most, most, most, most, most);
        assert!(usage.input >= Some(most) && usage.output >= Some(most));
    }
}
