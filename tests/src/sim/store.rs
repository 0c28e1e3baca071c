//! The store that all workers of a simulated process share: Envoy's shared data in a map, with flaws that can be switched on.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use meterr_core::store::{SharedStore, StoreError, Version};

/// What is wrong with a store. The checker must notice each of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// Swaps whatever the version is: updates of others in between are lost.
    IgnoresVersions,
    /// Says that it has written, and has not, once in so many swaps.
    ForgetsEvery(u64),
}

/// A value and its version.
type Stored = (Vec<u8>, u32);

/// Shared data.
#[derive(Debug)]
pub struct Shared {
    values: RefCell<BTreeMap<Vec<u8>, Stored>>,
    last: Cell<u32>,
    swaps: Cell<u64>,
    flaw: Flaw,
}

impl Shared {
    /// An empty store.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        // Versions wrap in the middle of a run.
        Self { values: RefCell::default(), last: Cell::new(u32::MAX - 1_000), swaps: Cell::new(0), flaw }
    }

    /// A copy of what was learned, and of nothing else.
    #[must_use]
    pub fn copy_of_learned(&self) -> Self {
        self.copy(|key| key.starts_with(LEARNED))
    }

    /// A copy of this moment, without the events in it: what is tried on it never happened.
    #[must_use]
    pub fn copy_of_limits(&self) -> Self {
        self.copy(|key| !key.starts_with(RINGS))
    }

    fn copy(&self, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let all = self.values.borrow();
        let kept = all.iter().filter(|(key, _)| wanted(key));
        let values = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { values: RefCell::new(values), last: self.last.clone(), swaps: self.swaps.clone(), flaw: self.flaw }
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        // 0 means "unconditional" and the greatest number is what `create` asks with: neither is ever given.
        let next = self.last.get().wrapping_add(1);
        self.last.set(if next == u32::MAX || next == 0 { 1 } else { next });
        self.values.borrow_mut().insert(key.to_vec(), (value.to_vec(), self.last.get()));
    }

    /// Whether this write is one of those that the flaw swallows. Only limits have records that several workers write.
    fn forgets(&self, key: &[u8]) -> bool {
        let Flaw::ForgetsEvery(period) = self.flaw else { return false };
        if !key.starts_with(LIMITS) {
            return false;
        }
        self.swaps.set(self.swaps.get() + 1);
        self.swaps.get().is_multiple_of(period)
    }
}

/// Before the keys of limits.
pub const LIMITS: &[u8] = b"meterr/l";
/// Before the keys of what was learned.
pub const LEARNED: &[u8] = meterr_core::usage::estimate::learned::TABLE;
/// Before the keys of event rings.
pub const RINGS: &[u8] = b"meterr/q";

impl Default for Shared {
    fn default() -> Self {
        Self::new(Flaw::None)
    }
}

impl SharedStore for Shared {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        Ok(self.values.borrow().get(key).map(|(value, version)| (value.clone(), Version(*version))))
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        let current = self.values.borrow().get(key).map(|(_, version)| *version);
        if self.flaw != Flaw::IgnoresVersions && current.is_some_and(|current| current != version.0) {
            return Err(StoreError::Conflict);
        }
        if !self.forgets(key) {
            self.put(key, value);
        }
        Ok(())
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.values.borrow().contains_key(key) {
            return Err(StoreError::Conflict);
        }
        self.put(key, value);
        Ok(())
    }

    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.put(key, value);
        Ok(())
    }
}
