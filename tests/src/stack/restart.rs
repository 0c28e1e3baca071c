//! What becomes of a system that runs: its configuration changes, parts of it end and come back, one takes over from another.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;
use serde_json::{Value, json};

use super::{Stack, made};
use crate::{
    collector::Collector,
    envoy::{ACCESS_LOG, Envoy, Epoch},
    example,
    watched::Part,
};

/// Numbers for hot restarts: one for each stack of this process.
static BASE_IDS: AtomicU32 = AtomicU32::new(0);

/// The first process of a hot restart that no other test takes part in.
pub(super) fn first_epoch() -> Epoch {
    let own = std::process::id() % 1_000_000 * 16 + BASE_IDS.fetch_add(1, Ordering::Relaxed) % 16;
    Epoch { base_id: own, number: 0 }
}

/// What processes of a hot restart share and leave behind. Dropping it removes it.
#[derive(Debug)]
pub(super) struct SharedMemory(PathBuf);

impl SharedMemory {
    pub(super) fn of(epoch: Epoch) -> Self {
        // Envoy keeps nine numbers free behind each.
        Self(format!("/dev/shm/envoy_shared_memory_{}", u64::from(epoch.base_id) * 10).into())
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

impl Stack {
    /// Where the collector listens.
    #[must_use]
    pub const fn collector_port(&self) -> u16 {
        self.collector_port
    }

    /// Where the logs of Envoy are: `access.log` and `envoy.log`.
    #[must_use]
    pub fn logs(&self) -> &Path {
        self.directory.path()
    }

    /// Changes that part of the running configuration, and waits until Envoy has taken it.
    ///
    /// # Panics
    /// If Envoy refuses it, or the part was not asked for in the options.
    pub fn change(&mut self, part: Part, change: impl FnOnce(&mut Value)) {
        let envoy = self.envoy.as_ref().expect("Envoy runs");
        let watched = self.watched.iter_mut().find(|watched| watched.part() == part).expect("a watched part");
        made(watched.change(envoy, change));
    }

    /// Changes the filter's configuration while it runs: events tell of this generation as their label `generation`.
    pub fn change_generation(&mut self, part: Part, generation: u64) {
        let source = json!([{ "from": "constant", "value": generation.to_string() }]);
        self.change(part, |resource| {
            example::configure(resource, &mut |configuration| {
                configuration["identity"]["labels"]["generation"] = source.clone();
            });
        });
    }

    /// Starts an Envoy again where there is none: with the files of the last one, in whatever state these are.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start_envoy(&mut self) {
        assert!(self.envoy.is_none(), "one runs");
        self.envoy = Some(made(self.run()));
    }

    /// Ends Envoy as an operator would, by SIGTERM, and leaves the rest running. The lines of its access log.
    ///
    /// # Panics
    /// If a line is no JSON.
    pub fn stop_envoy(&mut self) -> Vec<Value> {
        self.end_envoy();
        let log = fs::read_to_string(self.directory.path().join(ACCESS_LOG)).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Ends the collector; its port is closed.
    pub fn kill_collector(&self) {
        self.collector.lock().expect("no test panics with it").take();
    }

    /// Starts it again with the file that it had.
    pub fn revive_collector(&self) {
        let file = self.directory.path().join("events.sqlite");
        let collector = Collector::start(self.collector_port, &file).expect("its old port");
        self.collector.lock().expect("no test panics with it").replace(collector);
    }

    /// As [`Stack::stop_envoy`], for those who read the log themselves.
    pub fn end_envoy(&mut self) {
        self.envoy.take();
    }

    /// Ends Envoy by SIGKILL.
    pub fn kill_envoy(&mut self) {
        if let Some(envoy) = self.envoy.take() {
            envoy.kill();
        }
    }

    /// Starts another Envoy that takes the sockets of the running one over, at its address. Gives back the old one, which goes on with the
    /// exchanges that it has, and ends by itself.
    ///
    /// # Panics
    /// If the new one does not become ready, or the options did not ask for hot restarts.
    #[must_use]
    pub fn hot_restart(&mut self) -> Envoy {
        let port = self.envoy().listener.port();
        let address = "/static_resources/listeners/0/address/socket_address/port_value";
        *self.file.pointer_mut(address).expect("a listener") = json!(port);
        self.process.epoch.as_mut().expect("options with hot restarts").number += 1;
        let new = made(self.run());
        self.envoy.replace(new).expect("one ran")
    }

    /// The collector's gap report as it is now.
    #[must_use]
    pub fn gaps_so_far(&self) -> Vec<Value> {
        let gaps = self.with_collector(|collector| collector.with_store(|store| store.gaps().expect("gaps")));
        gaps.as_array().cloned().unwrap_or_default()
    }

    /// The heartbeats that the collector has by now.
    #[must_use]
    pub fn heartbeats(&self) -> Vec<Value> {
        let beats = self.with_collector(|collector| {
            collector.with_store(|store| store.events("type=ai.meterr.heartbeat.v1").expect("heartbeats"))
        });
        beats.as_array().cloned().unwrap_or_default()
    }

    /// Ends everything and keeps the files, for somebody to look at.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        self.envoy.take();
        self.kill_collector();
        self.directory.keep()
    }

    fn run(&self) -> Result<Envoy> {
        Envoy::run(&self.file, &self.process, self.directory.path())
    }
}
