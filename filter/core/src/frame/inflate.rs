//! Content encodings. What cannot be read here passes unread and is flagged.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};

/// A content encoding that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not encoded.
    Identity,
    /// `gzip` (RFC 1952), of one or more members.
    Gzip,
    /// `deflate`, which is zlib (RFC 1950) on the wire.
    Deflate,
}

impl Encoding {
    /// What a `content-encoding` header means, or `None` if it is one that cannot be read, or several.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            Some(Self::Identity)
        } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Some(Self::Gzip)
        } else if value.eq_ignore_ascii_case(b"deflate") {
            Some(Self::Deflate)
        } else {
            None
        }
    }
}

/// Why decoding stopped. It never starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The bytes are not of that encoding.
    Malformed,
    /// They expand beyond the cap.
    TooLarge,
}

/// Most bytes that one body may expand to. A reply of text stays far below; past it the rest is not counted, and flagged.
const MAX_OUTPUT: usize = 64 * 1024 * 1024;
/// Compressed bytes that are decoded at a time: deflate expands at most 1,032 times, so that this bounds what stands decoded.
const STEP: usize = 512;

/// Decodes a body that comes in pieces.
///
/// Memory: a window of 32 KiB and at most half a megabyte of decoded bytes.
#[derive(Debug)]
pub struct Inflater {
    decoder: Decoder,
    left: usize,
    failed: Option<InflateError>,
}

#[derive(Debug)]
enum Decoder {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
}

impl Inflater {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Identity => Decoder::Identity,
            Encoding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Encoding::Deflate => Decoder::Deflate(Box::new(ZlibDecoder::new(Vec::new()))),
        };
        Self { decoder, left: MAX_OUTPUT, failed: None }
    }

    /// Takes the next piece and gives all that it decodes to.
    ///
    /// # Errors
    /// Once and for all, when the bytes cannot be read any further.
    pub fn push(&mut self, bytes: &[u8], decoded: &mut dyn FnMut(&[u8])) -> Result<(), InflateError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if matches!(self.decoder, Decoder::Identity) {
            decoded(bytes);
            return Ok(());
        }
        for step in bytes.chunks(STEP) {
            if let Err(error) = self.step(step, decoded) {
                self.failed = Some(error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn step(&mut self, bytes: &[u8], decoded: &mut dyn FnMut(&[u8])) -> Result<(), InflateError> {
        let (result, out) = match &mut self.decoder {
            Decoder::Identity => return Ok(()),
            Decoder::Gzip(decoder) => (write(&mut **decoder, bytes), decoder.get_mut()),
            Decoder::Deflate(decoder) => (write(&mut **decoder, bytes), decoder.get_mut()),
        };
        let within = out.get(..self.left.min(out.len())).unwrap_or_default();
        decoded(within);
        let is_over = out.len() > self.left;
        self.left = self.left.saturating_sub(out.len());
        out.clear();
        if is_over {
            return Err(InflateError::TooLarge);
        }
        result.map_err(|_| InflateError::Malformed)
    }
}

/// Writes and flushes, so that a stream's chunk is decoded when it comes and not when the next one does.
fn write(decoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    decoder.write_all(bytes)?;
    decoder.flush()
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn decode(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Result<(), InflateError>) {
        let mut inflater = Inflater::new(Encoding::Gzip);
        let mut out = Vec::new();
        let mut result = Ok(());
        for piece in pieces {
            result = inflater.push(&piece, &mut |bytes| out.extend_from_slice(bytes));
        }
        (out, result)
    }

    #[test]
    fn ok_headers() {
        assert_eq!(Encoding::from_header(b" GZip "), Some(Encoding::Gzip));
        assert_eq!(Encoding::from_header(b"identity"), Some(Encoding::Identity));
        assert_eq!(Encoding::from_header(b"br"), None);
        assert_eq!(Encoding::from_header(b"gzip, br"), None);
    }

    #[test]
    fn ok_members_follow_each_other() {
        let both = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(decode(core::iter::once(both)).0, b"one two");
    }

    #[test]
    fn err_rubbish_and_bombs() {
        let (_, result) = decode(core::iter::once(b"this is no gzip at all".to_vec()));
        assert_eq!(result, Err(InflateError::Malformed));
        let bomb = gzip(&vec![b'a'; MAX_OUTPUT + 10]);
        let mut inflater = Inflater::new(Encoding::Gzip);
        let (mut total, mut largest) = (0, 0);
        let result = inflater.push(&bomb, &mut |bytes| {
            total += bytes.len();
            largest = largest.max(bytes.len());
        });
        assert_eq!((result, total), (Err(InflateError::TooLarge), MAX_OUTPUT));
        assert!(largest < 1024 * 1024, "{largest}");
    }

    #[test]
    fn ok_a_piece_is_decoded_when_it_comes() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: 1\n\n").expect("memory");
        encoder.flush().expect("memory");
        let first = encoder.get_ref().clone();
        let mut inflater = Inflater::new(Encoding::Gzip);
        let mut out = Vec::new();
        inflater.push(&first, &mut |bytes| out.extend_from_slice(bytes)).expect("gzip");
        assert_eq!(out, b"data: 1\n\n");
    }

    proptest! {
        /// Cut anywhere.
        #[test]
        fn cut_anywhere(text in prop::collection::vec(0..4_u8, 0..3000), cut in 1..200_usize) {
            let packed = gzip(&text);
            let (out, result) = decode(packed.chunks(cut).map(<[u8]>::to_vec));
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(out, text);
        }
    }
}
