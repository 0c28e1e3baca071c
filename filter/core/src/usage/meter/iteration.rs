//! Sub-inferences of one reply, each with its own usage and perhaps its own model (Anthropic's `usage.iterations`).
//!
//! Source: anthropic-python 2.12 `types/beta/beta_*_iteration_usage.py`. The headline counters are the sum of the `message` and
//! `fallback_message` entries; compaction and the advisor come on top of it.

use super::super::{Usage, number};
use crate::json::scan::{Field, Found, Value};

/// Most entries that are kept; a reply with more is priced without the rest, and says so.
const MAX: usize = 64;

/// What a sub-inference was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IterationKind {
    /// A turn of the model that was asked: in the headline.
    Message,
    /// The turn of the model that stood in for it: in the headline, at its own price.
    Fallback,
    /// A summary of the context, by the model that was asked: not in the headline.
    Compaction,
    /// Advice of another model: not in the headline.
    Advisor,
    /// Not known here.
    #[default]
    Other,
}

/// One sub-inference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iteration {
    /// What for.
    pub kind: IterationKind,
    /// Its model, if it says so.
    pub model: Option<String>,
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
}

impl Iteration {
    /// Whether the headline counters include it.
    #[must_use]
    pub const fn is_in_headline(&self) -> bool {
        matches!(self.kind, IterationKind::Message | IterationKind::Fallback)
    }

    /// Its tokens; on the wire, input leaves out what was read from and written to a cache.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let lives = self.cache_write_5m.unwrap_or(0).saturating_add(self.cache_write_1h.unwrap_or(0));
        let cache_write = self.cache_write.or((lives > 0).then_some(lives));
        let cached = self.cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        Usage {
            input: self.input.map(|input| input.saturating_add(cached)),
            input_uncached: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            ..Usage::default()
        }
    }
}

/// The sub-inferences that a reply has told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iterations {
    /// In order.
    pub list: Vec<Iteration>,
    /// Whether there were more than are kept, or a count that is none.
    pub is_incomplete: bool,
    open: Iteration,
    /// How many of them are of the replies before, where there are several in one.
    kept: usize,
}

impl Iterations {
    /// Another reply begins.
    pub(super) const fn keep(&mut self) {
        self.kept = self.list.len();
    }

    pub(super) fn take(&mut self, found: &Found<'_>) {
        let text = || match found.value {
            Value::Text { head, .. } => core::str::from_utf8(head).ok(),
            _ => None,
        };
        let open = &mut self.open;
        let count = match found.field {
            // Usage in streams is cumulative: the last list of each reply counts.
            Field::Iterations => {
                if found.value == Value::ArrayStart {
                    self.list.truncate(self.kept);
                    self.is_incomplete &= self.kept > 0;
                }
                return;
            }
            Field::Iteration => {
                match found.value {
                    Value::ObjectStart => *open = Iteration::default(),
                    Value::ObjectEnd(_) if self.list.len() < MAX => self.list.push(core::mem::take(open)),
                    _ => self.is_incomplete = true,
                }
                return;
            }
            Field::IterationKind => {
                open.kind = match text() {
                    Some("message") => IterationKind::Message,
                    Some("fallback_message") => IterationKind::Fallback,
                    Some("compaction") => IterationKind::Compaction,
                    Some("advisor_message") => IterationKind::Advisor,
                    _ => IterationKind::Other,
                };
                return;
            }
            Field::IterationModel => {
                open.model = text().map(str::to_owned);
                return;
            }
            Field::IterationInput => &mut open.input,
            Field::IterationOutput => &mut open.output,
            Field::IterationCacheRead => &mut open.cache_read,
            Field::IterationCacheWrite => &mut open.cache_write,
            Field::IterationCacheWrite5m => &mut open.cache_write_5m,
            Field::IterationCacheWrite1h => &mut open.cache_write_1h,
            _ => return,
        };
        match number::counter(found.value) {
            Some(Ok(value)) => *count = Some(value),
            Some(Err(number::BadNumber)) => self.is_incomplete = true,
            None => {}
        }
    }

    /// Input and output of those that the headline leaves out; `None` if there are none.
    #[must_use]
    pub fn beside_headline(&self) -> Option<(u64, u64)> {
        let beside = self.list.iter().filter(|iteration| !iteration.is_in_headline()).map(Iteration::usage);
        beside
            .map(|usage| (usage.input.unwrap_or(0), usage.output.unwrap_or(0)))
            .reduce(|a, b| (a.0.saturating_add(b.0), a.1.saturating_add(b.1)))
    }
}
