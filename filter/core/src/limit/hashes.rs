//! Hashes of descriptors. Who sends one request sends more, and SHA-256 takes as long as all that a limit has to do else.

use core::{cell::RefCell, hash::BuildHasher as _};

use hashbrown::DefaultHashBuilder;
use sha2::{Digest as _, Sha256};

use super::record::Hash;

/// Hashes that are remembered, each in a place that its descriptor decides. Whoever comes later takes the place.
const PLACES: usize = 256;
/// Longest descriptor that is remembered, in bytes.
const MAX_LEN: usize = 256;

/// Those of a group of limits, and those of them that were made lately.
#[derive(Debug, Default)]
pub(super) struct Hashes(RefCell<Memo>);

#[derive(Debug, Default)]
struct Memo {
    by: DefaultHashBuilder,
    /// Made room for when the first is remembered.
    places: Vec<(Vec<u8>, Hash)>,
    /// The descriptor that is asked for.
    asked: Vec<u8>,
}

impl Hashes {
    /// The hash of the descriptor that has these values.
    pub(super) fn of<'a>(&self, values: impl Iterator<Item = &'a str>) -> Hash {
        // Nothing else has it: no callback runs within another.
        match self.0.try_borrow_mut() {
            Ok(mut memo) => memo.of(values),
            Err(_) => Memo::default().of(values),
        }
    }
}

impl Memo {
    fn of<'a>(&mut self, values: impl Iterator<Item = &'a str>) -> Hash {
        self.asked.clear();
        for value in values {
            self.asked.extend_from_slice(&(value.len() as u64).to_le_bytes());
            self.asked.extend_from_slice(value.as_bytes());
        }
        if self.asked.len() > MAX_LEN {
            return digest(&self.asked);
        }
        if self.places.is_empty() {
            self.places.resize(PLACES, (Vec::new(), digest(&[])));
        }
        let place = usize::try_from(self.by.hash_one(&self.asked) % PLACES as u64).unwrap_or(0);
        let Some((known, hash)) = self.places.get_mut(place) else { return digest(&self.asked) };
        if *known != self.asked {
            known.clone_from(&self.asked);
            *hash = digest(known);
        }
        *hash
    }
}

fn digest(descriptor: &[u8]) -> Hash {
    let hash = Sha256::digest(descriptor).first_chunk().copied().unwrap_or_default();
    // All zeros mean the shared slot.
    if hash == Hash::default() { [1; 16] } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_each_descriptor_has_its_own_hash_however_many_there_are() {
        let hashes = Hashes::default();
        let long = "x".repeat(300);
        for _ in 0..2 {
            for nth in 0..1_000 {
                let tenant = format!("tenant-{nth}");
                let fresh = |values: &[&str]| Hashes::default().of(values.iter().copied());
                assert_eq!(hashes.of([tenant.as_str()].into_iter()), fresh(&[&tenant]));
                assert_eq!(hashes.of([tenant.as_str(), &long].into_iter()), fresh(&[&tenant, &long]));
            }
        }
        assert_ne!(hashes.of(["ab", "c"].into_iter()), hashes.of(["a", "bc"].into_iter()));
        assert_eq!(hashes.of(core::iter::empty()), hashes.of([].into_iter()));
    }
}
