//! What the collector's answer means, and how long to wait after a failure.

use super::spec::Sink;
use crate::{
    delay::{Bare, MAX_SPAN_MS, wait_ms},
    random::Random,
    time::Timestamp,
};

/// What an answer means for a batch. It holds for every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken.
    Delivered,
    /// Will never be taken as it is.
    Condemned,
    /// To be sent again.
    Retry,
}

impl Answer {
    /// By status; nobody answered where it is absent.
    pub(super) const fn of(status: Option<u32>) -> Self {
        match status {
            Some(200..=299) => Self::Delivered,
            Some(400 | 409 | 413 | 422) => Self::Condemned,
            _ => Self::Retry,
        }
    }

    /// The word in metrics.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Condemned => "condemned",
            Self::Retry => "retry",
        }
    }
}

/// Consecutive failures after which only one batch at a time probes the collector.
const BREAKER: u32 = 3;

/// Exponential backoff with full jitter.
#[derive(Debug)]
pub(super) struct Backoff {
    base_ms: u64,
    max_ms: u64,
    failures: u32,
    not_before: Timestamp,
}

impl Backoff {
    pub(super) const fn new(sink: &Sink) -> Self {
        Self { base_ms: sink.retry_base_ms, max_ms: sink.retry_max_ms, failures: 0, not_before: Timestamp(0) }
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Timestamp(0);
    }

    /// A random wait from nothing to a bound that doubles, but not less than the collector asks for.
    pub(super) fn failed(&mut self, retry_after_ms: Option<u64>, random: &mut Random, now: Timestamp) {
        let doubled = self.base_ms.saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX));
        let bound = doubled.min(self.max_ms);
        self.failures = self.failures.saturating_add(1);
        let wait = random.up_to(bound).max(retry_after_ms.unwrap_or(0));
        self.not_before = self.not_before.max(now.plus_millis(wait));
    }

    /// How many batches may be under way, given how many are.
    pub(super) fn allows(&self, in_flight: usize, now: Timestamp) -> bool {
        let most = if self.failures >= BREAKER { 1 } else { MAX_IN_FLIGHT };
        now >= self.not_before && in_flight < most
    }

    /// Milliseconds until the next attempt.
    pub(super) const fn wait_ms(&self, now: Timestamp) -> u64 {
        // A clock that was set back must not stop delivery.
        self.not_before.0.saturating_sub(now.0).div_ceil(1_000_000)
    }

    /// A clock that went back by hours leaves a date far away: no wait is longer than was ever asked for.
    pub(super) const fn cap(&mut self, now: Timestamp) {
        let most = if self.max_ms > MAX_RETRY_AFTER_MS { self.max_ms } else { MAX_RETRY_AFTER_MS };
        if self.wait_ms(now) > most {
            self.not_before = now;
        }
    }
}

/// Most batches under way from one root context.
pub(super) const MAX_IN_FLIGHT: usize = 4;

/// Longest `Retry-After` that is obeyed, in milliseconds.
const MAX_RETRY_AFTER_MS: u64 = MAX_SPAN_MS;

/// A `Retry-After` header in milliseconds: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after_ms(value: &str, now: Timestamp) -> Option<u64> {
    Some(wait_ms(value.as_bytes(), Bare::Seconds, now)?.min(MAX_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_retry_after_in_both_forms() {
        let now = Timestamp::from_secs(784_111_777);
        assert_eq!(retry_after_ms("7", now), Some(7_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(60_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(0));
        for text in ["soon", "-1", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", ""] {
            assert_eq!(retry_after_ms(text, now), None, "{text}");
        }
    }

    #[test]
    fn ok_answers() {
        for (status, answer) in
            [(204, Answer::Delivered), (413, Answer::Condemned), (401, Answer::Retry), (503, Answer::Retry)]
        {
            assert_eq!(Answer::of(Some(status)), answer);
        }
        assert_eq!(Answer::of(None), Answer::Retry);
    }
}
