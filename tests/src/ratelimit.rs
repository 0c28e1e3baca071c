//! Envoy's own rate limit service with a Redis: the real ones, with the budgets of `envoy/examples/global-limit`.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::envoy::{end, root};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service and its Redis, both on sockets of their own. Dropping it ends both.
#[derive(Debug)]
pub struct RateLimit {
    programs: [PathBuf; 2],
    service: Option<Child>,
    redis: Option<Child>,
    directory: TempDir,
}

impl RateLimit {
    /// Starts both and waits until they answer.
    ///
    /// # Errors
    /// If one of them cannot be had or does not start; the error says why.
    pub fn start() -> Result<Self> {
        let found = Command::new(root().join("scripts/ratelimit")).arg("--path").output()?;
        let paths = String::from_utf8_lossy(&found.stdout);
        let mut paths = paths.lines().map(PathBuf::from);
        let (true, Some(service), Some(redis)) = (found.status.success(), paths.next(), paths.next()) else {
            bail!("scripts/ratelimit --path: {}", String::from_utf8_lossy(&found.stderr));
        };
        let mut running =
            Self { programs: [service, redis], service: None, redis: None, directory: tempfile::tempdir()? };
        running.start_redis()?;
        running.start_service()?;
        Ok(running)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts Redis, with what it held when it was ended.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_redis(&mut self) -> Result<()> {
        let mut command = Command::new(&self.programs[1]);
        command.args(["--port", "0", "--appendonly", "yes", "--save", "", "--loglevel", "warning", "--dir"]);
        command.arg(self.directory.path()).arg("--unixsocket").arg(self.file("redis.sock"));
        self.redis = Some(self.spawn(command, "redis")?);
        Ok(())
    }

    /// Starts the service.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_service(&mut self) -> Result<()> {
        let mut command = Command::new(&self.programs[0]);
        let settings = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DEBUG_HOST", "127.0.0.1"),
            ("DEBUG_PORT", "0"),
            ("RUNTIME_WATCH_ROOT", "false"),
            ("BACKEND_TYPE", "redis"),
            ("REDIS_SOCKET_TYPE", "unix"),
            ("REDIS_TIMEOUT", "1s"),
            ("DISABLE_STATS", "true"),
        ];
        command.envs(settings);
        command.env("RUNTIME_ROOT", root().join("envoy/examples/global-limit"));
        command.env("REDIS_URL", self.file("redis.sock")).env("GRPC_UDS", self.socket());
        self.service = Some(self.spawn(command, "service")?);
        Ok(())
    }

    /// Starts a program and waits until its socket, which has its name, takes connections.
    fn spawn(&self, mut command: Command, name: &str) -> Result<Child> {
        let socket = self.file(&format!("{name}.sock"));
        // One that was killed has left it behind.
        let _stale = fs::remove_file(&socket);
        let log = fs::File::create(self.file(&format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
            if UnixStream::connect(&socket).is_ok() {
                return Ok(child);
            }
            thread::sleep(Duration::from_millis(20));
        }
        end(&mut child);
        bail!("{name} did not start:\n{}", fs::read_to_string(self.file(&format!("{name}.log")))?)
    }

    /// Ends the service.
    pub fn stop_service(&mut self) {
        if let Some(mut child) = self.service.take() {
            end(&mut child);
        }
    }

    /// Ends Redis.
    pub fn stop_redis(&mut self) {
        if let Some(mut child) = self.redis.take() {
            end(&mut child);
        }
    }

    /// Where the service takes calls.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.file("service.sock")
    }

    /// All counters in Redis, by their keys.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let keys = self.ask(&["KEYS", "*"])?;
        keys.lines().map(|key| Ok((key.to_owned(), self.ask(&["GET", key])?.trim().parse()?))).collect()
    }

    fn ask(&self, command: &[&str]) -> Result<String> {
        let told = Command::new("redis-cli").arg("-s").arg(self.file("redis.sock")).args(command).output()?;
        if !told.status.success() {
            bail!("redis-cli: {}", String::from_utf8_lossy(&told.stderr));
        }
        Ok(String::from_utf8(told.stdout)?)
    }
}

impl Drop for RateLimit {
    fn drop(&mut self) {
        self.stop_service();
        self.stop_redis();
    }
}

/// How an Envoy is bound to a rate limit service.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// The socket of the service.
    pub service: PathBuf,
    /// Whether requests are refused while it is away.
    pub failure_mode_deny: bool,
}

impl Mesh {
    /// What Envoy runs then, from the root of the repository.
    pub const FILE: &str = "envoy/examples/global-limit.yaml";

    /// Points what that file became at this service.
    ///
    /// # Errors
    /// If the file has not what it should have.
    pub fn apply(&self, file: &mut Value) -> Result<()> {
        let filters = file
            .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters")
            .and_then(Value::as_array_mut);
        let filter = named(filters, "envoy.filters.http.ratelimit")?;
        filter["typed_config"]["failure_mode_deny"] = json!(self.failure_mode_deny);
        // A busy machine is no reason to think the service away.
        filter["typed_config"]["timeout"] = json!("10s");
        let clusters = file.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
        let endpoints = &mut named(clusters, "ratelimit")?["load_assignment"]["endpoints"];
        endpoints[0]["lb_endpoints"][0]["endpoint"]["address"] = json!({ "pipe": { "path": self.service } });
        Ok(())
    }
}

fn named<'a>(list: Option<&'a mut Vec<Value>>, name: &str) -> Result<&'a mut Value> {
    let found = list.into_iter().flatten().find(|entry| entry["name"] == name);
    found.with_context(|| format!("{} has no {name}", Mesh::FILE))
}
