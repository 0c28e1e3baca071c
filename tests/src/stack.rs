//! A whole system on loopback: client, Envoy with the filter, strict provider, strict collector.
//!
//! What a test asks of it either happens or ends the test with an explanation, so that tests read as a list of facts.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    collector::{Collector, Mode},
    envoy::{self, ACCESS_LOG, Envoy, Process, REFERENCE, Setup, root},
    line::{Line, Refusal},
    prometheus::Metrics,
    provider::Provider,
    ratelimit::Mesh,
    watched::{Part, Watched},
};

mod made;
mod restart;

pub use made::Place;
use restart::SharedMemory;

/// The filter.
const MODULE: &str = "target/meterr.wasm";

/// How long anything that must happen may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the system is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file that Envoy begins with, from the root of the repository.
    pub file: &'static str,
    /// The module, from the root of the repository.
    pub module: &'static str,
    /// The filter's `limits`.
    pub limits: Value,
    /// Whether the filter may hold headers.
    pub header_hold: bool,
    /// Further members of the filter's configuration; objects are merged, everything else replaces.
    pub more: Value,
    /// Worker threads.
    pub concurrency: u32,
    /// Ports of listener, admin interface, provider and collector; 0 takes any.
    pub ports: [u16; 4],
    /// The rate limit service of the whole mesh, if there is one: Envoy then runs [`Mesh::FILE`].
    pub mesh: Option<Mesh>,
    /// A server that is not ours: whatever host a request is for, it goes there instead of to the provider stand-in.
    pub upstream: Option<SocketAddr>,
    /// Parts of the configuration that change while Envoy runs, what is within another part first.
    pub watched: &'static [Part],
    /// Whether another Envoy may take over from the first.
    pub hot_restart: bool,
    /// Further arguments of Envoy.
    pub arguments: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            file: REFERENCE,
            module: MODULE,
            limits: json!([]),
            header_hold: true,
            more: json!({}),
            concurrency: 2,
            ports: [0; 4],
            mesh: None,
            upstream: None,
            watched: &[],
            hot_restart: false,
            arguments: &[],
        }
    }
}

impl Options {
    /// The filter's configuration.
    fn configuration(&self) -> Value {
        let mut configuration = json!({
            "identity": {
                "tenant": [{ "from": "header", "name": "x-tenant" }, { "from": "constant", "value": "unknown" }],
                "user": [{ "from": "header", "name": "x-user" }],
                "labels": { "team": [{ "from": "header", "name": "x-team" }] },
            },
            "limits": self.limits,
            // Short enough that a test of failures does not wait for the defaults.
            "sink": { "cluster": "collector", "timeout_ms": 1_000, "retry": { "max_ms": 1_000 }, "heartbeat_secs": 1 },
            "header_hold": self.header_hold,
        });
        merge(&mut configuration, &self.more);
        configuration
    }
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// The running system.
#[derive(Debug)]
pub struct Stack {
    // Envoy ends first: its last events still find the collector.
    envoy: Option<Envoy>,
    /// What it is started with.
    file: Value,
    process: Process,
    watched: Vec<Watched>,
    _shared: Option<SharedMemory>,
    provider: Provider,
    collector: std::sync::Mutex<Option<Collector>>,
    collector_port: u16,
    directory: TempDir,
    http1: Client,
    http2: Client,
}

impl Stack {
    /// Starts all parts and waits until they are ready.
    ///
    /// # Errors
    /// If one of them does not start; the error holds what it said.
    pub fn launch(options: &Options) -> Result<Self> {
        Self::launch_at(Provider::start(options.ports[2])?, options)
    }

    fn launch_at(provider: Provider, options: &Options) -> Result<Self> {
        let [listener, admin, _, collector] = options.ports;
        let directory = tempfile::tempdir()?;
        let collector = Collector::start(collector, &directory.path().join("events.sqlite"))?;
        let setup = Setup {
            file: options.mesh.as_ref().map_or(options.file, |_| Mesh::FILE),
            provider: options.upstream.unwrap_or_else(|| provider.address()),
            collector: collector.address(),
            configuration: Some(options.configuration()),
            wasm: wasm(options.module)?,
            concurrency: options.concurrency,
            port: listener,
            admin_port: admin,
        };
        let mut file = envoy::configuration(&setup, &directory.path().join(ACCESS_LOG))?;
        if options.upstream.is_some() {
            everything_to_the_stand_in(&mut file)?;
        }
        options.mesh.as_ref().map_or(Ok(()), |mesh| mesh.apply(&mut file))?;
        let parts = options.watched.iter();
        let watched =
            parts.map(|part| Watched::split(&mut file, *part, directory.path())).collect::<Result<Vec<_>>>()?;
        let process = Process {
            concurrency: options.concurrency,
            arguments: options.arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            epoch: options.hot_restart.then(restart::first_epoch),
            ..Process::default()
        };
        let shared = process.epoch.map(SharedMemory::of);
        Ok(Self { watched, _shared: shared, ..Self::around(file, process, provider, collector, directory)? })
    }

    fn around(
        file: Value,
        process: Process,
        provider: Provider,
        collector: Collector,
        directory: TempDir,
    ) -> Result<Self> {
        let envoy = Envoy::run(&file, &process, directory.path())?;
        let client = || Client::builder().timeout(PATIENCE);
        Ok(Self {
            envoy: Some(envoy),
            file,
            process,
            watched: Vec::new(),
            _shared: None,
            provider,
            collector_port: collector.address().port(),
            collector: std::sync::Mutex::new(Some(collector)),
            directory,
            http1: client().http1_only().build()?,
            http2: client().http2_prior_knowledge().build()?,
        })
    }

    /// As [`Stack::launch`], for tests.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        made(Self::launch(options))
    }

    /// As [`Stack::start`], where the options depend on where the provider is.
    #[must_use]
    pub fn start_at(options: impl FnOnce(SocketAddr) -> Options) -> Self {
        let run = || {
            let provider = Provider::start(0)?;
            let options = options(provider.address());
            Self::launch_at(provider, &options)
        };
        made(run())
    }

    /// What Envoy logs when it refuses this configuration of the filter.
    #[must_use]
    pub fn refused(configuration: &Value) -> String {
        let run = || -> Result<String> {
            let directory = tempfile::tempdir()?;
            let nowhere = ([127, 0, 0, 1], 9).into();
            let setup = Setup {
                file: REFERENCE,
                provider: nowhere,
                collector: nowhere,
                configuration: Some(configuration.clone()),
                wasm: wasm(MODULE)?,
                concurrency: 1,
                port: 0,
                admin_port: 0,
            };
            match Envoy::start(&setup, directory.path()) {
                Ok(_) => bail!("the configuration was accepted: {configuration}"),
                Err(error) => Ok(format!("{error:#}")),
            }
        };
        made(run())
    }

    /// Envoy itself.
    #[must_use]
    pub fn envoy(&self) -> &Envoy {
        self.envoy.as_ref().expect("Envoy runs until the stack is finished")
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// A POST to that path of the listener, with what both dialects want for a credential.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(reqwest::Method::POST, path)
    }

    /// A GET of that path of the listener.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(reqwest::Method::GET, path)
    }

    /// Asks for a realtime connection at that path of the listener.
    ///
    /// # Errors
    /// The response, if it was refused.
    pub fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> Result<Line, Refusal> {
        Line::open(self.envoy().listener, path, headers)
    }

    /// The bytes that the provider got and sent on a realtime connection, once it is over.
    #[must_use]
    pub fn frames_of_provider(&self, line: &Line) -> (Vec<u8>, Vec<u8>) {
        let id = line.header("x-stand-in-id").expect("the provider's header");
        let both = || Some((self.provider.received(id)?.to_vec(), self.provider.sent(id)?.to_vec()));
        wait(|| both().is_some_and(|(_, sent)| !sent.is_empty()), || "the connection goes on".to_owned());
        both().unwrap_or_default()
    }

    fn call(&self, method: reqwest::Method, path: &str) -> Call<'_> {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", "Bearer sk-test-0123456789"),
            ("x-api-key", "sk-ant-test-0123456789"),
            ("anthropic-version", "2023-06-01"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Call { stack: self, method, path: path.to_owned(), headers, http2: false }
    }

    /// Sends these bytes as they are, and gives back what comes.
    #[must_use]
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.envoy().listener).expect("the listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(bytes).expect("it takes them");
        let mut answer = vec![0; 65_536];
        let read = stream.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    /// Waits until the collector has so many usage events, and not one more, and gives them back in the order of their arrival.
    #[must_use]
    pub fn events(&self, count: usize) -> Vec<Value> {
        let has = || self.with_collector(|collector| collector.with_store(|store| store.count().expect("a count")));
        wait(
            || has() >= count,
            || {
                format!(
                    "{} of {count} events came\n{}\n{}",
                    has(),
                    self.prometheus().about("meterr_event"),
                    self.envoy().log()
                )
            },
        );
        let events = self.events_so_far();
        assert_eq!(events.len(), count, "more events than exchanges: {events:#?}");
        events
    }

    /// The usage events that the collector has by now.
    #[must_use]
    pub fn events_so_far(&self) -> Vec<Value> {
        self.events_of("ai.meterr.usage.v1")
    }

    /// The events of that type that the collector has by now.
    #[must_use]
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        let query = format!("type={kind}");
        let events = self.with_collector(|collector| collector.with_store(|store| store.events(&query)));
        events.expect("events").as_array().cloned().unwrap_or_default()
    }

    /// Waits until the collector has so many events of limits whose parts were passed, and gives back their data.
    #[must_use]
    pub fn alerts(&self, count: usize) -> Vec<Value> {
        let alerts = || -> Vec<Value> {
            self.events_of("ai.meterr.limit.v1").iter().map(|event| event["data"].clone()).collect()
        };
        wait(|| alerts().len() >= count, || format!("{} of {count} alerts came", alerts().len()));
        alerts()
    }

    /// Waits until something holds, for as long as anything may take here.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        wait(|| holds(self), || format!("{what}\n{}", self.envoy_log()));
    }

    /// Waits until the access log has so many lines that hold an event.
    #[must_use]
    pub fn access_log(&self, count: usize) -> Vec<Value> {
        let lines = || -> Vec<Value> {
            let log = self.envoy().access_log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["meterr"].is_string()).collect()
        };
        wait(|| lines().len() >= count, || format!("{} of {count} lines", lines().len()));
        lines()
    }

    /// Envoy's metrics as Prometheus would scrape them.
    #[must_use]
    pub fn prometheus(&self) -> Metrics {
        Metrics::new(self.envoy().admin_get("/stats/prometheus").expect("the admin interface"))
    }

    /// What Envoy logged.
    #[must_use]
    pub fn envoy_log(&self) -> String {
        self.envoy().log()
    }

    /// The body that the provider meant to send in this exchange, before compression.
    #[must_use]
    pub fn sent_by_provider(&self, reply: &Reply) -> String {
        let sent = reply.header("x-stand-in-id").and_then(|id| self.provider.sent(id)).expect("the provider remembers");
        String::from_utf8_lossy(&sent).into_owned()
    }

    /// The body that the provider got in this exchange.
    #[must_use]
    pub fn received_by_provider(&self, reply: &Reply) -> String {
        let got =
            reply.header("x-stand-in-id").and_then(|id| self.provider.received(id)).expect("the provider remembers");
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Makes the collector misbehave, or behave again.
    pub fn collector_mode(&self, mode: &Value) {
        let mode: Mode = serde_json::from_value(mode.clone()).expect("a mode");
        self.with_collector(|collector| collector.set_mode(mode));
    }

    /// The collector's counters.
    #[must_use]
    pub fn collector_stats(&self) -> Value {
        self.with_collector(|collector| collector.with_store(|store| store.stats().expect("stats")))
    }

    /// The collector's gap report, after a heartbeat of each writer said what its last number is.
    #[must_use]
    pub fn gaps(&self) -> Vec<Value> {
        let beats = || self.collector_stats()["heartbeats"].as_u64().unwrap_or(0);
        let before = beats();
        // Two workers and the main thread beat once a second, each if it has ever written.
        wait(|| beats() > before + 3, || format!("{} heartbeats", beats()));
        self.gaps_so_far()
    }

    /// What the collector knows of usage, as `GET /v1/usage` answers.
    #[must_use]
    pub fn usage(&self) -> Value {
        self.with_collector(|collector| collector.with_store(|store| store.usage("").expect("usage")))
    }

    /// What the provider or the collector did not expect so far, or Envoy logged that it must never log.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let provider = self.provider.complaints();
        let collector = self.with_collector(Collector::complaints);
        let log = self.envoy_log();
        let envoy = log.lines().filter(|line| line.contains("panicked") || line.contains("[critical]"));
        let tell = |who: &'static str| move |what: String| format!("{who}: {what}");
        let provider = provider.into_iter().map(tell("provider"));
        let collector = collector.into_iter().map(tell("collector"));
        provider.chain(collector).chain(envoy.map(str::to_owned).map(tell("Envoy"))).collect()
    }

    /// The end of a test: nobody complained, nothing panicked.
    pub fn finish(self) {
        let complaints = self.provider.complaints();
        assert!(complaints.is_empty(), "the provider did not expect: {complaints:#?}");
        self.finish_expecting_provider_complaints();
    }

    /// The end of a test that sends the provider what it must refuse.
    pub fn finish_expecting_provider_complaints(mut self) {
        let complaints = self.with_collector(Collector::complaints);
        assert!(complaints.is_empty(), "the collector did not expect: {complaints:#?}");
        let log = self.envoy_log();
        assert!(!log.contains("panicked") && !log.contains("[critical]"), "{log}");
        let faults = self.prometheus().about("meterr_errors_total");
        assert!(!faults.contains("hostcall"), "hostcalls failed: {faults}");
        self.envoy.take();
    }

    fn with_collector<T>(&self, run: impl FnOnce(&Collector) -> T) -> T {
        run(self.collector.lock().expect("no test panics with it").as_ref().expect("the collector runs"))
    }
}

/// Sends every host to the cluster that otherwise has those which tests name in the host form.
fn everything_to_the_stand_in(file: &mut Value) -> Result<()> {
    let hosts = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts";
    let hosts = file.pointer_mut(hosts).and_then(Value::as_array_mut).context("virtual hosts")?;
    hosts.retain(|host| host["name"] == "stand_in");
    hosts.first_mut().context("the stand-in's virtual host")?["domains"] = json!(["*"]);
    Ok(())
}

/// What was made, or the end of the test with what was in the way.
fn made<T>(made: Result<T>) -> T {
    made.unwrap_or_else(|error| panic!("{error:#}"))
}

fn wasm(module: &str) -> Result<PathBuf> {
    let wasm = root().join(module);
    fs::metadata(&wasm).with_context(|| format!("{} is missing: run scripts/build", wasm.display()))?;
    Ok(wasm)
}

fn wait(done: impl Fn() -> bool, else_say: impl Fn() -> String) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{}", else_say());
        thread::sleep(Duration::from_millis(20));
    }
}

/// A request that is being made.
#[derive(Debug)]
#[must_use]
pub struct Call<'s> {
    stack: &'s Stack,
    method: reqwest::Method,
    path: String,
    headers: Vec<(String, String)>,
    http2: bool,
}

impl Call<'_> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Tells the provider how to answer.
    pub fn tell(self, (name, value): (&str, String)) -> Self {
        self.header(name, &value)
    }

    /// Speaks HTTP/2.
    pub const fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sends this body and waits for the whole reply.
    pub fn send(self, body: &Value) -> Reply {
        Reply::of(self.open(body))
    }

    /// Sends these bytes and waits for the whole reply.
    pub fn send_bytes(self, body: &[u8]) -> Reply {
        Reply::of(self.start(Some(body.to_vec())))
    }

    /// Sends no body and waits for the whole reply.
    pub fn fetch(self) -> Reply {
        Reply::of(self.start(None))
    }

    /// Sends this body and waits for the headers of the reply; its body is read as it comes. Dropping it closes the stream.
    #[must_use]
    pub fn open(self, body: &Value) -> reqwest::blocking::Response {
        self.start(Some(body.to_string().into_bytes()))
    }

    fn start(self, body: Option<Vec<u8>>) -> reqwest::blocking::Response {
        let client = if self.http2 { &self.stack.http2 } else { &self.stack.http1 };
        let url = format!("http://{}{}", self.stack.envoy().listener, self.path);
        let mut request = client.request(self.method, url);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        match request.send() {
            Ok(response) => response,
            Err(error) => panic!("{error:?}\n{}", self.stack.envoy_log()),
        }
    }
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body, as it came.
    pub bytes: Vec<u8>,
    headers: reqwest::header::HeaderMap,
}

impl Reply {
    fn of(response: reqwest::blocking::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().expect("a whole reply").to_vec();
        Self { status, bytes, headers }
    }

    /// A header, if it came.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as JSON, or null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}
