//! What a text in the configuration must look like.

use core::net::{Ipv4Addr, Ipv6Addr};

/// A rule for one kind of text.
#[derive(Debug)]
pub(super) struct Rule {
    /// The rule in words.
    pub(super) allowed: &'static str,
    /// The rule as code.
    pub(super) holds: fn(&str) -> bool,
    /// Whether the text is kept in lower case.
    pub(super) fold: bool,
}

/// Id of a limit.
pub(super) const LIMIT_ID: Rule = Rule {
    allowed: "1 to 64 characters of A-Z a-z 0-9 _ . -",
    holds: |text| of(text, 64, |b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
    fold: false,
};
/// Id of a provider: it stands in paths and in metric labels.
pub(super) const PROVIDER_ID: Rule = Rule {
    allowed: "1 to 64 characters of a-z 0-9 _ . - (but not `unknown` or `other`, which mean something else in events and metrics)",
    holds: |text| {
        of(text, 64, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
            && !["unknown", "other", ".", ".."].contains(&text)
    },
    fold: false,
};
/// Name of a label: a key of the event's `labels`.
pub(super) const LABEL: Rule = Rule { allowed: "names of 1 to 64 characters of A-Z a-z 0-9 _ . -", ..LIMIT_ID };
/// What a limit can count by.
pub(super) const DIMENSION: Rule = Rule {
    allowed: "names: tenant, user, key, provider, model, label:<name>",
    holds: |text| match text.strip_prefix("label:") {
        Some(name) => (LABEL.holds)(name),
        None => ["tenant", "user", "key", "provider", "model"].contains(&text),
    },
    fold: false,
};
/// A short human text, such as a tenant.
pub(super) const VALUE: Rule =
    Rule { allowed: "a text of 1 to 256 bytes without control characters", holds: is_value, fold: false };
/// A pattern over short texts.
pub(super) const GLOB: Rule = Rule {
    allowed: "a text of 1 to 256 bytes without control characters; * stands for any run of characters",
    holds: is_value,
    fold: false,
};
/// A list of such patterns reads better in the plural.
pub(super) const GLOBS: Rule =
    Rule { allowed: "texts of 1 to 256 bytes without control characters; * stands for any run of characters", ..GLOB };
/// A request header that tells who calls.
pub(super) const IDENTITY_HEADER: Rule = Rule {
    allowed: "a header name of 1 to 128 characters that is not x-meterr-*, a credential or part of HTTP itself, \
              because the header is removed before the request goes upstream",
    holds: |text| is_header_name(text) && !is_needed_upstream(&text.to_ascii_lowercase()),
    fold: true,
};
/// A header that is sent to the sink.
pub(super) const SINK_HEADER: Rule = Rule {
    allowed: "header names of 1 to 128 characters other than content-type, content-length, host, connection and transfer-encoding",
    holds: |text| {
        let folded = text.to_ascii_lowercase();
        let ours = ["content-type", "content-length", "host", "connection", "transfer-encoding"];
        is_header_name(text) && !ours.contains(&&*folded)
    },
    fold: true,
};
/// A header's value.
pub(super) const HEADER_VALUE: Rule = Rule {
    allowed: "1 to 8192 bytes without control characters",
    holds: |text| (1..=8192).contains(&text.len()) && !text.chars().any(char::is_control),
    fold: false,
};
/// Name of an environment variable.
pub(super) const ENV: Rule = Rule {
    allowed: "the name of an environment variable: 1 to 128 characters of A-Z a-z 0-9 _, not beginning with a digit",
    holds: |text| {
        of(text, 128, |b| b.is_ascii_alphanumeric() || b == b'_') && !text.starts_with(|c: char| c.is_ascii_digit())
    },
    fold: false,
};
/// Hosts of a provider.
pub(super) const HOST: Rule = Rule {
    allowed: "host names or addresses without scheme, port and path; * stands for any run of characters",
    holds: |text| is_host(text, true),
    fold: true,
};
/// Authorities that take the prefix form.
pub(super) const PREFIX_AUTHORITY: Rule = Rule {
    allowed: "host names or addresses without scheme and path; with a port, only that port is meant",
    ..AUTHORITY
};
/// Where a request goes.
pub(super) const AUTHORITY: Rule = Rule {
    allowed: "a host name or address, optionally with a port, without scheme and path",
    holds: |text| {
        let (host, port) = split_port(text);
        is_host(host, false) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    },
    fold: true,
};
/// A path and perhaps a query.
pub(super) const PATH: Rule = Rule {
    allowed: "a path of 1 to 2048 visible ASCII characters that begins with /",
    holds: |text| text.starts_with('/') && of(text, 2048, |b| b.is_ascii_graphic()),
    fold: false,
};
/// The file of the dead letter: not built yet, so only "none".
pub(super) const EMPTY: Rule =
    Rule { allowed: "\"\" (a tagged log record and a counter)", holds: str::is_empty, fold: false };

fn of(text: &str, max: usize, byte: impl Fn(u8) -> bool) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(byte)
}

fn is_value(text: &str) -> bool {
    (1..=crate::identity::MAX_VALUE).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(text: &str) -> bool {
    of(text, 128, |b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether removing this header (lower case) would break the request, or whether it is gone before identity is read.
fn is_needed_upstream(name: &str) -> bool {
    const NEEDED: [&str; 17] = [
        "accept",
        "accept-encoding",
        "anthropic-version",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-goog-api-key",
        "x-request-id",
    ];
    name.starts_with("x-meterr-") || NEEDED.contains(&name)
}

fn is_host(text: &str, glob: bool) -> bool {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let looks_numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    of(text, 253, |b| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (glob && b == b'*'))
        && !text.starts_with('.')
        && !text.ends_with('.')
        && !text.contains("..")
        && (!looks_numeric || text.parse::<Ipv4Addr>().is_ok())
}

/// Host and port of an authority; the brackets of an IPv6 literal stay with the host.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A plain decimal such as `0.15` in units of `10^-places`; `None` if it is no decimal or has more decimals than fit.
pub(super) fn decimal(text: &str, places: u32) -> Option<u128> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    // 18 digits are more than any amount of money; they keep the product inside of 128 bits.
    if whole.is_empty() || whole.len() > 18 || !digits(whole) || !digits(fraction) || fraction.len() > 64 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = places.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(10_u128.checked_pow(places)?)?;
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    whole.checked_add(fraction.checked_mul(10_u128.checked_pow(missing)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_decimals_are_exact() {
        assert_eq!(decimal("0.10", 18), Some(100_000_000_000_000_000));
        assert_eq!(decimal("25", 6), Some(25_000_000));
        assert_eq!(decimal("0.000000000000000001", 18), Some(1));
        assert_eq!(decimal("1.000000000000000000000000", 18), Some(1_000_000_000_000_000_000), "zeros lose nothing");
        assert_eq!(decimal("0", 6), Some(0));
    }

    #[test]
    fn err_decimals_that_are_none_or_lose_digits() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "0.0000001", "NaN", "1.2.3", "٣"] {
            assert_eq!(decimal(text, 6), None, "{text}");
        }
        assert_eq!(decimal(&"9".repeat(100), 6), None);
        assert_eq!(decimal(&format!("0.{}", "9".repeat(100_000)), 18), None);
    }

    #[test]
    fn ok_and_err_authorities() {
        for text in ["collector.local", "Vllm.corp.internal:8000", "127.0.0.1", "[::1]", "[::1]:80", "a_b"] {
            assert!((AUTHORITY.holds)(text), "{text}");
        }
        for text in
            ["", "http://a", "a/b", "a:0", "a:x", "a:", ":80", "::1", "[::g]", "a b", "*.a", "1.2.3.400", "a..b"]
        {
            assert!(!(AUTHORITY.holds)(text), "{text}");
        }
    }

    #[test]
    fn ok_and_err_hosts() {
        for text in ["*.openai.azure.com", "api.groq.com", "10.0.0.5", "[fd00::1]"] {
            assert!((HOST.holds)(text), "{text}");
        }
        for text in ["a:80", "https://a", ".a", "a.", "a/b", "*:80"] {
            assert!(!(HOST.holds)(text), "{text}");
        }
    }

    #[test]
    fn err_identity_headers_that_the_provider_needs() {
        assert!((IDENTITY_HEADER.holds)("X-Tenant"));
        for text in ["Authorization", "x-meterr-tenant", ":path", "x tenant", "", "content-length"] {
            assert!(!(IDENTITY_HEADER.holds)(text), "{text}");
        }
    }

    #[test]
    fn err_header_values_cannot_smuggle_lines() {
        assert!((HEADER_VALUE.holds)("Bearer abc"));
        assert!(!(HEADER_VALUE.holds)("Bearer abc\r\nx-other: 1"));
    }
}
