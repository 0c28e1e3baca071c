//! Hashes that were made lately: most requests come with a credential that was seen a moment ago, and HMAC takes longer than all else that is
//! done with a request's headers.
//!
//! A credential is not kept: it is known again by two keyed hashes of 64 bits each.

use core::{fmt, hash::Hasher as _};
use std::hash::DefaultHasher;

use super::Hex;

/// Hashes that are remembered, each in a place that its credential alone decides. Whoever comes later takes the place.
const PLACES: usize = 256;

pub(super) struct Memo {
    /// What both hashes begin with. Without it, somebody might look for a credential that is taken for another's.
    secrets: [[u8; 16]; 2],
    /// Made room for when the first is remembered.
    places: Vec<Option<(Tag, Hex)>>,
}

type Tag = [u64; 2];

impl Memo {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let mut secrets = [[0; 16]; 2];
        for (to, from) in secrets.iter_mut().zip(secret.as_chunks::<16>().0) {
            *to = *from;
        }
        Self { secrets, places: Vec::new() }
    }

    /// What `make` gave for that value, read in that way, when it was last seen; if it was not, what it gives now.
    pub(super) fn recall(&mut self, reading: u8, value: &[u8], make: impl FnOnce() -> Hex) -> Hex {
        let tag = self.secrets.map(|secret| {
            let mut hasher = DefaultHasher::new();
            hasher.write(&secret);
            hasher.write_u8(reading);
            hasher.write(value);
            hasher.finish()
        });
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        let [first, _] = tag;
        let place = usize::try_from(first % PLACES as u64).unwrap_or(0);
        match self.places.get_mut(place) {
            Some(Some((known, hex))) if *known == tag => *hex,
            Some(place) => place.insert((tag, make())).1,
            None => make(),
        }
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_each_value_has_its_own_hash_however_many_there_are() {
        let mut memo = Memo::new(&[7; 32]);
        let hex = |nth: u32, reading: u8| -> Hex { format!("{reading:08x}{nth:08x}").into_bytes().try_into().unwrap() };
        let mut made = 0;
        for _ in 0..3 {
            for nth in 0..1_000_u32 {
                for reading in [0, 1] {
                    let known = memo.recall(reading, &nth.to_le_bytes(), || {
                        made += 1;
                        hex(nth, reading)
                    });
                    assert_eq!(known, hex(nth, reading));
                }
            }
        }
        assert!((2_000..=6_000).contains(&made), "{made}");
    }

    #[test]
    fn ok_a_value_that_was_seen_is_not_hashed_again() {
        let mut memo = Memo::new(&[7; 32]);
        assert_eq!(memo.recall(0, b"sk-1", || [1; 16]), [1; 16]);
        assert_eq!(memo.recall(0, b"sk-1", || [9; 16]), [1; 16], "not made anew");
        assert_eq!(memo.recall(1, b"sk-1", || [2; 16]), [2; 16]);
    }
}
