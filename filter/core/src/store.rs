//! The one capability that the core is given: a key-value store shared by all workers of the process.
//!
//! It mirrors Envoy's shared data: versions for compare-and-swap, no deletion, no enumeration, lost with the process.

use core::cell::RefCell;

use hashbrown::HashMap;

/// The version of a stored value. Only good for comparing with itself; it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

/// Why a store operation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else wrote first: read again and retry, a bounded number of times.
    Conflict,
    /// The host answered with this status.
    Host(u32),
}

impl StoreError {
    /// A stable word for metrics and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Conflict => "store_conflict",
            Self::Host(_) => "store_unavailable",
        }
    }
}

/// A key-value store with compare-and-swap.
///
/// Values are small binary records. A key, once written, exists for ever: callers bound their key space.
pub trait SharedStore {
    /// The value and its version, or `None` if the key was never written.
    ///
    /// # Errors
    /// [`StoreError::Host`] only.
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Replaces the value if its version is still `version`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it is not.
    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError>;

    /// Writes a value under a key that was never written.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the key exists.
    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Writes whatever is there. Only for keys that one owner writes.
    ///
    /// # Errors
    /// [`StoreError::Host`] only.
    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
}

/// A value and its version.
type Stored = (Vec<u8>, u32);

/// The in-memory twin of Envoy's shared data, for tests and for native tools.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: RefCell<HashMap<Vec<u8>, Stored>>,
    last: RefCell<u32>,
}

impl MemoryStore {
    /// How many keys exist, and how many bytes their values take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let values = self.values.borrow();
        (values.len(), values.values().map(|(value, _)| value.len()).sum())
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        let mut last = self.last.borrow_mut();
        // Version 0 means "unconditional" to Envoy and is never given.
        *last = last.checked_add(1).unwrap_or(1);
        self.values.borrow_mut().insert(key.to_vec(), (value.to_vec(), *last));
    }
}

impl SharedStore for MemoryStore {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        Ok(self.values.borrow().get(key).map(|(value, version)| (value.clone(), Version(*version))))
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        match self.values.borrow().get(key) {
            Some((_, current)) if *current != version.0 => return Err(StoreError::Conflict),
            _ => {}
        }
        self.put(key, value);
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
