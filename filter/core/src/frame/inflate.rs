//! Content encodings. What cannot be read here passes unread and is flagged.

mod gzip;

use flate2::{Decompress, FlushDecompress, Status};

use gzip::Header;

/// A content encoding that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not encoded.
    Identity,
    /// `gzip` (RFC 1952), of one or more members.
    Gzip,
    /// `deflate`: zlib (RFC 1950), or as some servers understand it, deflate alone (RFC 1951). The first two bytes tell.
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
/// Decoded bytes that stand at a time.
const BUFFER: usize = 8 * 1024;

/// Decodes a body that comes in pieces. What follows the end of the encoded data is ignored.
///
/// Memory: for a compressed body 43 KiB, most of it the window of 32 KiB; and 8 KiB of decoded bytes while a piece is read.
#[derive(Debug)]
pub struct Inflater {
    /// Nothing for a body that is not encoded.
    decoder: Option<Box<Decoder>>,
    left: usize,
    failed: Option<InflateError>,
}

#[derive(Debug)]
struct Decoder {
    part: Part,
    inflate: Decompress,
    gzip: Option<gzip::Sums>,
}

/// What of the encoded data comes next.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The first two bytes, of which the first may have come, say which `deflate` it is.
    First(Option<u8>),
    Header(Header),
    Data,
    /// So many bytes of a trailer have come, and what they say so far, lowest byte first.
    Trailer(u8, u64),
    /// Another member may follow.
    Between,
    Over,
}

impl Inflater {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        let (part, gzip) = match encoding {
            Encoding::Identity => return Self { decoder: None, left: 0, failed: None },
            Encoding::Gzip => (Part::Header(Header::default()), Some(gzip::Sums::default())),
            Encoding::Deflate => (Part::First(None), None),
        };
        let decoder = Decoder { part, inflate: Decompress::new(false), gzip };
        Self { decoder: Some(Box::new(decoder)), left: MAX_OUTPUT, failed: None }
    }

    /// Takes the next piece and gives all that it decodes to, in pieces of at most 8 KiB if it is encoded.
    ///
    /// # Errors
    /// Once and for all, when the bytes cannot be read any further.
    pub fn push(&mut self, mut bytes: &[u8], decoded: &mut dyn FnMut(&[u8])) -> Result<(), InflateError> {
        let Self { decoder, left, failed } = self;
        if let Some(error) = *failed {
            return Err(error);
        }
        let Some(decoder) = decoder else {
            decoded(bytes);
            return Ok(());
        };
        let mut within = |bytes: &[u8]| {
            decoded(bytes.get(..*left).unwrap_or(bytes));
            let fits = bytes.len() <= *left;
            *left = left.saturating_sub(bytes.len());
            if fits { Ok(()) } else { Err(InflateError::TooLarge) }
        };
        while !bytes.is_empty() {
            match decoder.step(bytes, &mut within) {
                Ok(rest) => bytes = rest,
                Err(error) => {
                    *failed = Some(error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Decoder {
    /// Takes bytes of one part and gives back those after.
    fn step<'b>(
        &mut self,
        bytes: &'b [u8],
        decoded: &mut dyn FnMut(&[u8]) -> Result<(), InflateError>,
    ) -> Result<&'b [u8], InflateError> {
        if matches!(self.part, Part::Data) {
            return self.data(bytes, decoded);
        }
        let Some((&byte, rest)) = bytes.split_first() else { return Ok(bytes) };
        self.part = match self.part {
            Part::First(None) => Part::First(Some(byte)),
            Part::First(Some(method)) => return self.first(method, byte, rest, decoded),
            Part::Header(mut header) => match header.take(byte).ok_or(InflateError::Malformed)? {
                true => Part::Data,
                false => Part::Header(header),
            },
            Part::Trailer(seen, value) => {
                let value = value | u64::from(byte) << seen.saturating_mul(8).min(56);
                match (seen, &self.gzip) {
                    (..7, _) => Part::Trailer(seen.saturating_add(1), value),
                    (_, Some(sums)) if sums.trailer() == value => Part::Between,
                    _ => return Err(InflateError::Malformed),
                }
            }
            Part::Between if byte == gzip::FIRST => {
                self.inflate.reset(false);
                self.gzip = Some(gzip::Sums::default());
                self.part = Part::Header(Header::default());
                return Ok(bytes);
            }
            Part::Between | Part::Over | Part::Data => return self.over(),
        };
        Ok(rest)
    }

    const fn over<'b>(&mut self) -> Result<&'b [u8], InflateError> {
        self.part = Part::Over;
        Ok(&[])
    }

    /// Whether the bytes begin a zlib stream: the method is deflate, and the two as a number are a multiple of 31 (RFC 1950, section
    /// 2.2). Deflate alone begins otherwise: those bits of its first byte would be a stored block whose padding is not zero.
    fn first<'b>(
        &mut self,
        method: u8,
        flags: u8,
        rest: &'b [u8],
        decoded: &mut dyn FnMut(&[u8]) -> Result<(), InflateError>,
    ) -> Result<&'b [u8], InflateError> {
        let is_zlib = method & 15 == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31);
        self.inflate.reset(is_zlib);
        self.part = Part::Data;
        let both = [method, flags];
        let unread = self.data(&both, decoded)?;
        debug_assert!(unread.is_empty());
        Ok(rest)
    }

    fn data<'b>(
        &mut self,
        mut bytes: &'b [u8],
        decoded: &mut dyn FnMut(&[u8]) -> Result<(), InflateError>,
    ) -> Result<&'b [u8], InflateError> {
        let mut buffer = [0; BUFFER];
        loop {
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(bytes, &mut buffer, FlushDecompress::None);
            let since = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
            let used = since(self.inflate.total_in(), before.0);
            let out = buffer.get(..since(self.inflate.total_out(), before.1)).unwrap_or_default();
            bytes = bytes.get(used..).unwrap_or_default();
            if let Some(sums) = &mut self.gzip {
                sums.update(out);
            }
            if !out.is_empty() {
                decoded(out)?;
            }
            if status.map_err(|_| InflateError::Malformed)? == Status::StreamEnd {
                self.part = if self.gzip.is_some() { Part::Trailer(0, 0) } else { Part::Over };
                return Ok(bytes);
            }
            if out.len() < BUFFER {
                if bytes.is_empty() {
                    return Ok(bytes);
                }
                if used == 0 && out.is_empty() {
                    return Err(InflateError::Malformed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression, GzBuilder,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn decode(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Result<(), InflateError>) {
        decode_as(Encoding::Gzip, pieces)
    }

    fn decode_as(encoding: Encoding, pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Result<(), InflateError>) {
        let mut inflater = Inflater::new(encoding);
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
        assert!(largest <= BUFFER, "{largest}");
    }

    #[test]
    fn ok_both_kinds_of_deflate() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"hello").expect("memory");
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(b"hello").expect("memory");
        for packed in [zlib.finish().expect("memory"), raw.finish().expect("memory")] {
            for cut in 1..packed.len() {
                let (out, result) = decode_as(Encoding::Deflate, packed.chunks(cut).map(<[u8]>::to_vec));
                assert_eq!((out.as_slice(), result), (&b"hello"[..], Ok(())), "in pieces of {cut}");
            }
        }
    }

    #[test]
    fn ok_whatever_stands_in_a_header_is_skipped_and_not_kept() {
        let long = vec![b'x'; 60_000];
        let header = GzBuilder::new().extra(long.clone()).filename(long.clone()).comment(long);
        let mut encoder = header.write(Vec::new(), Compression::default());
        encoder.write_all(b"hello").expect("memory");
        let packed = encoder.finish().expect("memory");
        for cut in [1, 7, packed.len()] {
            assert_eq!(decode(packed.chunks(cut).map(<[u8]>::to_vec)), (b"hello".to_vec(), Ok(())));
        }
    }

    #[test]
    fn ok_what_follows_the_end_is_ignored_and_err_a_wrong_checksum_is_not() {
        let mut packed = gzip(b"one");
        assert_eq!(decode(core::iter::once([&packed[..], &[0; 100]].concat())), (b"one".to_vec(), Ok(())));
        let at = packed.len() - 8;
        packed[at] ^= 1;
        assert_eq!(decode(core::iter::once(packed)), (b"one".to_vec(), Err(InflateError::Malformed)));
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
