//! The search for the end of a text, many bytes at a time.
//!
//! Nearly all bytes of a large request stand in texts. What a text weighs is counted on the way, so that each byte is looked at once.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wide;

use crate::usage::estimate;

/// Bytes of a text that were passed: plain ones and escapes of one letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// How many bytes they are in the document.
    pub(crate) len: usize,
    /// How many they are when unescaped.
    pub(crate) bytes: u64,
    /// How many characters, if it was weighed.
    pub(crate) chars: u64,
    /// What they weigh, if it was weighed.
    pub(crate) weight: u64,
}

/// What an escape of one letter stands for.
pub(super) const fn unescaped(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// Passes bytes of a text up to its closing quote, an escape that is not of one letter or not whole, or the end of the bytes.
pub(crate) fn pass(bytes: &[u8], weighs: bool) -> Span {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    if bytes.len() >= wide::WORTH {
        return wide::pass(bytes, weighs);
    }
    narrow(bytes, weighs)
}

/// Run by run.
fn narrow(bytes: &[u8], weighs: bool) -> Span {
    let mut span = Span::default();
    loop {
        let rest = bytes.get(span.len..).unwrap_or_default();
        let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (run, rest) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        span.len = span.len.saturating_add(run.len());
        span.add(run, weighs);
        let [b'\\', letter, ..] = rest else { return span };
        let Some(byte) = unescaped(*letter) else { return span };
        span.len = span.len.saturating_add(2);
        span.add(&[byte], weighs);
    }
}

impl Span {
    fn add(&mut self, run: &[u8], weighs: bool) {
        self.bytes = self.bytes.saturating_add(run.len() as u64);
        if weighs {
            self.chars = self.chars.saturating_add(characters(run));
            self.weight = self.weight.saturating_add(estimate::weigh(run));
        }
    }
}

/// A character has one byte that does not continue another, and most text has no other bytes.
#[inline]
pub(super) fn characters(run: &[u8]) -> u64 {
    let count = if run.is_ascii() { run.len() } else { run.iter().filter(|byte| **byte & 0xc0 != 0x80).count() };
    count as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain reading, byte by byte.
    fn reference(bytes: &[u8]) -> Span {
        let (mut len, mut text) = (0, Vec::new());
        while len < bytes.len() {
            match bytes[len..] {
                [b'"', ..] => break,
                [b'\\', letter, ..] => match unescaped(letter) {
                    Some(byte) => {
                        text.push(byte);
                        len += 2;
                    }
                    None => break,
                },
                [b'\\'] => break,
                [byte, ..] => {
                    text.push(byte);
                    len += 1;
                }
                [] => break,
            }
        }
        let chars = text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64;
        Span { len, bytes: text.len() as u64, chars, weight: text.iter().map(|byte| estimate::weigh(&[*byte])).sum() }
    }

    proptest! {
        /// Nothing is missed: any bytes, with quotes and escapes more often than not, from any place.
        #[test]
        fn as_byte_by_byte(
            text in prop::collection::vec(prop_oneof![4 => Just(b'a'), 1 => Just(b'\\'), 1 => Just(b'n'), 1 => Just(b'"'), 4 => any::<u8>()], 0..200),
        ) {
            for from in 0..text.len() {
                let bytes = &text[from..];
                let whole = reference(bytes);
                prop_assert_eq!(pass(bytes, true), whole);
                prop_assert_eq!(pass(bytes, false), Span { chars: 0, weight: 0, ..whole });
            }
        }
    }
}
