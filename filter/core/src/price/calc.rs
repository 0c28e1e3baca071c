//! From usage and prices to a cost.

use std::borrow::Cow;

use super::{
    Adjustments, Cost, CostStatus, PicoUsd, PriceOverride, PriceTier, TierKind, TokenPrices,
    catalog::Listed,
    exact::{Exact, ONE, Per},
    kind::{KINDS, Kind, Part, Scale},
    reported,
    table::{self, On},
    terms::{self, Term},
};
use crate::{
    glob,
    time::Timestamp,
    usage::{
        Usage,
        meter::iteration::{IterationKind, Iterations},
    },
};

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Provider id.
    pub provider: &'a str,
    /// Model as asked for.
    pub request_model: Option<&'a str>,
    /// Model that answered; asked first.
    pub response_model: Option<&'a str>,
    /// Service tier that served.
    pub service_tier: Option<&'a str>,
    /// What was consumed.
    pub usage: &'a Usage,
    /// What else the reply says that moves the price.
    pub details: Details<'a>,
    /// The provider's own statement of cost in USD, a plain decimal.
    pub reported: Option<&'a str>,
    /// When the request was made: prices change with time.
    pub now: Timestamp,
}

/// What else the reply says that moves the price.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// Speed or latency mode that served.
    pub speed: Option<&'a str>,
    /// Where the model ran.
    pub inference_geo: Option<&'a str>,
    /// Sub-inferences with a usage of their own.
    pub iterations: Option<&'a Iterations>,
    /// Something was used that has a price of its own, and that the usage leaves out.
    pub has_unpriced_use: bool,
}

/// Where prices come from.
#[derive(Debug)]
enum Source<'a> {
    Override(&'a PriceOverride),
    Table {
        listed: Listed,
        on: [Option<On<'a>>; 3],
        secs: u64,
        /// Of the usual price of tokens, in millionths.
        factor: u32,
        discount: u32,
    },
}

/// Prices that apply, and the model's name that found them.
struct Found<'a> {
    source: Source<'a>,
    name: Cow<'static, str>,
}

fn overridden<'a>(adjustments: &'a Adjustments, provider: &str, model: &str) -> Option<&'a PriceOverride> {
    let matches =
        |price: &&PriceOverride| price.provider == provider && glob::matches(price.model.as_bytes(), model.as_bytes());
    adjustments.overrides.iter().find(matches)
}

/// Whether a price or the operator knows that model: only such names become metric labels.
#[must_use]
pub fn known_model(adjustments: &Adjustments, provider: &str, model: &str) -> bool {
    overridden(adjustments, provider, model).is_some() || adjustments.recent.find(provider, model).is_some()
}

/// The cost of an exchange. Each part is exact and rounded once, half to even, to 1e-12 USD; the total is the sum of the parts.
///
/// What the operator says of prices wins, then what the provider itself says where that is better than any table, then the table.
#[must_use]
pub fn price(adjustments: &Adjustments, query: &Query<'_>) -> Cost {
    let own = by_prices(adjustments, query);
    let is_discounted = discount(adjustments, query.provider) != ONE;
    reported::with_statement(own, query, is_discounted)
}

fn discount(adjustments: &Adjustments, provider: &str) -> u32 {
    let discount = adjustments.discounts.iter().find(|discount| discount.provider == provider);
    discount.map_or(ONE, |discount| discount.factor_millionths)
}

/// The prices of the first of these models that has any, on the terms of the query; of the speed, only where it applies.
fn find<'a>(
    adjustments: &'a Adjustments,
    query: &Query<'a>,
    names: &[Option<&str>],
    at_speed: bool,
) -> Option<Found<'a>> {
    let names = || names.iter().copied().flatten();
    let by_operator = |name: &str| {
        let source = Source::Override(overridden(adjustments, query.provider, name)?);
        Some(Found { source, name: Cow::Owned(name.to_owned()) })
    };
    if let Some(found) = names().find_map(by_operator) {
        return Some(found);
    }
    let listed = names().find_map(|name| adjustments.recent.find(query.provider, name))?;
    let secs = query.now.secs();
    let mut factor = terms::place_factor(listed.provider, query.details.inference_geo)?;
    let mut on = [None; 3];
    let has = |term| listed.is_own && listed.model.has_variant(term, secs);
    if let Term::Named(wire, ours) = terms::tier(query.service_tier) {
        on = [Some(On::Tier(wire)), Some(On::Tier(ours)), None];
        if !on.iter().copied().flatten().any(has) {
            let tier = terms::tier_factor(listed.provider, ours)?;
            // Exact: a test says so of every pair.
            factor = u32::try_from(u64::from(factor) * u64::from(tier) / u64::from(ONE)).ok()?;
            on = [None; 3];
        }
    }
    if let Term::Named(speed, _) = terms::speed(query.details.speed.filter(|_| at_speed)) {
        let term = On::Speed(speed);
        has(term).then_some(())?;
        on[2] = Some(term);
    }
    let discount = discount(adjustments, query.provider);
    let (on, name) = (if listed.is_own { on } else { [None; 3] }, Cow::Borrowed(listed.model.id));
    Some(Found { source: Source::Table { listed, on, secs, factor, discount }, name })
}

impl Source<'_> {
    /// The price of a kind where so much input was sent.
    fn price(&self, kind: Kind, total_input: u64) -> Option<(u128, Per)> {
        match self {
            Self::Override(price) => {
                let reached = |tier: &&PriceTier| price.tier_kind == TierKind::Cliff && total_input > tier.above;
                let tiers = price.tiers.iter().rev().filter(reached).find_map(|tier| of(&tier.prices, kind));
                Some((tiers.or_else(|| of(&price.prices, kind))?, Per::One))
            }
            Self::Table { listed, on, secs, .. } => listed.model.price(kind, *secs, on, total_input),
        }
    }

    /// So many of a kind, beginning at that one, each with its price.
    fn bands(&self, kind: Kind, from: u64, count: u64, price: (u128, Per), mut each: impl FnMut(u64, (u128, Per))) {
        let Self::Override(PriceOverride { tiers, tier_kind: TierKind::Graduated, .. }) = self else {
            each(count, price);
            return;
        };
        let end = from.saturating_add(count);
        let (mut at, mut price) = (from, price);
        for tier in tiers {
            let up_to = tier.above.clamp(at, end);
            each(up_to - at, price);
            at = up_to;
            if let Some(next) = of(&tier.prices, kind) {
                price = (next, Per::One);
            }
        }
        each(end - at, price);
    }

    /// Factors in millionths: of the term of service, of the operator. What they pay by their own price, they pay.
    const fn factors(&self, kind: Kind) -> (u32, u32) {
        match self {
            Self::Override(_) => (ONE, ONE),
            Self::Table { factor, discount, .. } => {
                (if matches!(kind.scale(), Scale::Tokens) { *factor } else { ONE }, *discount)
            }
        }
    }

    /// What is billed for so much: Groq hears at least ten seconds (console.groq.com/docs/speech-to-text).
    fn billed(&self, kind: Kind, count: u64) -> u64 {
        const TEN_SECONDS: u64 = 10_000_000_000_000;
        match self {
            Self::Table { listed, .. } if count > 0 && kind.scale() == Scale::Time && listed.provider == "groq" => {
                count.max(TEN_SECONDS)
            }
            _ => count,
        }
    }
}

const fn of(prices: &TokenPrices, kind: Kind) -> Option<u128> {
    match kind {
        Kind::Input => prices.input,
        Kind::Output => prices.output,
        Kind::CacheRead => prices.cache_read,
        Kind::CacheWrite => prices.cache_write,
        _ => None,
    }
}

/// Adds up one part at a time.
#[derive(Default)]
struct Sum {
    parts: [Option<Exact>; 5],
    /// Something was consumed that has no price, or too much to calculate with.
    is_missing: bool,
}

impl Sum {
    /// Adds so many of a kind, beginning at that one, at that price.
    fn add(&mut self, part: Part, source: &Source<'_>, kind: Kind, (from, count): (u64, u64), price: (u128, Per)) {
        let (factor, discount) = source.factors(kind);
        let Some(slot) = self.parts.get_mut(part as usize) else { return };
        source.bands(kind, from, count, price, |count, (price, per)| {
            let term = Exact::product(price, per, count, factor, discount);
            match term.and_then(|term| slot.unwrap_or_default().plus(term)) {
                Some(sum) => *slot = Some(sum),
                None => self.is_missing = true,
            }
        });
    }

    /// Adds what a usage costs, of the kinds that are wanted. `beside` puts all of it in the other costs.
    fn usage(&mut self, usage: &Usage, source: &Source<'_>, beside: bool, wanted: &[Kind]) {
        let total_input = usage.input.unwrap_or(0);
        // What is left of each priced count when its priced parts are taken out.
        let mut left = [0_u64; KINDS];
        for (nth, kind) in wanted.iter().copied().enumerate() {
            let Some(count) = kind.count(usage).map(|count| source.billed(kind, count)) else { continue };
            let Some(price) = source.price(kind, total_input) else { continue };
            // Most kinds are not used at all; parts come before wholes.
            let before = wanted.iter().zip(&left).take(nth);
            let parts = before.filter(|(part, count)| **count > 0 && part.is_part_of(kind));
            let inside = parts.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
            // More parts than whole: they are priced, and the whole is not known.
            self.is_missing |= inside > count;
            let count = count.saturating_sub(inside);
            if let Some(slot) = left.get_mut(nth) {
                *slot = count;
            }
            let part = if beside { Part::Other } else { kind.part() };
            if kind != Kind::Input || beside {
                self.add(part, source, kind, (0, count), price);
                continue;
            }
            // What was cached and has no price of its own costs what input costs; it is told where cached input is.
            let mut from = 0_u64;
            for cached in [Kind::CacheRead, Kind::CacheWrite] {
                let Some(tokens) = cached.count(usage) else { continue };
                let tokens = if source.price(cached, total_input).is_some() { 0 } else { tokens.min(count - from) };
                self.add(cached.part(), source, kind, (from, tokens), price);
                from += tokens;
            }
            self.add(part, source, kind, (from, count - from), price);
        }
    }

    /// Notes what was consumed and has no price.
    fn check(&mut self, usage: &Usage, source: &Source<'_>) {
        let total_input = usage.input.unwrap_or(0);
        let is_priced = |kind: Kind| source.price(kind, total_input).is_some();
        let was_used = |kind: Kind| kind.count(usage).is_some_and(|count| count > 0);
        let on = |scale: Scale| move |kind: &Kind| kind.scale() == scale;
        let scales = [Scale::Tokens, Scale::Time, Scale::Pages, Scale::Characters, Scale::Messages];
        // The same work is counted on several scales; one that has a price will do.
        let is_covered = |scale: Scale| {
            let mut kinds = Kind::ALL.into_iter().filter(on(scale));
            kinds.any(|kind| kind.count(usage).is_some() && is_priced(kind))
        };
        let has_token_prices = is_priced(Kind::Input) || is_priced(Kind::Output);
        self.is_missing |= if has_token_prices && !scales.into_iter().skip(1).any(is_covered) {
            let unknown = [Kind::Input, Kind::Output].iter().any(|kind| kind.count(usage).is_none());
            unknown || [Kind::Input, Kind::Output].into_iter().any(|kind| was_used(kind) && !is_priced(kind))
        } else {
            !scales.into_iter().any(is_covered)
        };
        // Searches come on top of it, and each must have its price.
        let mut extras = Kind::ALL.into_iter().filter(on(Scale::Extra));
        self.is_missing |= extras.any(|kind| kind != Kind::Request && was_used(kind) && !is_priced(kind));
        self.is_missing |= usage.search_units.is_some_and(|units| units > 0);
    }

    fn cost(mut self) -> Cost {
        let [input, output, cache_read, cache_write, other] = self.parts.map(|part| {
            let rounded = part.map(Exact::rounded);
            self.is_missing |= rounded == Some(None);
            rounded.flatten()
        });
        let parts = [input, output, cache_read, cache_write, other];
        let total = parts.into_iter().flatten().reduce(|a, b| PicoUsd(a.0.saturating_add(b.0)));
        let status = match total {
            None => CostStatus::Unpriced,
            Some(_) if self.is_missing => CostStatus::Partial,
            Some(_) => CostStatus::Priced,
        };
        Cost { total, input, output, cache_read, cache_write, other, status, ..Cost::default() }
    }
}

/// The cost by the operator's prices or the table's.
fn by_prices(adjustments: &Adjustments, query: &Query<'_>) -> Cost {
    let (tokens, rest) = Kind::by_scale();
    let usage = query.usage;
    let iterations = query.details.iterations.map(|told| told.list.as_slice()).unwrap_or_default();
    let fallback = iterations.iter().rev().find(|iteration| iteration.kind == IterationKind::Fallback);
    // The headline is what the fallback model did, if one did it.
    let names = [fallback.and_then(|iteration| iteration.model.as_deref()), query.response_model, query.request_model];
    let Some(Found { source, name }) = find(adjustments, query, &names, true) else { return Cost::default() };
    let mut sum = Sum { is_missing: query.details.has_unpriced_use, ..Sum::default() };
    sum.check(usage, &source);

    // Each turn by itself, as a turn's length decides on its price; as one, if they do not make up the headline.
    let turns: Vec<_> = iterations.iter().filter(|iteration| iteration.is_in_headline()).collect();
    let total = |count: fn(&Usage) -> Option<u64>| {
        turns.iter().fold(0_u64, |sum, turn| sum.saturating_add(count(&turn.usage()).unwrap_or(0)))
    };
    let counts: [fn(&Usage) -> Option<u64>; 4] =
        [|usage| usage.input, |usage| usage.output, |usage| usage.cache_read, |usage| usage.cache_write];
    // The headline of a stream says at its beginning only how long a cache lives.
    let add_up = counts.into_iter().all(|count| total(count) == count(usage).unwrap_or(0))
        && total(|usage| usage.cache_write_1h) >= usage.cache_write_1h.unwrap_or(0);
    if turns.is_empty() || !add_up {
        // Who was asked before the fallback may have its price too, and nobody says which.
        sum.is_missing |= fallback.is_some() && !add_up;
        sum.usage(usage, &source, false, tokens);
    } else {
        for turn in turns {
            let names = [turn.model.as_deref(), query.response_model, query.request_model];
            match find(adjustments, query, &names, true) {
                Some(found) => sum.usage(&turn.usage(), &found.source, false, tokens),
                None => sum.is_missing = true,
            }
        }
    }
    sum.usage(usage, &source, false, rest);
    for iteration in iterations.iter().filter(|iteration| !iteration.is_in_headline()) {
        let by_asked = iteration.kind == IterationKind::Compaction;
        let asked = [query.response_model, query.request_model].map(|model| model.filter(|_| by_asked));
        match find(adjustments, query, &[iteration.model.as_deref(), asked[0], asked[1]], by_asked) {
            Some(found) => {
                let usage = iteration.usage();
                sum.check(&usage, &found.source);
                sum.usage(&usage, &found.source, true, tokens);
            }
            None => sum.is_missing = true,
        }
    }
    sum.is_missing |= query.details.iterations.is_some_and(|told| told.is_incomplete);

    let mut cost = sum.cost();
    if cost.total.is_some() {
        let (word, version) = match source {
            Source::Override(_) => ("override", "configuration"),
            Source::Table { .. } => ("table", table::version()),
        };
        cost.source = Some(word);
        cost.price_version = Some(Cow::Borrowed(version));
        cost.priced_model = Some(name);
    }
    cost
}
