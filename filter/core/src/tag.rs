//! What an exchange is tagged with: metric series, filter state, response headers.

use std::rc::Rc;

use hashbrown::HashMap;

use crate::{metric::Series, price::PicoUsd};

/// Which response headers are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseHeaders {
    /// Only `x-meterr-id`.
    Off,
    /// Also `ratelimit` and `ratelimit-policy`.
    Limits,
    /// Also usage, on non-stream replies, which are held until counted.
    Usage,
}

/// How exchanges are tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    /// Which response headers are added.
    pub response_headers: ResponseHeaders,
    /// Whether metrics carry the tenant.
    pub metric_tenant: bool,
    /// Most distinct series of tenant and model.
    pub max_series: usize,
}

/// The series that exist. Envoy never frees a metric, so past the bound new tenants and models share `other`.
#[derive(Debug)]
pub struct SeriesTable {
    tags: Tags,
    /// Each with the part of its cost that is too small for the counter of micro-dollars so far.
    seen: HashMap<Series, PicoUsd>,
}

const PICOS_PER_MICRO: u128 = 1_000_000;

const OTHER: &str = "other";

impl SeriesTable {
    /// An empty table under these bounds.
    #[must_use]
    pub fn new(tags: &Tags) -> Self {
        Self { tags: *tags, seen: HashMap::new() }
    }

    /// The series of an exchange. `model` is one that the price table or the configuration knows, else `None`.
    pub fn series(&mut self, provider: &str, model: Option<&str>, tenant: &str) -> Series {
        let series = Series {
            provider: Rc::from(provider),
            model: Rc::from(model.unwrap_or(OTHER)),
            tenant: Rc::from(if self.tags.metric_tenant { tenant } else { "" }),
        };
        if let Some((known, _)) = self.seen.get_key_value(&series) {
            return known.clone();
        }
        if self.seen.len() < self.tags.max_series {
            self.seen.insert(series.clone(), PicoUsd::default());
            return series;
        }
        Series {
            provider: series.provider,
            model: Rc::from(OTHER),
            tenant: Rc::from(if self.tags.metric_tenant { OTHER } else { "" }),
        }
    }

    /// The whole micro-dollars to add to the counter of a series. What is left is carried on, so that a thousand exchanges of a third of a
    /// micro-dollar are counted.
    pub fn micros(&mut self, series: &Series, cost: PicoUsd) -> u64 {
        let carried = self.seen.entry(series.clone()).or_default();
        let sum = carried.0.saturating_add(cost.0);
        *carried = PicoUsd(sum % PICOS_PER_MICRO);
        u64::try_from(sum / PICOS_PER_MICRO).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(max_series: usize) -> SeriesTable {
        SeriesTable::new(&Tags { response_headers: ResponseHeaders::Off, metric_tenant: true, max_series })
    }

    #[test]
    fn ok_past_the_bound_tenants_share_other() {
        let mut table = table(2);
        assert_eq!(&*table.series("openai", Some("gpt-4o"), "a").tenant, "a");
        assert_eq!(&*table.series("openai", Some("gpt-4o"), "b").tenant, "b");
        let third = table.series("openai", Some("gpt-4o"), "c");
        assert_eq!((&*third.provider, &*third.model, &*third.tenant), ("openai", "other", "other"));
        assert_eq!(&*table.series("openai", Some("gpt-4o"), "a").tenant, "a", "known series stay");
    }

    #[test]
    fn ok_cents_are_not_lost_in_rounding() {
        let mut table = table(2);
        let (a, b) = (table.series("openai", None, "a"), table.series("openai", None, "b"));
        let sum: u64 = (0..1_000).map(|_| table.micros(&a, PicoUsd(333_333))).sum();
        assert_eq!((sum, table.micros(&a, PicoUsd(667_000)), table.micros(&b, PicoUsd(999_999))), (333, 1, 0));
    }
}
