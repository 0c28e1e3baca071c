//! Members and elements of JSON of our own making, as they stand: no value changes on its way from one format to another.

/// The value of a member of an object.
pub(super) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Members::of(object).find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
}

/// Members of an object without white space: names as they stand between their quotes, values as JSON. Ends at what it cannot read.
#[derive(Clone, Debug)]
pub(super) struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    pub(super) fn of(object: &'a [u8]) -> Self {
        Self(object.strip_prefix(b"{").unwrap_or_default())
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = value(self.0)?;
        let (value, rest) = value(rest.strip_prefix(b":")?)?;
        self.0 = rest.strip_prefix(b",").unwrap_or_default();
        Some((unquoted(name)?, value))
    }
}

/// Elements of an array without white space.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    pub(super) fn of(array: &'a [u8]) -> Self {
        Self(array.strip_prefix(b"[").unwrap_or_default())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = value(self.0)?;
        self.0 = rest.strip_prefix(b",").unwrap_or_default();
        Some(value)
    }
}

/// What stands between the quotes of a text.
pub(super) fn unquoted(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The first value, and what follows it.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        let ends_before = match byte {
            _ if core::mem::take(&mut is_escaped) => false,
            b'\\' => {
                is_escaped = is_text;
                false
            }
            b'"' => {
                is_text = !is_text;
                false
            }
            _ if is_text => false,
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                false
            }
            b',' | b':' => depth == 0,
            b'}' | b']' => {
                let is_outer = depth == 0;
                depth = depth.saturating_sub(1);
                is_outer
            }
            _ => false,
        };
        if ends_before {
            return bytes.split_at_checked(at).filter(|(value, _)| !value.is_empty());
        }
    }
    None
}
