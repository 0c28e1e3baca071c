//! Requests that wait for quota: a line for each counter, first come first served, in one worker. A stream can be resumed only by its own
//! worker, so that there is no line across workers.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::group::{Counter, QueuePlace};

/// Milliseconds between two looks at counters that somebody waits for.
pub const LOOK_MS: u32 = 10;

/// A place in a line. Tickets rise: who has the lower one came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The line.
    pub counter: Counter,
    /// The number.
    pub number: u64,
}

/// All lines of one worker. What is left by nobody is no line.
#[derive(Debug, Default)]
pub struct Queue {
    lines: HashMap<Counter, VecDeque<u64>>,
    last: u64,
}

impl Queue {
    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether somebody waits for that counter.
    #[must_use]
    pub fn has_line(&self, counter: &Counter) -> bool {
        self.lines.contains_key(counter)
    }

    /// Takes the last place of a line; `None` if it is full.
    pub fn join(&mut self, place: &QueuePlace) -> Option<Ticket> {
        let line = self.lines.entry(place.counter).or_default();
        if line.len() >= place.max_waiting {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        line.push_back(self.last);
        Some(Ticket { counter: place.counter, number: self.last })
    }

    /// Whether it is that ticket's turn.
    #[must_use]
    pub fn is_first(&self, ticket: &Ticket) -> bool {
        self.lines.get(&ticket.counter).and_then(VecDeque::front) == Some(&ticket.number)
    }

    /// Gives a place up, wherever in the line it is.
    pub fn leave(&mut self, ticket: &Ticket) {
        let Some(line) = self.lines.get_mut(&ticket.counter) else { return };
        if let Ok(at) = line.binary_search(&ticket.number) {
            line.remove(at);
        }
        if line.is_empty() {
            self.lines.remove(&ticket.counter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_first_come_first_served_and_bounded() {
        let mut queue = Queue::default();
        let place = QueuePlace { counter: Counter::for_tests(1), max_wait_ms: 1, max_waiting: 3 };
        let other = QueuePlace { counter: Counter::for_tests(2), ..place };
        let tickets: Vec<Ticket> = (0..3).map(|_| queue.join(&place).expect("room")).collect();
        assert_eq!(queue.join(&place), None);
        let elsewhere = queue.join(&other).expect("another line");
        assert!(queue.is_first(&tickets[0]) && queue.is_first(&elsewhere) && !queue.is_first(&tickets[1]));
        queue.leave(&tickets[1]);
        queue.leave(&tickets[1]);
        queue.leave(&tickets[0]);
        assert!(queue.is_first(&tickets[2]));
        queue.leave(&tickets[2]);
        queue.leave(&elsewhere);
        assert!(queue.is_empty() && !queue.has_line(&place.counter));
    }
}
