//! Delivery of events: the ring that is the queue of record, batches, retries.

pub mod spec;
