//! Windows: the edges of the UTC calendar, lengths, names.

use super::spec::{Calendar, Window};
use crate::time::{Timestamp, days_to_month};

const DAY: u64 = 86_400;

impl Calendar {
    /// The window that holds this instant: its first second and the first second after it, since the epoch.
    #[must_use]
    pub const fn window(self, now: Timestamp) -> (u64, u64) {
        let secs = now.secs();
        let days = secs / DAY;
        match self {
            Self::Second => (secs, secs + 1),
            Self::Minute => (secs - secs % 60, secs - secs % 60 + 60),
            Self::Hour => (secs - secs % 3_600, secs - secs % 3_600 + 3_600),
            Self::Day => (days * DAY, (days + 1) * DAY),
            // 1970-01-01 was a Thursday: three days after a Monday.
            Self::Week => {
                let monday = (days + 3) / 7 * 7;
                (monday.saturating_sub(3) * DAY, (monday + 4) * DAY)
            }
            Self::Month => {
                let date = now.civil();
                (days_to_month(date.year, date.month) * DAY, days_to_month(date.year, date.month + 1) * DAY)
            }
        }
    }

    /// Whether a refusal is told as an exhausted budget rather than as a rate: nobody's SDK should wait so long.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }
}

/// Whether a refusal is told as an exhausted budget.
pub(super) const fn is_long(window: Window) -> bool {
    match window {
        Window::Fixed(calendar) => calendar.is_long(),
        Window::Sliding { secs } => secs >= DAY,
        Window::Bucket { .. } | Window::Open => false,
    }
}

/// Seconds in which the amount can be used up once; `None` where there is no such time.
pub(super) fn secs(window: Window, amount: u64, now: Timestamp) -> Option<u64> {
    match window {
        Window::Fixed(calendar) => {
            let (start, end) = calendar.window(now);
            Some(end.saturating_sub(start))
        }
        Window::Sliding { secs } => Some(secs),
        Window::Bucket { per_sec } => Some(amount.div_ceil(per_sec.max(1)).max(1)),
        Window::Open => None,
    }
}

/// A window as bytes, for the tag of a limit.
pub(super) fn name(window: Window) -> Vec<u8> {
    let (kind, number) = match window {
        Window::Fixed(calendar) => (b'f', calendar as u64),
        Window::Sliding { secs } => (b's', secs),
        Window::Bucket { per_sec } => (b'b', per_sec),
        Window::Open => (b'o', 0),
    };
    [&[kind][..], &number.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ok_windows_of_a_known_instant() {
        // 2024-02-29T13:45:07Z, a Thursday.
        let now = Timestamp::from_secs(1_709_214_307);
        let edges = |calendar: Calendar| {
            let (start, end) = calendar.window(now);
            (Timestamp::from_secs(start).rfc3339(), Timestamp::from_secs(end).rfc3339())
        };
        let pair = |a: &str, b: &str| (format!("{a}.000Z"), format!("{b}.000Z"));
        assert_eq!(edges(Calendar::Second), pair("2024-02-29T13:45:07", "2024-02-29T13:45:08"));
        assert_eq!(edges(Calendar::Minute), pair("2024-02-29T13:45:00", "2024-02-29T13:46:00"));
        assert_eq!(edges(Calendar::Hour), pair("2024-02-29T13:00:00", "2024-02-29T14:00:00"));
        assert_eq!(edges(Calendar::Day), pair("2024-02-29T00:00:00", "2024-03-01T00:00:00"));
        assert_eq!(edges(Calendar::Week), pair("2024-02-26T00:00:00", "2024-03-04T00:00:00"));
        assert_eq!(edges(Calendar::Month), pair("2024-02-01T00:00:00", "2024-03-01T00:00:00"));
    }

    proptest! {
        #[test]
        fn windows_touch_and_hold_their_instants(secs in 1_000_000_u64..7_000_000_000, which in 0..6_usize) {
            let all = [Calendar::Second, Calendar::Minute, Calendar::Hour, Calendar::Day, Calendar::Week, Calendar::Month];
            let calendar = all[which];
            let (start, end) = calendar.window(Timestamp::from_secs(secs));
            prop_assert!(start <= secs && secs < end);
            prop_assert_eq!(calendar.window(Timestamp::from_secs(end)).0, end);
            prop_assert_eq!(calendar.window(Timestamp::from_secs(end - 1)), (start, end));
        }
    }
}
