//! What the core is given in one callback.

use crate::{effect::Effect, metric::Metric, store::SharedStore, time::Timestamp};

/// The shared store, the stream's properties, the time, and the place for effects.
///
/// *Invariant:* after each callback the adapter carries out all effects, in order, before it applies the verdict.
pub struct Host<'a> {
    /// What all workers of the process share.
    pub store: &'a dyn SharedStore,
    /// What the host knows of the stream beside its headers.
    pub properties: &'a dyn Properties,
    /// The time of this callback.
    pub now: Timestamp,
    /// What the host is asked to do.
    pub effects: &'a mut Vec<Effect>,
}

/// Something that the host may know of a stream, and that no client can say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// All dynamic metadata that earlier filters wrote, as the binary form of `envoy.config.core.v3.Metadata`.
    ///
    /// Whole, because a single value comes without its type: Envoy gives the number 1 and eight bytes of text in the same form.
    Metadata,
    /// The text of the filter state object under that key.
    FilterState(&'a str),
    /// The first URI among the subject alternative names of the client's certificate.
    PeerUriSan,
}

/// Where properties come from. Asking costs a hostcall of about a microsecond.
pub trait Properties {
    /// The property's bytes; `None` if the stream has none, or the host does not tell.
    fn get(&self, property: Property<'_>) -> Option<Vec<u8>>;
}

/// A stream without properties, for tests and native tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProperties;

impl Properties for NoProperties {
    fn get(&self, _property: Property<'_>) -> Option<Vec<u8>> {
        None
    }
}

impl Host<'_> {
    /// Asks for one effect.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Counts one.
    #[inline]
    pub fn count(&mut self, metric: Metric) {
        self.effects.push(Effect::Measure(metric, 1));
    }
}

impl core::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host").field("now", &self.now).finish_non_exhaustive()
    }
}
