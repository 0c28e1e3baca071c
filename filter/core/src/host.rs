//! What the core is given in one callback.

use crate::{effect::Effect, metric::Metric, store::SharedStore, time::Timestamp};

/// The shared store, the time, and the place for effects.
///
/// *Invariant:* after each callback the adapter carries out all effects, in order, before it applies the verdict.
pub struct Host<'a> {
    /// What all workers of the process share.
    pub store: &'a dyn SharedStore,
    /// The time of this callback.
    pub now: Timestamp,
    /// What the host is asked to do.
    pub effects: &'a mut Vec<Effect>,
}

impl Host<'_> {
    /// Asks for one effect.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Counts one.
    pub fn count(&mut self, metric: Metric) {
        self.effects.push(Effect::Measure(metric, 1));
    }
}

impl core::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host").field("now", &self.now).finish_non_exhaustive()
    }
}
