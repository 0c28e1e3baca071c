//! What one limit knows of one descriptor, and the arithmetic of its window.

use super::spec::Window;
use crate::time::Timestamp;

/// Seconds of a hold epoch. A hold lives for the epoch that it was taken in and the one after, 15 to 30 minutes, so that a VM that died cannot
/// block a tenant for long. What is open for longer is renewed in each epoch.
pub const EPOCH_SECS: u64 = 900;
/// Nanoseconds of a second.
const SECOND: u128 = 1_000_000_000;
/// Milliseconds after which a client without a slot may ask again: nobody knows when one is given back.
const SLOT_WAIT_MS: u64 = 1_000;

/// A counter. What its numbers mean is up to the kind of window, which is part of the limit's tag: a limit whose window is configured
/// anew begins with a new cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// The limit's name and window.
    pub(super) tag: u64,
    /// First second of the window. Of a bucket: until when it has leaked, in nanoseconds.
    pub(super) start: u64,
    /// First second after the window. Of a bucket: the latest time that it was told, in nanoseconds.
    pub(super) end: u64,
    /// From this second on nothing in it matters.
    pub(super) until: u64,
    /// Counted for good. Of a bucket: its level, holds included.
    pub(super) settled: u64,
    /// Of a sliding window: all that the window before counted. Of a bucket: when it was last empty, in nanoseconds.
    pub(super) before: u64,
    /// Which epoch `held` belongs to.
    pub(super) epoch: u64,
    /// Holds of that epoch.
    pub(super) held: u64,
    /// Holds of the epoch before.
    pub(super) held_before: u64,
    /// A bit for each part of the amount whose passing has been told in this window.
    pub(super) notified: u64,
}

/// When and in which window something was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    start: u64,
    end: u64,
    epoch: u64,
    at: u64,
    /// Of a bucket: when all that was in it then, and this, has leaked away, in nanoseconds.
    gone: u64,
}

impl Cell {
    /// Brings the cell to this instant: a window that is over starts from zero, and holds that are too old are let go. A clock that
    /// goes backwards changes nothing, so that it never mints quota.
    pub(super) fn roll(&mut self, window: Window, now: Timestamp) {
        match window {
            Window::Bucket { per_sec } => return self.leak(per_sec, now),
            Window::Fixed(calendar) if now.secs() >= self.end => self.begin(calendar.window(now), 0),
            Window::Sliding { secs } if now.secs() >= self.end => {
                self.age(now);
                let follows = self.end > 0 && now.secs() < self.end.saturating_add(secs);
                let before = if follows { self.counted() } else { 0 };
                let start = now.secs() - now.secs().checked_rem(secs).unwrap_or(0);
                self.begin((start, start.saturating_add(secs.max(1))), before);
            }
            Window::Fixed(_) | Window::Sliding { .. } | Window::Open => {}
        }
        self.age(now);
        self.forget_told_slots(window);
    }

    fn begin(&mut self, (start, end): (u64, u64), before: u64) {
        *self = Self { tag: self.tag, start, end, before, epoch: self.epoch, ..Self::default() };
    }

    const fn age(&mut self, now: Timestamp) {
        let epoch = now.secs() / EPOCH_SECS;
        if epoch > self.epoch {
            self.held_before = if epoch == self.epoch + 1 { self.held } else { 0 };
            self.held = 0;
            self.epoch = epoch;
        }
    }

    fn leak(&mut self, per_sec: u64, now: Timestamp) {
        let elapsed = now.0.saturating_sub(self.start);
        self.end = self.end.max(now.0);
        let leaked = narrow(u128::from(elapsed) * u128::from(per_sec) / SECOND);
        if leaked >= self.settled {
            self.settled = 0;
            self.notified = 0;
            self.start = self.start.max(self.end);
            self.before = self.before.max(now.0);
        } else {
            // Time is used up only for whole units, and rather a nanosecond too much.
            self.settled -= leaked;
            self.start = self.start.saturating_add(nanos_for(leaked, per_sec)).min(self.start.max(now.0));
        }
    }

    /// Settled and held.
    const fn counted(&self) -> u64 {
        self.settled.saturating_add(self.held).saturating_add(self.held_before)
    }

    /// What the window before still weighs, rounded up.
    fn weight(&self, window: Window, now: Timestamp) -> u64 {
        let Window::Sliding { secs } = window else { return 0 };
        let length = u128::from(secs) * 1_000;
        let left = u128::from(self.end.saturating_mul(1_000).saturating_sub(now.millis())).min(length);
        (u128::from(self.before) * left).checked_div_ceil(length).map_or(0, narrow)
    }

    /// Settled, held and what of the past still counts.
    #[inline]
    pub(super) fn used(&self, window: Window, now: Timestamp) -> u64 {
        self.counted().saturating_add(self.weight(window, now))
    }

    /// Takes a hold and a charge.
    pub(super) fn take(&mut self, window: Window, hold: u64, charge: u64, now: Timestamp) -> Mark {
        self.settled = self.settled.saturating_add(charge);
        match window {
            Window::Bucket { .. } => self.settled = self.settled.saturating_add(hold),
            Window::Fixed(_) | Window::Sliding { .. } | Window::Open => self.held = self.held.saturating_add(hold),
        }
        self.seal(window);
        // A bucket whose time is ahead of a clock that went back takes at its own time: it was not empty since.
        let at = if matches!(window, Window::Bucket { .. }) { now.0.max(self.start) } else { now.0 };
        let gone = match window {
            Window::Bucket { per_sec } => self.start.saturating_add(nanos_for(self.settled, per_sec)),
            Window::Fixed(_) | Window::Sliding { .. } | Window::Open => 0,
        };
        Mark { start: self.start, end: self.end, epoch: self.epoch, at, gone }
    }

    /// Replaces a hold by the truth, in the window that it was taken from. If that is over, only what was not held is charged, to this one:
    /// a refund never lands in another window.
    pub(super) fn settle(&mut self, window: Window, mark: Mark, held: u64, truth: u64) {
        self.exchange(window, mark, held, truth);
        self.seal(window);
    }

    /// Moves a hold to the epoch that it is now, where its window is not over. One that was let go in the meantime is held again.
    pub(super) fn renew(&mut self, window: Window, mark: Mark, held: u64) -> Mark {
        match window {
            Window::Bucket { .. } => return mark,
            Window::Fixed(_) | Window::Sliding { .. } if mark.start != self.start => return mark,
            Window::Fixed(_) | Window::Sliding { .. } | Window::Open => {}
        }
        self.release(held, mark.epoch);
        self.held = self.held.saturating_add(held);
        self.seal(window);
        Mark { epoch: self.epoch, ..mark }
    }

    /// Gives back all that was taken. `told` are the parts whose passing by it nobody has been told of: they are still to be told.
    pub(super) fn undo(&mut self, window: Window, mark: Mark, held: u64, charged: u64, told: u64) {
        let is_same = match window {
            Window::Fixed(_) | Window::Sliding { .. } => mark.start == self.start,
            Window::Bucket { .. } => self.before <= mark.at,
            Window::Open => true,
        };
        if is_same {
            self.notified &= !told;
        }
        match window {
            Window::Bucket { .. } => self.exchange(window, mark, held.saturating_add(charged), 0),
            Window::Sliding { .. } if mark.end == self.start => {
                self.exchange(window, mark, held, 0);
                self.before = self.before.saturating_sub(charged);
            }
            Window::Fixed(_) | Window::Sliding { .. } | Window::Open => {
                self.exchange(window, mark, held, 0);
                if mark.start == self.start {
                    self.settled = self.settled.saturating_sub(charged);
                }
            }
        }
        self.seal(window);
    }

    fn exchange(&mut self, window: Window, mark: Mark, held: u64, truth: u64) {
        let excess = truth.saturating_sub(held);
        match window {
            Window::Open => self.release(held, mark.epoch),
            // Level that has leaked away since is nobody's any more.
            Window::Bucket { .. } if self.before > mark.at => self.settled = self.settled.saturating_add(excess),
            Window::Bucket { per_sec } => {
                // What was in it first leaks first. What others took since stays.
                // A nanosecond may be too much, and a unit that has begun to leak is still whole.
                let left = u128::from(mark.gone.saturating_sub(self.start).saturating_sub(1)) * u128::from(per_sec);
                let refund = held.saturating_sub(truth).min(narrow(left.div_ceil(SECOND)));
                self.settled = self.settled.saturating_add(excess).saturating_sub(refund);
            }
            Window::Fixed(_) | Window::Sliding { .. } if mark.start == self.start => {
                self.release(held, mark.epoch);
                self.settled = self.settled.saturating_add(truth);
            }
            Window::Sliding { .. } if mark.end == self.start => {
                // A hold that may have been too old when its window ended may not be in it.
                let is_in = mark.epoch.saturating_add(1) >= self.epoch;
                self.before = self.before.saturating_sub(if is_in { held } else { 0 }).saturating_add(truth);
            }
            Window::Fixed(_) | Window::Sliding { .. } => self.settled = self.settled.saturating_add(excess),
        }
    }

    /// Lets a hold go. One that is too old is gone already.
    const fn release(&mut self, amount: u64, epoch: u64) {
        if epoch == self.epoch {
            self.held = self.held.saturating_sub(amount);
        } else if epoch.saturating_add(1) == self.epoch {
            self.held_before = self.held_before.saturating_sub(amount);
        }
    }

    /// Says until when the cell matters.
    fn seal(&mut self, window: Window) {
        if matches!(window, Window::Bucket { .. }) && self.settled == 0 {
            // A bucket that a refund has emptied leaks from this instant on: time that was used up for no unit would count twice where the
            // clock goes back.
            self.start = self.start.max(self.end);
        }
        self.until = match window {
            Window::Fixed(_) => self.end,
            Window::Sliding { secs } => self.end.saturating_add(secs),
            Window::Bucket { per_sec } => {
                Timestamp(self.start.saturating_add(nanos_for(self.settled, per_sec))).secs().saturating_add(1)
            }
            Window::Open if self.counted() == 0 => 0,
            Window::Open => self.epoch.saturating_add(2).saturating_mul(EPOCH_SECS),
        };
        self.forget_told_slots(window);
    }

    /// Slots have no window: when none is taken, a new time begins.
    fn forget_told_slots(&mut self, window: Window) {
        if window == Window::Open && self.counted() == 0 {
            self.notified = 0;
        }
    }

    /// Milliseconds until `want` more fits into the amount, if nobody else takes anything and all holds stay. `want` fits when nothing else is
    /// counted.
    pub(super) fn wait_ms(&self, window: Window, want: u64, amount: u64, now: Timestamp) -> u64 {
        let want = want.max(1);
        let until = |millis: u64| millis.saturating_sub(now.millis()).max(1);
        match window {
            Window::Fixed(_) => until(self.end.saturating_mul(1_000)),
            Window::Sliding { secs } => {
                let (length, end) = (secs.saturating_mul(1_000), self.end.saturating_mul(1_000));
                // How much of the window may be left so that what it follows weighs no more than this.
                let left = |weight: u64, free: u64| {
                    let left = (u128::from(free) * u128::from(length)).checked_div(u128::from(weight));
                    left.map_or(length, |left| narrow(left).min(length))
                };
                match amount.checked_sub(self.counted().saturating_add(want)) {
                    Some(free) => until(end.saturating_sub(left(self.before, free))),
                    None => {
                        let free = amount.saturating_sub(want);
                        until(end.saturating_add(length).saturating_sub(left(self.counted(), free)))
                    }
                }
            }
            Window::Bucket { per_sec } => {
                let excess = self.settled.saturating_add(want).saturating_sub(amount);
                let ready = self.start.saturating_add(nanos_for(excess, per_sec));
                ready.saturating_sub(now.0).div_ceil(1_000_000).max(1)
            }
            Window::Open => SLOT_WAIT_MS,
        }
    }

    /// The second by which all that is counted now is forgotten, holds apart.
    pub(super) fn reset_at(&self, window: Window, now: Timestamp) -> u64 {
        match window {
            Window::Fixed(_) => self.end,
            Window::Sliding { secs } if self.counted() > 0 => self.end.saturating_add(secs),
            Window::Sliding { .. } => self.end,
            Window::Bucket { per_sec } => {
                let empty = self.start.saturating_add(nanos_for(self.settled, per_sec)).max(now.0);
                Timestamp(empty.saturating_add(999_999_999)).secs()
            }
            Window::Open => now.secs().saturating_add(1),
        }
    }

    /// The highest part of the amount, in millionths, that is passed and has not been told in this window; it counts as told from now on.
    pub(super) fn newly_passed(
        &mut self,
        window: Window,
        amount: u64,
        parts: &[u64],
        now: Timestamp,
    ) -> Option<(u64, u64)> {
        let level = match window {
            Window::Open => self.counted(),
            _ => self.settled.saturating_add(self.weight(window, now)),
        };
        let mut highest = None;
        for (nth, part) in parts.iter().enumerate().take(64) {
            let bit = 1_u64 << nth;
            let is_passed = u128::from(level) * 1_000_000 >= u128::from(*part) * u128::from(amount);
            if is_passed && self.notified & bit == 0 {
                self.notified |= bit;
                highest = Some((*part, level));
            }
        }
        highest
    }
}

/// Nanoseconds in which so many units leak, rounded up.
fn nanos_for(units: u64, per_sec: u64) -> u64 {
    (u128::from(units) * SECOND).checked_div_ceil(u128::from(per_sec)).map_or(u64::MAX, narrow)
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Division that knows zero.
trait CheckedDivCeil: Sized {
    fn checked_div_ceil(self, by: Self) -> Option<Self>;
}

impl CheckedDivCeil for u128 {
    fn checked_div_ceil(self, by: Self) -> Option<Self> {
        if by == 0 { None } else { Some(self.div_ceil(by)) }
    }
}

#[cfg(test)]
mod tests;
