//! An OpenTelemetry collector that is not ours, and what it hands on: `rotel`, which exports to a stand-in that reads OTLP.

use std::{
    fs,
    io::{self, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode, body::Incoming};
use prost::Message;
use serde_json::Value;

use crate::{
    envoy::{end, root},
    server::{Body, Connection, Handler, Server, full},
};

mod message;

use message::{LogsRequest, TraceRequest, hex, object};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A log record that the collector handed on.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// `event_name`.
    pub event_name: String,
    /// Nanoseconds since the epoch.
    pub time_unix_nano: u64,
    /// When it was seen first, likewise.
    pub observed_time_unix_nano: u64,
    /// 9 is INFO.
    pub severity_number: i32,
    /// In hex; empty if there is none.
    pub trace_id: String,
    /// In hex; empty if there is none.
    pub span_id: String,
    /// Its attributes by name.
    pub attributes: Value,
    /// Those of what sent it.
    pub resource: Value,
}

/// A span that the collector handed on.
#[derive(Clone, Debug)]
pub struct Span {
    /// In hex.
    pub trace_id: String,
    /// In hex.
    pub span_id: String,
    /// In hex; empty if it has none.
    pub parent_span_id: String,
    /// 2 is SERVER, 3 is CLIENT.
    pub kind: i32,
    /// Its attributes by name.
    pub attributes: Value,
    /// Those of what sent it.
    pub resource: Value,
}

/// What was exported so far.
#[derive(Debug, Default)]
struct Exported {
    logs: Mutex<Vec<LogRecord>>,
    spans: Mutex<Vec<Span>>,
    complaints: Mutex<Vec<String>>,
}

impl Exported {
    fn take(&self, path: &str, body: &[u8]) -> Result<()> {
        match path {
            "/v1/logs" => {
                let logs = LogsRequest::decode(body)?;
                let mut kept = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
                for resource in &logs.resources {
                    let about = object(resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes));
                    kept.extend(resource.scopes.iter().flat_map(|scope| &scope.records).map(|record| LogRecord {
                        event_name: record.event_name.clone(),
                        time_unix_nano: record.time_unix_nano,
                        observed_time_unix_nano: record.observed_time_unix_nano,
                        severity_number: record.severity_number,
                        trace_id: hex(&record.trace_id),
                        span_id: hex(&record.span_id),
                        attributes: object(&record.attributes),
                        resource: about.clone(),
                    }));
                }
            }
            "/v1/traces" => {
                let traces = TraceRequest::decode(body)?;
                let mut kept = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
                for resource in &traces.resources {
                    let about = object(resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes));
                    kept.extend(resource.scopes.iter().flat_map(|scope| &scope.spans).map(|span| Span {
                        trace_id: hex(&span.trace_id),
                        span_id: hex(&span.span_id),
                        parent_span_id: hex(&span.parent_span_id),
                        kind: span.kind,
                        attributes: object(&span.attributes),
                        resource: about.clone(),
                    }));
                }
            }
            other => bail!("{other} is no path of OTLP"),
        }
        Ok(())
    }
}

impl Handler for Exported {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Connection) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let mut body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
        if head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain)?;
            body = plain;
        }
        let mut response = Response::new(full(""));
        if let Err(error) = self.take(head.uri.path(), &body) {
            self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        Ok(response)
    }
}

/// A running `rotel`. Dropping it ends it.
#[derive(Debug)]
pub struct Rotel {
    program: PathBuf,
    child: Option<Child>,
    /// Where it takes OTLP over HTTP.
    pub http: SocketAddr,
    directory: tempfile::TempDir,
    exported: Arc<Exported>,
    exporter: Server,
}

/// A port that nobody has at the moment.
///
/// # Errors
/// If loopback has none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Rotel {
    /// Starts one that takes OTLP over HTTP on that loopback port, and waits until it does.
    ///
    /// # Errors
    /// If there is none for this machine, or it does not start; the error says why.
    pub fn start(port: u16) -> Result<Self> {
        let found = Command::new(root().join("scripts/rotel")).arg("--path").output()?;
        if !found.status.success() {
            bail!("scripts/rotel --path: {}", String::from_utf8_lossy(&found.stderr));
        }
        let exported = Arc::<Exported>::default();
        let mut rotel = Self {
            program: PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()),
            child: None,
            http: SocketAddr::from(([127, 0, 0, 1], port)),
            directory: tempfile::tempdir()?,
            exporter: Server::start(0, Arc::clone(&exported))?,
            exported,
        };
        rotel.run()?;
        Ok(rotel)
    }

    /// Starts it on the port that it had, after [`Self::stop`].
    ///
    /// # Errors
    /// If it does not start; the error holds what it said.
    pub fn run(&mut self) -> Result<()> {
        let log = fs::File::create(self.log_path())?;
        let child = Command::new(&self.program)
            .args(["start", "--exporter", "otlp", "--otlp-exporter-protocol", "http", "--batch-timeout", "50ms"])
            .args(["--otlp-exporter-endpoint", &format!("http://{}", self.exporter.address)])
            .args(["--otlp-http-endpoint", &self.http.to_string()])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_port()?)])
            .env("no_proxy", "*")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting rotel")?;
        let child = self.child.insert(child);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
            if TcpStream::connect(self.http).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.stop();
        bail!("rotel did not start:\n{}", fs::read_to_string(self.log_path()).unwrap_or_default())
    }

    /// Ends it as an operator would: what it took it still hands on.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child);
        }
    }

    fn log_path(&self) -> PathBuf {
        Path::new(self.directory.path()).join("rotel.log")
    }

    /// The log records that it handed on so far, in their order.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.exported.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans that it handed on so far, in their order.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.exported.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it handed on that is no OTLP.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.exported.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        self.stop();
    }
}
