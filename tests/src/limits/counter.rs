//! One counter in the plainest terms: what each exchange holds, and what was settled in which window. Written from the README.

use std::collections::{BTreeMap, BTreeSet};

use meterr_core::{
    limit::spec::{LimitSpec, Window},
    time::Timestamp,
};

/// Seconds of an epoch: a hold lives for its own and the next, unless it is renewed.
const EPOCH: u64 = 900;
const SECOND: u128 = 1_000_000_000;

/// What one exchange has taken.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// First second of its window.
    start: u64,
    amount: u64,
    epoch: u64,
    /// Too old, while its window went on.
    is_expired: bool,
    /// When it was taken, in nanoseconds.
    at: u64,
    /// The level of the bucket with it.
    level: u128,
}

/// A counter of one limit and one descriptor.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    start: u64,
    end: u64,
    epoch: u64,
    holds: BTreeMap<u64, Hold>,
    /// By the first second of their window.
    settled: BTreeMap<u64, u64>,
    /// Of a bucket: what is in it, in units × 1e9; as of `at`; and the last moment at which it was known to be empty.
    level: u128,
    at: u64,
    empty: u64,
    told: BTreeSet<usize>,
    /// Something was counted that no hold had bounded.
    pub is_loose: bool,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Amount less what is counted.
    pub remaining: i64,
    /// The highest part that was passed by it and had not been told, in millionths.
    pub told: Option<u64>,
    /// All parts that it passed first.
    bits: Vec<usize>,
}

impl Counter {
    /// Brings it to an instant. A clock that goes back changes nothing.
    pub fn touch(&mut self, window: Window, now: Timestamp) {
        if let Window::Bucket { per_sec } = window {
            let leak = u128::from(now.0.saturating_sub(self.at)) * u128::from(per_sec);
            self.at = self.at.max(now.0);
            self.level = self.level.saturating_sub(leak);
            if self.level == 0 {
                self.empty = self.empty.max(now.0);
                self.told.clear();
            }
            return;
        }
        let edge = match window {
            Window::Fixed(calendar) => calendar.window(now),
            Window::Sliding { secs } => (now.secs() / secs * secs, now.secs() / secs * secs + secs),
            Window::Bucket { .. } | Window::Open => (0, u64::MAX),
        };
        let epoch = self.epoch.max(now.secs() / EPOCH);
        let is_over = now.secs() >= self.end && self.end < u64::MAX;
        // Only in its own window does a hold grow old; that a fixed window is over ends it anyway.
        let current = self.start;
        for hold in self.holds.values_mut().filter(|hold| hold.start == current) {
            hold.is_expired |= hold.epoch + 2 <= epoch;
        }
        self.epoch = epoch;
        if is_over {
            (self.start, self.end) = edge;
            self.told.clear();
        }
        if window == Window::Open && self.counted(self.start) == 0 {
            self.told.clear();
        }
    }

    fn counted(&self, start: u64) -> u64 {
        let holds = self.holds.values().filter(|hold| hold.start == start && !hold.is_expired);
        self.settled.get(&start).copied().unwrap_or(0) + holds.map(|hold| hold.amount).sum::<u64>()
    }

    /// What of the window before still counts, rounded up.
    fn weight(&self, window: Window, now: Timestamp) -> u64 {
        let Window::Sliding { secs } = window else { return 0 };
        let Some(before) = self.start.checked_sub(secs) else { return 0 };
        let left = (self.end * 1_000).saturating_sub(now.millis()).min(secs * 1_000);
        let weight = (u128::from(self.counted(before)) * u128::from(left)).div_ceil(u128::from(secs) * 1_000);
        u64::try_from(weight).expect("amounts are small here")
    }

    /// All that counts now. To be asked of a counter that was brought to that instant.
    #[must_use]
    pub fn used(&self, window: Window, now: Timestamp) -> u64 {
        match window {
            Window::Bucket { .. } => u64::try_from(self.level.div_ceil(SECOND)).expect("amounts are small here"),
            _ => self.counted(self.start) + self.weight(window, now),
        }
    }

    fn change(&mut self, spec: &LimitSpec, amount: u64, now: Timestamp) -> Change {
        let used = self.used(spec.window, now);
        let certain = match spec.window {
            Window::Bucket { .. } | Window::Open => used,
            _ => self.settled.get(&self.start).copied().unwrap_or(0) + self.weight(spec.window, now),
        };
        let passed = |part: u64| u128::from(certain) * 1_000_000 >= u128::from(part) * u128::from(amount);
        let parts = spec.notify_at.iter().enumerate();
        let bits: Vec<usize> =
            parts.filter(|(at, part)| passed(**part) && !self.told.contains(at)).map(|(at, _)| at).collect();
        self.told.extend(&bits);
        let told = bits.last().and_then(|at| spec.notify_at.get(*at)).copied();
        if spec.window == Window::Open && used == 0 {
            self.told.clear();
        }
        Change { remaining: i64::try_from(amount).expect("small") - i64::try_from(used).expect("small"), told, bits }
    }

    /// An exchange takes a hold, or is charged at once.
    pub fn take(&mut self, id: u64, spec: &LimitSpec, amount: u64, hold: u64, charge: u64, now: Timestamp) -> Change {
        self.touch(spec.window, now);
        let at = now.0.max(self.at);
        self.level += u128::from(hold + charge) * SECOND;
        *self.settled.entry(self.start).or_default() += charge;
        let level = self.level;
        self.holds
            .insert(id, Hold { start: self.start, amount: hold, epoch: self.epoch, is_expired: false, at, level });
        self.change(spec, amount, now)
    }

    /// It settles: the truth takes the place of the hold, in the window that it was taken from; if that is over, only what was not held is
    /// counted, now.
    pub fn settle(&mut self, id: u64, spec: &LimitSpec, amount: u64, truth: u64, now: Timestamp) -> Change {
        self.touch(spec.window, now);
        let hold = self.holds.remove(&id).expect("it was taken");
        let excess = truth.saturating_sub(hold.amount);
        self.is_loose |= excess > 0 || hold.is_expired;
        match spec.window {
            Window::Open => {}
            Window::Bucket { per_sec } => {
                self.level += u128::from(excess) * SECOND;
                // What has leaked away since is nobody's any more: what was in it first leaks first.
                if self.empty <= hold.at {
                    let leaked = u128::from(self.at - hold.at) * u128::from(per_sec);
                    let left = hold.level.saturating_sub(leaked).div_ceil(SECOND);
                    let refund = u128::from(hold.amount.saturating_sub(truth)).min(left) * SECOND;
                    // The level is told in whole units: a part of one is not given back.
                    self.level = self.level.saturating_sub(refund);
                }
            }
            Window::Sliding { secs } if hold.start + secs == self.start => {
                *self.settled.entry(hold.start).or_default() += truth;
            }
            _ if hold.start == self.start => *self.settled.entry(self.start).or_default() += truth,
            _ => *self.settled.entry(self.start).or_default() += excess,
        }
        self.change(spec, amount, now)
    }

    /// A refused request gives back what it had taken, in the same instant.
    pub fn undo(&mut self, id: u64, spec: &LimitSpec, hold: u64, charge: u64, change: &Change, now: Timestamp) {
        self.touch(spec.window, now);
        self.holds.remove(&id);
        for bit in &change.bits {
            self.told.remove(bit);
        }
        self.level = self.level.saturating_sub(u128::from(hold + charge) * SECOND);
        if let Some(settled) = self.settled.get_mut(&self.start) {
            *settled -= charge;
        }
        if spec.window == Window::Open && self.counted(self.start) == 0 {
            self.told.clear();
        }
    }

    /// It is still open.
    pub fn renew(&mut self, id: u64, spec: &LimitSpec, now: Timestamp) {
        self.touch(spec.window, now);
        let (start, epoch) = (self.start, self.epoch);
        if let Some(hold) = self.holds.get_mut(&id).filter(|hold| hold.start == start) {
            // What was not there for a while bounded nothing.
            self.is_loose |= hold.is_expired;
            (hold.epoch, hold.is_expired) = (epoch, false);
        }
    }
}
