//! What traffic has taught of a provider's model, kept in the store of all workers: a worker that starts again knows it at once, a process
//! that starts again begins from the prior.
//!
//! Keys of the store are never freed: there is a table of fixed size. What is learned is of use, not of record; when the store is busy or
//! the table full, a sample is left out and nothing else happens.

use sha2::{Digest as _, Sha256};

use super::{Estimate, PARTS, curve::Curve, tokens};
use crate::{
    record::Reader,
    store::{SharedStore, Version},
    time::Timestamp,
};

/// Before all keys of the table; the number is the record's layout.
pub const TABLE: &[u8] = b"meterr/e1/";

/// Records in the table. One takes 50 to 700 bytes.
const SLOTS: u16 = 1_024;

/// Slots that are looked at for one record.
const PROBES: u16 = 4;

/// Seconds after which the record of a model that nobody asks for may be taken over.
const STALE_SECS: u64 = 86_400;

/// Samples that a record must have before it is believed of what was seen, such as the text of a stream that was cut.
pub const FEW: u32 = 4;

/// Samples that a record must have before requests are admitted by it.
pub const ENOUGH: u32 = 16;

/// How requests differ in what the provider adds to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Shape {
    /// Text alone.
    Plain,
    /// Tools: the provider writes a prompt of its own about them.
    Tools,
    /// Something that the body's text does not tell of: images, files, what the server keeps.
    More,
    /// Nothing but the length of the body is known.
    Unread,
}

/// What requests are learned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    /// Provider id.
    pub provider: &'a str,
    /// Dialect's name.
    pub dialect: &'a str,
    /// Model as asked for; `None` for all of the provider's.
    pub model: Option<&'a str>,
    /// What it holds.
    pub shape: Shape,
}

/// Whose a record is: a hash of the kind.
pub(super) type Owner = [u8; 8];

impl Kind<'_> {
    pub(super) fn owner(&self) -> Owner {
        let model = self.model.map_or("", family);
        let mut digest = Sha256::new();
        for part in [self.provider, self.dialect, model] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update([self.shape as u8, u8::from(self.model.is_some())]);
        digest.finalize().first_chunk().copied().unwrap_or_default()
    }
}

impl<'a> Kind<'a> {
    /// The provider's other models, from which is learned what is common to them. What is in no text is in no two models the same.
    pub(super) fn others(&self) -> Option<Self> {
        (self.model.is_some() && self.shape != Shape::More).then_some(Self { model: None, ..*self })
    }
}

/// A model's name without the date of its version: `gpt-4o-2024-08-06`, `claude-3-5-haiku-20241022`, `claude-sonnet-4@20250514`.
fn family(model: &str) -> &str {
    let bytes = model.as_bytes();
    let is_date = |tail: &[u8]| match tail {
        [b'-' | b'@', rest @ ..] => {
            let digits = rest.iter().filter(|byte| byte.is_ascii_digit()).count();
            let dashes = rest.iter().filter(|byte| **byte == b'-').count();
            rest.starts_with(b"20") && digits == 8 && digits + dashes == rest.len()
        }
        _ => false,
    };
    [9, 11]
        .into_iter()
        .filter_map(|length| bytes.len().checked_sub(length))
        .filter(|at| *at > 0)
        .find(|at| bytes.get(*at..).is_some_and(is_date))
        .and_then(|at| model.get(..at))
        .unwrap_or(model)
}

/// A count that nine of ten samples stay below: it rises by a quarter when one does not, and sinks by a thirty-sixth when one does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usual(u64);

impl Usual {
    fn learn(&mut self, tokens: u64) {
        let sample = tokens.min(1 << 40).saturating_mul(PARTS);
        self.0 = match self.0 {
            0 => sample,
            known if sample > known => known.saturating_add(known / 4).saturating_add(1),
            known => known.saturating_sub(known / 36).max(sample),
        };
    }

    const fn tokens(self) -> u64 {
        tokens(self.0)
    }
}

/// One reported exchange. `None` where something cannot be learned from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Weight of the request's text, or of its bytes, and the input tokens that were reported.
    pub input: Option<(u64, u64)>,
    /// Weight of the reply's text, and the output tokens.
    pub output: Option<(u64, u64)>,
    /// Output tokens of one choice.
    pub choice: Option<u64>,
}

/// What was learned of one kind of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    owner: Owner,
    samples: u32,
    /// When the last one came, in seconds.
    at: u64,
    usual_input: Usual,
    usual_choice: Usual,
    input: Curve,
    output: Curve,
}

impl Learned {
    /// What is known of that kind, else of the provider's other models, once at least so many samples have come from either; else nothing:
    /// then the prior holds. What is in no text is in no two models the same.
    #[must_use]
    pub fn read(kind: &Kind<'_>, least: u32, store: &dyn SharedStore, now: Timestamp) -> Self {
        Self::choose(kind, least, |kind| known(kind.owner(), store, now))
    }

    /// The same by what is `known` of a kind.
    pub(super) fn choose(kind: &Kind<'_>, least: u32, mut known: impl FnMut(&Kind<'_>) -> Option<Self>) -> Self {
        let own = known(kind);
        if let Some(own) = own.filter(|own| own.samples >= least) {
            return own;
        }
        let others = kind.others().and_then(|others| known(&others));
        others.filter(|others| others.samples >= least).map(|others| own.unwrap_or(others)).unwrap_or_default()
    }

    /// Samples that it was learned from.
    #[must_use]
    pub const fn samples(&self) -> u32 {
        self.samples
    }

    /// Input tokens of a request whose text weighs so much.
    #[must_use]
    pub fn input(&self, weight: u64) -> u64 {
        tokens(self.input.at(weight))
    }

    /// Output tokens of a reply whose text weighs so much.
    #[must_use]
    pub fn output(&self, weight: u64) -> u64 {
        tokens(self.output.at(weight))
    }

    /// Input tokens that nine of ten such requests stay below, once enough were seen.
    #[must_use]
    pub fn usual_input(&self) -> Option<u64> {
        Some(self.usual_input.tokens()).filter(|tokens| *tokens > 0 && self.samples >= ENOUGH)
    }

    /// Output tokens of a choice that nine of ten stay below, once enough were seen.
    #[must_use]
    pub fn usual_choice(&self) -> Option<u64> {
        Some(self.usual_choice.tokens()).filter(|tokens| *tokens > 0 && self.samples >= ENOUGH)
    }

    /// What an exchange took, by the weights of its texts; `output` is `None` if there was no reply.
    #[must_use]
    pub fn estimate(&self, input: u64, output: Option<u64>) -> Estimate {
        Estimate {
            input: Some(self.input(input)).filter(|tokens| *tokens > 0),
            output: output.map(|weight| self.output(weight)),
        }
    }

    fn learn(&mut self, sample: &Sample, now: Timestamp) {
        self.samples = self.samples.saturating_add(1);
        self.at = now.secs();
        if let Some((weight, truth)) = sample.input {
            self.input.learn(weight, truth.saturating_mul(PARTS));
            self.usual_input.learn(truth);
        }
        if let Some((weight, truth)) = sample.output {
            self.output.learn(weight, truth.saturating_mul(PARTS));
        }
        if let Some(tokens) = sample.choice {
            self.usual_choice.learn(tokens);
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.owner.to_vec();
        bytes.extend_from_slice(&self.samples.to_le_bytes());
        for number in [self.at, self.usual_input.0, self.usual_choice.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (curve, Curve(points)) in [(0, self.input), (1, self.output)] {
            for (place, point) in (0_u8..).zip(points).filter(|(_, point)| point.samples > 0) {
                bytes.extend_from_slice(&[curve, place, point.samples]);
                bytes.extend_from_slice(&point.weight.to_le_bytes());
                bytes.extend_from_slice(&point.truth.to_le_bytes());
            }
        }
        bytes
    }

    /// `None` if the bytes are not what [`Self::encode`] writes.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut learned = Self {
            owner: reader.take()?,
            samples: u32::from_le_bytes(reader.take()?),
            at: reader.number()?,
            usual_input: Usual(reader.number()?),
            usual_choice: Usual(reader.number()?),
            ..Self::default()
        };
        while !reader.is_empty() {
            let [curve, place, samples] = reader.take()?;
            let curve = match curve {
                0 => &mut learned.input,
                1 => &mut learned.output,
                _ => return None,
            };
            let point = curve.0.get_mut(usize::from(place))?;
            (point.samples, point.weight, point.truth) = (samples, reader.number()?, reader.number()?);
        }
        Some(learned)
    }
}

/// Teaches what an exchange of that kind was reported as. What is common to several models learns from the first exchanges of each, and
/// from one in eight after that; says whether this is one.
pub fn learn(kind: &Kind<'_>, sample: &Sample, store: &dyn SharedStore, now: Timestamp) -> bool {
    let samples = teach(kind.owner(), sample, store, now).map(|known| known.samples);
    let for_others = samples.is_none_or(|samples| samples <= ENOUGH || samples.is_multiple_of(8));
    if for_others && let Some(others) = kind.others() {
        teach(others.owner(), sample, store, now);
    }
    for_others
}

/// What is known of that owner's kind, if anything is.
pub(super) fn known(owner: Owner, store: &dyn SharedStore, now: Timestamp) -> Option<Learned> {
    Some(find(owner, store, now)?.learned).filter(|known| known.samples > 0)
}

/// What is known now, if the record could be changed. Another worker that was quicker wins; this sample is left out.
pub(super) fn teach(owner: Owner, sample: &Sample, store: &dyn SharedStore, now: Timestamp) -> Option<Learned> {
    let Slot { key, version, mut learned } = find(owner, store, now)?;
    learned.learn(sample, now);
    let bytes = learned.encode();
    let written = match version {
        Some(version) => store.swap(&key, &bytes, version),
        None => store.create(&key, &bytes),
    };
    written.is_ok().then_some(learned)
}

struct Slot {
    key: Vec<u8>,
    version: Option<Version>,
    learned: Learned,
}

/// The record of that owner, or where a new one may stand. `None` if the table has no room or cannot be read.
fn find(owner: Owner, store: &dyn SharedStore, now: Timestamp) -> Option<Slot> {
    let [a, b, ..] = owner;
    let new = Learned { owner, ..Learned::default() };
    let mut free = None;
    for probe in 0..PROBES {
        let slot = u16::from_le_bytes([a, b]).wrapping_add(probe) % SLOTS;
        let key = [TABLE, &slot.to_le_bytes()].concat();
        let Some((bytes, version)) = store.read(&key).ok()? else {
            return free.or(Some(Slot { key, version: None, learned: new }));
        };
        match Learned::decode(&bytes) {
            Some(learned) if learned.owner == owner => return Some(Slot { key, version: Some(version), learned }),
            Some(other) if other.at.saturating_add(STALE_SECS) > now.secs() => {}
            Some(_) | None => {
                free.get_or_insert(Slot { key, version: Some(version), learned: new });
            }
        }
    }
    free
}

#[cfg(test)]
mod tests;
