//! `ratelimit-policy` and `ratelimit` (IETF draft-ietf-httpapi-ratelimit-headers).

use super::LimitState;
use crate::time::Timestamp;

/// Their values for the tightest limit: the one that has the least of its amount left. Limits that only report do not count.
#[must_use]
#[inline(never)]
pub fn ratelimit(states: &[LimitState], now: Timestamp) -> Option<(String, String)> {
    let left = |state: &LimitState| u64::try_from(state.remaining).unwrap_or(0);
    let counted = states.iter().filter(|state| state.decision == "admitted" && state.would_reject.is_none());
    let state = counted.min_by(|a, b| {
        // The smaller of two fractions, without dividing.
        let a_left = u128::from(left(a)) * u128::from(b.amount);
        a_left.cmp(&(u128::from(left(b)) * u128::from(a.amount)))
    })?;
    let id = &state.id;
    let show = |number: u64| state.unit.show(i64::try_from(number).unwrap_or(i64::MAX));
    let window = state.window_secs.map(|secs| format!(";w={secs}")).unwrap_or_default();
    let resets = state.reset_at.saturating_sub(now.secs());
    Some((format!("\"{id}\";q={}{window}", show(state.amount)), format!("\"{id}\";r={};t={resets}", show(left(state)))))
}
