//! What a response has said so far, value by value.

use super::{
    super::{Flag, Flags, number},
    hosted::Hosted,
    iteration::Iterations,
};
use crate::{
    dialect::Operation,
    json::scan::{Field, Found, Value},
    price::PicoUsd,
    time::Timestamp,
};

/// Counters as they stand on the wire: the last value of each that is not null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([Option<u64>; COUNTERS]);

const COUNTERS: usize = Field::WebSearches as usize - Field::Input as usize + 1;

impl Counters {
    fn place(field: Field) -> Option<usize> {
        (field as usize).checked_sub(Field::Input as usize).filter(|place| *place < COUNTERS)
    }

    /// The value of that counter.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u64> {
        self.0.get(Self::place(field)?).copied().flatten()
    }

    /// Overwrites: usage in streams is cumulative, never a delta.
    pub fn set(&mut self, field: Field, value: u64) {
        if let Some(slot) = Self::place(field).and_then(|place| self.0.get_mut(place)) {
            *slot = Some(value);
        }
    }

    /// Whether any headline counter was said.
    pub(super) fn says_something(&self) -> bool {
        const HEADLINES: [Field; 10] = [
            Field::Input,
            Field::Output,
            Field::Total,
            Field::VendorInput,
            Field::VendorOutput,
            Field::MetricsInput,
            Field::MetricsOutput,
            Field::SearchUnits,
            Field::Images,
            Field::Characters,
        ];
        HEADLINES.into_iter().any(|field| self.get(field).is_some())
    }
}

/// What a response has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// An error record was seen.
    pub error: bool,
    /// The headers announce a stream.
    pub is_stream: bool,
    /// The record that ends a reply of this dialect was seen.
    pub terminal: bool,
    /// The body is in an encoding or a format that cannot be read.
    pub unreadable: bool,
    /// Model that answered.
    pub model: Option<String>,
    /// The reply's id.
    pub id: Option<String>,
    /// Service tier that served.
    pub service_tier: Option<String>,
    /// Why the model stopped; of several choices, the last that said so.
    pub finish_reason: Option<String>,
    /// When the first text, reasoning or tool delta passed.
    pub first_output: Option<Timestamp>,
    /// Speed or latency mode that served.
    pub speed: Option<String>,
    /// Where the model ran.
    pub inference_geo: Option<String>,
    /// Sub-inferences with a usage of their own.
    pub iterations: Iterations,
    /// Something was used that has a price of its own, and that the usage leaves out.
    pub(super) has_unpriced_use: bool,
    /// Tools that the provider ran.
    pub(super) hosted: Hosted,
    /// The provider's own statement of cost, in USD.
    pub(super) reported_cost: Option<String>,
    /// The caller pays the upstream itself: the statement is only a fee.
    pub(super) has_own_key: bool,
    /// What the upstream charges then, in USD.
    pub(super) upstream_cost: Option<String>,
    /// The record that passes says that it is the last: it counts when it is whole.
    pub(super) says_last: bool,
    /// The last record, or the whole reply, ended before its time.
    pub(super) is_truncated: bool,
    /// The reply is made later: its usage is told to whoever asks for it then.
    pub(super) is_deferred: bool,
    /// Seconds of audio.
    pub(super) audio_seconds: Option<String>,
    pub(super) status: u32,
    pub(super) counters: Counters,
    /// The output counter is the placeholder of the first record.
    pub(super) is_placeholder: bool,
    pub(super) text_ascii: u64,
    pub(super) text_non_ascii: u64,
    pub(super) flags: Flags,
}

impl Snapshot {
    /// Whether the model said that it stopped, or the whole reply came.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.terminal || (self.finish_reason.is_some() && !self.is_truncated)
    }

    /// Whether something was used that has a price of its own, and that the usage leaves out.
    #[must_use]
    pub const fn has_unpriced_use(&self) -> bool {
        self.has_unpriced_use || self.hosted.has_other
    }

    /// What the provider itself says that the exchange cost its caller, in USD: a plain decimal.
    ///
    /// `OpenRouter` with a key of the caller's own says its fee, and beside it what the upstream charges; their sum is the cost, and
    /// without the second nobody knows. (It tells both of its own keys too, where they are the same.)
    #[must_use]
    pub fn stated_cost(&self) -> Option<String> {
        let stated = self.reported_cost.as_ref()?;
        if !self.has_own_key {
            return Some(stated.clone());
        }
        let [fee, upstream] = [stated, self.upstream_cost.as_ref()?].map(|text| PicoUsd::parse(text));
        Some(PicoUsd(fee?.0.checked_add(upstream?.0)?).to_string())
    }
}

/// A class of tokens and its count, from an element of a list.
#[derive(Debug, Default)]
pub(super) struct Class {
    pub(super) name: Vec<u8>,
    pub(super) count: Option<u64>,
}

impl Snapshot {
    pub(super) fn take(&mut self, found: &Found<'_>, class: &mut Class, operation: &Operation, now: Timestamp) {
        let text = || match found.value {
            Value::Text { head, .. } if !head.is_empty() => core::str::from_utf8(head).ok().map(str::to_owned),
            _ => None,
        };
        match found.field {
            Field::ResponseId => self.id = text().or_else(|| self.id.take()),
            Field::ResponseModel => self.model = text().or_else(|| self.model.take()),
            Field::ServiceTier => self.service_tier = text().or_else(|| self.service_tier.take()),
            Field::Speed => self.speed = text().or_else(|| self.speed.take()),
            Field::InferenceGeo => self.inference_geo = text().or_else(|| self.inference_geo.take()),
            Field::Iterations
            | Field::Iteration
            | Field::IterationKind
            | Field::IterationModel
            | Field::IterationInput
            | Field::IterationOutput
            | Field::IterationCacheRead
            | Field::IterationCacheWrite
            | Field::IterationCacheWrite5m
            | Field::IterationCacheWrite1h => self.iterations.take(found),
            Field::UnpricedUse => {
                self.has_unpriced_use |= match found.value {
                    Value::ArrayEnd(elements) => elements > 0,
                    Value::Number(_) => number::counter(found.value) != Some(Ok(0)),
                    _ => false,
                };
            }
            Field::OutputItems | Field::OutputItem | Field::OutputItemType | Field::OutputItemAction => {
                self.hosted.take(found);
            }
            Field::OwnKey => self.has_own_key = found.value == Value::Bool(true),
            Field::FinishReason => {
                // DashScope writes "null" while it goes on.
                if let Some(reason) = text().filter(|reason| reason != "null") {
                    self.says_last |= operation.finish_ends;
                    self.finish_reason = Some(reason);
                }
            }
            Field::Status => match text().as_deref() {
                Some("queued" | "in_progress") => self.is_deferred = true,
                Some(status) => {
                    self.is_deferred = false;
                    self.finish_reason.get_or_insert_with(|| status.to_owned());
                }
                None => {}
            },
            Field::Last => self.says_last |= found.value == Value::Bool(true),
            Field::InvocationMetrics => self.says_last |= matches!(found.value, Value::ObjectEnd(_)),
            Field::ClassName => {
                if let Value::Text { head, .. } = found.value {
                    class.name = head.to_vec();
                }
            }
            Field::ClassCount => class.count = number::counter(found.value).and_then(Result::ok),
            Field::InputClass | Field::OutputClass | Field::CacheReadClass | Field::CacheWriteClass => {
                if matches!(found.value, Value::ObjectEnd(_)) {
                    let Class { name, count } = core::mem::take(class);
                    let counter = match (found.field, name.as_slice()) {
                        (Field::InputClass, b"AUDIO" | b"audio") => Some(Field::InputAudio),
                        (Field::InputClass, b"IMAGE" | b"image") => Some(Field::InputImage),
                        (Field::InputClass, b"VIDEO" | b"video") => Some(Field::InputVideo),
                        (Field::CacheReadClass, b"AUDIO" | b"audio") => Some(Field::CacheReadAudio),
                        (Field::CacheReadClass, b"IMAGE" | b"image") => Some(Field::CacheReadImage),
                        (Field::OutputClass, b"AUDIO" | b"audio") => Some(Field::OutputAudio),
                        (Field::OutputClass, b"IMAGE" | b"image") => Some(Field::OutputImage),
                        (Field::OutputClass, b"VIDEO" | b"video") => Some(Field::OutputVideo),
                        (Field::OutputClass, b"TEXT" | b"text") => Some(Field::OutputTextTokens),
                        (Field::CacheWriteClass, b"5m") => Some(Field::CacheWrite5m),
                        (Field::CacheWriteClass, b"1h") => Some(Field::CacheWrite1h),
                        _ => None,
                    };
                    if let Some(counter) = counter {
                        // A count that is left out is zero.
                        self.counters.set(counter, count.unwrap_or(0));
                    }
                }
            }
            Field::SummedInput => {
                if let Some(Ok(count)) = number::counter(found.value) {
                    let sum = self.counters.get(Field::Input).unwrap_or(0).saturating_add(count);
                    self.counters.set(Field::Input, sum);
                }
            }
            Field::Images => {
                if let Value::ArrayEnd(images) = found.value {
                    self.counters.set(Field::Images, images);
                }
            }
            Field::AudioSeconds => {
                if let Value::Number(digits) = found.value {
                    self.audio_seconds = number::decimal(digits, 0);
                }
            }
            Field::OutputText => {
                if let Value::Text { bytes, non_ascii, .. } = found.value
                    && bytes > 0
                {
                    self.first_output.get_or_insert(now);
                    self.text_ascii = self.text_ascii.saturating_add(bytes.saturating_sub(non_ascii));
                    self.text_non_ascii = self.text_non_ascii.saturating_add(non_ascii);
                }
            }
            // SDKs raise on anything truthy.
            Field::Error => {
                self.error |= match found.value {
                    Value::Bool(value) => value,
                    Value::Text { bytes, .. } => bytes > 0,
                    Value::ObjectEnd(members) | Value::ArrayEnd(members) => members > 0,
                    Value::Number(_) => number::counter(found.value) != Some(Ok(0)),
                    Value::Null | Value::ObjectStart | Value::ArrayStart => false,
                }
            }
            Field::ReportedCost => {
                if let Value::Number(digits) = found.value {
                    self.reported_cost = number::decimal(digits, 0);
                }
            }
            Field::ReportedTicks => {
                if let Value::Number(digits) = found.value {
                    self.reported_cost = number::decimal(digits, -10);
                }
            }
            Field::UpstreamCost => {
                if let Value::Number(digits) = found.value {
                    self.upstream_cost = number::decimal(digits, 0);
                }
            }
            field => {
                if Counters::place(field).is_none() {
                    return;
                }
                match number::counter(found.value) {
                    Some(Ok(count)) if operation.keeps_largest => {
                        self.counters.set(field, self.counters.get(field).unwrap_or(0).max(count));
                    }
                    Some(Ok(count)) => self.counters.set(field, count),
                    Some(Err(number::BadNumber)) => self.flags.insert(Flag::BadNumber),
                    None => {}
                }
            }
        }
    }
}
