//! The compiled-in table: which model is meant, and what it costs when.
//!
//! The rules of matching are those of the package that the table comes from (genai-prices, `types.py`): within a provider the first model
//! whose clauses match, case folded; else the providers that it resells; else the same with a compact date written with dashes.

use super::Query;

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    InputAudio,
    InputImage,
    OutputAudio,
    OutputImage,
    Reasoning,
    WebSearch,
    Request,
}

/// One price: `mantissa` × 10^`exponent` in units of 1e-24 USD, where more than `above` input tokens were sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    kind: Kind,
    exponent: u8,
    above: u32,
    mantissa: u64,
}

const fn r(kind: Kind, above: u32, mantissa: u64, exponent: u8) -> Rate {
    Rate { kind, exponent, above, mantissa }
}

/// When a price holds, UTC.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// From that day on, counted from the epoch.
    FromDay(u64),
    /// Between two seconds of each day; the second may be the smaller one.
    Daily(u64, u64),
}

impl When {
    fn holds(self, secs: u64) -> bool {
        let in_day = secs % 86_400;
        match self {
            Self::Always => true,
            Self::FromDay(day) => secs / 86_400 >= day,
            Self::Daily(start, end) if end < start => in_day >= start || in_day < end,
            Self::Daily(start, end) => start <= in_day && in_day < end,
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

/// Prices that replace the usual ones where the reply names this service tier.
#[derive(Debug)]
struct Variant {
    tier: &'static str,
    when: When,
    rates: &'static [Rate],
}

const fn v(tier: &'static str, when: When, rates: &'static [Rate]) -> Variant {
    Variant { tier, when, rates }
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
            CacheRead, CacheWrite, CacheWrite1h, Input, InputAudio, InputImage, Output, OutputAudio, OutputImage,
            Reasoning, Request, WebSearch,
        },
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
const NAMES: [(&str, &str); 8] = [
    ("azure-openai", "azure"),
    ("azure-foundry", "azure"),
    ("google-ai-studio", "google"),
    ("vertex-ai", "google"),
    ("bedrock", "aws"),
    ("moonshot", "moonshotai"),
    ("xai", "x-ai"),
    ("zhipu", "zhipuai"),
];

/// The model that a name means at a provider, and whether the provider itself has it.
pub(super) fn find(provider: &str, name: &str) -> Option<(&'static Model, bool)> {
    let provider = NAMES.iter().find(|(ours, _)| *ours == provider).map_or(provider, |(_, theirs)| theirs);
    let provider = by_id(provider)?;
    let name = name.to_lowercase();
    let own = |name: &str| provider.models.iter().find(|model| model.matches(name)).map(|model| (model, true));
    let resold = |name: &str| {
        let fallbacks = provider.fallbacks.iter().filter_map(|id| by_id(id));
        fallbacks.flat_map(|provider| provider.models).find(|model| model.matches(name)).map(|model| (model, false))
    };
    own(&name).or_else(|| resold(&name)).or_else(|| {
        let dashed = dashed(&name)?;
        own(&dashed).or_else(|| resold(&dashed))
    })
}

fn by_id(id: &str) -> Option<&'static Provider> {
    table::providers().iter().find(|provider| provider.id == id)
}

/// `gpt-5.2-20251211` as `gpt-5.2-2025-12-11`, if it holds such a date.
fn dashed(name: &str) -> Option<String> {
    let at = name.match_indices("-20").map(|(at, _)| at).find(|at| {
        let rest = name.get(at + 1..).unwrap_or_default();
        let ends = matches!(rest.as_bytes().get(8), None | Some(b'-' | b':'));
        ends && rest.len() >= 8 && has_shape(rest, "########")
    })?;
    let (before, rest) = name.split_at_checked(at + 1)?;
    let (year, month, day, after) = (rest.get(..4)?, rest.get(4..6)?, rest.get(6..8)?, rest.get(8..)?);
    Some(format!("{before}{year}-{month}-{day}{after}"))
}

impl Model {
    fn matches(&self, name: &str) -> bool {
        self.clauses.iter().any(|clause| clause.matches(name))
    }

    /// The price of a kind in units of 1e-24 USD, for this query.
    pub(super) fn price(&self, kind: Kind, query: &Query<'_>, is_own: bool) -> Option<u128> {
        let secs = query.now.secs();
        let total_input = query.usage.input.unwrap_or(0);
        let variant = query.service_tier.filter(|_| is_own).and_then(|tier| {
            let active = self.variants.iter().filter(|variant| variant.tier == tier && variant.when.holds(secs));
            active.filter_map(|variant| pick(variant.rates, kind, total_input)).next()
        });
        variant.or_else(|| {
            // The last that holds wins; the first holds if none does.
            let active = self.conditions.iter().rev().find(|conditional| conditional.when.holds(secs));
            pick(active.or_else(|| self.conditions.first())?.rates, kind, total_input)
        })
    }
}

fn pick(rates: &[Rate], kind: Kind, total_input: u64) -> Option<u128> {
    let applies = |rate: &&Rate| rate.kind == kind && (rate.above == 0 || total_input > u64::from(rate.above));
    let rate = rates.iter().rev().find(applies)?;
    u128::from(rate.mantissa).checked_mul(10_u128.checked_pow(u32::from(rate.exponent))?)
}
