//! Jobs: requests whose usage is told later, to whoever reads their result, as often as it is read.
//!
//! The reply that starts a job gives its id; the first complete reading of its usage claims it, and is the one that is billed. What was
//! started elsewhere, before a restart, or so many jobs ago that it is forgotten is never billed by a reading: once at most, never twice.

use sha2::{Digest as _, Sha256};

use crate::store::{SharedStore, StoreError};

/// Keys in the store; they are never freed.
const BUCKETS: u16 = 1_024;
/// Jobs that a key remembers: the oldest is forgotten first.
const JOBS: usize = 32;
/// How often a write is tried again after somebody else's.
const TRIES: u32 = 8;
/// Bytes of a job's hash.
const HASH: usize = 8;

/// Remembers a job that was started.
///
/// # Errors
/// If the store fails, or others write all the time. The job is forgotten then, and its usage never billed by a reading.
pub(super) fn start(store: &dyn SharedStore, provider: &str, id: &str) -> Result<(), StoreError> {
    change(store, provider, id, |jobs, job| {
        if jobs.iter().any(|known| known == job) {
            return false;
        }
        if jobs.len() >= JOBS {
            jobs.remove(0);
        }
        jobs.push(*job);
        true
    })
    .map(|_| ())
}

/// Whether the job was started here and nobody has claimed it yet; it is claimed now.
///
/// # Errors
/// If the store fails, or others write all the time. Nothing is claimed then.
pub(super) fn claim(store: &dyn SharedStore, provider: &str, id: &str) -> Result<bool, StoreError> {
    change(store, provider, id, |jobs, job| {
        let before = jobs.len();
        jobs.retain(|known| known != job);
        jobs.len() < before
    })
}

type Job = [u8; HASH];

/// Reads, changes and writes the jobs that share a key; whether `run` changed them.
fn change(
    store: &dyn SharedStore,
    provider: &str,
    id: &str,
    run: impl Fn(&mut Vec<Job>, &Job) -> bool,
) -> Result<bool, StoreError> {
    let (key, job) = place(provider, id);
    for _ in 0..TRIES {
        let (bytes, version) = store.read(&key)?.unzip();
        let mut jobs: Vec<Job> = bytes.as_deref().unwrap_or_default().as_chunks().0.to_vec();
        if !run(&mut jobs, &job) {
            return Ok(false);
        }
        let bytes = jobs.concat();
        let written = match version {
            Some(version) => store.swap(&key, &bytes, version),
            None => store.create(&key, &bytes),
        };
        match written {
            Ok(()) => return Ok(true),
            Err(StoreError::Conflict) => {}
            Err(error @ StoreError::Host(_)) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}

/// The key that a job belongs to, and what it is known by there. Some APIs name a job by a path; its last segment is unique.
fn place(provider: &str, id: &str) -> (Vec<u8>, Job) {
    let id = id.rsplit('/').next().unwrap_or(id);
    let digest = Sha256::new().chain_update(provider).chain_update([0]).chain_update(id).finalize();
    let (bucket, job) = match digest.as_slice() {
        [a, b, rest @ ..] => (u16::from_le_bytes([*a, *b]) % BUCKETS, rest.first_chunk().copied().unwrap_or_default()),
        _ => (0, Job::default()),
    };
    (format!("j:{bucket}").into_bytes(), job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn ok_a_job_is_claimed_once() {
        let store = MemoryStore::default();
        assert_eq!(claim(&store, "openai", "resp_1"), Ok(false), "nobody started it");
        assert_eq!(start(&store, "openai", "resp_1"), Ok(()));
        assert_eq!(start(&store, "openai", "resp_1"), Ok(()), "twice is once");
        assert_eq!(claim(&store, "azure-openai", "resp_1"), Ok(false), "another provider's");
        assert_eq!(claim(&store, "openai", "resp_2"), Ok(false));
        assert_eq!(claim(&store, "openai", "resp_1"), Ok(true));
        assert_eq!(claim(&store, "openai", "resp_1"), Ok(false), "never twice");
        assert_eq!(start(&store, "google-ai-studio", "batches/x1"), Ok(()));
        assert_eq!(claim(&store, "google-ai-studio", "x1"), Ok(true));
    }

    #[test]
    fn ok_memory_is_bounded_and_the_newest_are_known() {
        let store = MemoryStore::default();
        let jobs = u64::from(BUCKETS) * JOBS as u64 * 2;
        for at in 0..jobs {
            assert_eq!(start(&store, "p", &at.to_string()), Ok(()));
        }
        let (keys, bytes) = store.size();
        assert!(keys <= usize::from(BUCKETS) && bytes <= keys * JOBS * HASH, "{keys} keys, {bytes} bytes");
        assert_eq!(claim(&store, "p", &(jobs - 1).to_string()), Ok(true));
        assert_eq!(claim(&store, "p", "0"), Ok(false), "forgotten, and not billed");
    }
}
