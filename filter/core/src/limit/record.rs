//! The stored counter: one record for a descriptor, with a cell for each limit that counts by it.
//!
//! Layout, little-endian: version (1 byte), descriptor hash (16), then cells of 56 bytes: limit tag (8), window start (8), window end (8),
//! settled (8), hold epoch (8), holds of that epoch (8), holds of the epoch before (8). A record of another version is read as absent.

use crate::time::Timestamp;

/// Changes with the layout, so that a filter of another build in the same process never misreads a record.
const VERSION: u8 = 1;
const HEADER: usize = 17;
const CELL: usize = 56;
/// Seconds of a hold epoch. A hold lives for the epoch that it was taken in and the one after: 15 to 30 minutes, longer than any model answers,
/// so that a VM that died cannot block a tenant for long.
const EPOCH_SECS: u64 = 900;

/// The hash of a descriptor. The shared slot past the bound has the hash of nothing: zeros.
pub(super) type Hash = [u8; 16];

/// What one limit knows of one descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) tag: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) settled: u64,
    epoch: u64,
    held: u64,
    held_before: u64,
}

impl Cell {
    /// Brings the cell to this instant: a window that is over starts from zero, and holds that are too old are let go. A clock that
    /// goes backwards changes nothing, so that it never mints quota.
    pub(super) const fn roll(&mut self, window: (u64, u64), now: Timestamp) {
        if now.secs() >= self.end {
            (self.start, self.end) = window;
            self.settled = 0;
            self.held = 0;
            self.held_before = 0;
        }
        let epoch = now.secs() / EPOCH_SECS;
        if epoch > self.epoch {
            self.held_before = if epoch == self.epoch + 1 { self.held } else { 0 };
            self.held = 0;
            self.epoch = epoch;
        }
    }

    /// Settled and held.
    pub(super) const fn used(&self) -> u64 {
        self.settled.saturating_add(self.held).saturating_add(self.held_before)
    }

    /// Takes a hold; gives back the epoch that it belongs to.
    pub(super) const fn hold(&mut self, amount: u64) -> u64 {
        self.held = self.held.saturating_add(amount);
        self.epoch
    }

    /// Lets a hold go. One that is too old is gone already.
    pub(super) const fn release(&mut self, amount: u64, epoch: u64) {
        if epoch == self.epoch {
            self.held = self.held.saturating_sub(amount);
        } else if epoch + 1 == self.epoch {
            self.held_before = self.held_before.saturating_sub(amount);
        }
    }
}

/// A record, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) hash: Hash,
    cells: Vec<Cell>,
}

impl Record {
    pub(super) const fn new(hash: Hash) -> Self {
        Self { hash, cells: Vec::new() }
    }

    /// `None` if the bytes are no record of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, cells) = bytes.split_at_checked(HEADER)?;
        let (version, hash) = header.split_first()?;
        if *version != VERSION || cells.len() % CELL != 0 {
            return None;
        }
        let cell = |bytes: &[u8]| {
            let mut numbers = bytes.chunks_exact(8).map(|number| number.try_into().map_or(0, u64::from_le_bytes));
            let mut next = || numbers.next().unwrap_or(0);
            Cell {
                tag: next(),
                start: next(),
                end: next(),
                settled: next(),
                epoch: next(),
                held: next(),
                held_before: next(),
            }
        };
        Some(Self { hash: hash.try_into().ok()?, cells: cells.chunks_exact(CELL).map(cell).collect() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.cells.len() * CELL);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.hash);
        for cell in &self.cells {
            for number in [cell.tag, cell.start, cell.end, cell.settled, cell.epoch, cell.held, cell.held_before] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// The cell of that limit, brought to this instant; a new one if there is none.
    pub(super) fn cell(&mut self, tag: u64, window: (u64, u64), now: Timestamp) -> &mut Cell {
        let at = self.cells.iter().position(|cell| cell.tag == tag).unwrap_or_else(|| {
            // Cells of limits that are no longer configured go when their window is over.
            self.cells.retain(|cell| cell.end > now.secs());
            self.cells.push(Cell { tag, ..Cell::default() });
            self.cells.len().saturating_sub(1)
        });
        if self.cells.len() <= at {
            self.cells.resize(at.saturating_add(1), Cell::default());
        }
        #[expect(clippy::indexing_slicing, reason = "the line above makes room for it")]
        let cell = &mut self.cells[at];
        cell.roll(window, now);
        cell
    }

    /// Whether nothing in it matters any more, so that another descriptor may have its slot.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.cells.iter().all(|cell| cell.end <= now.secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: (u64, u64) = (3_600, 7_200);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn ok_what_is_written_is_read() {
        let mut record = Record::new([7; 16]);
        record.cell(1, WINDOW, at(3_700)).hold(5);
        record.cell(2, (0, 9_000), at(3_700)).settled = 9;
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
        assert!(!record.is_stale(at(8_999)) && record.is_stale(at(9_000)));
        for bytes in [&b""[..], b"\x02", &record.encode()[..40], &[9; 17]] {
            assert_eq!(Record::decode(bytes), None);
        }
    }

    #[test]
    fn ok_holds_expire_and_windows_forget() {
        let mut record = Record::new([0; 16]);
        let epoch = record.cell(1, WINDOW, at(3_600)).hold(100);
        assert_eq!(record.cell(1, WINDOW, at(3_600 + 900)).used(), 100, "the epoch after");
        assert_eq!(record.cell(1, WINDOW, at(3_600 + 1_800)).used(), 0, "too old");
        record.cell(1, WINDOW, at(5_400)).release(100, epoch);
        assert_eq!(record.cell(1, WINDOW, at(5_400)).used(), 0, "released twice is released once");
        record.cell(1, WINDOW, at(5_400)).settled = 50;
        assert_eq!(record.cell(1, WINDOW, at(3_000)).used(), 50, "the clock goes backwards");
        assert_eq!(record.cell(1, (7_200, 10_800), at(7_200)).used(), 0);
    }

    #[test]
    fn ok_cells_of_forgotten_limits_go() {
        let mut record = Record::new([0; 16]);
        record.cell(1, WINDOW, at(3_600));
        record.cell(2, (7_200, 10_800), at(7_300));
        assert_eq!(record.cells.len(), 1);
    }
}
