//! How an input is cut.

use meterr_core::random::Random;

/// How many bytes of an input say how its rest is cut.
pub(crate) const SEED: usize = 2;

/// A way to cut bytes into pieces.
#[derive(Clone, Debug)]
pub(crate) struct Cut(u16);

impl Cut {
    /// Takes the way from the first bytes of an input, and gives back the rest.
    pub(crate) fn take(data: &[u8]) -> (Self, &[u8]) {
        match data.split_first_chunk::<SEED>() {
            Some((seed, rest)) => (Self(u16::from_le_bytes(*seed)), rest),
            None => (Self(0), &[]),
        }
    }

    /// The bytes in pieces, some of them empty: byte by byte, or of random sizes up to some bytes, some tens or some hundreds. At least
    /// one.
    pub(crate) fn pieces<'b>(&self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut random = Random::new(u64::from(self.0));
        let most = [1, 4, 40, 400][usize::from(self.0 % 4)];
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let mut size = usize::try_from(random.up_to(most)).expect("small");
            if size == 0 {
                pieces.push(&bytes[..0]);
                size = 1;
            }
            let (piece, rest) = bytes.split_at(size.min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        if pieces.is_empty() {
            pieces.push(bytes);
        }
        pieces
    }
}
