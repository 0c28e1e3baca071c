//! One ring that this root context owns: events in shared data, from the tail to the next sequence number.
//!
//! Every change of the head is a swap at the version that was read, so that an owner that stalled beyond its lease and lost the ring changes
//! nothing in it. An event is one write into its slot: within the lease nobody else writes, and slots are swapped too, so that even an owner
//! that stalls in the midst of it writes over no event of the new one. The head learns of events with its next change. So whoever takes a ring
//! over goes on from its `next` for as long as slots hold the `seq` that would be given, and so does an owner that finds one there: an event is
//! accepted when it is in its slot.
//!
//! What became of an event is written into its slot first, and counted in the head in the same swap that lets the tail pass over it. So
//! head and slots agree whenever an owner dies or loses the ring in between: an event is counted once, however often it is delivered.
//!
//! A slot is one byte, then its `seq` (8 bytes, little-endian). The byte is 0 for an event, then follow when it came (milliseconds since
//! the epoch, 8 bytes) and the event; else it is a [`Fate`], and nothing follows.

use core::ops::Range;
use std::collections::VecDeque;

use super::head::{Head, LEASE_MS};
use crate::{
    store::{SharedStore, StoreError, Version},
    time::Timestamp,
};

/// Before all keys of rings; the number is the layout.
const PREFIX: &[u8] = b"meterr/q2/";

/// Bytes of a slot before when its event came.
const SLOT_HEAD: usize = 9;
/// Bytes of a slot before its event.
const EVENT_AT: usize = SLOT_HEAD + 8;

/// What an event takes beside its own bytes: key and place in Envoy's map, its entry here, and what allocators round up to. In Envoy 1.40
/// that came to some 430 bytes.
const OVERHEAD: u64 = 512;

/// Where an event is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    InFlight,
    /// Counted when the tail passes over it: when all before it are done too.
    Done(Fate),
}

/// What memory keeps of an event. The event itself is in shared data.
#[derive(Clone, Copy, Debug)]
struct Entry {
    progress: Progress,
    /// Bytes in its slot.
    bytes: u64,
    /// When it came, milliseconds since the epoch.
    came: u64,
    /// Of its slot, once that was read.
    version: Option<Version>,
}

/// What became of an event in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    DeadLettered,
    Dropped,
}

impl Fate {
    const ALL: [Self; 3] = [Self::Delivered, Self::DeadLettered, Self::Dropped];

    /// In a slot.
    const fn byte(self) -> u8 {
        match self {
            Self::Delivered => 1,
            Self::DeadLettered => 2,
            Self::Dropped => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.byte() == byte)
    }
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Event {
        event: Vec<u8>,
        /// Milliseconds since the epoch.
        came: u64,
        version: Version,
    },
    /// The event is done. One that is not where the head says counts as dropped.
    Done(Fate),
}

#[derive(Debug)]
pub(super) struct Ring {
    pub(super) number: u8,
    /// As it stands in the store, as long as the ring is ours.
    head: Head,
    /// The next `seq` to give: the head may not know yet of those before it.
    next: u64,
    /// From the tail to the next.
    entries: VecDeque<Entry>,
    waiting: usize,
    /// Of all entries that are not done. The head learns it with its next change.
    bytes: u64,
    /// The `next` that the last heartbeat told of; 0 if there was none since the ring was taken.
    told: u64,
}

/// Why a push did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushError {
    /// No room.
    Full,
    /// The `seq` was given already, by an owner that was slow to hear that it is none any more: another one is next.
    Given,
    /// The ring belongs to somebody else now, or the store fails.
    Lost,
}

pub(super) fn head_key(ring: u8) -> Vec<u8> {
    [PREFIX, &[ring], b"/h"].concat()
}

fn slot_key(ring: u8, slot: u64) -> Vec<u8> {
    [PREFIX, &[ring], b"/", &slot.to_le_bytes()].concat()
}

/// The `seq` that a slot was written for last.
fn seq_in(slot: &[u8]) -> Option<u64> {
    slot.get(1..)?.first_chunk().map(|seq| u64::from_le_bytes(*seq))
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
        // Where an owner died, slots may hold more than the head knows of.
        if head.queued() == 0 && read.is_none_or(|(before, _)| before.owner == 0 || before.slots == 0) {
            head.slots = slots.max(1);
        }
        let key = head_key(number);
        match read {
            Some((_, version)) => store.swap(&key, &head.encode(), version).ok()?,
            None => store.create(&key, &head.encode()).ok()?,
        }
        let mut ring = Self { number, head, next: head.tail, entries: VecDeque::new(), waiting: 0, bytes: 0, told: 0 };
        while ring.next < head.next {
            // Not at the tail yet, or the last owner had no time to count it.
            let gone = Slot::Done(Fate::Dropped);
            match ring.read_slot(store, ring.next) {
                Ok(slot) => ring.append(slot.unwrap_or(gone)),
                // What is in it cannot be known now: for another time, or another owner, who must look as if this one had died.
                Err(_) => {
                    ring.release(store, head);
                    return None;
                }
            }
        }
        // What the head does not know of yet; where that cannot be known now, the next look finds it.
        let _is_known = ring.catch_up(store);
        Some(ring)
    }

    /// Takes what stands in the slot of the next `seq`.
    fn append(&mut self, slot: Slot) {
        let entry = match slot {
            Slot::Event { event, came, version } => {
                Entry { progress: Progress::Waiting, bytes: event.len() as u64, came, version: Some(version) }
            }
            Slot::Done(fate) => Entry { progress: Progress::Done(fate), bytes: 0, came: 0, version: None },
        };
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.waiting = self.waiting.saturating_add(usize::from(entry.progress == Progress::Waiting));
        self.entries.push_back(entry);
        self.next = self.next.saturating_add(1);
    }

    /// Takes events that the head does not know of, nor this owner: from before it died, or from one that was slow to hear that it is none any
    /// more.
    fn catch_up(&mut self, store: &dyn SharedStore) -> Result<(), StoreError> {
        while self.queued() < self.head.slots
            && let Some(slot) = self.read_slot(store, self.next)?
        {
            self.append(slot);
        }
        Ok(())
    }

    /// How many events there are.
    pub(super) const fn queued(&self) -> u64 {
        self.next.saturating_sub(self.head.tail)
    }

    /// The next `seq` to give.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// All `seq` from the tail on.
    pub(super) const fn seqs(&self) -> Range<u64> {
        self.head.tail..self.next
    }

    /// The head as it is to be.
    fn ahead(&self) -> Head {
        let more = self.next.saturating_sub(self.head.next);
        Head {
            next: self.next,
            accepted: self.head.accepted.saturating_add(more),
            bytes: self.bytes,
            oldest: self.entries.front().map_or(0, |entry| entry.came),
            ..self.head
        }
    }

    /// The head, as it was written last.
    pub(super) const fn head(&self) -> &Head {
        &self.head
    }

    /// Whether the lease still runs, and is none from before the clock went back.
    fn has_lease(&self, now: Timestamp) -> bool {
        self.head.lease_until > now.millis() && !self.head.is_too_long(now)
    }

    /// Whether an event of that size fits. A single event always does.
    pub(super) fn has_room(&self, bytes: usize, max_bytes: usize) -> bool {
        let sum = self.taken().saturating_add(bytes as u64).saturating_add(OVERHEAD);
        self.queued() == 0 || (self.queued() < self.head.slots && sum <= max_bytes as u64)
    }

    /// What its events take of memory.
    const fn taken(&self) -> u64 {
        self.bytes.saturating_add(self.queued().saturating_mul(OVERHEAD))
    }

    /// How many events of that size fit.
    pub(super) fn room(&self, max_bytes: usize, size: usize) -> usize {
        let slots = self.head.slots.saturating_sub(self.queued());
        let bytes = (max_bytes as u64).saturating_sub(self.taken()) / (size as u64).saturating_add(OVERHEAD);
        // A single event always does.
        let least = u64::from(self.queued() == 0);
        usize::try_from(slots.min(bytes).max(least)).unwrap_or(usize::MAX)
    }

    /// Puts an event in.
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
        if !self.has_lease(now) && !self.renew(store, now) {
            return Err(PushError::Lost);
        }
        let seq = self.next;
        let key = self.slot(seq);
        let before = store.read(&key).map_err(|_| PushError::Lost)?;
        match before.as_ref().and_then(|(slot, _)| seq_in(slot)) {
            // The ring went on without us.
            Some(written) if written > seq => return Err(PushError::Lost),
            Some(written) if written == seq => {
                self.catch_up(store).map_err(|_| PushError::Lost)?;
                return Err(PushError::Given);
            }
            Some(_) | None => {}
        }
        let value = [&[0][..], &seq.to_le_bytes(), &now.millis().to_le_bytes(), event].concat();
        let written = match before {
            Some((_, version)) => store.swap(&key, &value, version),
            None => store.create(&key, &value),
        };
        written.map_err(|_| PushError::Lost)?;
        let bytes = event.len() as u64;
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push_back(Entry { progress: Progress::Waiting, bytes, came: now.millis(), version: None });
        self.waiting = self.waiting.saturating_add(1);
        self.next = seq.saturating_add(1);
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
        head.lease_until = now.millis().saturating_add(LEASE_MS);
        store.swap(&head_key(self.number), &head.encode(), fence)?;
        self.head = head;
        Ok(())
    }

    fn update(&mut self, store: &dyn SharedStore, head: Head, now: Timestamp) -> bool {
        self.fence(store).is_ok_and(|fence| self.swap(store, head, fence, now).is_ok())
    }

    /// Renews the lease, and tells the head what there is; `false` if the ring is lost.
    pub(super) fn renew(&mut self, store: &dyn SharedStore, now: Timestamp) -> bool {
        self.update(store, self.ahead(), now)
    }

    /// Looks after the ring, now and then; `false` if it is lost.
    pub(super) fn tend(&mut self, store: &dyn SharedStore, now: Timestamp) -> bool {
        // What cannot be read now is found another time.
        let _is_known = self.catch_up(store);
        // Neither soon over nor longer than any: the clock may have gone back.
        let usual = now.millis().saturating_add(LEASE_MS / 2)..=now.millis().saturating_add(LEASE_MS);
        let is_known = self.next == self.head.next && self.bytes == self.head.bytes;
        (is_known && usual.contains(&self.head.lease_until)) || self.renew(store, now)
    }

    /// Notes a heartbeat.
    pub(super) fn beat(&mut self, store: &dyn SharedStore, now: Timestamp) -> bool {
        self.told = self.next;
        self.update(store, Head { heartbeat: now.millis(), ..self.ahead() }, now)
    }

    /// Whether a heartbeat has told of all that is in it.
    pub(super) const fn is_told(&self) -> bool {
        self.told == self.next || self.next <= 1
    }

    /// Gives the ring back; what is in it is for whoever takes it next.
    pub(super) fn give_back(mut self, store: &dyn SharedStore) {
        // Nobody owns a ring of which all is known.
        let owner = if self.catch_up(store).is_ok() { 0 } else { self.head.owner };
        let head = Head { owner, ..self.ahead() };
        self.release(store, head);
    }

    fn release(self, store: &dyn SharedStore, head: Head) {
        let head = Head { lease_until: 0, ..head };
        // If that fails, somebody else has it already.
        let _taken = self.fence(store).and_then(|fence| store.swap(&head_key(self.number), &head.encode(), fence));
    }

    fn slot(&self, seq: u64) -> Vec<u8> {
        slot_key(self.number, seq % self.head.slots.max(1))
    }

    /// What is in the slot of an event. What the store cannot read at the moment is not done.
    pub(super) fn read(&self, store: &dyn SharedStore, seq: u64) -> Result<Slot, StoreError> {
        self.read_slot(store, seq).map(|slot| slot.unwrap_or(Slot::Done(Fate::Dropped)))
    }

    /// The same; `None` if the slot holds no such event.
    fn read_slot(&self, store: &dyn SharedStore, seq: u64) -> Result<Option<Slot>, StoreError> {
        let Some((mut bytes, version)) = store.read(&self.slot(seq))? else { return Ok(None) };
        let Some(kind) = bytes.first().filter(|_| seq_in(&bytes) == Some(seq)) else { return Ok(None) };
        let gone = Some(Slot::Done(Fate::Dropped));
        if *kind != 0 {
            return Ok(Fate::from_byte(*kind).map_or(gone, |fate| Some(Slot::Done(fate))));
        }
        let Some(came) = bytes.get(SLOT_HEAD..).and_then(<[u8]>::first_chunk::<8>) else { return Ok(gone) };
        let came = u64::from_le_bytes(*came);
        bytes.drain(..EVENT_AT);
        Ok(Some(Slot::Event { event: bytes, came, version }))
    }

    fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        let place = seq.checked_sub(self.head.tail)?;
        self.entries.get_mut(usize::try_from(place).ok()?)
    }

    fn set(&mut self, seq: u64, progress: Progress) {
        let (before, bytes) = match self.entry(seq) {
            Some(entry) if !matches!(entry.progress, Progress::Done(_)) => {
                (core::mem::replace(&mut entry.progress, progress), entry.bytes)
            }
            _ => return,
        };
        self.waiting = self.waiting.saturating_sub(usize::from(before == Progress::Waiting));
        self.waiting = self.waiting.saturating_add(usize::from(progress == Progress::Waiting));
        if matches!(progress, Progress::Done(_)) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// An event is on its way, from a slot of that version.
    pub(super) fn sent(&mut self, seq: u64, version: Version) {
        if let Some(entry) = self.entry(seq) {
            entry.version = Some(version);
        }
        self.set(seq, Progress::InFlight);
    }

    /// An event is to be sent again.
    pub(super) fn put_back(&mut self, seq: u64) {
        self.set(seq, Progress::Waiting);
    }

    /// The slot of an event says that it is done.
    pub(super) fn is_done(&mut self, seq: u64, fate: Fate) {
        self.set(seq, Progress::Done(fate));
    }

    /// Sequence numbers that wait, oldest first, and when they came.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let entries = self.entries.iter().zip(self.head.tail..);
        entries.filter(|(entry, _)| entry.progress == Progress::Waiting).map(|(entry, seq)| (seq, entry.came))
    }

    pub(super) const fn waiting_count(&self) -> usize {
        self.waiting
    }

    /// When the oldest waiting event came.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        if self.waiting == 0 {
            return None;
        }
        self.waiting().next().map(|(_, came)| came)
    }

    fn seen(&self, seq: u64) -> Option<&Entry> {
        let place = seq.checked_sub(self.head.tail)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// When an event came, while it is in the ring.
    pub(super) fn came(&self, seq: u64) -> Option<u64> {
        self.seen(seq).map(|entry| entry.came)
    }

    pub(super) fn bytes_of(&self, seq: u64) -> usize {
        self.seen(seq).map_or(0, |entry| usize::try_from(entry.bytes).unwrap_or(usize::MAX))
    }

    /// The oldest event that is not done.
    pub(super) fn oldest(&self) -> Option<u64> {
        let entries = self.entries.iter().zip(self.head.tail..);
        let mut open = entries.filter(|(entry, _)| !matches!(entry.progress, Progress::Done(_)));
        open.next().map(|(_, seq)| seq)
    }

    /// Whether the head does not say yet what the slots say.
    pub(super) fn is_behind(&self) -> bool {
        let is_done = |entry: &Entry| matches!(entry.progress, Progress::Done(_));
        self.bytes != self.head.bytes || self.next != self.head.next || self.entries.front().is_some_and(is_done)
    }

    /// Marks events as done and lets the tail pass over all that are. Gives back the fates that are counted now; `None` if the ring is lost:
    /// then nothing is counted, and its new owner sends again what is not marked.
    pub(super) fn finish(
        &mut self,
        store: &dyn SharedStore,
        done: &[(u64, Fate)],
        now: Timestamp,
    ) -> Option<Vec<Fate>> {
        let fence = self.fence(store).ok()?;
        for (seq, fate) in done {
            if let Some(Entry { progress: Progress::Waiting | Progress::InFlight, version, .. }) = self.seen(*seq) {
                let fate = self.mark(store, *seq, *fate, *version);
                self.set(*seq, Progress::Done(fate));
            }
        }
        let fate = |entry: &Entry| if let Progress::Done(fate) = entry.progress { Some(fate) } else { None };
        let passed: Vec<Fate> = self.entries.iter().map_while(fate).collect();
        let mut head = self.ahead();
        for fate in &passed {
            let counter = match fate {
                Fate::Delivered => &mut head.delivered,
                Fate::DeadLettered => &mut head.dead_lettered,
                Fate::Dropped => &mut head.dropped,
            };
            *counter = counter.saturating_add(1);
        }
        head.tail = head.tail.saturating_add(passed.len() as u64);
        head.oldest = self.entries.get(passed.len()).map_or(0, |entry| entry.came);
        self.swap(store, head, fence, now).ok()?;
        self.entries.drain(..passed.len());
        Some(passed)
    }

    /// Writes a fate over its event, which also frees the bytes; the key stays for ever. Gives back the fate that holds: an owner before us
    /// may have been first. A mark that the store does not take is no loss: at worst the event is delivered again, and counted once.
    fn mark(&self, store: &dyn SharedStore, seq: u64, fate: Fate, version: Option<Version>) -> Fate {
        let version = match version {
            Some(version) => version,
            None => match self.read(store, seq) {
                Ok(Slot::Event { version, .. }) => version,
                Ok(Slot::Done(other)) => return other,
                Err(_) => return fate,
            },
        };
        let [a, b, c, d, e, f, g, h] = seq.to_le_bytes();
        match store.swap(&self.slot(seq), &[fate.byte(), a, b, c, d, e, f, g, h], version) {
            Err(StoreError::Conflict) => match self.read(store, seq) {
                Ok(Slot::Done(other)) => other,
                _ => fate,
            },
            _ => fate,
        }
    }
}
