//! One ring that this root context owns: events in shared data, from the tail to the next sequence number.
//!
//! Every change goes through a swap of the head at the version that was read, so that an owner that stalled beyond its lease and lost
//! the ring writes nothing: neither into the head nor, since slots are swapped too, over an event of the new owner.

use std::collections::VecDeque;

use super::head::{Head, LEASE_MS};
use crate::{
    store::{SharedStore, StoreError, Version},
    time::Timestamp,
};

/// Before all keys of rings; the number is the layout.
const PREFIX: &[u8] = b"meterr/q1/";

/// Where an event is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    InFlight,
    /// Delivered, dead-lettered or dropped; the slot goes when all before it are done too.
    Done,
}

/// What memory keeps of an event. The event itself is in shared data.
#[derive(Clone, Copy, Debug)]
struct Entry {
    progress: Progress,
    /// Bytes in its slot.
    bytes: u64,
    /// When it came, milliseconds since the epoch.
    came: u64,
}

/// What became of an event in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    DeadLettered,
    Dropped,
}

#[derive(Debug)]
pub(super) struct Ring {
    pub(super) number: u8,
    /// As it stands in the store, as long as the ring is ours.
    pub(super) head: Head,
    /// From the tail to the next.
    entries: VecDeque<Entry>,
    waiting: usize,
}

/// Why a push did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushError {
    /// No room.
    Full,
    /// The ring belongs to somebody else now, or the store fails.
    Lost,
}

pub(super) fn head_key(ring: u8) -> Vec<u8> {
    [PREFIX, &[ring], b"/h"].concat()
}

fn slot_key(ring: u8, slot: u64) -> Vec<u8> {
    [PREFIX, &[ring], b"/", &slot.to_le_bytes()].concat()
}

/// Reads a head.
pub(super) fn read_head(store: &dyn SharedStore, ring: u8) -> Result<Option<(Head, Version)>, StoreError> {
    let Some((bytes, version)) = store.read(&head_key(ring))? else { return Ok(None) };
    // A head that cannot be read is one of another layout: an empty one takes its place.
    Ok(Some((Head::decode(&bytes).unwrap_or_default(), version)))
}

impl Ring {
    /// Takes a ring over whose head was just read. `None` if somebody was faster.
    pub(super) fn take(
        store: &dyn SharedStore,
        number: u8,
        read: Option<(Head, Version)>,
        owner: u64,
        writer: u64,
        slots: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let mut head = read.map(|(head, _)| head).unwrap_or_default();
        head.owner = owner;
        head.epoch = head.epoch.wrapping_add(1);
        head.lease_until = now.millis().saturating_add(LEASE_MS);
        if head.writer == 0 {
            head.writer = writer.max(1);
            // A `seq` of 0 would read as "none".
            head.next = 1;
            head.tail = 1;
            head.heartbeat = now.millis();
        }
        if head.queued() == 0 {
            head.slots = slots.max(1);
        }
        let key = head_key(number);
        match read {
            Some((_, version)) => store.swap(&key, &head.encode(), version).ok()?,
            None => store.create(&key, &head.encode()).ok()?,
        }
        let mut ring = Self { number, head, entries: VecDeque::new(), waiting: 0 };
        for seq in head.tail..head.next {
            let entry = match ring.read(store, seq) {
                Ok(Some((event, came))) => Entry { progress: Progress::Waiting, bytes: event.len() as u64, came },
                // Done, but not at the tail. A slot is written before its head.
                Ok(None) => Entry { progress: Progress::Done, bytes: 0, came: 0 },
                // What is in it cannot be known now: for another time, or another owner.
                Err(_) => {
                    ring.give_back(store);
                    return None;
                }
            };
            ring.waiting = ring.waiting.saturating_add(usize::from(entry.progress == Progress::Waiting));
            ring.entries.push_back(entry);
        }
        Some(ring)
    }

    /// Whether an event of that size fits. A single event always does.
    pub(super) fn has_room(&self, bytes: usize, max_bytes: usize) -> bool {
        let sum = self.head.bytes.saturating_add(bytes as u64);
        self.head.queued() == 0 || (self.head.queued() < self.head.slots && sum <= max_bytes as u64)
    }

    /// Puts an event in: slot first, then head, so that a head never points at nothing.
    pub(super) fn push(
        &mut self,
        store: &dyn SharedStore,
        event: &[u8],
        max_bytes: usize,
        now: Timestamp,
    ) -> Result<(), PushError> {
        if !self.has_room(event.len(), max_bytes) {
            return Err(PushError::Full);
        }
        let key = self.slot(self.head.next);
        // Before the fence: what a new owner writes into the slot afterwards has another version, and is not written over.
        let slot = store.read(&key).map_err(|_| PushError::Lost)?;
        let fence = self.fence(store).map_err(|_| PushError::Lost)?;
        let value = [&now.millis().to_le_bytes(), event].concat();
        let written = match slot {
            Some((_, version)) => store.swap(&key, &value, version),
            None => store.create(&key, &value),
        };
        written.map_err(|_| PushError::Lost)?;
        let mut head = self.head;
        head.next = head.next.saturating_add(1);
        head.bytes = head.bytes.saturating_add(event.len() as u64);
        head.accepted = head.accepted.saturating_add(1);
        if self.entries.is_empty() {
            head.oldest = now.millis();
        }
        self.swap(store, head, fence, now).map_err(|_| PushError::Lost)?;
        self.entries.push_back(Entry { progress: Progress::Waiting, bytes: event.len() as u64, came: now.millis() });
        self.waiting = self.waiting.saturating_add(1);
        Ok(())
    }

    /// The version of the head, if it is as we left it: owner and epoch are in it, so that an equal head is ours.
    fn fence(&self, store: &dyn SharedStore) -> Result<Version, StoreError> {
        match read_head(store, self.number)? {
            Some((head, version)) if head == self.head => Ok(version),
            _ => Err(StoreError::Conflict),
        }
    }

    fn swap(
        &mut self,
        store: &dyn SharedStore,
        mut head: Head,
        fence: Version,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        head.lease_until = head.lease_until.max(now.millis().saturating_add(LEASE_MS));
        store.swap(&head_key(self.number), &head.encode(), fence)?;
        self.head = head;
        Ok(())
    }

    fn update(&mut self, store: &dyn SharedStore, head: Head, now: Timestamp) -> bool {
        self.fence(store).is_ok_and(|fence| self.swap(store, head, fence, now).is_ok())
    }

    /// Renews the lease; `false` if the ring is lost.
    pub(super) fn renew(&mut self, store: &dyn SharedStore, now: Timestamp) -> bool {
        self.update(store, self.head, now)
    }

    /// Notes a heartbeat.
    pub(super) fn beat(&mut self, store: &dyn SharedStore, now: Timestamp) -> bool {
        self.update(store, Head { heartbeat: now.millis(), ..self.head }, now)
    }

    /// Gives the ring back; what is in it is for whoever takes it next.
    pub(super) fn give_back(self, store: &dyn SharedStore) {
        let head = Head { owner: 0, lease_until: 0, ..self.head };
        // If that fails, somebody else has it already.
        let _taken = self.fence(store).and_then(|fence| store.swap(&head_key(self.number), &head.encode(), fence));
    }

    fn slot(&self, seq: u64) -> Vec<u8> {
        slot_key(self.number, seq % self.head.slots.max(1))
    }

    /// An event and when it came; `None` if it is done. What the store cannot read at the moment is not done.
    pub(super) fn read(&self, store: &dyn SharedStore, seq: u64) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        let Some((bytes, _)) = store.read(&self.slot(seq))? else { return Ok(None) };
        let event = bytes.split_first_chunk::<8>();
        Ok(event.map(|(came, event)| (event.to_vec(), u64::from_le_bytes(*came))))
    }

    fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        let place = seq.checked_sub(self.head.tail)?;
        self.entries.get_mut(usize::try_from(place).ok()?)
    }

    pub(super) fn set(&mut self, seq: u64, progress: Progress) {
        let before = match self.entry(seq) {
            Some(entry) if entry.progress != Progress::Done => core::mem::replace(&mut entry.progress, progress),
            _ => return,
        };
        self.waiting = self.waiting.saturating_sub(usize::from(before == Progress::Waiting));
        self.waiting = self.waiting.saturating_add(usize::from(progress == Progress::Waiting));
    }

    /// Sequence numbers that wait, oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u64> + '_ {
        let entries = self.entries.iter().zip(self.head.tail..);
        entries.filter(|(entry, _)| entry.progress == Progress::Waiting).map(|(_, seq)| seq)
    }

    pub(super) const fn waiting_count(&self) -> usize {
        self.waiting
    }

    /// When the oldest waiting event came, and how many bytes wait.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        if self.waiting == 0 {
            return None;
        }
        self.entries.iter().find(|entry| entry.progress == Progress::Waiting).map(|entry| entry.came)
    }

    pub(super) fn bytes_of(&self, seq: u64) -> usize {
        let place = seq.checked_sub(self.head.tail).and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.entries.get(place));
        entry.map_or(0, |entry| usize::try_from(entry.bytes).unwrap_or(usize::MAX))
    }

    /// The oldest event that is not done.
    pub(super) fn oldest(&self) -> Option<u64> {
        let entries = self.entries.iter().zip(self.head.tail..);
        let mut open = entries.filter(|(entry, _)| entry.progress != Progress::Done);
        open.next().map(|(_, seq)| seq)
    }

    /// Marks events as done and lets go of all that are done at the tail. Gives back how many were not done before; `None` if the ring is
    /// lost: then nothing is done, and its new owner sends them again.
    pub(super) fn finish(
        &mut self,
        store: &dyn SharedStore,
        done: &[(u64, Fate)],
        now: Timestamp,
    ) -> Option<Vec<Fate>> {
        let mut head = self.head;
        let mut fates = Vec::with_capacity(done.len());
        let mut slots = Vec::with_capacity(done.len());
        let fence = self.fence(store).ok()?;
        for (seq, fate) in done {
            let key = self.slot(*seq);
            let Some(entry) = self.entry(*seq).filter(|entry| entry.progress != Progress::Done) else { continue };
            let was_waiting = entry.progress == Progress::Waiting;
            entry.progress = Progress::Done;
            head.bytes = head.bytes.saturating_sub(entry.bytes);
            self.waiting = self.waiting.saturating_sub(usize::from(was_waiting));
            let counter = match fate {
                Fate::Delivered => &mut head.delivered,
                Fate::DeadLettered => &mut head.dead_lettered,
                Fate::Dropped => &mut head.dropped,
            };
            *counter = counter.saturating_add(1);
            fates.push(*fate);
            // Before the head lets go of it: afterwards the slot could be somebody else's.
            if let Ok(Some((_, version))) = store.read(&key) {
                slots.push((key, version));
            }
        }
        let finished = self.entries.iter().take_while(|entry| entry.progress == Progress::Done).count();
        head.tail = head.tail.saturating_add(finished as u64);
        head.oldest = self.entries.get(finished).map_or(0, |entry| entry.came);
        self.swap(store, head, fence, now).ok()?;
        self.entries.drain(..finished);
        for (key, version) in slots {
            // Frees the bytes, and tells whoever adopts the ring that this one is done; the key stays for ever. A conflict means that the
            // slot is in use again.
            let _in_use = store.swap(&key, &[], version);
        }
        Some(fates)
    }
}
