//! From usage and prices to a cost.

use std::borrow::Cow;

use super::{
    Adjustments, Cost, CostStatus, PicoUsd, PriceOverride,
    catalog::{self, Kind, Model},
};
use crate::{glob, time::Timestamp, usage::Usage};

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
    /// The provider's own statement of cost in USD, a plain decimal.
    pub reported: Option<&'a str>,
    /// Prices change with time.
    pub now: Timestamp,
}

/// Where prices come from.
enum Source<'a> {
    Override(&'a PriceOverride),
    Table { model: &'static Model, is_own: bool },
}

impl Source<'_> {
    /// The price of a kind in units of 1e-24 USD.
    fn price(&self, kind: Kind, query: &Query<'_>) -> Option<u128> {
        match self {
            Self::Override(price) => {
                let own = match kind {
                    Kind::Input => price.input,
                    Kind::Output => price.output,
                    Kind::CacheRead => price.cache_read,
                    Kind::CacheWrite => price.cache_write,
                    _ => None,
                };
                own.and_then(|price| u128::try_from(price).ok())
            }
            Self::Table { model, is_own } => model.price(kind, query, *is_own),
        }
    }
}

fn overridden<'a>(adjustments: &'a Adjustments, provider: &str, model: &str) -> Option<&'a PriceOverride> {
    let matches =
        |price: &&PriceOverride| price.provider == provider && glob::matches(price.model.as_bytes(), model.as_bytes());
    adjustments.overrides.iter().find(matches)
}

/// Whether a price or the operator knows that model: only such names become metric labels.
#[must_use]
pub fn known_model(adjustments: &Adjustments, provider: &str, model: &str) -> bool {
    overridden(adjustments, provider, model).is_some() || catalog::find(provider, model).is_some()
}

/// The cost of an exchange. Each part is exact and rounded once, half to even, to 1e-12 USD; the total is the sum of the parts.
#[must_use]
pub fn price(adjustments: &Adjustments, query: &Query<'_>) -> Cost {
    let names = || [query.response_model, query.request_model].into_iter().flatten();
    let by_operator = names().find_map(|name| Some((overridden(adjustments, query.provider, name)?, name)));
    let by_table = || names().find_map(|name| catalog::find(query.provider, name));
    let (source, priced_model) = match by_operator {
        Some((price, name)) => (Source::Override(price), Cow::Owned(name.to_owned())),
        None => match by_table() {
            Some((model, is_own)) => (Source::Table { model, is_own }, Cow::Borrowed(model.id)),
            None => return reported_only(query.reported),
        },
    };
    let mut sum = Sum { source: &source, query, factor: factor(adjustments, query.provider, &source), missing: false };
    let mut cost = parts(query.usage, &mut sum);
    let missing = sum.missing;
    cost.total = [cost.input, cost.output, cost.cache_read, cost.cache_write, cost.other]
        .into_iter()
        .flatten()
        .reduce(|a, b| PicoUsd(a.0.saturating_add(b.0)));
    if cost.total.is_none() {
        return reported_only(query.reported);
    }
    cost.reported = query.reported.map(str::to_owned);
    cost.status = match cost.total {
        None => CostStatus::Unpriced,
        Some(_) if missing => CostStatus::Partial,
        Some(_) => CostStatus::Priced,
    };
    if cost.total.is_some() {
        let (name, version) = match source {
            Source::Override(_) => ("override", "configuration"),
            Source::Table { .. } => ("table", catalog::version()),
        };
        cost.source = Some(name);
        cost.price_version = Some(Cow::Borrowed(version));
        cost.priced_model = Some(priced_model);
    }
    cost
}

/// Where no price is known, what the provider says is all there is.
fn reported_only(reported: Option<&str>) -> Cost {
    let Some(total) = reported.and_then(PicoUsd::parse) else { return Cost::default() };
    Cost {
        total: Some(total),
        other: Some(total),
        status: CostStatus::Priced,
        source: Some("provider"),
        reported: reported.map(str::to_owned),
        ..Cost::default()
    }
}

/// Factor in millionths. The operator's own prices are what they pay already.
fn factor(adjustments: &Adjustments, provider: &str, source: &Source<'_>) -> u32 {
    match source {
        Source::Override(_) => 1_000_000,
        Source::Table { .. } => {
            let discount = adjustments.discounts.iter().find(|discount| discount.provider == provider);
            discount.map_or(1_000_000, |discount| discount.factor_millionths)
        }
    }
}

/// Adds up one part at a time.
struct Sum<'a> {
    source: &'a Source<'a>,
    query: &'a Query<'a>,
    factor: u32,
    /// Something was consumed that has no price, or too much to calculate with.
    missing: bool,
}

impl Sum<'_> {
    fn price(&self, kind: Kind) -> Option<u128> {
        self.source.price(kind, self.query)
    }

    /// Count times price for each, rounded once. `None` if nothing of it has a price.
    fn part(&mut self, terms: &[(u64, Option<u128>)]) -> Option<PicoUsd> {
        let mut exact: Option<u128> = None;
        for (count, price) in terms {
            let Some(price) = price else {
                self.missing |= *count > 0;
                continue;
            };
            let term = price.checked_mul(u128::from(*count)).and_then(|term| exact.unwrap_or(0).checked_add(term));
            match term {
                Some(sum) => exact = Some(sum),
                None => self.missing = true,
            }
        }
        let scaled = exact?.checked_mul(u128::from(self.factor));
        self.missing |= scaled.is_none();
        // 1e-24 times 1e-6 to 1e-12.
        Some(PicoUsd(half_even(scaled?, 1_000_000_000_000_000_000)))
    }
}

const fn half_even(number: u128, unit: u128) -> u128 {
    let (whole, rest) = (number / unit, number % unit);
    let up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
    if up { whole + 1 } else { whole }
}

fn parts(usage: &Usage, sum: &mut Sum<'_>) -> Cost {
    let mut cost = Cost::default();
    let input_price = sum.price(Kind::Input);
    let read = usage.cache_read.unwrap_or(0);
    let write = usage.cache_write.unwrap_or(0);
    match usage.input {
        Some(input) => {
            // What has no price of its own costs what input costs.
            let mut left = input;
            let mut take = |count: u64, price: Option<u128>| match price {
                Some(price) if count <= left => {
                    left = left.saturating_sub(count);
                    Some((count, Some(price)))
                }
                _ => None,
            };
            let read = take(read, sum.price(Kind::CacheRead).or(input_price));
            let hour = usage.cache_write_1h.unwrap_or(0).min(write);
            let hour_price = sum.price(Kind::CacheWrite1h);
            let write_price = sum.price(Kind::CacheWrite).or(input_price);
            let long = take(hour, hour_price.or(write_price));
            let short = take(write.saturating_sub(hour), write_price);
            // What of it was read from a cache has been taken already.
            let new = |all: Option<u64>, cached: Option<u64>| all.unwrap_or(0).saturating_sub(cached.unwrap_or(0));
            let audio = take(new(usage.input_audio, usage.cache_read_audio), sum.price(Kind::InputAudio));
            let image = take(new(usage.input_image, usage.cache_read_image), sum.price(Kind::InputImage));
            let plain: Vec<_> = core::iter::once((left, input_price)).chain(audio).chain(image).collect();
            cost.input = sum.part(&plain);
            if usage.cache_read.is_some() {
                cost.cache_read = sum.part(&read.into_iter().collect::<Vec<_>>());
            }
            if usage.cache_write.is_some() {
                cost.cache_write = sum.part(&long.into_iter().chain(short).collect::<Vec<_>>());
            }
        }
        None => sum.missing = true,
    }
    match usage.output {
        Some(output) => {
            let mut left = output;
            let mut take = |count: u64, price: Option<u128>| match price {
                Some(price) if count > 0 && count <= left => {
                    left = left.saturating_sub(count);
                    Some((count, Some(price)))
                }
                _ => None,
            };
            let reasoning = take(usage.reasoning.unwrap_or(0), sum.price(Kind::Reasoning));
            let audio = take(usage.output_audio.unwrap_or(0), sum.price(Kind::OutputAudio));
            let image = take(usage.output_image.unwrap_or(0), sum.price(Kind::OutputImage));
            let output_price = sum.price(Kind::Output);
            let all: Vec<_> =
                core::iter::once((left, output_price)).chain(reasoning).chain(audio).chain(image).collect();
            cost.output = sum.part(&all);
        }
        None => sum.missing = true,
    }
    let searches = usage.web_searches.unwrap_or(0);
    let request = sum.price(Kind::Request).map(|price| (1, Some(price)));
    let search = (searches > 0).then(|| (searches, sum.price(Kind::WebSearch)));
    let other: Vec<_> = search.into_iter().chain(request).collect();
    if !other.is_empty() {
        cost.other = sum.part(&other);
    }
    cost
}
