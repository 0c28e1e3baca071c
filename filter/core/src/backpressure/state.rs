//! Waits in the store: a table with a fixed number of slots, since keys are never freed.

use crate::{
    store::{SharedStore, StoreError, Version},
    time::Timestamp,
};

/// Before all keys, apart from other plugins in the same namespace; the number is the record's layout.
const TABLE: &[u8] = b"meterr/b1/";
/// Waits that are kept at a time: each is some 60 bytes with its key, and most providers ask for few.
const SLOTS: u32 = 4_096;
/// Most slots that are looked at for one key.
const PROBES: u32 = 8;
/// Most attempts to write. Each loss means that another worker got through; what is given up is said again by the next refusal.
const MAX_TRIES: u32 = 8;
/// Workers read their clocks one after another: so much backwards is no jump. In nanoseconds.
const SLACK: u64 = 1_000_000_000;
/// Length of a record in bytes: key, when it was said, when it ends (nanoseconds since the epoch).
const LEN: usize = 32;

/// What became of a wait that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is there.
    Yes,
    /// It is there, and another that ends earlier is forgotten: the table is full here.
    Displaced,
    /// It is not: the table is full here with others that end later.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    key: [u8; 16],
    said: u64,
    until: u64,
}

impl Wait {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (said, rest) = rest.split_first_chunk()?;
        let until = rest.first_chunk()?;
        Some(Self { key: *key, said: u64::from_le_bytes(*said), until: u64::from_le_bytes(*until) })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.said.to_le_bytes());
        bytes.extend_from_slice(&self.until.to_le_bytes());
        bytes
    }

    /// Nanoseconds that are left. A clock that went back ends the wait: it must never be longer than what was asked for.
    const fn left(&self, now: Timestamp) -> u64 {
        if now.0.saturating_add(SLACK) < self.said {
            return 0;
        }
        let left = self.until.saturating_sub(now.0);
        let asked = self.until.saturating_sub(self.said);
        if left < asked { left } else { asked }
    }
}

fn slot_key(key: [u8; 16], probe: u32) -> Vec<u8> {
    let [a, b, c, d, ..] = key;
    let slot = u32::from_le_bytes([a, b, c, d]).wrapping_add(probe) % SLOTS;
    [TABLE, &slot.to_le_bytes()].concat()
}

pub(super) fn read(store: &dyn SharedStore, key: [u8; 16], now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    for probe in 0..PROBES {
        // A slot that was never written ends the search: whoever comes is put there or before.
        let Some((bytes, _)) = store.read(&slot_key(key, probe))? else { return Ok(None) };
        let Some(wait) = Wait::decode(&bytes).filter(|wait| wait.key == key) else { continue };
        let left = wait.left(now);
        return Ok((left > 0).then(|| Timestamp(now.0.saturating_add(left))));
    }
    Ok(None)
}

/// Where a wait may be written.
struct Place {
    at: Vec<u8>,
    version: Option<Version>,
    kept: Kept,
}

/// The place for a wait that ends then; `None` if it need not be written.
fn place(store: &dyn SharedStore, new: &Wait, now: Timestamp) -> Result<Option<Place>, StoreError> {
    let mut free: Option<Place> = None;
    let mut first_to_end: Option<(u64, Place)> = None;
    for probe in 0..PROBES {
        let at = slot_key(new.key, probe);
        let Some((bytes, version)) = store.read(&at)? else {
            let place = || Place { at, version: None, kept: Kept::Yes };
            return Ok(Some(free.unwrap_or_else(place)));
        };
        let place = |kept| Place { at, version: Some(version), kept };
        let Some(wait) = Wait::decode(&bytes) else {
            free.get_or_insert(place(Kept::Yes));
            continue;
        };
        let left = wait.left(now);
        if wait.key == new.key {
            return Ok((left < new.left(now)).then(|| place(Kept::Yes)));
        }
        if left == 0 {
            free.get_or_insert(place(Kept::Yes));
        } else if first_to_end.as_ref().is_none_or(|(other, _)| left < *other) {
            first_to_end = Some((left, place(Kept::Displaced)));
        }
    }
    if free.is_some() {
        return Ok(free);
    }
    Ok(first_to_end.map(|(left, place)| {
        let kept = if left < new.left(now) { Kept::Displaced } else { Kept::Full };
        Place { kept, ..place }
    }))
}

pub(super) fn keep(store: &dyn SharedStore, key: [u8; 16], wait_ms: u64, now: Timestamp) -> Result<Kept, StoreError> {
    let new = Wait { key, said: now.0, until: now.plus_millis(wait_ms).0 };
    if new.left(now) == 0 {
        return Ok(Kept::Yes);
    }
    for _ in 0..MAX_TRIES {
        let Some(Place { at, version, kept }) = place(store, &new, now)? else { return Ok(Kept::Yes) };
        if kept == Kept::Full {
            return Ok(kept);
        }
        let written = match version {
            Some(version) => store.swap(&at, &new.encode(), version),
            None => store.create(&at, &new.encode()),
        };
        match written {
            Ok(()) => return Ok(kept),
            Err(StoreError::Conflict) => {}
            Err(error @ StoreError::Host(_)) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}
