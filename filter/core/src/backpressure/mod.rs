//! Provider back-pressure: what a provider says of its own rate limits is remembered, so that it need not say it to each request.
//!
//! A provider asks to wait by a refusal (429, 503, 529) that says how long, or by headers that say that nothing is left and until when.
//! It is kept per provider, host, credential and model, in the store that all workers share, until that time has come. Nothing is held
//! that no provider asked for: a refusal that names no time, a host that no row knows and a model that is not known at admission
//! (without `header_hold`, where the body names it) are let through.

use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::{
    limit::Counter,
    store::{SharedStore, StoreError},
    time::Timestamp,
};

mod asked;
mod state;
#[cfg(test)]
mod tests;

pub use asked::{Asked, ErrorBody};
pub use state::Kept;

/// The limit id under which back-pressure stands in metrics and events.
pub const LIMIT_ID: &str = "provider";

/// The event's `reason` of a refusal.
pub const REASON: &str = "provider_backpressure";

/// What to do while a provider says to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing; nothing is read and nothing is kept.
    #[default]
    Off,
    /// Let requests through, and tell which would have been refused.
    ReportOnly,
    /// Refuse them.
    Reject,
    /// Let them wait until the provider's time has come, first come first served; those that cannot are refused.
    Queue {
        /// Longest wait, in milliseconds.
        max_wait_ms: u64,
        /// Most that wait for one credential and model, in one worker.
        max_waiting: usize,
    },
}

/// Back-pressure that is switched on.
#[derive(Clone, Debug)]
pub struct Backpressure {
    /// What is done; not [`Mode::Off`].
    pub mode: Mode,
    /// [`LIMIT_ID`], ready for metrics.
    pub id: Rc<str>,
}

impl Backpressure {
    /// `None` if it is off.
    #[must_use]
    pub fn new(mode: Mode) -> Option<Self> {
        (mode != Mode::Off).then(|| Self { mode, id: Rc::from(LIMIT_ID) })
    }
}

/// Whose limits a provider speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Provider id.
    pub provider: &'a str,
    /// The host that is asked: regions and deployments of one provider have limits of their own.
    pub host: &'a [u8],
    /// Keyed hash of the credential; empty if the request has none that is seen here.
    pub credential: &'a str,
    /// Model as asked for.
    pub model: &'a str,
}

/// A subject as the store knows it: a hash, since keys are never freed and names are of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// The line of those that wait for it.
    #[must_use]
    pub const fn counter(self) -> Counter {
        Counter::of_provider(self.0)
    }
}

impl Subject<'_> {
    /// The key of this subject.
    #[must_use]
    pub fn key(&self) -> Key {
        let mut digest = Sha256::new();
        let host = self.host.to_ascii_lowercase();
        for part in [self.provider.as_bytes(), host.as_slice(), self.credential.as_bytes(), self.model.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(digest.finalize()) {
            *to = from;
        }
        Key(key)
    }
}

/// Until when the provider said to wait; `None` if it did not, or the time has come.
///
/// # Errors
/// If the store cannot be read.
pub fn waits_until(store: &dyn SharedStore, key: Key, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    state::read(store, key.0, now)
}

/// Keeps that the provider said to wait `wait_ms` milliseconds. A wait that is kept already and ends later stays.
///
/// # Errors
/// If the store cannot be read or written, or others write all the time.
pub fn keep(store: &dyn SharedStore, key: Key, wait_ms: u64, now: Timestamp) -> Result<Kept, StoreError> {
    state::keep(store, key.0, wait_ms, now)
}
