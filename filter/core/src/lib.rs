//! Every decision of meterr, without a host.

#![forbid(unsafe_code)]

pub mod config;
pub mod delivery;
pub mod dialect;
pub mod effect;
pub mod event;
pub mod exchange;
pub mod frame;
pub mod glob;
pub mod head;
pub mod host;
pub mod identity;
pub mod json;
pub mod limit;
pub mod metric;
pub mod price;
pub mod provider;
pub mod random;
pub mod request;
pub mod service;
pub mod setup;
pub mod store;
pub mod tag;
pub mod time;
pub mod usage;
