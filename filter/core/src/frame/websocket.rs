//! WebSocket framing (RFC 6455), one direction of a connection, as its bytes pass.
//!
//! Payloads are handed on as they come: a frame that announces 2^63 bytes costs no more memory than one of ten.

/// Who sends in this direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The one that asked for the connection: it masks all that it sends.
    Client,
    /// The one that was asked: it masks nothing.
    Server,
}

/// What has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Bytes of a text message, unmasked; never none.
    Text(&'a [u8]),
    /// The text message is whole.
    EndOfText,
    /// A message begins that is compressed (RFC 7692). Its bytes are not read.
    Compressed,
    /// The sender closes the connection.
    Close,
}

/// The bytes are no WebSocket frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError;

/// Longest header of a frame: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;
/// Longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL: u64 = 125;
/// Bytes that are unmasked at a time.
const STEP: usize = 2_048;

const FIN: u8 = 0x80;
/// The bit of the extensions that compress, permessage-deflate among them, and the two that none in use has.
const RSV1: u8 = 0x40;
const RSV23: u8 = 0x30;

/// A message of which some frames have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Text,
    /// Binary or compressed.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    /// In a payload: what is still to come, whether it is text, and whether its end is that of a text message.
    Payload {
        left: u64,
        is_text: bool,
        ends_text: bool,
    },
    Broken,
}

/// Takes the frames of one direction apart, whatever pieces they come in.
///
/// Memory: the header of one frame. Control frames between those of a message are looked through.
#[derive(Debug)]
pub struct Framer {
    sender: Sender,
    /// Whether an extension was agreed upon: without one, its bit means nothing and is an error.
    may_compress: bool,
    place: Place,
    header: [u8; MAX_HEADER],
    header_bytes: usize,
    mask: Option<[u8; 4]>,
    /// How far the mask has turned, 0 to 3.
    turn: usize,
    /// The message that is not whole.
    message: Option<Message>,
}

impl Framer {
    /// At the start of a connection.
    #[must_use]
    pub const fn new(sender: Sender, may_compress: bool) -> Self {
        Self {
            sender,
            may_compress,
            place: Place::Header,
            header: [0; MAX_HEADER],
            header_bytes: 0,
            mask: None,
            turn: 0,
            message: None,
        }
    }

    /// Whether what passes can no longer be read.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.place == Place::Broken
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// Once and for all, when the bytes are no frames. What came before has been handed on.
    pub fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(Item<'_>)) -> Result<(), ProtocolError> {
        let mut rest = bytes;
        loop {
            match self.place {
                Place::Broken => return Err(ProtocolError),
                Place::Header => {
                    let Some((byte, after)) = rest.split_first() else { return Ok(()) };
                    rest = after;
                    if let Some(slot) = self.header.get_mut(self.header_bytes) {
                        *slot = *byte;
                    }
                    self.header_bytes += 1;
                    if self.header_bytes == self.header_length() {
                        self.place = self.begin(found).unwrap_or(Place::Broken);
                        self.header_bytes = 0;
                    }
                }
                Place::Payload { left: 0, ends_text, .. } => {
                    if ends_text {
                        found(Item::EndOfText);
                    }
                    self.place = Place::Header;
                }
                Place::Payload { left, is_text, ends_text } => {
                    if rest.is_empty() {
                        return Ok(());
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (payload, after) = rest.split_at_checked(take).unwrap_or((rest, &[]));
                    if is_text {
                        self.text(payload, found);
                    }
                    rest = after;
                    self.place = Place::Payload { left: left.saturating_sub(payload.len() as u64), is_text, ends_text };
                }
            }
        }
    }

    /// Bytes of the header, as far as it tells yet.
    fn header_length(&self) -> usize {
        if self.header_bytes < 2 {
            return 2;
        }
        let [_, second, ..] = self.header;
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    /// Reads the header that is whole; `None` if there is no such frame.
    fn begin(&mut self, found: &mut impl FnMut(Item<'_>)) -> Option<Place> {
        let [first, second, after @ ..] = self.header;
        let [a, b, c, d, e, f, g, h, ..] = after;
        let (left, at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), 2),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 8),
            short => (u64::from(short), 0),
        };
        // The highest bit of a length must be zero (section 5.2).
        if first & RSV23 != 0 || left > u64::MAX >> 1 {
            return None;
        }
        let is_masked = second & 0x80 != 0;
        if is_masked != (self.sender == Sender::Client) {
            return None;
        }
        self.mask = after.get(at..at + 4).and_then(|mask| mask.try_into().ok()).filter(|_| is_masked);
        self.turn = 0;
        let (is_final, is_compressed) = (first & FIN != 0, first & RSV1 != 0);
        let opcode = first & 0x0f;
        if opcode >= 8 {
            if !is_final || is_compressed || left > MAX_CONTROL || opcode > 10 {
                return None;
            }
            if opcode == 8 {
                found(Item::Close);
            }
            return Some(Place::Payload { left, is_text: false, ends_text: false });
        }
        let message = match (opcode, self.message) {
            (0, Some(message)) if !is_compressed => message,
            (1 | 2, None) if is_compressed && self.may_compress => {
                found(Item::Compressed);
                Message::Other
            }
            (1, None) if !is_compressed => Message::Text,
            (2, None) if !is_compressed => Message::Other,
            _ => return None,
        };
        self.message = if is_final { None } else { Some(message) };
        let is_text = message == Message::Text;
        Some(Place::Payload { left, is_text, ends_text: is_text && is_final })
    }

    /// Hands payload on, unmasked.
    fn text(&mut self, payload: &[u8], found: &mut impl FnMut(Item<'_>)) {
        let Some(mask) = self.mask else {
            found(Item::Text(payload));
            return;
        };
        let mut plain = [0; STEP];
        for masked in payload.chunks(STEP) {
            let keys = mask.iter().cycle().skip(self.turn);
            for ((to, from), key) in plain.iter_mut().zip(masked).zip(keys) {
                *to = from ^ key;
            }
            self.turn = (self.turn + masked.len()) % mask.len();
            found(Item::Text(plain.get(..masked.len()).unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests;
