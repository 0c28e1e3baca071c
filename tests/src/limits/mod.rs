//! The laws of limits, under all that workers can do to each other: every unit, window, reserve and reaction, against a plain
//! [`counter`]. What whole exchanges make of them is another simulation's matter: [`crate::sim`].
//!
//! Time stands still while one callback runs, and between any two of its operations on the store others act: the model follows what
//! is really written, in the order in which it is written, so that it knows each counter exactly at each moment.

pub mod counter;
mod request;
mod world;

pub use world::{Faults, Tally, World};

/// A law that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which law, and what was seen.
    pub seen: String,
    /// The step in which it was seen.
    pub step: u64,
}

/// Plays so many steps of a seed.
///
/// # Errors
/// The first law that did not hold.
pub fn run(seed: u64, steps: u64, faults: Faults) -> Result<Tally, Violation> {
    World::new(seed, faults).play(steps)
}
