//! A real Envoy with the real filter, from the shape of `envoy/envoy.yaml` or of an example, pointed at stand-ins.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// The access log in an Envoy's directory.
pub(crate) const ACCESS_LOG: &str = "access.log";
/// Envoy's own log there.
pub(crate) const ENVOY_LOG: &str = "envoy.log";
/// How often Envoy writes its access log to the file, in milliseconds.
pub const FLUSH_MS: u64 = 100;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// The reference configuration.
pub const REFERENCE: &str = "envoy/envoy.yaml";

/// What one Envoy is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration file that it runs the shape of, from the root of the repository.
    pub file: &'static str,
    /// Where providers are.
    pub provider: SocketAddr,
    /// Where the collector is.
    pub collector: SocketAddr,
    /// The filter's configuration, or none for an Envoy without it.
    pub configuration: Option<Value>,
    /// The module.
    pub wasm: PathBuf,
    /// Worker threads.
    pub concurrency: u32,
    /// Port of the listener; 0 takes any.
    pub port: u16,
    /// Port of the admin interface; 0 takes any.
    pub admin_port: u16,
}

/// Which process of a hot restart one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// What all processes of it share.
    pub base_id: u32,
    /// How many there were before.
    pub number: u32,
}

/// How one Envoy is started.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Worker threads.
    pub concurrency: u32,
    /// Further environment variables.
    pub variables: Vec<(String, String)>,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Its place in a hot restart, if it takes part in one.
    pub epoch: Option<Epoch>,
}

/// A running Envoy. Dropping it ends it as an operator would.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    /// Where requests go.
    pub listener: SocketAddr,
    /// Its admin interface.
    pub admin: SocketAddr,
    directory: PathBuf,
}

/// The binary, as `scripts/envoy --path` finds it.
///
/// # Errors
/// If there is none.
pub fn binary() -> Result<PathBuf> {
    let found = Command::new(root().join("scripts/envoy")).arg("--path").output().context("running scripts/envoy")?;
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    if !found.status.success() || path.is_empty() {
        bail!("scripts/envoy --path: {}", String::from_utf8_lossy(&found.stderr));
    }
    Ok(PathBuf::from(path))
}

/// That file, pointed at these stand-ins.
///
/// # Errors
/// If the file cannot be read, or has no listener with the filter.
pub fn configuration(setup: &Setup, access_log: &Path) -> Result<Value> {
    let text = fs::read_to_string(root().join(setup.file))?;
    let mut file: Value = serde_yaml_ng::from_str(&text).context(setup.file)?;
    file["admin"]["address"]["socket_address"]["port_value"] = json!(setup.admin_port);
    let [clusters, listeners] = ["clusters", "listeners"].map(|name| format!("/static_resources/{name}"));
    let one = file.pointer_mut(&format!("{listeners}/0")).context("a listener")?;
    one["address"]["socket_address"]["port_value"] = json!(setup.port);
    let manager = one.pointer_mut("/filter_chains/0/filters/0/typed_config").context("a connection manager")?;
    let log = &mut manager["access_log"][0]["typed_config"];
    log["path"] = json!(access_log);
    // What Envoy's own rate limit filter would charge.
    log["log_format"]["json_format"]["hits_addend"] = json!("%FILTER_STATE(envoy.ratelimit.hits_addend:PLAIN)%");
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    match &setup.configuration {
        None => filters.retain(|filter| filter["name"] != "meterr"),
        Some(configuration) => {
            let config = filters[0].pointer_mut("/typed_config/config").context("the filter")?;
            config["configuration"]["value"] = configuration.clone();
            config["vm_config"]["code"]["local"]["filename"] = json!(setup.wasm);
            config["allow_on_headers_stop_iteration"] = json!(configuration["header_hold"] == true);
        }
    }
    // Hosts of the host form do not resolve here: what would go to them goes to the stand-in.
    let hosts = manager["route_config"]["virtual_hosts"].as_array_mut().context("virtual hosts")?;
    let mut stand_in = json!({
        "name": "stand_in", "domains": ["api.openai.com", "api.anthropic.com", "*.corp.example"],
        "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "stand_in", "timeout": "0s" } }],
    });
    stand_in["request_headers_to_remove"] = hosts[0]["request_headers_to_remove"].clone();
    hosts.insert(0, stand_in);
    let endpoint = |name: &str, address: SocketAddr| {
        json!({ "name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": { "cluster_name": name, "endpoints": [
            { "lb_endpoints": [{ "endpoint": { "address": { "socket_address":
                { "address": address.ip().to_string(), "port_value": address.port() } } } }] }] } })
    };
    let clusters = file.pointer_mut(&clusters).and_then(Value::as_array_mut).context("clusters")?;
    clusters.retain(|cluster| cluster["name"] != "collector");
    clusters.push(endpoint("collector", setup.collector));
    clusters.push(endpoint("stand_in", setup.provider));
    Ok(file)
}

impl Envoy {
    /// A line of what the kernel knows of its memory, such as `VmRSS` or `VmHWM`, in KiB.
    ///
    /// # Errors
    /// If it does not run any more.
    pub fn kib(&self, name: &str) -> Result<u64> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).context("what the kernel knows of Envoy")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.with_context(|| name.to_owned())
    }

    /// Starts one and waits until it is ready. Its files are in that directory.
    ///
    /// # Errors
    /// If it does not become ready; the error holds its log.
    pub fn start(setup: &Setup, directory: &Path) -> Result<Self> {
        Self::start_with(setup, directory, |_| Ok(()))
    }

    /// As [`Envoy::start`], after changing what the file became.
    ///
    /// # Errors
    /// If it does not become ready; the error holds its log. And what `change` says.
    pub fn start_with(setup: &Setup, directory: &Path, change: impl FnOnce(&mut Value) -> Result<()>) -> Result<Self> {
        let mut file = configuration(setup, &directory.join(ACCESS_LOG))?;
        change(&mut file)?;
        Self::run(&file, &Process { concurrency: setup.concurrency, ..Process::default() }, directory)
    }

    /// Starts one with this configuration and waits until it is ready. Its files are in that directory, and go on from what other processes
    /// have written there; its ports are what it takes.
    ///
    /// # Errors
    /// If it does not become ready; the error holds its log.
    pub fn run(file: &Value, process: &Process, directory: &Path) -> Result<Self> {
        let config = directory.join("envoy.json");
        let admin_address = directory.join("admin.address");
        let append = |name: &str| fs::OpenOptions::new().append(true).create(true).open(directory.join(name));
        append(ACCESS_LOG)?;
        fs::write(&admin_address, "")?;
        fs::write(&config, file.to_string())?;
        let log = append(ENVOY_LOG)?;
        let mut command = Command::new(binary()?);
        match process.epoch {
            None => command.arg("--disable-hot-restart"),
            Some(Epoch { base_id, number }) => {
                command.args(["--base-id", &base_id.to_string(), "--restart-epoch", &number.to_string()])
            }
        };
        let child = command
            .arg("-c")
            .arg(&config)
            .args(["--concurrency", &process.concurrency.to_string()])
            .args(["--file-flush-interval-msec", &FLUSH_MS.to_string()])
            .arg("--admin-address-path")
            .arg(&admin_address)
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .args(&process.arguments)
            .envs(process.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting Envoy")?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Self { child, listener: unknown, admin: unknown, directory: directory.to_path_buf() };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if envoy.child.try_wait()?.is_some() {
                bail!("Envoy ended:\n{}", envoy.log());
            }
            // Envoy takes its ports itself: it shares a port that was found free beforehand with whoever found it too (SO_REUSEPORT).
            let admin = fs::read_to_string(&admin_address).unwrap_or_default();
            if let Ok(admin) = admin.trim().parse() {
                envoy.admin = admin;
                if envoy.admin_get("/ready").is_ok_and(|text| text.contains("LIVE")) {
                    envoy.listener = envoy.listener_address()?;
                    return Ok(envoy);
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("Envoy was not ready in a minute:\n{}", envoy.log())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether its process has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // A process that ended and was not waited for has still a directory, and a state that says so.
        let state = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    /// Ends it as nobody should: by SIGKILL. What it had not written yet is gone.
    pub fn kill(mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join(ENVOY_LOG)).unwrap_or_default()
    }

    /// What its access log holds so far.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory.join(ACCESS_LOG)).unwrap_or_default()
    }

    /// A page of the admin interface.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn admin_get(&self, path: &str) -> Result<String> {
        Ok(reqwest::blocking::get(format!("http://{}{path}", self.admin))?.error_for_status()?.text()?)
    }

    /// Asks the admin interface to do something.
    ///
    /// # Errors
    /// If it does not answer, or refuses.
    pub fn admin_post(&self, path: &str) -> Result<String> {
        let client = reqwest::blocking::Client::new();
        Ok(client.post(format!("http://{}{path}", self.admin)).send()?.error_for_status()?.text()?)
    }

    fn listener_address(&self) -> Result<SocketAddr> {
        let listeners: Value = serde_json::from_str(&self.admin_get("/listeners?format=json")?)?;
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
        Ok(SocketAddr::from(([127, 0, 0, 1], port.with_context(|| format!("a listener in {listeners}"))?)))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a program as an operator would, and if it does not listen, for good.
pub fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let _gone = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    // Long enough to write what is unsent into the log, on a busy machine too.
    for _ in 0..1_500 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _gone = child.kill();
    let _gone = child.wait();
}
