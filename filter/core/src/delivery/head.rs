//! The head of a ring: who owns it, where it begins and ends, and what became of its events.
//!
//! Layout, little-endian: version (1 byte), then the fields of [`Head`] in order, eight bytes each.

use crate::time::Timestamp;

const VERSION: u8 = 1;
const FIELDS: usize = 14;

/// Milliseconds that a ring belongs to an owner that gives no sign: longer than any stall of a worker that goes on, short enough that the
/// events of a VM that died are soon on their way.
pub(super) const LEASE_MS: u64 = 10_000;

/// A ring's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The root context that may write; 0 is nobody.
    pub(super) owner: u64,
    /// Milliseconds since the epoch.
    pub(super) lease_until: u64,
    /// Grows with each change of owner.
    pub(super) epoch: u64,
    /// The event's `writer`. It stays with the ring, as `seq` does, so that adoption leaves no gap.
    pub(super) writer: u64,
    /// The next `seq` to give.
    pub(super) next: u64,
    /// The first `seq` that is not done.
    pub(super) tail: u64,
    /// Bytes between them.
    pub(super) bytes: u64,
    /// How many slots there are.
    pub(super) slots: u64,
    /// When the event at the tail came; 0 if there is none.
    pub(super) oldest: u64,
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) dead_lettered: u64,
    pub(super) dropped: u64,
    /// When the last heartbeat went out.
    pub(super) heartbeat: u64,
}

impl Head {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, fields) = bytes.split_first()?;
        if *version != VERSION || fields.len() != FIELDS * 8 {
            return None;
        }
        let mut numbers = fields.chunks_exact(8).map(|number| number.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().unwrap_or(0);
        Some(Self {
            owner: next(),
            lease_until: next(),
            epoch: next(),
            writer: next(),
            next: next(),
            tail: next(),
            bytes: next(),
            slots: next(),
            oldest: next(),
            accepted: next(),
            delivered: next(),
            dead_lettered: next(),
            dropped: next(),
            heartbeat: next(),
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let fields: [u64; FIELDS] = [
            self.owner,
            self.lease_until,
            self.epoch,
            self.writer,
            self.next,
            self.tail,
            self.bytes,
            self.slots,
            self.oldest,
            self.accepted,
            self.delivered,
            self.dead_lettered,
            self.dropped,
            self.heartbeat,
        ];
        core::iter::once(VERSION).chain(fields.into_iter().flat_map(u64::to_le_bytes)).collect()
    }

    pub(super) const fn queued(&self) -> u64 {
        self.next.saturating_sub(self.tail)
    }

    /// Whether its lease is longer than any that is given: the clock has gone back since.
    pub(super) const fn is_too_long(&self, now: Timestamp) -> bool {
        self.lease_until > now.millis().saturating_add(LEASE_MS)
    }

    /// Whether a new owner may take it.
    pub(super) const fn is_free(&self, now: Timestamp) -> bool {
        self.owner == 0 || self.lease_until <= now.millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_what_is_written_is_read() {
        let head =
            Head { owner: 1, lease_until: 2, writer: u64::MAX, next: 9, tail: 4, heartbeat: 7, ..Head::default() };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(head.queued(), 5);
        for bytes in [&b""[..], b"\x01", &[2; 113], &head.encode()[..112]] {
            assert_eq!(Head::decode(bytes), None);
        }
    }
}
