//! Refusals that are counted instead of being told one by one: `sink.rejected: summary_per_minute`.
//!
//! The counts of a minute stand in one record of shared data for the whole process, so that they outlive a VM. Whoever is the first to see that
//! the minute is over empties the record and has what was in it: each count is told once.
//!
//! Layout, little-endian: version (1 byte), the minute (8 bytes), then for each group three numbers of 8 bytes and four texts, each after its
//! length (2 bytes).

use crate::{
    record::Reader,
    store::{SharedStore, StoreError},
    time::Timestamp,
};

const KEY: &[u8] = b"meterr/refusals";
const VERSION: u8 = 1;
/// Groups that are told apart: past it all tenants are one, and past twice as many everything is.
const MAX_GROUPS: usize = 64;
/// What stands for them.
const OTHER: &str = "other";
/// Attempts against other workers.
const ATTEMPTS: usize = 16;

/// Refusals of one minute that have all of this in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Who pays.
    pub tenant: String,
    /// Provider id.
    pub provider: String,
    /// Why they were refused.
    pub reason: String,
    /// The limit that refused them; empty if it was none.
    pub limit: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

impl Refusals {
    /// One refusal.
    #[must_use]
    pub fn one(tenant: &str, provider: &str, reason: &str, limit: &str, at: Timestamp) -> Self {
        let [tenant, provider, reason, limit] = [tenant, provider, reason, limit].map(str::to_owned);
        Self { tenant, provider, reason, limit, count: 1, first: at, last: at }
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.tenant, &self.provider, &self.reason, &self.limit)
            == (&other.tenant, &other.provider, &other.reason, &other.limit)
    }

    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// What one root context knows of the record.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// The minute in which it was last looked at.
    looked: u64,
}

const fn minute_of(now: Timestamp) -> u64 {
    now.secs() / 60
}

impl Summary {
    /// Counts a refusal. Gives back what is to be told now: the counts of a minute that is over.
    ///
    /// # Errors
    /// If the store fails, or others are always faster: nothing is counted then.
    pub(crate) fn add(store: &dyn SharedStore, refusal: &Refusals) -> Result<Vec<Refusals>, StoreError> {
        let minute = minute_of(refusal.last);
        for _ in 0..ATTEMPTS {
            let read = store.read(KEY)?;
            let mut record = read.as_ref().and_then(|(bytes, _)| Record::decode(bytes)).unwrap_or_default();
            let over = if record.minute == minute { Vec::new() } else { core::mem::take(&mut record.groups) };
            record.minute = minute;
            record.add(refusal);
            let written = match read {
                Some((_, version)) => store.swap(KEY, &record.encode(), version),
                None => store.create(KEY, &record.encode()),
            };
            match written {
                Ok(()) => return Ok(over),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// What is to be told now: the counts of a minute that is over, or whatever there is if this is the end. Nothing if the store fails: then
    /// the next look finds it.
    pub(crate) fn take(&mut self, store: &dyn SharedStore, now: Timestamp, is_end: bool) -> Vec<Refusals> {
        let minute = minute_of(now);
        if self.looked == minute && !is_end {
            return Vec::new();
        }
        for _ in 0..ATTEMPTS {
            let Ok(read) = store.read(KEY) else { return Vec::new() };
            let found = read.and_then(|(bytes, version)| Some((Record::decode(&bytes)?, version)));
            let over = found.filter(|(record, _)| !record.groups.is_empty() && (is_end || record.minute != minute));
            let Some((record, version)) = over else {
                self.looked = minute;
                return Vec::new();
            };
            match store.swap(KEY, &Record { minute, groups: Vec::new() }.encode(), version) {
                Ok(()) => {
                    self.looked = minute;
                    return record.groups;
                }
                Err(StoreError::Conflict) => {}
                Err(StoreError::Host(_)) => return Vec::new(),
            }
        }
        Vec::new()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// Since the epoch.
    minute: u64,
    groups: Vec<Refusals>,
}

impl Record {
    fn add(&mut self, refusal: &Refusals) {
        let mut group = refusal.clone();
        for room in [MAX_GROUPS, 2 * MAX_GROUPS, usize::MAX] {
            if let Some(same) = self.groups.iter_mut().find(|other| other.is_like(&group)) {
                same.add(&group);
                return;
            }
            if self.groups.len() < room {
                self.groups.push(group);
                return;
            }
            // First all tenants are one, then everything is.
            group = if group.tenant == OTHER {
                Refusals { provider: OTHER.to_owned(), reason: OTHER.to_owned(), limit: String::new(), ..group }
            } else {
                Refusals { tenant: OTHER.to_owned(), ..group }
            };
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.minute.to_le_bytes());
        for group in &self.groups {
            for number in [group.count, group.first.0, group.last.0] {
                bytes.extend(number.to_le_bytes());
            }
            for text in [&group.tenant, &group.provider, &group.reason, &group.limit] {
                // None is longer than some hundred bytes.
                let length = u16::try_from(text.len()).unwrap_or(0);
                bytes.extend(length.to_le_bytes());
                bytes.extend(text.as_bytes().iter().take(usize::from(length)));
            }
        }
        bytes
    }

    /// `None` if it is of another layout.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.take()? != [VERSION] {
            return None;
        }
        let minute = reader.number()?;
        let mut groups = Vec::new();
        while !reader.is_empty() {
            groups.push(Refusals {
                count: reader.number()?,
                first: Timestamp(reader.number()?),
                last: Timestamp(reader.number()?),
                tenant: reader.text()?,
                provider: reader.text()?,
                reason: reader.text()?,
                limit: reader.text()?,
            });
        }
        Some(Self { minute, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn refusal(tenant: &str, secs: u64) -> Refusals {
        Refusals::one(tenant, "openai", "rate_limit_exceeded", "tpm", at(secs))
    }

    #[test]
    fn ok_a_minute_is_told_once_by_whoever_sees_that_it_is_over() {
        let store = MemoryStore::default();
        let mut workers = [Summary::default(), Summary::default()];
        for secs in [60, 61, 119] {
            assert_eq!(Summary::add(&store, &refusal("a", secs)), Ok(Vec::new()));
        }
        Summary::add(&store, &refusal("b", 70)).expect("counted");
        assert_eq!(workers[0].take(&store, at(119), false), []);
        let told = workers[1].take(&store, at(120), false);
        let a = Refusals { count: 3, first: at(60), last: at(119), ..refusal("a", 0) };
        assert_eq!(told, [a, refusal("b", 70)]);
        assert_eq!(workers[0].take(&store, at(120), false), []);
        // Where no tick was in between, the next refusal finds the old ones.
        Summary::add(&store, &refusal("a", 121)).expect("counted");
        assert_eq!(Summary::add(&store, &refusal("a", 240)), Ok(vec![refusal("a", 121)]));
        // A clock that goes back begins another minute.
        assert_eq!(Summary::add(&store, &refusal("c", 30)), Ok(vec![refusal("a", 240)]));
        assert_eq!(workers[0].take(&store, at(31), true), [refusal("c", 30)]);
        assert_eq!(workers[1].take(&store, at(31), true), []);
    }

    #[test]
    fn ok_callers_without_end_share_groups_and_none_is_forgotten() {
        let store = MemoryStore::default();
        let mut worker = Summary::default();
        for nth in 0..1_000 {
            let limit = format!("limit-{}", nth % 100);
            let refusal = Refusals { limit, ..refusal(&format!("tenant-{nth}"), 60) };
            Summary::add(&store, &refusal).expect("counted");
            Summary::add(&store, &Refusals { tenant: "tenant-0".to_owned(), limit: "limit-0".to_owned(), ..refusal })
                .expect("counted");
        }
        let told = worker.take(&store, at(120), false);
        assert_eq!(told.iter().map(|group| group.count).sum::<u64>(), 2_000);
        assert_eq!(told.len(), 2 * MAX_GROUPS + 1);
        assert_eq!(told[0].count, 1_001, "who was there first stays apart");
        let of = |tenant: &str| told.iter().filter(|group| group.tenant == tenant).count();
        assert_eq!((of("tenant-0"), of(OTHER)), (1, MAX_GROUPS + 1));
        let last = told.last().expect("groups");
        assert_eq!((&*last.provider, &*last.reason, &*last.limit), (OTHER, OTHER, ""));
    }

    #[test]
    fn ok_what_is_written_is_read() {
        let record =
            Record { minute: 7, groups: vec![refusal("ü", 1), Refusals { limit: String::new(), ..refusal("", 2) }] };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some(record));
        for cut in (1..bytes.len()).filter(|cut| *cut != 9 && *cut != 9 + 24 + 8 + 2 + 6 + 19 + 3) {
            assert_eq!(Record::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Record::decode(&[2; 9]), None);
    }

    #[test]
    fn err_a_store_that_fails_counts_nothing() {
        struct Broken;
        impl SharedStore for Broken {
            fn read(&self, _: &[u8]) -> Result<Option<(Vec<u8>, crate::store::Version)>, StoreError> {
                Ok(None)
            }
            fn swap(&self, _: &[u8], _: &[u8], _: crate::store::Version) -> Result<(), StoreError> {
                Err(StoreError::Host(3))
            }
            fn create(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
                Err(StoreError::Conflict)
            }
            fn write(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
                Err(StoreError::Host(3))
            }
        }
        assert_eq!(Summary::add(&Broken, &refusal("a", 60)), Err(StoreError::Conflict));
        assert_eq!(Summary::default().take(&Broken, at(120), false), []);
    }
}
