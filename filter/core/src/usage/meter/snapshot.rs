//! What a response has said so far, value by value.

use super::super::{Flag, Flags, number};
use crate::{
    dialect::Operation,
    json::scan::{Field, Found, Value},
    time::Timestamp,
};

/// Counters as they stand on the wire: the last value of each that is not null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    values: [Option<u64>; COUNTERS],
    /// A bit for each counter whose last value is no count: it is unknown, and not the same as one that was never said.
    bad: u64,
}

const COUNTERS: usize = Field::WebSearches as usize - Field::Input as usize + 1;

impl Counters {
    fn place(field: Field) -> Option<usize> {
        (field as usize).checked_sub(Field::Input as usize).filter(|place| *place < COUNTERS)
    }

    /// The value of that counter.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u64> {
        self.values.get(Self::place(field)?).copied().flatten()
    }

    /// Overwrites: usage in streams is cumulative, never a delta.
    pub fn set(&mut self, field: Field, value: u64) {
        self.put(field, Some(value), 0);
    }

    /// Says that the last value of that counter is no count.
    pub(in super::super) fn spoil(&mut self, field: Field) {
        self.put(field, None, 1);
    }

    fn put(&mut self, field: Field, value: Option<u64>, bad: u64) {
        let Some(place) = Self::place(field) else { return };
        if let Some(slot) = self.values.get_mut(place) {
            *slot = value;
            self.bad = (self.bad & !(1 << place)) | (bad << place);
        }
    }

    /// Takes over what a later record says.
    pub(super) fn overwrite(&mut self, later: &Self) {
        for (at, (slot, value)) in self.values.iter_mut().zip(later.values).enumerate() {
            let is_bad = later.bad >> at & 1;
            if value.is_some() || is_bad != 0 {
                *slot = value;
                self.bad = (self.bad & !(1 << at)) | (is_bad << at);
            }
        }
    }

    /// Whether the last value of that counter is no count.
    #[must_use]
    pub fn is_bad(&self, field: Field) -> bool {
        Self::place(field).is_some_and(|place| self.bad >> place & 1 != 0)
    }

    /// Whether any headline counter was said.
    pub(super) fn says_something(&self) -> bool {
        HEADLINES.into_iter().any(|field| self.get(field).is_some())
    }

    /// Whether any headline counter was said and is no count.
    pub(super) fn says_nonsense(&self) -> bool {
        HEADLINES.into_iter().any(|field| self.is_bad(field))
    }

    /// Adds what others say; what is no count in either is none in the sum.
    fn add(&mut self, others: &Self) {
        self.bad |= others.bad;
        for (at, (sum, value)) in self.values.iter_mut().zip(others.values).enumerate() {
            *sum = match (*sum, value) {
                _ if self.bad >> at & 1 != 0 => None,
                (None, None) => None,
                (sum, value) => Some(sum.unwrap_or(0).saturating_add(value.unwrap_or(0))),
            };
        }
    }

    /// Whether all that was said is zero.
    pub(super) fn are_zero(&self) -> bool {
        self.bad == 0 && self.values.iter().all(|value| value.unwrap_or(0) == 0)
    }
}

const HEADLINES: [Field; 11] = [
    Field::Input,
    Field::Output,
    Field::Total,
    Field::VendorInput,
    Field::VendorOutput,
    Field::MetricsInput,
    Field::MetricsOutput,
    Field::SearchUnits,
    Field::Images,
    Field::Pages,
    Field::Characters,
];

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
    /// The provider's own statement of cost, in USD.
    pub reported_cost: Option<String>,
    /// The record that passes says that it is the last: it counts when it is whole.
    pub(super) says_last: bool,
    /// The last record, or the whole reply, ended before its time.
    pub(super) is_truncated: bool,
    /// The reply is made later: its usage is told to whoever asks for it then.
    pub(crate) is_deferred: bool,
    /// Web searches among the items of the output.
    pub(super) searches: u64,
    /// Seconds of audio.
    pub(super) audio_seconds: Option<String>,
    /// The length of the audio in seconds.
    pub(super) duration: Option<String>,
    /// What is said of them is no number.
    pub(super) has_bad_seconds: bool,
    pub(super) status: u32,
    pub(super) counters: Counters,
    /// Counters of the replies before, where there are several in one.
    pub(super) sums: Option<Counters>,
    /// The output counter is the placeholder of the first record.
    pub(super) is_placeholder: bool,
    pub(super) text_ascii: u64,
    pub(super) text_non_ascii: u64,
    /// Microseconds of audio that passed, where audio is what the reply is of.
    pub(super) audio_micros: u64,
    pub(super) flags: Flags,
}

impl Snapshot {
    /// Seconds of audio: those that are billed, else all there are.
    pub(super) fn seconds(&self) -> Option<String> {
        self.audio_seconds.as_ref().or(self.duration.as_ref()).cloned()
    }

    /// Whether the model said that it stopped, or the whole reply came.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.terminal || ((self.finish_reason.is_some() || self.sums.is_some()) && !self.is_truncated)
    }
}

/// A class of tokens and its count, from an element of a list.
#[derive(Debug, Default)]
pub(super) struct Class {
    name: Vec<u8>,
    count: Option<Result<u64, number::BadNumber>>,
}

impl Snapshot {
    pub(super) fn take(&mut self, found: &Found<'_>, class: &mut Class, operation: &Operation, now: Timestamp) {
        let text = || match found.value {
            Value::Text { head, .. } if !head.is_empty() => core::str::from_utf8(head).ok().map(str::to_owned),
            _ => None,
        };
        match found.field {
            Field::ResponseId => self.id = text().or_else(|| self.id.take()),
            Field::ResponseModel => {
                let before = self.model.take();
                self.model = text().or_else(|| before.clone());
                if self.sums.is_some() && before != self.model {
                    self.flags.insert(Flag::MixedModels);
                }
            }
            Field::Summed => {
                if matches!(found.value, Value::ObjectEnd(_)) {
                    self.sum();
                }
            }
            Field::ServiceTier => self.service_tier = text().or_else(|| self.service_tier.take()),
            Field::FinishReason => {
                // DashScope and watsonx write these while it goes on.
                if let Some(reason) = text().filter(|reason| !matches!(&**reason, "null" | "not_finished")) {
                    self.says_last |= operation.finish_ends;
                    self.error |= operation.error_reasons.contains(&reason.as_str());
                    self.finish_reason = Some(reason);
                }
            }
            Field::Status => match text().as_deref() {
                Some(
                    "queued"
                    | "in_progress"
                    | "validating"
                    | "finalizing"
                    | "cancelling"
                    | "canceling"
                    | "requires_action"
                    | "PENDING"
                    | "RUNNING"
                    | "BATCH_STATE_PENDING"
                    | "BATCH_STATE_RUNNING",
                ) => self.is_deferred = true,
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
            Field::ClassCount => class.count = number::counter(found.value),
            Field::InputClass | Field::OutputClass | Field::CacheWriteClass => {
                if matches!(found.value, Value::ObjectEnd(_)) {
                    let Class { name, count } = core::mem::take(class);
                    let counter = match (found.field, name.as_slice()) {
                        (Field::InputClass, b"AUDIO" | b"audio") => Some(Field::InputAudio),
                        (Field::InputClass, b"IMAGE" | b"image") => Some(Field::InputImage),
                        (Field::OutputClass, b"AUDIO" | b"audio") => Some(Field::OutputAudio),
                        (Field::OutputClass, b"IMAGE" | b"image") => Some(Field::OutputImage),
                        (Field::OutputClass, b"TEXT" | b"text") => Some(Field::OutputTextTokens),
                        (Field::CacheWriteClass, b"5m") => Some(Field::CacheWrite5m),
                        (Field::CacheWriteClass, b"1h") => Some(Field::CacheWrite1h),
                        _ => None,
                    };
                    if let Some(counter) = counter {
                        // A count that is left out is zero.
                        self.count(counter, count.unwrap_or(Ok(0)));
                    }
                }
            }
            Field::SummedInput => {
                // One that is no count leaves the sum unknown, whatever the others say.
                if let Some(count) = number::counter(found.value).filter(|_| !self.counters.is_bad(Field::Input)) {
                    let sum = self.counters.get(Field::Input).unwrap_or(0);
                    self.count(Field::Input, count.map(|count| sum.saturating_add(count)));
                }
            }
            Field::Images => {
                // The images themselves, or how many there are.
                match found.value {
                    Value::ArrayEnd(images) => self.counters.set(Field::Images, images),
                    Value::Number(_) => {
                        if let Some(count) = number::counter(found.value) {
                            self.count(Field::Images, count);
                        }
                    }
                    _ => {}
                }
            }
            Field::AudioSeconds | Field::Duration => {
                if found.value != Value::Null {
                    let seconds = match found.value {
                        Value::Number(digits) => number::decimal(digits),
                        _ => None,
                    };
                    self.has_bad_seconds = seconds.is_none();
                    if self.has_bad_seconds {
                        self.flags.insert(Flag::BadNumber);
                    }
                    let place =
                        if found.field == Field::Duration { &mut self.duration } else { &mut self.audio_seconds };
                    *place = seconds;
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
            Field::OutputItems => {
                if found.value == Value::ArrayStart {
                    self.searches = 0;
                }
            }
            Field::ToolAction => {
                if matches!(found.value, Value::Text { head: b"search", .. }) {
                    self.searches = self.searches.saturating_add(1);
                }
            }
            Field::OtherTokens => {
                if !matches!(number::counter(found.value), None | Some(Ok(0))) {
                    self.flags.insert(Flag::OtherModelUsage);
                }
            }
            Field::Code => {
                if let Value::Number(_) = found.value {
                    self.error |= !matches!(number::counter(found.value), Some(Ok(0 | 200)));
                }
            }
            Field::ReportedCost => {
                if let Value::Number(digits) = found.value {
                    self.reported_cost = number::decimal(digits);
                }
            }
            field => {
                if Counters::place(field).is_none() {
                    return;
                }
                if let Some(count) = number::counter(found.value) {
                    let least = if operation.keeps_largest { self.counters.get(field).unwrap_or(0) } else { 0 };
                    self.count(field, count.map(|count| count.max(least)));
                }
            }
        }
    }

    /// Adds what one of several replies has said to the others.
    pub(super) fn sum(&mut self) {
        let counters = core::mem::take(&mut self.counters);
        self.sums.get_or_insert_default().add(&counters);
    }

    /// Takes what a counter says.
    pub(super) fn count(&mut self, field: Field, count: Result<u64, number::BadNumber>) {
        match count {
            Ok(count) => self.counters.set(field, count),
            Err(number::BadNumber) => {
                self.counters.spoil(field);
                self.flags.insert(Flag::BadNumber);
            }
        }
    }
}
