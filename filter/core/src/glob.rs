//! Patterns in which `*` stands for any run of bytes.

/// Whether a pattern, in which `*` stands for any run of bytes, matches all of `text`.
///
/// Goes back only to the last star, so that the work is at most the product of both lengths.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // After a star: where the pattern goes on, and up to where the star has eaten.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                p += 1;
                star = Some((p, t));
            }
            (Some(other), _) if other == byte => {
                p += 1;
                t += 1;
            }
            (_, Some((after, eaten))) => {
                p = after;
                t = eaten + 1;
                star = Some((after, t));
            }
            (_, None) => return false,
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_and_err_patterns() {
        for (pattern, text, expected) in [
            ("api.openai.com", "api.openai.com", true),
            ("api.openai.com", "api.openai.com.evil.example", false),
            ("*.openai.azure.com", "res.openai.azure.com", true),
            ("*.openai.azure.com", "openai.azure.com", false),
            ("*.openai.azure.com", "a.b.openai.azure.com", true),
            ("ark.*.volces.com", "ark.cn-beijing.volces.com", true),
            ("ark.*.volces.com", "ark..volces.com", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXcXb", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
