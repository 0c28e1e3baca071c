//! A simulation of one process: many workers with many open exchanges over one shared store, a clock that does not behave, a
//! collector that comes and goes, and a plain [`reference`] of what limits and delivery must amount to.
//!
//! Nothing here knows how the core stores anything. It sees what a host sees: verdicts, effects, events, bytes on their way to the
//! collector, and the answer of a request that is tried on a copy of the store.
//!
//! While one worker is between two operations on the store, others really act: their writes win, their clocks are later, they take over
//! what they find abandoned. What such a callback decides depends on when, so that only sums are judged then; callbacks that nobody
//! interrupts are judged exactly.

mod act;
pub mod collector;
mod judge;
pub mod reference;
mod scene;
pub mod store;
pub mod stream;
pub mod traffic;
pub mod world;

pub use scene::{Faults, LARGE_QUEUE, Plan, SMALL_QUEUE};
pub use world::World;

/// A law that did not hold, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: &'static str,
    /// What was seen.
    pub seen: String,
    /// The step in which it was seen.
    pub step: usize,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (step {}): {}", self.law, self.step, self.seen)
    }
}

/// What a run did: how much its silence is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Exchanges that settled.
    pub exchanges: u64,
    /// … of them refused by a limit.
    pub refused: u64,
    /// Decisions that were judged exactly.
    pub decisions: u64,
    /// Remainders that were judged exactly.
    pub remainders: u64,
    /// Refusals whose wait was tried out.
    pub waits: u64,
    /// Callbacks of other workers in the middle of one.
    pub interruptions: u64,
    /// Workers that crashed.
    pub crashes: u64,
    /// Events that arrived, that were given up, and that were dropped.
    pub events: (u64, u64, u64),
    /// Events that arrived again.
    pub again: u64,
    /// Posts without any event.
    pub empty: u64,
    /// Dead letters that no collector condemned.
    pub homeless: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.refused += other.refused;
        self.decisions += other.decisions;
        self.remainders += other.remainders;
        self.waits += other.waits;
        self.interruptions += other.interruptions;
        self.crashes += other.crashes;
        self.events.0 += other.events.0;
        self.events.1 += other.events.1;
        self.events.2 += other.events.2;
        self.again += other.again;
        self.empty += other.empty;
        self.homeless += other.homeless;
    }
}

/// Plays a plan to its end.
///
/// # Errors
/// The first law that did not hold.
pub fn run(plan: &Plan) -> Result<Tally, Violation> {
    World::new(plan).play()
}
