//! Which key of the store holds a descriptor's record.
//!
//! Keys are never freed, so that each group of limits has a table with a fixed number of slots. A descriptor's slot is found by its hash
//! and a bounded probe; a slot whose record does not matter any more is taken over. Past the bound descriptors share the slot `other`
//! and stay limited: random ids cannot switch a limit off.

use super::record::{Hash, Record};
use crate::{
    store::{SharedStore, StoreError, Version},
    time::Timestamp,
};

/// Most slots that are looked at for one descriptor.
const PROBES: u32 = 64;

/// A record and where it stands.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Vec<u8>,
    /// `None` if the key was never written.
    pub(super) version: Option<Version>,
    pub(super) record: Record,
}

impl Place {
    /// Writes the record if nobody else did since it was read.
    pub(super) fn write(&self, store: &dyn SharedStore) -> Result<(), StoreError> {
        let bytes = self.record.encode();
        match self.version {
            Some(version) => store.swap(&self.key, &bytes, version),
            None => store.create(&self.key, &bytes),
        }
    }
}

/// The record of a descriptor, or where a new one belongs. `hint` is the key where it was last time.
pub(super) fn locate(
    store: &dyn SharedStore,
    table: &[u8],
    slots: u32,
    hash: Hash,
    hint: Option<&[u8]>,
    now: Timestamp,
) -> Result<Place, StoreError> {
    if let Some(key) = hint
        && let Some((bytes, version)) = store.read(key)?
        && let Some(record) = Record::decode(&bytes)
        && (record.hash == hash || record.hash == Hash::default())
    {
        return Ok(Place { key: key.to_vec(), version: Some(version), record });
    }
    let [a, b, c, d, ..] = hash;
    let home = u32::from_le_bytes([a, b, c, d]);
    let mut free: Option<Place> = None;
    for probe in 0..PROBES.min(slots) {
        let key = key(table, home.wrapping_add(probe) % slots.max(1));
        let Some((bytes, version)) = store.read(&key)? else {
            return Ok(free.unwrap_or_else(|| Place { key, version: None, record: Record::new(hash) }));
        };
        let record = Record::decode(&bytes);
        match record {
            Some(record) if record.hash == hash => return Ok(Place { key, version: Some(version), record }),
            Some(record) if !record.is_stale(now) => {}
            _ => {
                free.get_or_insert_with(|| Place { key, version: Some(version), record: Record::new(hash) });
            }
        }
    }
    if let Some(place) = free {
        return Ok(place);
    }
    let key = [table, b"/other"].concat();
    let (version, record) = match store.read(&key)? {
        Some((bytes, version)) => (Some(version), Record::decode(&bytes)),
        None => (None, None),
    };
    Ok(Place { key, version, record: record.unwrap_or_else(|| Record::new(Hash::default())) })
}

fn key(table: &[u8], slot: u32) -> Vec<u8> {
    [table, b"/", &slot.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limit::spec::Window, store::MemoryStore};

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn place(store: &MemoryStore, id: u8, slots: u32, now: Timestamp) -> Place {
        locate(store, b"t", slots, [id; 16], None, now).expect("a store in memory")
    }

    fn occupy(store: &MemoryStore, id: u8, slots: u32, end: u64, now: Timestamp) -> Vec<u8> {
        let mut place = place(store, id, slots, now);
        let window = Window::Bucket { per_sec: 1 };
        place.record.cell(1, window, now).take(window, 0, end - 1 - now.secs(), now);
        place.write(store).expect("nobody else writes");
        place.key
    }

    #[test]
    fn ok_past_the_bound_descriptors_share() {
        let store = MemoryStore::default();
        let keys: Vec<Vec<u8>> = (1..=4).map(|id| occupy(&store, id, 4, 2_000, NOW)).collect();
        assert_eq!(occupy(&store, 5, 4, 2_000, NOW), b"t/other");
        assert_eq!(occupy(&store, 6, 4, 2_000, NOW), b"t/other");
        assert_eq!(occupy(&store, 3, 4, 2_000, NOW), keys[2], "who has a slot keeps it");
        assert_eq!(store.size().0, 5);
    }

    #[test]
    fn ok_a_slot_that_was_taken_over_is_nobody_elses_any_more() {
        let store = MemoryStore::default();
        let key = occupy(&store, 1, 1, 1_500, NOW);
        let later = Timestamp::from_secs(1_500);
        assert_eq!(occupy(&store, 9, 1, 3_000, later), key);
        let place = locate(&store, b"t", 1, [1; 16], Some(&key), later).expect("a store in memory");
        assert_ne!(place.key, key, "the one that was there before settles elsewhere");
    }

    #[test]
    fn ok_stale_slots_are_taken_over() {
        let store = MemoryStore::default();
        for id in 1..=4 {
            occupy(&store, id, 4, if id == 2 { 1_500 } else { 3_000 }, NOW);
        }
        let later = Timestamp::from_secs(1_500);
        assert_ne!(occupy(&store, 9, 4, 3_000, later), b"t/other");
        assert_eq!(store.size().0, 4);
    }

    #[test]
    fn ok_a_key_space_full_of_rubbish_is_used_all_the_same() {
        let store = MemoryStore::default();
        store.write(&key(b"t", 0), b"rubbish").expect("memory");
        assert_eq!(occupy(&store, 1, 1, 2_000, NOW), key(b"t", 0));
    }
}
