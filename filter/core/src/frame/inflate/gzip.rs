//! What gzip puts around deflate (RFC 1952, section 2.3): a header that is skipped byte by byte, and a trailer that is checked.

use flate2::Crc;

/// First byte of a member.
pub(super) const FIRST: u8 = 0x1f;

/// A header as it passes. Nothing of it is kept: its texts may be of any length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    part: Part,
    /// What of the optional parts is still to come.
    flags: u8,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// So many of the ten bytes that are always there have come.
    Fixed(u8),
    ExtraLength(Option<u8>),
    Extra(u16),
    /// A text up to its zero.
    Text,
    /// So many bytes of the header's checksum have come; it is not checked, the trailer's is.
    Checksum(u8),
}

impl Default for Part {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

const CHECKSUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Header {
    /// Takes the next byte; `true` if it was the last one. `None` if this is no header.
    pub(super) fn take(&mut self, byte: u8) -> Option<bool> {
        match self.part {
            Part::Fixed(at) => {
                let is_right = match at {
                    0 => byte == FIRST,
                    1 => byte == 0x8b,
                    // Deflate.
                    2 => byte == 8,
                    3 => byte & RESERVED == 0,
                    _ => true,
                };
                if !is_right {
                    return None;
                }
                if at == 3 {
                    self.flags = byte;
                }
                self.part = Part::Fixed(at.saturating_add(1));
                Some(at >= 9 && self.next())
            }
            Part::ExtraLength(None) => {
                self.part = Part::ExtraLength(Some(byte));
                Some(false)
            }
            Part::ExtraLength(Some(low)) => {
                let length = u16::from_le_bytes([low, byte]);
                self.part = Part::Extra(length);
                Some(length == 0 && self.next())
            }
            Part::Extra(left) => {
                let left = left.saturating_sub(1);
                self.part = Part::Extra(left);
                Some(left == 0 && self.next())
            }
            Part::Text => Some(byte == 0 && self.next()),
            Part::Checksum(0) => {
                self.part = Part::Checksum(1);
                Some(false)
            }
            Part::Checksum(_) => Some(self.next()),
        }
    }

    /// Goes to the next part that is there; `true` if none is.
    fn next(&mut self) -> bool {
        let parts = [
            (EXTRA, Part::ExtraLength(None)),
            (NAME, Part::Text),
            (COMMENT, Part::Text),
            (CHECKSUM, Part::Checksum(0)),
        ];
        let next = parts.into_iter().find(|(flag, _)| self.flags & flag != 0);
        if let Some((flag, part)) = next {
            self.flags &= !flag;
            self.part = part;
        }
        next.is_none()
    }
}

/// What the trailer must say.
#[derive(Debug, Default)]
pub(super) struct Sums(Crc);

impl Sums {
    /// Takes decoded bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Checksum and length, both of 32 bits with the lowest byte first, as one number.
    pub(super) fn trailer(&self) -> u64 {
        u64::from(self.0.amount()) << 32 | u64::from(self.0.sum())
    }
}
