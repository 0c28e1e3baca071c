//! Sums of products, exactly: 256 bits, in units of 1e-36 / 3600 USD.
//!
//! A price has up to 24 decimals, a factor has six and a discount six more; a price for an hour is divided by 3600. In that unit all of
//! them are whole numbers, so that a part is rounded once, at its end.

use super::PicoUsd;

/// Seconds of an hour.
const HOUR: u64 = 3_600;
/// One, in millionths.
pub(super) const ONE: u32 = 1_000_000;

/// A non-negative sum of money, exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exact([u64; 4]);

/// What a price is for: one of something, or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    /// One; the price is in units of 1e-24 USD.
    One,
    /// An hour; the price is in units of 1e-12 USD, the count in units of 1e-12 seconds.
    Hour,
}

impl Exact {
    /// Price × count × two factors in millionths. `None` if that is beyond all money.
    pub(super) fn product(price: u128, per: Per, count: u64, factor: u32, discount: u32) -> Option<Self> {
        let [low, high] = halves(price);
        let product = Self([low, high, 0, 0]).times(count)?.times(u64::from(factor))?.times(u64::from(discount))?;
        match per {
            Per::One => product.times(HOUR),
            Per::Hour => Some(product),
        }
    }

    fn times(self, by: u64) -> Option<Self> {
        let mut carry = 0_u128;
        let limbs = self.0.map(|limb| {
            // At most (2^64 - 1)^2 + 2^64 - 1.
            let [low, high] = halves(u128::from(limb) * u128::from(by) + carry);
            carry = u128::from(high);
            low
        });
        (carry == 0).then_some(Self(limbs))
    }

    /// The sum; `None` if it is beyond all money.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let mut carry = 0_u128;
        let mut limbs = self.0;
        for (limb, more) in limbs.iter_mut().zip(other.0) {
            let [low, high] = halves(u128::from(*limb) + u128::from(more) + carry);
            *limb = low;
            carry = u128::from(high);
        }
        (carry == 0).then_some(Self(limbs))
    }

    /// Quotient and remainder.
    fn divided(self, by: u64) -> (Self, u64) {
        let mut rest = 0_u64;
        let mut limbs = self.0;
        for limb in limbs.iter_mut().rev() {
            // Numbers of 128 bits are slow to divide, and the first ones are small.
            if rest == 0 {
                (*limb, rest) = (*limb / by, *limb % by);
                continue;
            }
            let number = (u128::from(rest) << 64) | u128::from(*limb);
            [*limb, _] = halves(number / u128::from(by));
            [rest, _] = halves(number % u128::from(by));
        }
        (Self(limbs), rest)
    }

    /// In units of 1e-12 USD, rounded once, half to even. `None` if it is beyond all money.
    pub(super) fn rounded(self) -> Option<PicoUsd> {
        // 1e-36 / 3600 to 1e-12, in two steps that keep what is left over.
        const FIRST: u64 = 1_000_000_000_000 * HOUR;
        const SECOND: u64 = 1_000_000_000_000;
        let unit = u128::from(FIRST) * u128::from(SECOND);
        let (whole, small) = self.divided(FIRST);
        let (whole, large) = whole.divided(SECOND);
        let rest = u128::from(large) * u128::from(FIRST) + u128::from(small);
        let [first, second, third, fourth] = whole.0;
        let whole = (third == 0 && fourth == 0).then_some((u128::from(second) << 64) | u128::from(first))?;
        let up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
        Some(PicoUsd(whole.checked_add(u128::from(up))?))
    }
}

/// Low and high half.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ok_rounded_half_to_even() {
        // Prices of 1e-24 USD: so many of them make 1e-12 USD.
        const PICO: u64 = 1_000_000_000_000;
        let usd = |count: u64, factor| Exact::product(1, Per::One, count, factor, ONE).and_then(Exact::rounded);
        for (count, pico) in [
            (0, 0),
            (PICO / 2, 0),
            (PICO / 2 + 1, 1),
            (PICO, 1),
            (PICO / 2 * 3 - 1, 1),
            (PICO / 2 * 3, 2),
            (PICO / 2 * 5, 2),
        ] {
            assert_eq!(usd(count, ONE), Some(PicoUsd(pico)), "{count}");
        }
        assert_eq!(usd(PICO, ONE / 2), Some(PicoUsd(0)), "half of it");
        assert_eq!(usd(PICO * 3, ONE / 2), Some(PicoUsd(2)));
    }

    #[test]
    fn ok_an_hour_is_divided_last() {
        // 0.111 USD an hour, for ten seconds: 0.00030833333…
        let price = 111_000_000_000;
        let ten = Exact::product(price, Per::Hour, 10_000_000_000_000, ONE, ONE).expect("small");
        assert_eq!(ten.rounded(), Some(PicoUsd(308_333_333)));
        let thirty = ten.plus(ten).and_then(|sum| sum.plus(ten)).expect("small");
        assert_eq!(thirty.rounded(), Some(PicoUsd(925_000_000)), "nothing was rounded before");
    }

    #[test]
    fn err_beyond_all_money() {
        assert_eq!(Exact::product(u128::MAX, Per::One, u64::MAX, u32::MAX, u32::MAX), None);
        let most = Exact([u64::MAX; 4]);
        assert_eq!((most.plus(most), most.rounded()), (None, None));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_integers(a in 0_u64..=u64::MAX, b in 0_u64..=u64::MAX, price in 0_u128..1 << 60) {
            let product = |count| Exact::product(price, Per::Hour, count, 1, 1).expect("small");
            let sum = product(a).plus(product(b)).expect("small");
            let expected = price * (u128::from(a) + u128::from(b));
            let [first, second, third, fourth] = sum.0;
            prop_assert_eq!((u128::from(second) << 64) | u128::from(first), expected);
            prop_assert_eq!((third, fourth), (0, 0));
        }
    }
}
