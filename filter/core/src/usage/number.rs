//! Counters as they stand on the wire.

use crate::json::scan::Value;

/// The largest counter that is believed: past 2^53 a JSON number is no exact integer to half of the world.
const MAX: u64 = 1 << 53;

/// A counter is no non-negative integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadNumber;

/// Reads a counter. `12`, `12.0` and `1.2e1` are twelve (Cohere's SDK types every count as a float); `null` is unknown: `None`.
#[must_use]
pub(crate) fn counter(value: Value<'_>) -> Option<Result<u64, BadNumber>> {
    match value {
        Value::Null => None,
        Value::Number(digits) => Some(integer(digits).filter(|count| *count <= MAX).ok_or(BadNumber)),
        _ => Some(Err(BadNumber)),
    }
}

/// The integer that a JSON number is exactly, if it is one and not negative.
fn integer(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    if let Ok(plain) = text.parse() {
        return Some(plain);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [whole, fraction].concat();
    if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = all.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let dropped = i32::try_from(all.len() - significant.len()).ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let power = exponent.checked_sub(places)?.checked_add(dropped)?;
    let power = u32::try_from(power).ok()?;
    significant.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(power)?)
}

/// A non-negative JSON number × 10^`power` as a plain decimal without exponent or trailing zeros, exactly.
#[must_use]
pub(crate) fn decimal(text: &[u8], power: i32) -> Option<String> {
    /// More digits than any sum of money has; `1e999999999` must not become a gigabyte of zeros.
    const MAX_PLACES: i32 = 40;
    let text = core::str::from_utf8(text).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(power)?;
    if !(-MAX_PLACES..=MAX_PLACES).contains(&point) {
        return None;
    }
    let (before, after) = match usize::try_from(point) {
        Ok(point) if point <= digits.len() => {
            let (before, after) = digits.split_at_checked(point)?;
            (before.to_owned(), after.to_owned())
        }
        Ok(point) => (format!("{digits:0<point$}"), String::new()),
        Err(_) => (String::new(), format!("{}{digits}", "0".repeat(usize::try_from(point.unsigned_abs()).ok()?))),
    };
    let before = before.trim_start_matches('0');
    let after = after.trim_end_matches('0');
    let before = if before.is_empty() { "0" } else { before };
    Some(if after.is_empty() { before.to_owned() } else { format!("{before}.{after}") })
}

#[cfg(test)]
mod tests {
    #[test]
    fn ok_and_err_decimals() {
        let read = |text: &str| decimal(text.as_bytes(), 0);
        for (text, plain) in [
            ("0.0012300", "0.00123"),
            ("1.5e-7", "0.00000015"),
            ("12e2", "1200"),
            ("1.25e1", "12.5"),
            ("0", "0"),
            ("0.0", "0"),
            ("007.10", "7.1"),
        ] {
            assert_eq!(read(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["-1", "1e999", "x", "", ".", "1e99999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(decimal(b"2087200", -10).as_deref(), Some("0.00020872"), "ticks");
    }

    use super::*;

    #[test]
    fn ok_and_err_numbers() {
        let read = |text: &str| counter(Value::Number(text.as_bytes()));
        for (text, value) in
            [("12", 12), ("12.0", 12), ("1.2e1", 12), ("0", 0), ("0.0", 0), ("120e-1", 12), ("9007199254740992", MAX)]
        {
            assert_eq!(read(text), Some(Ok(value)), "{text}");
        }
        for text in ["-1", "1.5", "1e400", "9007199254740993", "1e16", "99999999999999999999", "-", "1e", ".5"] {
            assert_eq!(read(text), Some(Err(BadNumber)), "{text}");
        }
        assert_eq!(counter(Value::Null), None);
        assert_eq!(counter(Value::Bool(true)), Some(Err(BadNumber)));
    }
}
