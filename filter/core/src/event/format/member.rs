//! Members and elements of JSON as they stand: no value changes on its way from one format to another.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Members of an object, by name. What is no object has none.
pub(super) fn members(object: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_slice(object.as_bytes()).unwrap_or_default()
}

/// Elements of an array. What is no array has none.
pub(super) fn elements(array: &str) -> Vec<&RawValue> {
    serde_json::from_slice(array.as_bytes()).unwrap_or_default()
}

/// A text.
pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_slice(value.get().as_bytes()).ok()
}
