//! The state of the host: what Envoy keeps for the filter.

use std::collections::HashMap;

use super::profile::Profile;

/// A header map: names and values, names in lower case.
pub(super) type Headers = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) const REQUEST: i32 = 0;
pub(super) const RESPONSE: i32 = 2;
pub(super) const CALLOUT: i32 = 6;
pub(super) const REQUEST_BODY: i32 = 0;
pub(super) const RESPONSE_BODY: i32 = 1;
pub(super) const CONFIGURATION: i32 = 7;

/// Statuses of the ABI.
pub(super) const OK: i32 = 0;
pub(super) const NOT_FOUND: i32 = 1;
pub(super) const BAD_ARGUMENT: i32 = 2;
pub(super) const CAS_MISMATCH: i32 = 8;

/// A callout that was started and has no answer yet.
#[derive(Debug)]
pub(super) struct Callout {
    pub(super) token: u32,
    pub(super) body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Host {
    /// Nanoseconds since the epoch.
    pub(super) now: u64,
    /// The callback that runs.
    pub(super) callback: &'static str,
    pub(super) profile: Profile,
    pub(super) headers: HashMap<i32, Headers>,
    pub(super) buffers: HashMap<i32, Vec<u8>>,
    pub(super) states: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) metrics: Vec<(String, i64)>,
    pub(super) callouts: Vec<Callout>,
    pub(super) log: Vec<String>,
    shared: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    last_version: u32,
    next_token: u32,
    random: u64,
}

impl Host {
    pub(super) fn new(configuration: Vec<u8>) -> Self {
        Self {
            now: 1_790_000_000_000_000_000,
            callback: "",
            profile: Profile::default(),
            headers: HashMap::new(),
            buffers: HashMap::from([(CONFIGURATION, configuration)]),
            states: HashMap::new(),
            metrics: Vec::new(),
            callouts: Vec::new(),
            log: Vec::new(),
            shared: HashMap::new(),
            last_version: 0,
            next_token: 0,
            random: 0,
        }
    }

    pub(super) fn get_shared(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.shared.get(key).cloned()
    }

    /// A version of 0 is "whatever is there"; a key that is not there takes any.
    pub(super) fn set_shared(&mut self, key: Vec<u8>, value: Vec<u8>, version: u32) -> i32 {
        if self.shared.get(&key).is_some_and(|(_, current)| version != 0 && *current != version) {
            return CAS_MISMATCH;
        }
        self.last_version += 1;
        self.shared.insert(key, (value, self.last_version));
        OK
    }

    pub(super) fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        match path {
            b"xds\0node\0id" => Some(b"node".to_vec()),
            _ => None,
        }
    }

    pub(super) fn define(&mut self, name: &[u8]) -> usize {
        self.metrics.push((String::from_utf8_lossy(name).into_owned(), 0));
        self.metrics.len() - 1
    }

    /// Adds to a metric; Envoy takes no counter's increment of nothing.
    pub(super) fn increment(&mut self, id: i32, by: i64) -> i32 {
        let metric = usize::try_from(id).ok().and_then(|id| self.metrics.get_mut(id));
        match metric {
            Some((_, value)) if by != 0 => {
                *value += by;
                OK
            }
            _ => BAD_ARGUMENT,
        }
    }

    pub(super) fn call(&mut self, body: Vec<u8>) -> u32 {
        self.next_token += 1;
        self.callouts.push(Callout { token: self.next_token, body });
        self.next_token
    }

    /// The next of a sequence of bytes that is the same in every run.
    pub(super) fn random(&mut self) -> u8 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random.to_be_bytes()[0]
    }
}

/// A header map as the ABI has it: a count, the lengths of each name and value, then names and values, each with a zero byte after it.
pub(super) fn serialise(headers: &Headers) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(headers.len()).to_vec();
    for (name, value) in headers {
        out.extend(number(name.len()));
        out.extend(number(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(text);
        out.push(0);
    }
    out
}
