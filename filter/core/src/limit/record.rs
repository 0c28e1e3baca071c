//! The stored counter: one record for a descriptor, with a cell for each limit that counts by it.
//!
//! Layout, little-endian: version (1 byte), descriptor hash (16), then cells of 80 bytes, the numbers of [`Cell`] in their order. A record of
//! another version is read as absent.

use super::{cell::Cell, spec::Window};
use crate::time::Timestamp;

/// Changes with the layout, so that a filter of another build in the same process never misreads a record.
const VERSION: u8 = 2;
/// A clock that goes back by less than this finds all counters as it left them, in seconds.
const KEPT_SECS: u64 = 3_600;
const HEADER: usize = 17;
const CELL: usize = 80;

/// The hash of a descriptor. The shared slot past the bound has the hash of nothing: zeros.
pub(super) type Hash = [u8; 16];

/// A record, read.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) hash: Hash,
    cells: Vec<Cell>,
    /// Where the next cell is likely to be: they are asked for in the order in which they stand.
    next: usize,
}

impl Record {
    pub(super) const fn new(hash: Hash) -> Self {
        Self { hash, cells: Vec::new(), next: 0 }
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
                until: next(),
                settled: next(),
                before: next(),
                epoch: next(),
                held: next(),
                held_before: next(),
                notified: next(),
            }
        };
        Some(Self { hash: hash.try_into().ok()?, cells: cells.chunks_exact(CELL).map(cell).collect(), next: 0 })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.cells.len() * CELL);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.hash);
        for cell in &self.cells {
            let Cell { tag, start, end, until, settled, before, epoch, held, held_before, notified } = *cell;
            for number in [tag, start, end, until, settled, before, epoch, held, held_before, notified] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// The cell of that limit, brought to this instant; a new one if there is none.
    pub(super) fn cell(&mut self, tag: u64, window: Window, now: Timestamp) -> &mut Cell {
        let is_next = self.cells.get(self.next).is_some_and(|cell| cell.tag == tag);
        let found = if is_next { Some(self.next) } else { self.cells.iter().position(|cell| cell.tag == tag) };
        let at = found.unwrap_or_else(|| {
            // Cells of limits that are no longer configured go when nothing in them matters any more, even if the clock goes back.
            self.cells.retain(|cell| cell.until.saturating_add(KEPT_SECS) > now.secs());
            self.cells.push(Cell { tag, ..Cell::default() });
            self.cells.len().saturating_sub(1)
        });
        if self.cells.len() <= at {
            self.cells.resize(at.saturating_add(1), Cell::default());
        }
        self.next = at.saturating_add(1);
        #[expect(clippy::indexing_slicing, reason = "the line above makes room for it")]
        let cell = &mut self.cells[at];
        cell.roll(window, now);
        cell
    }

    /// Whether nothing in it matters any more, so that another descriptor may have its slot.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.cells.iter().all(|cell| cell.until <= now.secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::spec::Calendar;

    const HOUR: Window = Window::Fixed(Calendar::Hour);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn ok_what_is_written_is_read() {
        let mut record = Record::new([7; 16]);
        record.cell(1, HOUR, at(3_700)).take(HOUR, 5, 0, at(3_700));
        record.cell(2, HOUR, at(3_700)).take(HOUR, 0, 9, at(3_700));
        let decoded = Record::decode(&record.encode()).expect("a record");
        assert_eq!((decoded.hash, decoded.cells), (record.hash, record.cells.clone()));
        assert!(!record.is_stale(at(7_199)) && record.is_stale(at(7_200)));
        for bytes in [&b""[..], b"\x02", &record.encode()[..40], &[9; 17]] {
            assert!(Record::decode(bytes).is_none());
        }
    }

    #[test]
    fn ok_cells_of_forgotten_limits_go() {
        let mut record = Record::new([0; 16]);
        record.cell(1, HOUR, at(3_600)).take(HOUR, 0, 1, at(3_600));
        record.cell(2, HOUR, at(7_300));
        assert_eq!(record.cells.len(), 2, "the clock may go back");
        record.cell(3, HOUR, at(10_900));
        assert_eq!(record.cells.len(), 1);
    }
}
