//! Points in time as plain numbers. The core never reads a clock: every function that needs the time takes it as an argument.

/// Nanoseconds since the Unix epoch, UTC.
///
/// A `u64` reaches the year 2554. Arithmetic saturates: a clock that jumps can never make a number wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The instant that is `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// The instant that is `secs` seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This instant plus `millis` milliseconds.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// Milliseconds from `earlier` to this instant, rounded down; 0 if the clock went backwards.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

/// A civil date and time of day in UTC, as [`Timestamp::civil`] computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year of the Gregorian calendar.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// Hour, 0 to 23.
    pub hour: u64,
    /// Minute, 0 to 59.
    pub minute: u64,
    /// Second, 0 to 59.
    pub second: u64,
    /// Millisecond, 0 to 999.
    pub millis: u64,
}

/// Days from the epoch to the first day of a month (`month` 1 to 13: 13 is January of the next year).
///
/// Counts years from March, so that the leap day is the last day of a counted year.
#[must_use]
pub const fn days_to_month(year: u64, month: u64) -> u64 {
    let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    days.saturating_sub(719_468)
}

impl Timestamp {
    /// The civil date and time of this instant.
    #[must_use]
    pub const fn civil(self) -> Civil {
        let millis = self.millis();
        let days = millis / 86_400_000;
        let rest = millis % 86_400_000;
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
        Civil {
            year,
            month,
            day: doy - (153 * mp + 2) / 5 + 1,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1_000 % 60,
            millis: rest % 1_000,
        }
    }

    /// RFC 3339 in UTC with milliseconds, such as `2026-11-24T09:30:00.125Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let c = self.civil();
        let mut out = String::with_capacity(24);
        let mut put = |mut number: u64, digits: u32, after: char| {
            for place in (0..digits).rev() {
                let unit = 10_u64.pow(place);
                let digit = u8::try_from(number / unit).unwrap_or(9).min(9);
                out.push(char::from(b'0'.saturating_add(digit)));
                number %= unit;
            }
            out.push(after);
        };
        put(c.year, 4, '-');
        put(c.month, 2, '-');
        put(c.day, 2, 'T');
        put(c.hour, 2, ':');
        put(c.minute, 2, ':');
        put(c.second, 2, '.');
        put(c.millis, 3, 'Z');
        out
    }
}

impl Timestamp {
    /// From an RFC 3339 date and time, such as `2026-08-19T14:34:12.5+02:00`; without an offset it is UTC.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let mut date = date.split('-').map(digits);
        let days = days_of(date.next()??, date.next()??, date.next()??)?;
        let end = time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(time.len());
        let (time, offset) = time.split_at_checked(end)?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut time = time.split(':').map(digits);
        let secs = secs_of(time.next()??, time.next()??, time.next()??)?;
        let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if date.next().is_some() || time.next().is_some() || !is_fraction {
            return None;
        }
        let nanos = fraction.bytes().chain(core::iter::repeat(b'0')).take(9);
        let nanos = nanos.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let ahead = match offset.split_at_checked(1) {
            None | Some(("Z" | "z", "")) => 0,
            Some((sign @ ("+" | "-"), offset)) => {
                let (hours, minutes) = offset.split_once(':')?;
                let secs = i64::try_from(secs_of(digits(hours)?, digits(minutes)?, 0)?).ok()?;
                if sign == "+" { secs } else { -secs }
            }
            Some(_) => return None,
        };
        let secs = days.saturating_mul(86_400).saturating_add(secs).saturating_add_signed(ahead.saturating_neg());
        Some(Self(Self::from_secs(secs).0.saturating_add(nanos)))
    }

    /// From an HTTP date in the one form that may still be sent, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let mut parts = text.split_once(", ")?.1.split([' ', ':']);
        let day = digits(parts.next()?)?;
        let month = parts.next()?;
        let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
        let mut number = || digits(parts.next()?);
        let days = days_of(number()?, month, day)?;
        let secs = secs_of(number()?, number()?, number()?)?;
        (parts.next() == Some("GMT")).then(|| Self::from_secs(days.saturating_mul(86_400).saturating_add(secs)))
    }
}

/// Digits and nothing else, as a number.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Days from the epoch to a date from 1970 on.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then(|| days_to_month(year, month) + day - 1)
}

/// Seconds of a time of day; a leap second counts.
fn secs_of(hour: u64, minute: u64, second: u64) -> Option<u64> {
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_known_instants() {
        assert_eq!(Timestamp(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_709_164_800_123).rfc3339(), "2024-02-29T00:00:00.123Z");
        assert_eq!(Timestamp::from_secs(4_102_444_799).rfc3339(), "2099-12-31T23:59:59.000Z");
        assert_eq!(Timestamp(u64::MAX).rfc3339(), "2554-07-21T23:34:33.709Z", "the last there is");
    }

    #[test]
    fn ok_month_starts_match_the_civil_date() {
        for year in 1970..2400 {
            for month in 1..=12 {
                let start = Timestamp::from_secs(days_to_month(year, month) * 86_400);
                let c = start.civil();
                assert_eq!((c.year, c.month, c.day, c.hour), (year, month, 1, 0));
            }
            assert_eq!(days_to_month(year, 13), days_to_month(year + 1, 1));
        }
    }

    #[test]
    fn ok_dates_are_read_as_they_are_written() {
        for millis in [0, 1, 1_709_164_800_123, 4_102_444_799_999] {
            let instant = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::from_rfc3339(&instant.rfc3339()), Some(instant));
        }
        assert_eq!(Timestamp::from_http_date("Thu, 01 Jan 1970 00:01:00 GMT"), Some(Timestamp::from_secs(60)));
        assert_eq!(Timestamp::from_rfc3339("1970-01-01T00:00:01+01:00"), Some(Timestamp(0)), "before the epoch");
        for text in
            ["", "2026", "1969-12-31T23:59:59Z", "2026-01-01T00:00Z", "2026-01-01T00:00:00X", "2026-1-1-1T00:00:00Z"]
        {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
        for text in
            ["", "Thu, 01 Jan 1970 00:01:00", "Thu, 01 Jan 1970 00:01:00 CET", "Thursday, 01-Jan-70 00:01:00 GMT"]
        {
            assert_eq!(Timestamp::from_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn ok_clock_going_backwards_is_no_time() {
        assert_eq!(Timestamp(5).millis_since(Timestamp(9_000_000)), 0);
    }
}
