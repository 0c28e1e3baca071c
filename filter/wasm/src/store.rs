//! [`SharedStore`] over Envoy's shared data.

use meterr_core::store::{SharedStore, StoreError, Version};

use crate::abi::{self, CAS_MISMATCH, NOT_FOUND, Status};

/// A version that no value has in practice: versions count up from 1. Envoy stores under an absent key whatever version is
/// given, and compares it under a present one; so a swap with this version is "create if absent".
const ABSENT: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct SharedData;

fn failed(status: Status) -> StoreError {
    if status == CAS_MISMATCH { StoreError::Conflict } else { StoreError::Host(status.0) }
}

impl SharedStore for SharedData {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        #[cfg(feature = "crash-for-tests")]
        crate::crash::at_store();
        match abi::shared(key) {
            Ok((value, version)) => Ok(Some((value, Version(version)))),
            Err(NOT_FOUND) => Ok(None),
            Err(status) => Err(failed(status)),
        }
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        #[cfg(feature = "crash-for-tests")]
        crate::crash::at_store();
        abi::set_shared(key, value, version.0).map_err(failed)
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        #[cfg(feature = "crash-for-tests")]
        crate::crash::at_store();
        abi::set_shared(key, value, ABSENT).map_err(failed)
    }

    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        #[cfg(feature = "crash-for-tests")]
        crate::crash::at_store();
        abi::set_shared(key, value, 0).map_err(failed)
    }
}
