//! The proxy-wasm adapter of meterr: Envoy's callbacks in, hostcalls out, nothing decided here.
//!
//! - [`abi`]: hostcalls that return statuses
//! - [`filter`]: the contexts of one VM, and what each callback hands to the core
//! - [`drive`]: carries out what the core asks for
//! - [`store`], [`metrics`], [`properties`]: shared data, metric ids, what Envoy knows of a stream
//!
//! Only the callbacks that are needed are exported: one that is not exported costs nothing.

#![deny(unsafe_code)]

mod abi;
#[cfg(feature = "crash-for-tests")]
mod crash;
mod drive;
mod exports;
mod filter;
mod metrics;
mod properties;
mod store;
