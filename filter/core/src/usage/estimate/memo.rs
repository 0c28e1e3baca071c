//! What a worker remembers of what was learned, so that a busy one asks the store only now and then.

use super::learned::{self, ENOUGH, Kind, Learned, Owner, Sample, Shape};
use crate::{store::SharedStore, time::Timestamp};

/// Kinds of requests that are remembered. A worker sees few at a time.
const KINDS: usize = 16;
/// Longest model's name that is remembered.
const MAX_NAME: usize = 64;
/// How long what was read is believed. Other workers teach meanwhile.
const FRESH_MS: u64 = 1_000;
/// A record of so many samples learns from one exchange at most in each [`PAUSE_MS`] of a worker.
const WARM: u32 = 64;
/// See [`WARM`].
const PAUSE_MS: u64 = 250;

/// What a worker remembers.
#[derive(Debug, Default)]
pub struct Memo {
    kinds: Vec<Remembered>,
    /// Which of them is forgotten next.
    next: usize,
}

#[derive(Debug)]
struct Remembered {
    provider: String,
    dialect: String,
    model: Option<String>,
    shape: Shape,
    owner: Owner,
    /// What was learned, and when it was read.
    read: Option<(Option<Learned>, Timestamp)>,
    taught: Option<Timestamp>,
}

impl Remembered {
    fn is(&self, kind: &Kind<'_>) -> bool {
        self.shape == kind.shape
            && self.model.as_deref() == kind.model
            && self.provider == kind.provider
            && self.dialect == kind.dialect
    }

    fn known(&mut self, store: &dyn SharedStore, now: Timestamp) -> Option<Learned> {
        if let Some((known, read)) = self.read
            && is_within(read, now, FRESH_MS)
        {
            return known;
        }
        let known = learned::known(self.owner, store, now);
        self.read = Some((known, now));
        known
    }
}

/// Whether so little time has passed. A clock that went back tells nothing.
fn is_within(since: Timestamp, now: Timestamp, ms: u64) -> bool {
    now >= since && now.millis_since(since) < ms
}

impl Memo {
    fn of(&mut self, kind: &Kind<'_>) -> Option<&mut Remembered> {
        if let Some(at) = self.kinds.iter().position(|known| known.is(kind)) {
            return self.kinds.get_mut(at);
        }
        if [Some(kind.provider), kind.model].into_iter().flatten().any(|name| name.len() > MAX_NAME) {
            return None;
        }
        let new = Remembered {
            provider: kind.provider.to_owned(),
            dialect: kind.dialect.to_owned(),
            model: kind.model.map(str::to_owned),
            shape: kind.shape,
            owner: kind.owner(),
            read: None,
            taught: None,
        };
        let at = self.next;
        self.next = self.next.wrapping_add(1) % KINDS;
        match self.kinds.get_mut(at) {
            Some(oldest) => *oldest = new,
            None => self.kinds.push(new),
        }
        self.kinds.get_mut(at)
    }

    /// As [`Learned::read`], from what was read a moment ago.
    pub fn read(&mut self, kind: &Kind<'_>, least: u32, store: &dyn SharedStore, now: Timestamp) -> Learned {
        Learned::choose(kind, least, |kind| match self.of(kind) {
            Some(remembered) => remembered.known(store, now),
            None => learned::known(kind.owner(), store, now),
        })
    }

    /// As [`learned::learn`], unless enough is known.
    pub fn learn(&mut self, kind: &Kind<'_>, sample: &Sample, store: &dyn SharedStore, now: Timestamp) -> bool {
        let Some(remembered) = self.of(kind) else { return learned::learn(kind, sample, store, now) };
        let is_warm = remembered.read.and_then(|(known, _)| known).is_some_and(|known| known.samples() >= WARM);
        if is_warm && remembered.taught.is_some_and(|taught| is_within(taught, now, PAUSE_MS)) {
            return false;
        }
        remembered.taught = Some(now);
        let known = learned::teach(remembered.owner, sample, store, now);
        // What could not be written is read again.
        remembered.read = known.map(|known| (Some(known), now));
        let samples = known.map(|known| known.samples());
        let for_others = samples.is_none_or(|samples| samples <= ENOUGH || samples.is_multiple_of(8));
        if for_others && let Some(others) = kind.others() {
            self.teach_others(&others, sample, store, now);
        }
        for_others
    }

    fn teach_others(&mut self, others: &Kind<'_>, sample: &Sample, store: &dyn SharedStore, now: Timestamp) {
        let owner = self.of(others).map_or_else(|| others.owner(), |remembered| remembered.owner);
        let known = learned::teach(owner, sample, store, now);
        if let Some(remembered) = self.of(others) {
            remembered.read = known.map(|known| (Some(known), now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const START: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn kind(model: &str) -> Kind<'_> {
        Kind { provider: "p", dialect: "d", model: Some(model), shape: Shape::Plain }
    }

    const SAMPLE: Sample = Sample { input: Some((1_000, 2)), output: Some((1_000, 2)), choice: Some(2) };

    fn samples(store: &MemoryStore, model: &str) -> u32 {
        learned::known(kind(model).owner(), store, START).map_or(0, |known| known.samples())
    }

    #[test]
    fn ok_what_is_new_is_learned_from_and_what_is_known_now_and_then() {
        let (store, mut memo) = (MemoryStore::default(), Memo::default());
        for nth in 0..1_000 {
            memo.learn(&kind("m"), &SAMPLE, &store, START.plus_millis(nth));
        }
        // 64 at once, then at 250, 500 and 750 ms after the last of them.
        assert_eq!(samples(&store, "m"), 64 + 3);
        memo.learn(&kind("m"), &SAMPLE, &store, START);
        assert_eq!(samples(&store, "m"), 68, "a clock that went back is no reason to learn nothing");
    }

    #[test]
    fn ok_own_lessons_are_known_at_once_and_those_of_others_within_a_second() {
        let store = MemoryStore::default();
        let [mut mine, mut other] = [Memo::default(), Memo::default()];
        let known = |memo: &mut Memo, at: u64| memo.read(&kind("m"), 1, &store, START.plus_millis(at)).samples();
        assert_eq!((known(&mut mine, 0), known(&mut other, 0)), (0, 0));
        for _ in 0..20 {
            mine.learn(&kind("m"), &SAMPLE, &store, START.plus_millis(1));
        }
        assert_eq!((known(&mut mine, 2), known(&mut other, 2)), (20, 0));
        assert_eq!(known(&mut other, 1_001), 20);
    }

    #[test]
    fn ok_many_kinds_are_told_apart() {
        let (store, mut memo) = (MemoryStore::default(), Memo::default());
        let names: Vec<String> = (0..40).map(|nth| format!("model-{nth}")).chain(["x".repeat(300)]).collect();
        for round in 0..3 {
            for (nth, name) in names.iter().enumerate() {
                let now = START.plus_millis(round * 10_000);
                // Of these, nothing is common to the provider's models.
                let kind = Kind { shape: Shape::More, ..kind(name) };
                let known = memo.read(&kind, 1, &store, now);
                assert_eq!(u64::from(known.samples()), round, "{nth}");
                memo.learn(&kind, &SAMPLE, &store, now);
            }
        }
    }
}
