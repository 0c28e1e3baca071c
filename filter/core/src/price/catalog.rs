//! The compiled-in table: which model is meant, and what it costs when.
//!
//! The rules of matching are those of the package that the table comes from (genai-prices, `types.py`): within a provider the first model
//! whose clauses match, case folded; else the providers that it resells; else the same with a compact date written with dashes.

use std::cell::RefCell;

use super::{
    exact::Per,
    kind::{Kind, Scale},
};

/// One price: `mantissa` × 10^`exponent` in the unit of its kind (see [`Per`]), where more than `above` input tokens were sent. Past a
/// threshold it holds for all tokens, not only for those beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    kind: Kind,
    exponent: u8,
    // There are thousands of them in the module: no byte more than they need.
    above: [u8; 3],
    mantissa: [u8; 7],
}

const fn r(kind: Kind, above: u32, mantissa: u64, exponent: u8) -> Rate {
    let [a, b, c, above_rest] = above.to_le_bytes();
    let [d, e, f, g, h, i, j, mantissa_rest] = mantissa.to_le_bytes();
    assert!(above_rest == 0 && mantissa_rest == 0, "more than is kept of it");
    Rate { kind, exponent, above: [a, b, c], mantissa: [d, e, f, g, h, i, j] }
}

impl Rate {
    fn above(&self) -> u64 {
        let [a, b, c] = self.above;
        u64::from(u32::from_le_bytes([a, b, c, 0]))
    }

    fn mantissa(&self) -> u64 {
        let [a, b, c, d, e, f, g] = self.mantissa;
        u64::from_le_bytes([a, b, c, d, e, f, g, 0])
    }
}

/// When a price holds, UTC.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// From that day on, counted from the epoch.
    FromDay(u32),
    /// Between two seconds of each day; the second may be the smaller one.
    Daily(u32, u32),
}

impl When {
    fn holds(self, secs: u64) -> bool {
        let in_day = secs % 86_400;
        match self {
            Self::Always => true,
            Self::FromDay(day) => secs / 86_400 >= u64::from(day),
            Self::Daily(start, end) => {
                let (start, end) = (u64::from(start), u64::from(end));
                if end < start { in_day >= start || in_day < end } else { start <= in_day && in_day < end }
            }
        }
    }
}

#[derive(Debug)]
struct Conditional {
    when: When,
    rates: &'static [Rate],
}

const fn c(when: When, rates: &'static [Rate]) -> Conditional {
    Conditional { when, rates }
}

/// A term of service that a reply names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On<'a> {
    Tier(&'a str),
    Speed(&'a str),
}

/// Prices that replace the usual ones on that term; of several, the first that has a price for a kind.
#[derive(Debug)]
struct Variant {
    on: On<'static>,
    when: When,
    rates: &'static [Rate],
}

const fn v(on: On<'static>, when: When, rates: &'static [Rate]) -> Variant {
    Variant { on, when, rates }
}

/// A pattern of model names; all in lower case.
#[derive(Debug)]
enum Clause {
    Equals(&'static str),
    Starts(&'static str),
    Ends(&'static str),
    Contains(&'static str),
    /// The whole name, where `#` stands for a digit.
    Shape(&'static str),
    /// The beginning of the name, likewise.
    ShapeStart(&'static str),
    /// One clause of each group.
    AllOf(&'static [&'static [Self]]),
    NoneOf(&'static [Self]),
}

impl Clause {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Equals(text) => name == *text,
            Self::Starts(text) => name.starts_with(text),
            Self::Ends(text) => name.ends_with(text),
            Self::Contains(text) => name.contains(text),
            Self::Shape(shape) => name.len() == shape.len() && has_shape(name, shape),
            Self::ShapeStart(shape) => name.len() >= shape.len() && has_shape(name, shape),
            Self::AllOf(groups) => groups.iter().all(|group| group.iter().any(|clause| clause.matches(name))),
            Self::NoneOf(clauses) => !clauses.iter().any(|clause| clause.matches(name)),
        }
    }
}

fn has_shape(name: &str, shape: &str) -> bool {
    name.bytes()
        .zip(shape.bytes())
        .all(|(byte, wanted)| if wanted == b'#' { byte.is_ascii_digit() } else { byte == wanted })
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    clauses: &'static [Clause],
    conditions: &'static [Conditional],
    variants: &'static [Variant],
}

const fn m(
    id: &'static str,
    clauses: &'static [Clause],
    conditions: &'static [Conditional],
    variants: &'static [Variant],
) -> Model {
    Model { id, clauses, conditions, variants }
}

#[derive(Debug)]
struct Provider {
    id: &'static str,
    /// Providers whose models it resells.
    fallbacks: &'static [&'static str],
    models: &'static [Model],
}

const fn p(id: &'static str, fallbacks: &'static [&'static str], models: &'static [Model]) -> Provider {
    Provider { id, fallbacks, models }
}

mod table {
    use super::{
        Clause::{self, AllOf, Contains, Ends, Equals, NoneOf, Shape, ShapeStart, Starts},
        Conditional,
        Kind::{
            AnnotatedPages, AudioTime, CacheRead, CacheReadAudio, CacheReadImage, CacheWrite, CacheWrite1h, Characters,
            Citation, FileSearch, Input, InputAudio, InputAudioTime, InputImage, InputVideo, Messages, Output,
            OutputAudio, OutputImage, OutputVideo, Pages, Reasoning, Request, WebSearch,
        },
        On::{Speed, Tier},
        Provider, Rate, Variant,
        When::{Always, Daily, FromDay},
        c, m, p, r, v,
    };

    include!("table.in");

    pub(super) const fn version() -> &'static str {
        VERSION
    }

    pub(super) const fn providers() -> &'static [Provider] {
        PROVIDERS
    }
}

/// Which table this is, and its date.
pub(super) const fn version() -> &'static str {
    table::version()
}

/// Our provider ids where the table has others.
const NAMES: [(&str, &str); 12] = [
    ("anthropic-aws", "anthropic"),
    ("anthropic-gcp", "anthropic"),
    ("azure-openai", "azure"),
    ("azure-foundry", "azure"),
    ("google-ai-studio", "google"),
    ("vertex-ai", "google"),
    ("bedrock", "aws"),
    ("bedrock-mantle", "aws"),
    ("moonshot", "moonshotai"),
    ("voyage", "voyageai"),
    ("xai", "x-ai"),
    ("zhipu", "zhipuai"),
];

/// A model of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    /// The table's id of the provider that was asked for.
    pub(super) provider: &'static str,
    pub(super) model: &'static Model,
    /// Whether it is that provider's own, or one that it resells.
    pub(super) is_own: bool,
}

/// Names that were asked for last: a model is looked for among hundreds, and asked for again by the next request. Two that remember other
/// names are equal all the same, as they give the same answers, and a copy begins anew.
#[derive(Debug, Default)]
pub struct Recent(RefCell<Names>);

#[derive(Debug, Default)]
struct Names {
    /// Each with its provider and what it means.
    asked: Vec<(String, String, Option<Listed>)>,
    /// Which of them is forgotten next.
    next: usize,
}

/// How many names are remembered.
const ASKED: usize = 8;
/// Longest name that is remembered: longer than any model's.
const MAX_ASKED: usize = 64;

impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Recent {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Recent {}

impl Recent {
    /// The model that a name means at a provider.
    pub(super) fn find(&self, provider: &str, name: &str) -> Option<Listed> {
        // Nothing else has it: to look for a name is to look for no other.
        let Ok(mut names) = self.0.try_borrow_mut() else { return find(provider, name) };
        let known = names.asked.iter().find(|(at, asked, _)| asked == name && at == provider);
        if let Some((_, _, found)) = known {
            return *found;
        }
        let found = find(provider, name);
        if name.len() <= MAX_ASKED && provider.len() <= MAX_ASKED {
            let new = (provider.to_owned(), name.to_owned(), found);
            let next = names.next;
            names.next = (next + 1) % ASKED;
            match names.asked.get_mut(next) {
                Some(oldest) => *oldest = new,
                None => names.asked.push(new),
            }
        }
        found
    }
}

/// The same, looked for.
fn find(provider: &str, name: &str) -> Option<Listed> {
    let name = name.to_lowercase();
    if provider == "huggingface-router" {
        // `model:provider`: the table has a price list for each of its providers, and none for its own choice.
        let (model, by) = name.rsplit_once(':')?;
        return find_at(by_id(&format!("huggingface_{by}"))?, model);
    }
    let provider = NAMES.iter().find(|(ours, _)| *ours == provider).map_or(provider, |(_, theirs)| theirs);
    find_at(by_id(provider)?, &name)
}

fn find_at(provider: &'static Provider, name: &str) -> Option<Listed> {
    let listed = |model, is_own| Listed { provider: provider.id, model, is_own };
    let own = |name: &str| Some(listed(provider.models.iter().find(|model| model.matches(name))?, true));
    let resold = |name: &str| {
        let fallbacks = provider.fallbacks.iter().filter_map(|id| by_id(id));
        Some(listed(fallbacks.flat_map(|provider| provider.models).find(|model| model.matches(name))?, false))
    };
    own(name).or_else(|| resold(name)).or_else(|| {
        let dashed = dashed(name)?;
        own(&dashed).or_else(|| resold(&dashed))
    })
}

fn by_id(id: &str) -> Option<&'static Provider> {
    table::providers().iter().find(|provider| provider.id == id)
}

/// `gpt-5.2-20251211` as `gpt-5.2-2025-12-11`, if it holds such a date.
fn dashed(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len() + 2);
    let mut rest = name;
    let mut found = false;
    while let Some((before, after)) = rest.split_once('-') {
        out.push_str(before);
        out.push('-');
        rest = after;
        if let Some((year, month, day, after)) = date(rest) {
            out.push_str(&format!("{year}-{month}-{day}"));
            rest = after;
            found = true;
        }
    }
    out.push_str(rest);
    found.then_some(out)
}

/// Year, month and day of a compact date of this century, and what follows it.
fn date(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (digits, after) = text.split_at_checked(8)?;
    let ends = matches!(after.as_bytes().first(), None | Some(b'-' | b':'));
    if !ends || !has_shape(digits, "20######") {
        return None;
    }
    let (year, rest) = digits.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let [y, m, d] = [year, month, day].map(|digits| digits.parse::<u32>().unwrap_or(0));
    let is_leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days = match m {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&d).then_some((year, month, day, after))
}

impl Model {
    fn matches(&self, name: &str) -> bool {
        self.clauses.iter().any(|clause| clause.matches(name))
    }

    /// Whether it has prices of its own on that term, at that time.
    pub(super) fn has_variant(&self, on: On<'_>, secs: u64) -> bool {
        self.variants.iter().any(|variant| variant.on == on && variant.when.holds(secs))
    }

    /// The price of a kind at that time, on these terms, for so much input.
    pub(super) fn price(&self, kind: Kind, secs: u64, on: &[Option<On<'_>>], total_input: u64) -> Option<(u128, Per)> {
        let applies = |variant: &&Variant| on.contains(&Some(variant.on)) && variant.when.holds(secs);
        let variants = self.variants.iter().filter(applies);
        let amount = variants.filter_map(|variant| pick(variant.rates, kind, total_input)).next().or_else(|| {
            // The last that holds wins; the first holds if none does.
            let active = self.conditions.iter().rev().find(|conditional| conditional.when.holds(secs));
            pick(active.or_else(|| self.conditions.first())?.rates, kind, total_input)
        })?;
        Some((amount, if kind.scale() == Scale::Time { Per::Hour } else { Per::One }))
    }
}

/// Powers of ten: to calculate one takes longer than all else about a price.
#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
static POWERS: [u128; 38] = {
    let mut powers = [1; 38];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

fn pick(rates: &[Rate], kind: Kind, total_input: u64) -> Option<u128> {
    let applies = |rate: &&Rate| rate.kind == kind && (rate.above() == 0 || total_input > rate.above());
    let rate = rates.iter().rev().find(applies)?;
    u128::from(rate.mantissa()).checked_mul(*POWERS.get(usize::from(rate.exponent))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_and_err_compact_dates() {
        assert_eq!(dashed("gpt-5.2-20251211").as_deref(), Some("gpt-5.2-2025-12-11"));
        assert_eq!(dashed("a-20251211-b-20240229:c").as_deref(), Some("a-2025-12-11-b-2024-02-29:c"));
        for name in
            ["gpt-5.2", "a-20251301", "a-20250229", "a-20250431", "a-20251211x", "a-2025é211", "a-19991211", "20251211"]
        {
            assert_eq!(dashed(name), None, "{name}");
        }
    }

    #[test]
    fn ok_a_router_names_its_provider_behind_the_model() {
        let model = |name| find("huggingface-router", name).map(|listed| listed.provider);
        assert_eq!(model("openai/gpt-oss-120b:cerebras"), Some("huggingface_cerebras"));
        assert_eq!(model("openai/gpt-oss-120b:fastest"), None);
        assert_eq!(model("openai/gpt-oss-120b"), None);
    }

    #[test]
    fn ok_what_is_remembered_is_what_is_found() {
        let recent = Recent::default();
        let models = by_id("openai").expect("a provider").models;
        for _ in 0..2 {
            for name in models.iter().take(3 * ASKED).map(|model| model.id).chain(["nobody's", &"x".repeat(100)]) {
                for (provider, other) in [("openai", "azure-openai"), ("azure-openai", "openai")] {
                    let id =
                        |listed: Option<Listed>| listed.map(|listed| (listed.provider, listed.model.id, listed.is_own));
                    for provider in [provider, provider, other] {
                        assert_eq!(id(recent.find(provider, name)), id(find(provider, name)), "{provider}/{name}");
                    }
                }
            }
        }
        assert_eq!(recent.0.borrow().asked.len(), ASKED);
    }

    #[test]
    fn ok_every_provider_that_we_rename_is_in_the_table() {
        assert!(NAMES.iter().all(|(ours, theirs)| by_id(theirs).is_some() && by_id(ours).is_none()));
    }
}
