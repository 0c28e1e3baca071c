//! What usage costs: exact decimals, integer arithmetic.

use core::fmt;
use std::borrow::Cow;

mod calc;
mod catalog;
mod exact;
mod kind;
mod reported;
mod table;
mod terms;
#[cfg(test)]
mod tests;

pub use calc::{Details, Query, known_model, price};
pub use catalog::Recent;

/// An amount of money in units of 1e-12 USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PicoUsd(pub u128);

impl PicoUsd {
    /// Reads a plain decimal; what is beyond 1e-12 is rounded half to even.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digit = |at: usize| fraction.as_bytes().get(at).copied().unwrap_or(b'0');
        let mut pico: u128 = whole.parse().ok()?;
        for at in 0..12 {
            let digit = u128::from(digit(at).checked_sub(b'0').filter(|digit| *digit < 10)?);
            pico = pico.checked_mul(10)?.checked_add(digit)?;
        }
        let rest = fraction.as_bytes().get(12..).unwrap_or_default();
        let is_more = rest.get(1..).is_some_and(|rest| rest.iter().any(|digit| *digit != b'0'));
        let rounds_up = match rest.first() {
            Some(b'5') => is_more || pico % 2 == 1,
            Some(b'6'..=b'9') => true,
            _ => false,
        };
        Some(Self(pico.checked_add(u128::from(rounds_up))?))
    }

    /// Whole micro-dollars, rounded half up.
    #[must_use]
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.saturating_add(500_000) / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// A plain decimal in USD without exponent or trailing zeros.
impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONE_USD: u64 = 1_000_000_000_000;
        // Numbers of 128 bits are slow, and nearly no amount is one.
        let (whole, mut rest) = match u64::try_from(self.0) {
            Ok(small) => (u128::from(small / ONE_USD), small % ONE_USD),
            Err(_) => (self.0 / u128::from(ONE_USD), u64::try_from(self.0 % u128::from(ONE_USD)).unwrap_or(0)),
        };
        let mut fraction = [b'0'; 12];
        for digit in fraction.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let fraction = core::str::from_utf8(&fraction).unwrap_or_default().trim_end_matches('0');
        let mut digits = itoa::Buffer::new();
        f.write_str(match u64::try_from(whole) {
            Ok(whole) => digits.format(whole),
            Err(_) => digits.format(whole),
        })?;
        if fraction.is_empty() {
            return Ok(());
        }
        f.write_str(".")?;
        f.write_str(fraction)
    }
}

/// Whether a cost is known. The names are the event's `cost_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostStatus {
    /// Every part was priced.
    Priced,
    /// Some part was not.
    Partial,
    /// No price is known, or no usage.
    #[default]
    Unpriced,
    /// The operation costs nothing.
    Free,
}

impl CostStatus {
    /// The word in events.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Priced => "priced",
            Self::Partial => "partial",
            Self::Unpriced => "unpriced",
            Self::Free => "free",
        }
    }
}

/// What one exchange cost. Parts are present when priced; the total is their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Sum of the parts.
    pub total: Option<PicoUsd>,
    /// Uncached input.
    pub input: Option<PicoUsd>,
    /// Output.
    pub output: Option<PicoUsd>,
    /// Cache reads.
    pub cache_read: Option<PicoUsd>,
    /// Cache writes.
    pub cache_write: Option<PicoUsd>,
    /// Everything else: searches, requests, time and pages, sub-inferences, what the provider says beyond the table.
    pub other: Option<PicoUsd>,
    /// How surely.
    pub status: CostStatus,
    /// `table`, `override` or `provider`.
    pub source: Option<&'static str>,
    /// The provider's own statement, a plain decimal.
    pub reported: Option<String>,
    /// The model whose price was taken.
    pub priced_model: Option<Cow<'static, str>>,
    /// Which table, and its date.
    pub price_version: Option<Cow<'static, str>>,
    /// The provider says another cost than the table: by more than 1 % and a micro-dollar.
    pub is_mismatch: bool,
}

/// An operator's own price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceOverride {
    /// Provider id.
    pub provider: String,
    /// Glob over the model name.
    pub model: String,
    /// The price up to the first tier.
    pub prices: TokenPrices,
    /// Further prices, in ascending order.
    pub tiers: Vec<PriceTier>,
    /// Which tokens a tier's price is for.
    pub tier_kind: TierKind,
}

/// Prices of one token, each in units of 1e-24 USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPrices {
    /// Input.
    pub input: Option<u128>,
    /// Output.
    pub output: Option<u128>,
    /// Cache reads; input's price where absent.
    pub cache_read: Option<u128>,
    /// Cache writes; input's price where absent.
    pub cache_write: Option<u128>,
}

/// Prices past a number of tokens; what has none here keeps the one below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceTier {
    /// The number of tokens.
    pub above: u64,
    /// The prices.
    pub prices: TokenPrices,
}

/// Which tokens a tier's price is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TierKind {
    /// All of a call, if its input is larger than the threshold: what providers do.
    #[default]
    Cliff,
    /// Those beyond the threshold, of each class by itself.
    Graduated,
}

/// A factor on all table prices of one provider, exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discount {
    /// Provider id.
    pub provider: String,
    /// The factor in units of 1e-6, 0 to 1,000,000.
    pub factor_millionths: u32,
}

/// What the operator says about prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustments {
    /// The first match wins over the table.
    pub overrides: Vec<PriceOverride>,
    /// Factors on table prices.
    pub discounts: Vec<Discount>,
    /// What of the table was asked for last.
    pub recent: Recent,
}
