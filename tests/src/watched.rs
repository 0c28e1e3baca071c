//! Parts of Envoy's configuration in files that it watches: what an operator changes while exchanges are in flight.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::envoy::Envoy;

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// How long a change may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The listener, with all that is in it (LDS). Old connections go on with the old one until the drain time is over.
    Listener,
    /// The filter (ECDS). Streams that are open go on with the old one.
    Filter,
}

impl Part {
    /// The counter of changes that were taken, and that of changes that were refused.
    const fn counters(self) -> (&'static str, &'static str) {
        match self {
            Self::Listener => ("listener_manager.lds.update_success", "listener_manager.lds.update_rejected"),
            Self::Filter => (
                "extension_config_discovery.http_filter.meterr.config_reload",
                "extension_config_discovery.http_filter.meterr.config_fail",
            ),
        }
    }
}

/// A part of the configuration, and the file that it is in.
#[derive(Debug)]
pub struct Watched {
    part: Part,
    path: PathBuf,
    resource: Value,
    version: u64,
}

impl Watched {
    /// Takes a part out of a configuration and puts it into a file in that directory, which the configuration names instead. What is within
    /// another part is to be taken out first.
    ///
    /// # Errors
    /// If it is not there, or the file cannot be written.
    pub fn split(file: &mut Value, part: Part, directory: &Path) -> Result<Self> {
        let source = |path: &Path| json!({ "resource_api_version": "V3", "path_config_source": { "path": path } });
        let (path, resource) = match part {
            Part::Listener => {
                let path = directory.join("listener.json");
                let listeners = file.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
                let mut listener = listeners.context("listeners")?.pop().context("a listener")?;
                listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
                file["dynamic_resources"]["lds_config"] = source(&path);
                (path, listener)
            }
            Part::Filter => {
                let path = directory.join("filter.json");
                let filter = file
                    .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0");
                let filter = filter.context("the filter")?;
                let discovery = json!({ "config_source": source(&path), "type_urls": [WASM] });
                let inline =
                    std::mem::replace(filter, json!({ "name": filter["name"], "config_discovery": discovery }));
                let resource = json!({ "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                                       "name": inline["name"], "typed_config": inline["typed_config"] });
                (path, resource)
            }
        };
        let watched = Self { part, path, resource, version: 1 };
        watched.write()?;
        Ok(watched)
    }

    /// Which part it is.
    #[must_use]
    pub const fn part(&self) -> Part {
        self.part
    }

    /// Changes it, as Envoy wants files to be changed: a new one takes the place of the old. Waits until Envoy has taken it.
    ///
    /// # Errors
    /// If Envoy refuses it, or does not notice.
    pub fn change(&mut self, envoy: &Envoy, change: impl FnOnce(&mut Value)) -> Result<()> {
        let (taken, refused) = self.part.counters();
        let before = (counter(envoy, taken)?, counter(envoy, refused)?);
        change(&mut self.resource);
        self.version += 1;
        self.write()?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if counter(envoy, refused)? > before.1 {
                bail!("Envoy refused the change:\n{}", envoy.log());
            }
            if counter(envoy, taken)? > before.0 {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("Envoy did not notice a change of {}:\n{}", self.path.display(), envoy.log())
    }

    fn write(&self) -> Result<()> {
        let new = self.path.with_extension("new");
        let response = json!({ "version_info": self.version.to_string(), "resources": [self.resource] });
        fs::write(&new, response.to_string())?;
        fs::rename(new, &self.path)?;
        Ok(())
    }
}

/// A counter of Envoy's; 0 if it does not exist yet.
fn counter(envoy: &Envoy, name: &str) -> Result<u64> {
    let text = envoy.admin_get(&format!("/stats?filter=^{name}$"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}
