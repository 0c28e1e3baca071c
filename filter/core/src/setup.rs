//! A configuration made ready for traffic: what does not change while exchanges are open, but for what is remembered.

use std::cell::RefCell;

use crate::{
    backpressure::Backpressure, config::Config, limit::Limits, provider::route::Providers, usage::estimate::memo::Memo,
};

/// Compiled once per configuration and shared by all its exchanges: each keeps the one that it started with.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Where requests belong.
    pub providers: Providers,
    /// What they may consume.
    pub limits: Limits,
    /// Whether what providers say of their own limits is obeyed; `None` if it is not even read.
    pub backpressure: Option<Backpressure>,
    /// What this worker remembers of what was learned.
    pub learned: RefCell<Memo>,
}

impl Setup {
    /// Makes a configuration ready.
    #[must_use]
    #[inline(never)]
    pub fn new(config: Config) -> Self {
        Self {
            providers: Providers::new(&config),
            limits: Limits::compile(&config.limits),
            backpressure: Backpressure::new(config.backpressure),
            learned: RefCell::default(),
            config,
        }
    }
}
