//! AWS event streams.

use flate2::Crc;
use meterr_core::frame::eventstream::{EventFramer, EventSink};

use crate::cut::Cut;

#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    kind: Vec<u8>,
    is_exception: bool,
    payload: Vec<u8>,
    is_intact: bool,
}

#[derive(Debug, Default)]
struct Seen {
    messages: Vec<Message>,
    open: Option<Message>,
}

impl EventSink for Seen {
    fn begin(&mut self, kind: &[u8], is_exception: bool) {
        assert!(self.open.is_none(), "one message at a time");
        self.open = Some(Message { kind: kind.to_vec(), is_exception, ..Message::default() });
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.open.as_mut().expect("it began").payload.extend_from_slice(bytes);
    }

    fn end(&mut self, is_intact: bool) {
        let message = self.open.take().expect("it began");
        self.messages.push(Message { is_intact, ..message });
    }
}

/// What was found, what of a message was open at the end, whether it was an event stream, and whether it ended between two messages.
fn read(pieces: &[&[u8]]) -> (Vec<Message>, Option<Message>, bool, bool) {
    let (mut seen, mut framer) = (Seen::default(), EventFramer::default());
    let mut is_one = true;
    for piece in pieces {
        is_one = framer.push(piece, &mut seen);
    }
    (seen.messages, seen.open, is_one, framer.is_between())
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

/// One message of an AWS event stream. Headers are names and strings.
///
/// # Panics
/// If a name is longer than 255 bytes or a string than 65,535.
#[must_use]
pub fn message(headers: &[(&[u8], &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).expect("a short name"));
        encoded.extend_from_slice(name);
        encoded.push(7);
        encoded.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        encoded.extend_from_slice(value);
    }
    framed(&encoded, payload)
}

/// A message with these bytes as its headers.
fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("a small message").to_be_bytes();
    let mut out = [number(16 + headers.len() + payload.len()), number(headers.len())].concat();
    out.extend_from_slice(&crc(&out));
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    let sum = crc(&out);
    out.extend_from_slice(&sum);
    out
}

/// Messages of which the input says sizes and bytes; a fuzzer cannot guess checksums. Also what must be found.
fn built(mut plan: &[u8]) -> (Vec<u8>, Vec<Message>) {
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    while let Some(([what, kind, size], rest)) = plan.split_first_chunk::<3>() {
        let (payload, rest) = rest.split_at(usize::from(*size).min(rest.len()));
        plan = rest;
        let (kind, is_exception): (&[u8], bool) = match kind % 3 {
            0 => (b"chunk", false),
            1 => (b"metadata", false),
            _ => (b"throttlingException", true),
        };
        let (kind_name, message_type): (&[u8], &[u8]) =
            if is_exception { (b":exception-type", b"exception") } else { (b":event-type", b"event") };
        let mut wanted = Message { kind: kind.to_vec(), is_exception, payload: payload.to_vec(), is_intact: true };
        let mut bytes = match what % 4 {
            // Other headers that nobody wants, longer than is kept, behind the two that matter.
            0 => {
                let long = vec![b'x'; 5_000];
                message(&[(kind_name, kind), (b":message-type", message_type), (b"x", &long)], payload)
            }
            // Any bytes as headers.
            1 => {
                let (headers, payload) = payload.split_at(payload.len() / 2);
                wanted.payload = payload.to_vec();
                wanted.kind.clear();
                framed(headers, payload)
            }
            _ => message(&[(kind_name, kind), (b":message-type", message_type)], payload),
        };
        if what & 0x40 != 0 {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            wanted.is_intact = false;
        }
        stream.extend_from_slice(&bytes);
        expected.push(wanted);
    }
    (stream, expected)
}

/// Any bytes as an event stream, and any plan of one: however it is cut the same is found, and all that was put there.
pub fn eventstream(data: &[u8]) {
    let (cut, bytes) = Cut::take(data);
    let whole = read(&[bytes]);
    assert_eq!(read(&cut.pieces(bytes)), whole, "cut otherwise");
    let (stream, expected) = built(bytes);
    let whole = read(&[&stream]);
    assert_eq!(read(&cut.pieces(&stream)), whole, "a plan, cut otherwise");
    assert!(whole.2 && whole.3, "whole messages, and yet it is no event stream");
    assert_eq!(whole.0.len(), expected.len());
    for (found, wanted) in whole.0.iter().zip(&expected) {
        assert_eq!((&found.payload, found.is_intact), (&wanted.payload, wanted.is_intact));
        if !wanted.kind.is_empty() {
            assert_eq!((&found.kind, found.is_exception), (&wanted.kind, wanted.is_exception));
        }
    }
}
