//! What is compared: Envoy alone, with a wasm filter that does nothing, and with meterr.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use meterr_tests::{
    envoy::{Envoy, REFERENCE, Setup, root},
    workload,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::upstream::Sink;

/// One of the compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Router only.
    Envoy,
    /// A wasm filter that does nothing.
    Noop,
    /// meterr as it is meant to be used: identity, one token limit, tags and events.
    Meterr,
    /// Another build of meterr, to see what a change has brought.
    Other,
    /// The same with so many limits that all apply.
    Limits(u64),
}

impl Subject {
    pub(crate) const ALWAYS: [Self; 3] = [Self::Envoy, Self::Noop, Self::Meterr];
    /// With `--limits`; the first is what the others are compared with.
    pub(crate) const LIMITS: [Self; 4] = [Self::Limits(0), Self::Limits(1), Self::Limits(4), Self::Limits(16)];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Envoy => "envoy".to_owned(),
            Self::Noop => "noop".to_owned(),
            Self::Meterr => "meterr".to_owned(),
            Self::Other => "other".to_owned(),
            Self::Limits(count) => format!("limits_{count}"),
        }
    }

    /// What it is compared with.
    pub(crate) const fn base(self) -> Self {
        match self {
            Self::Envoy | Self::Noop | Self::Meterr | Self::Other => Self::Envoy,
            Self::Limits(_) => Self::Limits(0),
        }
    }

    /// Limits that apply to each request.
    const fn limits(self) -> u64 {
        match self {
            Self::Envoy | Self::Noop => 0,
            Self::Meterr | Self::Other => 1,
            Self::Limits(count) => count,
        }
    }

    /// Whether events of its exchanges are due.
    pub(crate) const fn meters(self) -> bool {
        matches!(self, Self::Meterr | Self::Other | Self::Limits(_))
    }

    fn configuration(self) -> Option<Value> {
        match self {
            Self::Envoy => None,
            Self::Noop => Some(json!({})),
            Self::Meterr | Self::Other | Self::Limits(_) => Some(workload::configuration(self.limits())),
        }
    }

    pub(crate) fn wasm(self) -> Result<PathBuf> {
        let wasm = root().join(if self == Self::Noop { "target/noop.wasm" } else { "target/meterr.wasm" });
        fs::metadata(&wasm).with_context(|| format!("{} is missing: run scripts/build", wasm.display()))?;
        Ok(wasm)
    }
}

/// A subject that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) envoy: Envoy,
    pub(crate) sink: Sink,
    /// Exchanges that went through it.
    pub(crate) exchanges: u64,
    _directory: TempDir,
}

impl Running {
    pub(crate) fn start(subject: Subject, wasm: PathBuf, provider: SocketAddr, sink: Sink) -> Result<Self> {
        let setup = Setup {
            file: REFERENCE,
            provider,
            collector: sink.address,
            configuration: subject.configuration(),
            wasm,
            concurrency: 1,
            port: 0,
            admin_port: 0,
        };
        let directory = tempfile::tempdir()?;
        let envoy = Envoy::start_with(&setup, directory.path(), only_the_router)?;
        Ok(Self { subject, envoy, sink, exchanges: 0, _directory: directory })
    }

    /// Fails unless what ran is what was to run, and nothing went wrong in it.
    pub(crate) fn verify(&self) -> Result<()> {
        let stats: Value = serde_json::from_str(&self.envoy.admin_get("/stats?format=json")?)?;
        let stats = stats["stats"].as_array().context("stats")?;
        let sum = |wanted: &dyn Fn(&str) -> bool| -> u64 {
            let matching = stats.iter().filter(|stat| stat["name"].as_str().is_some_and(wanted));
            matching.filter_map(|stat| stat["value"].as_u64()).sum()
        };
        let passed = sum(&|name| name == "http.llm.downstream_rq_2xx");
        ensure!(passed == self.exchanges, "{passed} requests passed of {}", self.exchanges);
        let vms = sum(&|name| name == "wasm.envoy.wasm.runtime.v8.active");
        ensure!((vms > 0) == (self.subject != Subject::Envoy), "{vms} wasm VMs are active");
        let decided = |name: &str| name.contains("meterr_limit_decisions_total");
        let refused = sum(&|name| decided(name) && !name.contains("=admitted"));
        let faults = sum(&|name| name.contains("meterr_errors_total") || name.contains("meterr_unmetered_total"));
        ensure!(refused == 0 && faults == 0, "{refused} refusals, {faults} faults or unmetered requests");
        if self.subject.meters() {
            let metered = sum(&|name| name.contains("meterr_requests_total"));
            ensure!(metered == self.exchanges, "{metered} requests metered of {}", self.exchanges);
            let (limits, decisions) = (self.subject.limits(), sum(&|name| decided(name)));
            ensure!(decisions == metered * limits, "{decisions} decisions of {limits} limits on {metered} requests");
        }
        let log = self.envoy.log();
        match log.lines().find(|line| ["[error]", "[critical]", "panicked"].iter().any(|bad| line.contains(bad))) {
            Some(line) => bail!("Envoy logged: {line}"),
            None => Ok(()),
        }
    }
}

/// Leaves out what is no part of the comparison and would only make the filter's share look smaller: the access log, and the
/// forward proxy that the stand-ins do not need.
fn only_the_router(file: &mut Value) -> Result<()> {
    let manager = file.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config");
    let manager = manager.context("a connection manager")?;
    manager["access_log"] = json!([]);
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    filters.retain(|filter| filter["name"] != "envoy.filters.http.dynamic_forward_proxy");
    Ok(())
}
