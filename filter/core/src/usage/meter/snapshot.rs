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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// 0 for what is not known.
    values: [u64; COUNTERS],
    /// A bit for each counter that is known.
    known: u64,
    /// A bit for each counter whose last value is no count: it is unknown, and not the same as one that was never said.
    bad: u64,
}

const COUNTERS: usize = Field::WebSearches as usize - Field::Input as usize + 1;
const _: () = assert!(COUNTERS <= 64);

impl Default for Counters {
    fn default() -> Self {
        Self { values: [0; COUNTERS], known: 0, bad: 0 }
    }
}

impl Counters {
    fn place(field: Field) -> Option<usize> {
        (field as usize).checked_sub(Field::Input as usize).filter(|place| *place < COUNTERS)
    }

    /// The value of that counter.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u64> {
        self.at(Self::place(field)?)
    }

    fn at(&self, place: usize) -> Option<u64> {
        self.values.get(place).copied().filter(|_| self.known >> place & 1 != 0)
    }

    /// Overwrites: usage in streams is cumulative, never a delta.
    pub fn set(&mut self, field: Field, value: u64) {
        if let Some(place) = Self::place(field) {
            self.put(place, Some(value), 0);
        }
    }

    /// Says that the last value of that counter is no count.
    pub(in super::super) fn spoil(&mut self, field: Field) {
        if let Some(place) = Self::place(field) {
            self.put(place, None, 1);
        }
    }

    fn put(&mut self, place: usize, value: Option<u64>, bad: u64) {
        if let Some(slot) = self.values.get_mut(place) {
            *slot = value.unwrap_or(0);
            self.known = (self.known & !(1 << place)) | (u64::from(value.is_some()) << place);
            self.bad = (self.bad & !(1 << place)) | (bad << place);
        }
    }

    /// Takes over what a later record says.
    pub(super) fn overwrite(&mut self, later: &Self) {
        for place in 0..COUNTERS {
            let (value, bad) = (later.at(place), later.bad >> place & 1);
            if value.is_some() || bad != 0 {
                self.put(place, value, bad);
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
        let bad = self.bad | others.bad;
        for place in 0..COUNTERS {
            let sum = match (self.at(place), others.at(place)) {
                _ if bad >> place & 1 != 0 => None,
                (None, None) => None,
                (sum, value) => Some(sum.unwrap_or(0).saturating_add(value.unwrap_or(0))),
            };
            self.put(place, sum, bad >> place & 1);
        }
    }

    /// Whether all that was said is zero.
    pub(super) fn are_zero(&self) -> bool {
        self.bad == 0 && self.values.iter().all(|value| *value == 0)
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
    /// What another model read that such a tool used.
    pub(super) other_input: Option<u64>,
    /// … wrote.
    pub(super) other_output: Option<u64>,
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
    pub(crate) is_deferred: bool,
    /// Seconds of audio.
    pub(super) audio_seconds: Option<String>,
    /// The length of the audio in seconds.
    pub(super) duration: Option<String>,
    /// What is said of them is no number.
    pub(super) has_bad_seconds: bool,
    pub(super) status: u32,
    pub(super) counters: Counters,
    /// Counters of the replies before, where there are several in one.
    pub(super) sums: Option<Box<Counters>>,
    /// The output counter is the placeholder of the first record.
    pub(super) is_placeholder: bool,
    /// What the text weighs that the model wrote: [`estimate::weigh`](crate::usage::estimate::weigh).
    pub text: u64,
    /// Its bytes.
    pub(super) text_bytes: u64,
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

    /// Whether `later` says the same, but for the text that the model wrote.
    pub(super) fn differs_in_text_only(&self, later: &Self) -> bool {
        *later == Self { text: later.text, text_bytes: later.text_bytes, ..self.clone() }
    }

    /// Whether something was used that has a price of its own, and that the usage leaves out.
    #[must_use]
    pub const fn has_unpriced_use(&self) -> bool {
        self.has_unpriced_use || self.hosted.has_other || self.flags.contains(Flag::OtherModelUsage)
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

/// Puts a text in the place of another, unless it says nothing; whether it says something else than before. Records of a stream repeat what
/// they say: that costs no memory.
fn replace(slot: &mut Option<String>, value: Value<'_>) -> bool {
    let Value::Text { head, .. } = value else { return false };
    let text = core::str::from_utf8(head).ok().filter(|text| !text.is_empty() && slot.as_deref() != Some(*text));
    let Some(text) = text else { return false };
    *slot = Some(text.to_owned());
    true
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
            Field::ResponseId => {
                replace(&mut self.id, found.value);
            }
            Field::ResponseModel => {
                if replace(&mut self.model, found.value) && self.sums.is_some() {
                    self.flags.insert(Flag::MixedModels);
                }
            }
            Field::Summed => {
                if matches!(found.value, Value::ObjectEnd(_)) {
                    self.sum();
                }
            }
            Field::ServiceTier => {
                replace(&mut self.service_tier, found.value);
            }
            Field::Speed => {
                replace(&mut self.speed, found.value);
            }
            Field::InferenceGeo => {
                replace(&mut self.inference_geo, found.value);
            }
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
                        Value::Number(digits) => number::decimal(digits, 0),
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
                if let Value::Text { bytes, weight, .. } = found.value
                    && bytes > 0
                {
                    self.first_output.get_or_insert(now);
                    self.text = self.text.saturating_add(weight);
                    self.text_bytes = self.text_bytes.saturating_add(bytes);
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
            Field::OtherTokens | Field::OtherInput | Field::OtherOutput => {
                let told = number::counter(found.value);
                if !matches!(told, None | Some(Ok(0))) {
                    self.flags.insert(Flag::OtherModelUsage);
                }
                match found.field {
                    Field::OtherInput => self.other_input = told.and_then(Result::ok),
                    Field::OtherOutput => self.other_output = told.and_then(Result::ok),
                    _ => {}
                }
            }
            Field::Code => {
                if let Value::Number(_) = found.value {
                    self.error |= !matches!(number::counter(found.value), Some(Ok(0 | 200)));
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
                if let Some(count) = number::counter(found.value) {
                    let least = if operation.keeps_largest { self.counters.get(field).unwrap_or(0) } else { 0 };
                    self.count(field, count.map(|count| count.max(least)));
                }
            }
        }
    }

    /// Adds what one of several replies has said to the others.
    pub(super) fn sum(&mut self) {
        self.iterations.keep();
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
