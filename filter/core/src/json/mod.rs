//! JSON without trees: a push scanner that picks values out of a passing body, and a writer for flat objects.

pub mod scan;
pub(crate) mod word;
pub mod write;
