//! What was counted.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// How often a hostcall was made, and what it moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls.
    pub count: u64,
    /// Of those, calls that gave bytes to the module: the dear ones, since the host calls the module's allocator for them.
    pub returning: u64,
    /// Bytes given to the module.
    pub bytes: u64,
}

/// What one callback cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Callback {
    entries: u64,
    steps: u64,
    calls: BTreeMap<&'static str, Calls>,
}

/// What was counted, by callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile(BTreeMap<&'static str, Callback>);

impl Profile {
    pub(super) fn entered(&mut self, callback: &'static str, steps: u64) {
        let callback = self.0.entry(callback).or_default();
        callback.entries += 1;
        callback.steps += steps;
    }

    pub(super) fn called(&mut self, callback: &'static str, hostcall: &'static str) {
        self.0.entry(callback).or_default().calls.entry(hostcall).or_default().count += 1;
    }

    pub(super) fn gave(&mut self, callback: &'static str, hostcall: &'static str, bytes: usize) {
        let calls = self.0.entry(callback).or_default().calls.entry(hostcall).or_default();
        calls.returning += 1;
        calls.bytes += bytes as u64;
    }

    /// Both together.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (name, more) in &other.0 {
            let callback = self.0.entry(name).or_default();
            callback.entries += more.entries;
            callback.steps += more.steps;
            for (hostcall, more) in &more.calls {
                let calls = callback.calls.entry(hostcall).or_default();
                calls.count += more.count;
                calls.returning += more.returning;
                calls.bytes += more.bytes;
            }
        }
        self
    }

    /// All callbacks together.
    #[must_use]
    pub fn total(&self) -> Budget {
        let mut total = Budget::default();
        for callback in self.0.values() {
            total.callbacks += callback.entries;
            total.steps += callback.steps;
            for calls in callback.calls.values() {
                total.returning += calls.returning;
                total.plain += calls.count - calls.returning;
                total.bytes += calls.bytes;
            }
        }
        total
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, callback) in &self.0 {
            let name = name.trim_start_matches("proxy_on_");
            writeln!(f, "  {name:<22} {:>3} × {:>9} steps", callback.entries, callback.steps)?;
            for (hostcall, calls) in &callback.calls {
                let bytes = if calls.returning > 0 { format!(", {} B", calls.bytes) } else { String::new() };
                writeln!(f, "      {:>3} {}{bytes}", calls.count, hostcall.trim_start_matches("proxy_"))?;
            }
        }
        Ok(())
    }
}

/// What something costs, or may cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Entries into the VM.
    pub callbacks: u64,
    /// Hostcalls that give bytes to the module.
    pub returning: u64,
    /// All other hostcalls.
    pub plain: u64,
    /// Bytes given to the module.
    pub bytes: u64,
    /// Functions entered, branches taken and turns of loops.
    pub steps: u64,
}

impl Budget {
    /// Names and values, in order.
    #[must_use]
    pub const fn figures(&self) -> [(&'static str, u64); 5] {
        [
            ("callbacks", self.callbacks),
            ("returning", self.returning),
            ("plain", self.plain),
            ("bytes", self.bytes),
            ("steps", self.steps),
        ]
    }
}
