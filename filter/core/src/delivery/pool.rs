//! The fixed pool of rings in shared data, and those of it that this root context owns.

use super::{
    head::Head,
    ring::{self, PushError, Ring},
};
use crate::{random::Random, store::SharedStore, time::Timestamp};

/// Most rings in a process. Each worker needs one, and takes more while the collector is down: Envoy runs a worker for each processor.
pub(super) const RINGS: u8 = 128;
/// Fewest.
const MIN_RINGS: usize = 16;
/// The first of the rings for control events.
const CONTROL: u8 = 192;
/// How large each of these is. There are 64, so that all that waits of such events takes 2 MiB at most, beyond the queue's own bound.
const CONTROL_BYTES: usize = 32_768;
/// A small queue has fewer rings, so that each holds some events.
const BYTES_PER_RING: usize = 16_384;
/// For so many rings there is one more, for workers that have none when others hold them all: then the queue is up to a quarter larger
/// than it was told to be, or by 32 small rings. A worker that adopts what a VM in trouble left behind may come to hold most of them.
const SPARE: u64 = 4;
const MIN_SPARE: u64 = 32;
/// A slot for each so many bytes of a ring: no event takes less, with what is counted beside it. Keys are never freed: fewer are better.
const BYTES_PER_SLOT: usize = 1_024;
/// How large an event is expected to be at least.
const USUAL_BYTES: usize = 2 * BYTES_PER_SLOT;
/// After a look at all rings that found no room, the next look comes so much later.
const LOOK_AGAIN_MS: u64 = 1_000;
/// Looks at a lease that is too long, with a tick of [`LOOK_AGAIN_MS`] between them: as long as a lease.
const LOOKS: u8 = 10;

/// What an event is about, and so which rings it waits in.
///
/// Control events stand in no access log: what of them is lost with a process is lost. Rings and so writers of their own keep that from looking
/// like the loss of an exchange, which can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An exchange.
    Usage,
    /// What is told beside exchanges: alerts of limits, summaries of refusals.
    Control,
}

impl Kind {
    /// Of the events in the ring of that number.
    pub(super) const fn of(ring: u8) -> Self {
        if ring < CONTROL { Self::Usage } else { Self::Control }
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    owner: u64,
    /// How many rings this configuration uses.
    count: u8,
    ring_bytes: usize,
    slots: u64,
    pub(super) rings: Vec<Ring>,
    /// For exchanges and for control events.
    no_room_until: [u64; 2],
    /// What an event is expected to take.
    usual_bytes: usize,
    /// Leases that end later than any that is given now, and how often they were seen.
    too_long: Vec<(u8, u64, u8)>,
    random: Random,
}

/// All rings of the process together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Depth {
    pub(super) bytes: u64,
    /// When the oldest event came, milliseconds since the epoch; 0 if there is none.
    pub(super) oldest: u64,
}

impl Pool {
    pub(super) fn new(queue_bytes: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = (queue_bytes / BYTES_PER_RING).clamp(MIN_RINGS, usize::from(RINGS));
        let count = u8::try_from(count).unwrap_or(RINGS);
        let ring_bytes = queue_bytes / usize::from(count);
        let slots = (ring_bytes / BYTES_PER_SLOT).clamp(16, 65_536) as u64;
        Self {
            owner: random.next().max(1),
            count,
            ring_bytes,
            slots,
            rings: Vec::new(),
            no_room_until: [0; 2],
            usual_bytes: USUAL_BYTES,
            too_long: Vec::new(),
            random,
        }
    }

    /// Puts an event into a ring of ours, or into one that is claimed for it. `encode` is told writer and seq.
    pub(super) fn push(
        &mut self,
        store: &dyn SharedStore,
        now: Timestamp,
        kind: Kind,
        encode: &mut dyn FnMut(u64, u64) -> Vec<u8>,
    ) -> Result<(usize, Vec<u8>), PushError> {
        let max_bytes = self.ring_bytes(kind);
        // What the event needs is known when it is encoded, for which a ring must be chosen.
        let mut needed = BYTES_PER_SLOT;
        // Each lost ring costs a turn, and so does one that is too small.
        for _ in 0..u16::from(self.count).saturating_mul(2) {
            let Some(at) = self.with_room(kind, needed, store, now) else { return Err(PushError::Full) };
            let Some(ring) = self.rings.get_mut(at) else { return Err(PushError::Full) };
            let event = encode(ring.head().writer, ring.next());
            match ring.push(store, &event, max_bytes, now) {
                Ok(()) => {
                    if kind == Kind::Usage {
                        self.learn(event.len());
                    }
                    return Ok((at, event));
                }
                // Its number in another ring may be longer by some digits.
                Err(PushError::Full) => needed = event.len().saturating_add(32),
                Err(PushError::Given) => {}
                Err(PushError::Lost) => {
                    self.rings.remove(at);
                }
            }
        }
        Err(PushError::Lost)
    }

    const fn ring_bytes(&self, kind: Kind) -> usize {
        match kind {
            Kind::Usage => self.ring_bytes,
            Kind::Control => CONTROL_BYTES,
        }
    }

    fn rings_of(&self, kind: Kind) -> impl Iterator<Item = (usize, &Ring)> {
        self.rings.iter().enumerate().filter(move |(_, ring)| Kind::of(ring.number) == kind)
    }

    /// The largest event so far is what is expected, and slowly less.
    fn learn(&mut self, bytes: usize) {
        let slowly = self.usual_bytes.saturating_sub(self.usual_bytes.saturating_sub(bytes) / 64);
        self.usual_bytes = slowly.max(bytes).max(USUAL_BYTES);
    }

    /// Whether so many events of usual size find room, after claiming what rings are free.
    pub(super) fn has_room_for(&mut self, events: usize, store: &dyn SharedStore, now: Timestamp) -> bool {
        loop {
            let room = self.rings_of(Kind::Usage).map(|(_, ring)| ring.room(self.ring_bytes, self.usual_bytes));
            if room.fold(0_usize, usize::saturating_add) >= events {
                return true;
            }
            if self.claim_another(Kind::Usage, store, now).is_err() {
                return false;
            }
        }
    }

    /// The first ring of ours with room for so many bytes, or a new one.
    fn with_room(&mut self, kind: Kind, needed: usize, store: &dyn SharedStore, now: Timestamp) -> Option<usize> {
        let max_bytes = self.ring_bytes(kind);
        if let Some((at, _)) = self.rings_of(kind).find(|(_, ring)| ring.has_room(needed, max_bytes)) {
            return Some(at);
        }
        self.claim_another(kind, store, now).ok()?;
        self.rings.len().checked_sub(1)
    }

    fn claim_another(&mut self, kind: Kind, store: &dyn SharedStore, now: Timestamp) -> Result<(), PushError> {
        let until = *self.no_room_until(kind);
        let has_none = self.rings_of(kind).next().is_none();
        // A date that is too far away is older than a clock that went back.
        if !has_none && (until.saturating_sub(LOOK_AGAIN_MS)..until).contains(&now.millis()) {
            return Err(PushError::Full);
        }
        let (begin, count) = match kind {
            Kind::Usage => (0, u64::from(self.count.max(1))),
            Kind::Control => (u64::from(CONTROL), u64::from(u8::MAX - CONTROL) + 1),
        };
        let first = self.owner % count;
        let numbers = (0..count).map(move |step| begin + first.wrapping_add(step) % count);
        let spare = if has_none && kind == Kind::Usage { (count / SPARE).max(MIN_SPARE) } else { 0 };
        let numbers = numbers.chain(count..count.saturating_add(spare));
        for number in numbers.filter_map(|number| u8::try_from(number).ok()) {
            if self.rings.iter().any(|ring| ring.number == number) {
                continue;
            }
            let Ok(read) = ring::read_head(store, number) else { continue };
            // An empty one with a lease from before the clock went back: should its owner live, it finds another one.
            let is_left = |head: &Head| head.is_free(now) || head.is_too_long(now);
            let fits = read.is_none_or(|(head, _)| is_left(&head) && head.queued() == 0);
            if fits && self.take(store, number, read, now) {
                return Ok(());
            }
        }
        *self.no_room_until(kind) = now.millis().saturating_add(LOOK_AGAIN_MS);
        Err(PushError::Full)
    }

    const fn no_room_until(&mut self, kind: Kind) -> &mut u64 {
        let [usage, control] = &mut self.no_room_until;
        match kind {
            Kind::Usage => usage,
            Kind::Control => control,
        }
    }

    fn take(
        &mut self,
        store: &dyn SharedStore,
        number: u8,
        read: Option<(Head, crate::store::Version)>,
        now: Timestamp,
    ) -> bool {
        let writer = self.random.next();
        let slots = match Kind::of(number) {
            Kind::Usage => self.slots,
            Kind::Control => (CONTROL_BYTES / BYTES_PER_SLOT) as u64,
        };
        match Ring::take(store, number, read, self.owner, writer, slots, now) {
            Some(ring) => {
                self.rings.push(ring);
                true
            }
            None => false,
        }
    }

    /// Looks at all rings: renews our leases, adopts what others left behind, gives back what is not needed. Gives back the depth of the
    /// whole queue.
    pub(super) fn tend(&mut self, store: &dyn SharedStore, now: Timestamp) -> Depth {
        self.rings.retain_mut(|ring| ring.tend(store, now));
        while let Some(at) = self.spare() {
            self.rings.remove(at).give_back(store);
        }
        let mut depth = Depth::default();
        for number in (0..RINGS.saturating_add(RINGS / 4)).chain(CONTROL..=u8::MAX) {
            let Ok(Some((head, version))) = ring::read_head(store, number) else { continue };
            depth.bytes = depth.bytes.saturating_add(head.bytes);
            if head.oldest > 0 && (depth.oldest == 0 || head.oldest < depth.oldest) {
                depth.oldest = head.oldest;
            }
            let is_ours = self.rings.iter().any(|ring| ring.number == number);
            // Of an owner that died, slots may hold more than the head knows of.
            let may_hold = head.queued() > 0 || head.owner != 0;
            if !is_ours && may_hold && self.is_left(number, &head, now) {
                self.take(store, number, Some((head, version)), now);
            }
        }
        if depth.bytes == 0 {
            self.no_room_until = [0; 2];
        }
        if self.rings_of(Kind::Usage).next().is_none() {
            // Before others need them all. Where there is none, the next tick or the first event tries again.
            let _none_free = self.claim_another(Kind::Usage, store, now);
        }
        depth
    }

    /// Whether nobody holds a ring. A lease that is longer than any was given before the clock went back: its owner gives itself another
    /// at its next look, if it still lives.
    fn is_left(&mut self, number: u8, head: &Head, now: Timestamp) -> bool {
        let seen =
            self.too_long.iter().position(|(other, ..)| *other == number).map(|at| self.too_long.swap_remove(at));
        if head.is_free(now) {
            return true;
        }
        if !head.is_too_long(now) {
            return false;
        }
        let looks = seen.filter(|(_, until, _)| *until == head.lease_until).map_or(0, |(.., looks)| looks);
        if looks >= LOOKS {
            return true;
        }
        self.too_long.push((number, head.lease_until, looks.saturating_add(1)));
        false
    }

    /// An empty ring beyond the first, if there is one; of control events any of which a heartbeat has told the end.
    fn spare(&self) -> Option<usize> {
        let beyond_first = self.rings_of(Kind::Usage).skip(1);
        let told = self.rings_of(Kind::Control).filter(|(_, ring)| ring.is_told());
        beyond_first.chain(told).find(|(_, ring)| ring.queued() == 0).map(|(at, _)| at)
    }
}
