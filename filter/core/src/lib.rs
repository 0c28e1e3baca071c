//! Every decision of meterr, without a host.
//!
//! ```text
//!            headers, bodies, ticks, callout answers
//!  Envoy ──▶ filter/wasm ──▶ Exchange (one request and its response) ──▶ effects ──▶ filter/wasm ──▶ Envoy
//!                            Service  (one root context)
//!                                │
//!                            SharedStore: counters and undelivered events of all workers
//! ```
//!
//! # Tenets, in order
//!
//! 1. **Never harm traffic.** Bytes pass unchanged unless a feature that changes them is on; no panic; bounded memory.
//! 2. **Count right.** Each request ends in exactly one outcome; a number that was guessed is marked as guessed.
//! 3. **Never lose an event silently.** Delivered, dead-lettered, or dropped and counted.
//! 4. **Keep secrets.** No credential, prompt or completion in an event, a log, a metric or a panic.
//! 5. **Be understandable.**
//! 6. **Be fast.**
//!
//! Where two conflict, the earlier wins.
//!
//! # Invariants: what is deliberately absent
//!
//! - No clock, no randomness, no I/O, no globals: time, seed and the [`store`] are arguments ([`host::Host`]).
//! - No `proxy-wasm`: what the host shall do is said in [`effect::Effect`]s, which it carries out in order after each callback.
//! - No JSON tree of a body: [`json::scan`] picks values out of bytes as they pass.
//! - No floating-point number: tokens are integers, money is integers of 1e-12 or 1e-24 USD.
//! - No panic: lints forbid what could, tests throw rubbish at the rest.
//!
//! # Cost
//!
//! Functions marked `#[inline(never)]` would be put into a caller that grows too large: V8's compiler takes memory by the size of the largest
//! function, and Envoy keeps it (`tests/tests/budget.rs`). Those marked `#[inline]` run for each byte, or many times an exchange.
//!
//! # Where things are
//!
//! | module | owns |
//! |---|---|
//! | [`exchange`] | the sequence of one request and its response; knows no format |
//! | [`service`] | what exchanges of one root context share; ticks and callout answers |
//! | [`config`], [`setup`] | the operator's text, checked; and made ready for traffic |
//! | [`identity`] | who pays |
//! | [`provider`] | which row, which dialect, where to |
//! | [`request`] | facts of a request body |
//! | [`frame`], [`json`], [`dialect`], [`usage`] | bytes → records → values → counters → [`usage::Usage`] |
//! | [`price`] | usage × prices |
//! | [`limit`] | reserve, then settle |
//! | [`backpressure`], [`delay`] | what a provider says of its own limits, and how long that is |
//! | [`event`], [`delivery`] | the record of an exchange, and how it arrives |
//! | [`tag`], [`metric`] | what else tells of an exchange |
//!
//! A reader starts with [`effect`], then [`exchange`], [`usage::meter`], one dialect, [`limit`], [`delivery`].

#![forbid(unsafe_code)]

pub mod backpressure;
pub mod config;
pub mod delay;
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
mod named;
mod path;
pub mod price;
mod protobuf;
pub mod provider;
pub mod random;
mod record;
pub mod request;
pub mod service;
pub mod setup;
pub mod store;
pub mod tag;
pub mod time;
pub mod usage;
