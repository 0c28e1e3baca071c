//! AWS event streams: binary messages with headers, a payload and two checksums.
//!
//! Source: botocore `eventstream.py`. A message is `u32 length | u32 length of headers | u32 CRC of those eight bytes | headers | payload |
//! u32 CRC of all before it`, numbers big-endian, CRC-32 as in zlib. A header is `u8 length | name | u8 type | value`.

use flate2::Crc;

/// Takes what the framer finds. Pieces of payload come as they pass: nothing is buffered.
pub trait EventSink {
    /// A message begins. `kind` is its event type, or that of its exception.
    fn begin(&mut self, kind: &[u8], is_exception: bool);
    /// A piece of its payload.
    fn payload(&mut self, bytes: &[u8]);
    /// It ended, and its checksum says whether its bytes are right.
    fn end(&mut self, is_intact: bool);
}

/// So much of a message's headers is read; real ones are below 200 bytes, and the limit of the SDKs is 128 KiB.
const MAX_HEADERS: usize = 4_096;
/// Longest message that is believed, as in the SDKs: 24 MiB of payload.
const MAX_MESSAGE: usize = (24 << 20) + (128 << 10) + 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Prelude,
    /// So many bytes of headers are still to come, then so many of payload.
    Headers(usize, usize),
    Payload(usize),
    Checksum,
    /// What comes is no event stream.
    Broken,
}

/// Splits a stream into messages. It may be cut anywhere.
///
/// Memory: the headers of one message, at most 4 KiB.
#[derive(Debug)]
pub struct EventFramer {
    state: State,
    kept: Vec<u8>,
    crc: Crc,
}

impl Default for EventFramer {
    fn default() -> Self {
        Self { state: State::Prelude, kept: Vec::new(), crc: Crc::new() }
    }
}

impl EventFramer {
    /// Takes the next piece. `false` if what comes is no event stream: nothing more will be found.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut impl EventSink) -> bool {
        while !bytes.is_empty() && self.state != State::Broken {
            bytes = self.step(bytes, sink);
        }
        self.state != State::Broken
    }

    /// Whether the stream stands between two messages.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.state == State::Prelude && self.kept.is_empty()
    }

    fn step<'b>(&mut self, bytes: &'b [u8], sink: &mut impl EventSink) -> &'b [u8] {
        match self.state {
            State::Prelude => {
                let rest = self.keep(bytes, 12);
                if self.kept.len() == 12 {
                    self.prelude();
                }
                rest
            }
            State::Headers(left, payload) => {
                let (part, rest) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
                self.crc.update(part);
                let room = MAX_HEADERS.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(part.get(..room).unwrap_or(part));
                match left.saturating_sub(part.len()) {
                    0 => self.begin(payload, sink),
                    left => self.state = State::Headers(left, payload),
                }
                rest
            }
            State::Payload(left) => {
                let (part, rest) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
                self.crc.update(part);
                if !part.is_empty() {
                    sink.payload(part);
                }
                self.state = match left.saturating_sub(part.len()) {
                    0 => State::Checksum,
                    left => State::Payload(left),
                };
                rest
            }
            State::Checksum => {
                let rest = self.keep(bytes, 4);
                if self.kept.len() == 4 {
                    let is_intact = number(&self.kept, 0) == Some(self.crc.sum());
                    sink.end(is_intact);
                    self.kept.clear();
                    self.state = State::Prelude;
                }
                rest
            }
            State::Broken => &[],
        }
    }

    /// Keeps bytes until there are so many.
    fn keep<'b>(&mut self, bytes: &'b [u8], wanted: usize) -> &'b [u8] {
        let missing = wanted.saturating_sub(self.kept.len());
        let (part, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.kept.extend_from_slice(part);
        rest
    }

    fn prelude(&mut self) {
        let mut crc = Crc::new();
        crc.update(self.kept.get(..8).unwrap_or_default());
        let field = |at| number(&self.kept, at).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let (total, headers) = (field(0), field(4));
        let payload = total.checked_sub(headers).and_then(|rest| rest.checked_sub(16));
        let (true, Some(payload), true) = (number(&self.kept, 8) == Some(crc.sum()), payload, total <= MAX_MESSAGE)
        else {
            self.state = State::Broken;
            return;
        };
        self.crc = Crc::new();
        self.crc.update(&self.kept);
        self.kept.clear();
        self.state = State::Headers(headers, payload);
    }

    fn begin(&mut self, payload: usize, sink: &mut impl EventSink) {
        let mut kind: &[u8] = b"";
        let mut is_exception = false;
        for (name, value) in Headers(&self.kept) {
            match name {
                b":event-type" | b":exception-type" | b":error-code" => kind = value,
                b":message-type" => is_exception = value != b"event",
                _ => {}
            }
        }
        sink.begin(kind, is_exception);
        self.kept.clear();
        self.state = if payload == 0 { State::Checksum } else { State::Payload(payload) };
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Names and values of the headers that are strings or bytes.
struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (length, rest) = self.0.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*length))?;
            let (kind, rest) = rest.split_first()?;
            let fixed = match kind {
                0 | 1 => Some(0),
                2 => Some(1),
                3 => Some(2),
                4 => Some(4),
                5 | 8 => Some(8),
                9 => Some(16),
                6 | 7 => None,
                _ => return None,
            };
            if let Some(fixed) = fixed {
                self.0 = rest.get(fixed..)?;
                continue;
            }
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            self.0 = rest;
            return Some((name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Seen(Vec<(String, bool, Vec<u8>, bool)>, Option<(String, bool, Vec<u8>)>);

    impl EventSink for Seen {
        fn begin(&mut self, kind: &[u8], is_exception: bool) {
            self.1 = Some((String::from_utf8_lossy(kind).into_owned(), is_exception, Vec::new()));
        }

        fn payload(&mut self, bytes: &[u8]) {
            self.1.as_mut().expect("it began").2.extend_from_slice(bytes);
        }

        fn end(&mut self, is_intact: bool) {
            let (kind, is_exception, payload) = self.1.take().expect("it began");
            self.0.push((kind, is_exception, payload, is_intact));
        }
    }

    fn crc(bytes: &[u8]) -> [u8; 4] {
        let mut crc = Crc::new();
        crc.update(bytes);
        crc.sum().to_be_bytes()
    }

    pub(crate) fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        for (name, value) in headers {
            encoded.push(u8::try_from(name.len()).expect("short"));
            encoded.extend_from_slice(name.as_bytes());
            encoded.push(7);
            encoded.extend_from_slice(&u16::try_from(value.len()).expect("short").to_be_bytes());
            encoded.extend_from_slice(value.as_bytes());
        }
        let number = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
        let mut out = [number(16 + encoded.len() + payload.len()), number(encoded.len())].concat();
        out.extend_from_slice(&crc(&out));
        out.extend_from_slice(&encoded);
        out.extend_from_slice(payload);
        let sum = crc(&out);
        out.extend_from_slice(&sum);
        out
    }

    fn stream() -> Vec<u8> {
        let event = [(":message-type", "event"), (":event-type", "metadata"), (":content-type", "application/json")];
        let exception = [(":message-type", "exception"), (":exception-type", "throttlingException")];
        [message(&event, b"{\"usage\":{}}"), message(&event, b""), message(&exception, b"{\"message\":\"slow down\"}")]
            .concat()
    }

    fn read(pieces: &[&[u8]]) -> (Seen, bool) {
        let (mut seen, mut framer) = (Seen::default(), EventFramer::default());
        let ok = pieces.iter().all(|piece| framer.push(piece, &mut seen));
        (seen, ok && framer.is_between())
    }

    #[test]
    fn ok_messages_are_found_however_they_are_cut() {
        let stream = stream();
        let (whole, ok) = read(&[&stream]);
        let names: Vec<(&str, bool)> =
            whole.0.iter().map(|(kind, exception, ..)| (kind.as_str(), *exception)).collect();
        assert_eq!(names, [("metadata", false), ("metadata", false), ("throttlingException", true)]);
        assert!(ok && whole.0.iter().all(|(.., is_intact)| *is_intact));
        for cut in 0..stream.len() {
            assert_eq!(read(&[&stream[..cut], &stream[cut..]]).0, whole, "cut at {cut}");
        }
    }

    #[test]
    fn err_a_wrong_checksum_is_told() {
        let mut stream = stream();
        let at = stream.iter().position(|b| *b == b'u').expect("usage");
        stream[at] ^= 1;
        assert!(!read(&[&stream]).0.0[0].3);
        let mut stream = self::stream();
        stream[3] ^= 1;
        assert!(!read(&[&stream]).1, "the prelude");
    }

    #[test]
    fn ok_what_is_kept_of_long_headers_does_not_depend_on_the_cuts() {
        let long = "x".repeat(MAX_HEADERS);
        let stream = message(&[(":event-type", "metadata"), ("x", &long), (":message-type", "exception")], b"{}");
        let (whole, ok) = read(&[&stream]);
        assert_eq!(
            (whole.0[0].0.as_str(), whole.0[0].1, ok),
            ("metadata", false, true),
            "what is past the bound is not read"
        );
        assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()).0, whole);
    }

    proptest! {
        #[test]
        fn rubbish_is_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _seen = read(&[&bytes]);
            let mut framed = message(&[], b"x");
            framed.extend_from_slice(&bytes);
            let _seen = read(&[&framed]);
        }
    }
}
