//! What weights turn out to be in tokens: a curve through what was reported, one point for each power of two.

/// Points of a curve: weights of one token, two, four, … up to 2^17 and more.
pub(super) const POINTS: usize = 18;

/// Largest weight and largest count that are looked at, in parts of a token: a thousand million tokens.
const MOST: u64 = 1 << 40;

/// Least and most that a sample is believed to be: an eighth of its weight, eight times that and what a provider may add of its own.
/// Anthropic's prompt for tools is below a thousand tokens.
const ADDED: u64 = 2_048 * super::PARTS;

/// From how many samples on the mean forgets: the newest counts for a quarter.
const MEMORY: u64 = 4;

/// Samples of about the same weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    /// Their mean weight.
    pub(super) weight: u64,
    /// What they were reported as, in parts of a token.
    pub(super) truth: u64,
    /// How many there were; stops at [`MEMORY`].
    pub(super) samples: u8,
}

/// Learned from samples; where there are none the prior holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Curve(pub(super) [Point; POINTS]);

impl Curve {
    /// What a weight is likely to be, in parts of a token.
    ///
    /// Straight lines from nothing through the points; past the last one a weight is worth what the prior says. Never less for more.
    #[inline]
    pub(super) fn at(&self, weight: u64) -> u64 {
        let mut from = Point::default();
        for point in self.0.iter().filter(|point| point.samples > 0) {
            let to = Point { truth: point.truth.max(from.truth), ..*point };
            if weight <= to.weight {
                let part = u128::from(to.truth.saturating_sub(from.truth))
                    * u128::from(weight.saturating_sub(from.weight))
                    / u128::from(to.weight.saturating_sub(from.weight).max(1));
                return from.truth.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
            }
            from = to;
        }
        from.truth.saturating_add(weight.saturating_sub(from.weight))
    }

    /// Takes a sample: that weight was reported as so many parts of a token.
    ///
    /// One that is far from what is known moves the curve by a bounded step, so that a stray one does no harm and a lasting change is
    /// followed.
    pub(super) fn learn(&mut self, weight: u64, truth: u64) {
        let weight = weight.clamp(1, MOST);
        let place = (weight / super::PARTS).checked_ilog2().and_then(|power| usize::try_from(power).ok()).unwrap_or(0);
        let Some(point) = self.0.get_mut(place.min(POINTS - 1)) else { return };
        let mut truth = truth.min(MOST).clamp(weight / 8, weight.saturating_mul(8).saturating_add(ADDED));
        if point.samples > 0 {
            let known = u128::from(point.truth) * u128::from(weight) / u128::from(point.weight.max(1));
            let known = u64::try_from(known).unwrap_or(MOST).min(MOST);
            truth = truth.clamp(known / 3 * 2, known.saturating_add(known / 2).max(super::PARTS));
        }
        let samples = u64::from(point.samples).saturating_add(1).min(MEMORY);
        let mean = |old: u64, new: u64| {
            (old.saturating_mul(samples.saturating_sub(1)).saturating_add(new)).checked_div(samples).unwrap_or(new)
        };
        *point = Point {
            weight: mean(point.weight, weight),
            truth: mean(point.truth, truth),
            samples: u8::try_from(samples).unwrap_or(u8::MAX),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::estimate::PARTS;

    fn learned(samples: &[(u64, u64)]) -> Curve {
        let mut curve = Curve::default();
        for (weight, truth) in samples {
            curve.learn(weight * PARTS, truth * PARTS);
        }
        curve
    }

    #[test]
    fn ok_what_is_added_to_each_request_is_no_factor() {
        let curve = learned(&[(20, 370); 4]);
        assert_eq!(curve.at(20 * PARTS), 370 * PARTS);
        assert_eq!(curve.at(5_000 * PARTS), 5_350 * PARTS);
        let curve = learned(&[(20, 370), (5_000, 6_350)].repeat(4));
        assert_eq!(curve.at(5_000 * PARTS), 6_350 * PARTS);
        assert_eq!(curve.at(2_510 * PARTS), 3_360 * PARTS);
    }

    #[test]
    fn ok_a_stray_sample_does_little_and_a_lasting_change_is_followed() {
        let mut curve = learned(&[(100, 120); 8]);
        curve.learn(100 * PARTS, 1_000_000 * PARTS);
        assert!(curve.at(100 * PARTS) <= 136 * PARTS, "{curve:?}");
        for _ in 0..24 {
            curve.learn(100 * PARTS, 400 * PARTS);
        }
        assert!(curve.at(100 * PARTS) > 390 * PARTS, "{curve:?}");
    }

    proptest! {
        #[test]
        fn ok_more_text_is_never_fewer_tokens_and_nothing_wraps(
            samples in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..60),
            small in proptest::collection::vec((0_u64..4_000_000, 0_u64..9_000_000), 0..60),
            a in any::<u64>(),
            b in 0_u64..9_000_000,
        ) {
            let mut curve = Curve::default();
            for (weight, truth) in samples.iter().chain(&small) {
                curve.learn(*weight, *truth);
            }
            for pair in [[a, b], [b, b + 1], [b / 2, b], [a, a.saturating_add(1)]] {
                let [less, more] = [pair[0].min(pair[1]), pair[0].max(pair[1])];
                prop_assert!(curve.at(less) <= curve.at(more), "{less} {more} {curve:?}");
            }
            prop_assert_eq!(curve.at(0), 0);
        }

        #[test]
        fn ok_a_point_stays_in_its_octave(samples in proptest::collection::vec((1_000_u64..2_000, any::<u64>()), 1..40)) {
            let mut curve = Curve::default();
            for (weight, truth) in samples {
                curve.learn(weight, truth);
            }
            let point = curve.0[0];
            prop_assert!((1_000..2_000).contains(&point.weight) && point.truth > 0, "{point:?}");
        }
    }
}
