//! Delivery of events, at least once: the ring that is the queue of record, batches, retries.
//!
//! Law, whenever no callback is running: accepted = delivered + dead-lettered + dropped + queued.

mod batch;
mod exporter;
mod head;
mod pool;
mod refusals;
mod retry;
mod ring;
pub mod spec;
#[cfg(test)]
mod tests;

pub use exporter::Exporter;
pub(crate) use exporter::{NoRoom, Promise};
pub use pool::Kind;
pub use refusals::Refusals;
pub(crate) use refusals::Summary;
