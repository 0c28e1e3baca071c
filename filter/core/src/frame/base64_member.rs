//! The member `bytes` of a JSON object, decoded from Base64 as it passes: how Bedrock wraps a vendor's records.

/// Finds the member and decodes it. Everything else in the object is skipped.
///
/// Memory: at most 1 KiB while a piece is read.
#[derive(Debug)]
pub struct Base64Member {
    state: State,
    bits: u32,
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of `"bytes"` have come.
    Name(usize),
    /// A colon and the opening quote are to come.
    Value,
    Text,
    Done,
}

const NAME: &[u8] = b"\"bytes\"";
/// Bytes that are decoded at a time.
const STEP: usize = 1_024;

impl Default for Base64Member {
    fn default() -> Self {
        Self { state: State::Name(0), bits: 0, count: 0 }
    }
}

impl Base64Member {
    /// Takes the next piece and gives what it decodes to `found`, in pieces of at most 1 KiB.
    pub fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(&[u8])) {
        bytes.chunks(STEP).for_each(|step| self.step(step, found));
    }

    fn step(&mut self, bytes: &[u8], found: &mut impl FnMut(&[u8])) {
        let mut decoded = Vec::new();
        for &byte in bytes {
            match self.state {
                State::Name(seen) => {
                    let is_next = NAME.get(seen) == Some(&byte);
                    let seen = if is_next { seen + 1 } else { usize::from(byte == b'"') };
                    self.state = if seen == NAME.len() { State::Value } else { State::Name(seen) };
                }
                State::Value => match byte {
                    b'"' => self.state = State::Text,
                    b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
                    // The word was a value, or the member is no text.
                    _ => self.state = State::Name(0),
                },
                State::Text if byte == b'"' => self.state = State::Done,
                State::Text => self.digit(byte, &mut decoded),
                State::Done => break,
            }
        }
        if !decoded.is_empty() {
            found(&decoded);
        }
    }

    fn digit(&mut self, byte: u8, decoded: &mut Vec<u8>) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            // Padding, and the backslash of `\/`.
            _ => return,
        };
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            decoded.push(self.bits.wrapping_shr(u32::from(self.count)).to_le_bytes()[0]);
            self.bits &= (1 << self.count) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::*;

    fn decode(text: &[u8], cut: usize) -> Vec<u8> {
        let (mut member, mut out) = (Base64Member::default(), Vec::new());
        for piece in [&text[..cut], &text[cut..]] {
            member.push(piece, &mut |bytes| out.extend_from_slice(bytes));
        }
        out
    }

    #[test]
    fn ok_the_member_is_decoded_however_it_is_cut() {
        for plain in [&b""[..], b"{", b"{}", b"{\"usage\":1}", &[0xff, 0xfe, 0, 1, 2]] {
            let text = format!(r#"{{"p":"ab\"","bytes" : "{}","q":"bytes"}}"#, BASE64_STANDARD.encode(plain));
            for cut in 0..text.len() {
                assert_eq!(decode(text.as_bytes(), cut), plain, "{text} cut at {cut}");
            }
        }
        assert_eq!(decode(br#"{"bytes":null}"#, 3), b"");
        assert_eq!(decode(br#"{"bytes":"e30\/"}"#, 9), b"{}?");
    }
}
