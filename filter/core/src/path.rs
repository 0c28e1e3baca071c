//! Request paths as bytes.

/// Splits `:path` into the path and the query, without the `?`; a fragment, which no client should send, belongs to neither.
#[inline]
pub(crate) fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let path = path.split(|b| *b == b'#').next().unwrap_or_default();
    let mut parts = path.splitn(2, |b| *b == b'?');
    (parts.next().unwrap_or_default(), parts.next())
}

/// The bytes of a percent-encoded text, decoded (RFC 3986, section 2.1). A broken escape stands for itself.
pub(crate) fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    core::iter::from_fn(move || {
        let (first, rest) = text.split_first()?;
        let escaped = match (first, rest) {
            (b'%', [high, low, rest @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, rest)),
            _ => None,
        };
        let (byte, rest) = escaped.unwrap_or((*first, rest));
        text = rest;
        Some(byte)
    })
}

/// The first value of that name in a query, percent-decoded; `None` if it is not there or empty.
pub(crate) fn query_value(query: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut pairs = query.split(|b| *b == b'&');
    let value = pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(decoded(value).collect()).filter(|decoded: &Vec<u8>| !decoded.is_empty())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_path_and_query_are_told_apart() {
        assert_eq!(split(b"/a?b=1?2#c"), (&b"/a"[..], Some(&b"b=1?2"[..])));
        assert_eq!(split(b"/a#b?c"), (&b"/a"[..], None));
        assert_eq!(split(b""), (&b""[..], None));
        assert_eq!(split(b"/a?"), (&b"/a"[..], Some(&b""[..])));
    }

    #[test]
    fn ok_and_err_query_values() {
        let value = |query: &str, name| query_value(query.as_bytes(), name);
        assert_eq!(value("a=1&model=gpt%2Dx&model=y", "model"), Some(b"gpt-x".to_vec()));
        assert_eq!(value("modelx=1&model=", "model"), None);
        assert_eq!(value("", "model"), None);
    }

    #[test]
    fn ok_and_err_escapes() {
        let decode = |text: &str| decoded(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(decode("a%2Fb%2f"), b"a/b/");
        assert_eq!(decode("%zz%4"), b"%zz%4");
        assert_eq!(decode("%%41"), b"%A");
        assert_eq!(decode("%+1"), b"%+1");
    }
}
