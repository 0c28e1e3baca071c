//! Whole exchanges as they were recorded, fed to the very core that runs in Envoy.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use meterr_core::{
    effect::Effect,
    exchange::Exchange,
    head::Headers,
    host::{Host, NoProperties},
    service::Service,
    store::MemoryStore,
    time::Timestamp,
};
use serde_json::Value;

/// A short configuration. Its row stands for the servers that only a row makes known.
pub const CONFIGURATION: &[u8] =
    br#"{"identity":{"tenant":[{"from":"constant","value":"replay"}]},"sink":{"cluster":"none"},
    "providers":{"extra":[{"id":"corp-llama","hosts":["llama.corp.internal"],"dialects":["llamacpp"],"tls":false,
    "authority":"llama.corp.internal:8080"}]}}"#;

/// One recorded exchange.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Headers of the request, pseudo headers among them.
    pub request: Vec<(String, String)>,
    /// Its body.
    pub request_body: Vec<u8>,
    /// Headers of the response.
    pub response: Vec<(String, String)>,
    /// Its body.
    pub response_body: Vec<u8>,
}

impl Recorded {
    /// From one JSON line: `id, host, method, path, request_headers, request_body` in Base64, `status, response_headers, response_body` in
    /// Base64.
    ///
    /// # Errors
    /// If something is missing.
    pub fn parse(line: &Value) -> Result<Self> {
        let text = |name: &str| line[name].as_str().map(str::to_owned).with_context(|| format!("{name}: a string"));
        let bytes = |name: &str| match line[name].as_str() {
            None => Ok(Vec::new()),
            Some(text) => BASE64_STANDARD.decode(text).with_context(|| format!("{name}: base64")),
        };
        let headers = |name: &str, skip: &[&str]| -> Vec<(String, String)> {
            let Some(map) = line[name].as_object() else { return Vec::new() };
            map.iter()
                .map(|(key, value)| {
                    (key.to_lowercase(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                })
                .filter(|(key, _)| !skip.contains(&key.as_str()))
                .collect()
        };
        let mut request = vec![
            (":method".to_owned(), text("method")?),
            (":authority".to_owned(), text("host")?),
            (":path".to_owned(), text("path")?),
        ];
        request
            .extend(headers("request_headers", &["host", "content-length", "transfer-encoding", "content-encoding"]));
        let status = line["status"].as_u64().unwrap_or(200).to_string();
        let mut response = vec![(":status".to_owned(), status)];
        // Recorders store bodies decoded.
        response.extend(headers("response_headers", &["content-length", "transfer-encoding", "content-encoding"]));
        Ok(Self { request, request_body: bytes("request_body")?, response, response_body: bytes("response_body")? })
    }

    /// From a folder of `tests/fixtures/dialects`: `exchange.json` and the body of the reply.
    ///
    /// # Errors
    /// If something is missing.
    pub fn fixture(folder: &Path) -> Result<Self> {
        let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("{name} in {}", folder.display()));
        let exchange: Value = serde_json::from_slice(&read("exchange.json")?)?;
        let text = |name: &str| exchange[name].as_str().with_context(|| format!("{name}: a string"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (content_type, request_body) = request_body(&exchange)?;
        let request = vec![
            pair(":method", exchange["method"].as_str().unwrap_or("POST")),
            pair(":authority", text("host")?),
            pair(":path", text("path")?),
            pair("content-type", content_type),
        ];
        let status = exchange["status"].as_u64().context("a status")?.to_string();
        let mut response = vec![pair(":status", &status)];
        for (name, value) in exchange["headers"].as_object().context("headers")? {
            response.push(pair(name, value.as_str().context("a text")?));
        }
        let bodies = ["response.json", "response.sse", "response.ndjson", "response.txt"];
        let body = bodies.into_iter().find(|name| folder.join(name).exists()).context("a body of the reply")?;
        let mut response_body = read(body)?;
        if exchange["gzip"] == true {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&response_body)?;
            response_body = encoder.finish()?;
            response.push(pair("content-encoding", "gzip"));
        }
        Ok(Self { request, request_body, response, response_body })
    }

    /// The event's data, or nothing if the exchange is not metered.
    ///
    /// # Errors
    /// If the core makes an event that is no JSON.
    pub fn replay(&self) -> Result<Option<Value>> {
        self.replay_in_pieces(&[])
    }

    /// As [`Recorded::replay`], with both bodies cut into pieces of these sizes, over and over; no sizes leave them whole.
    ///
    /// # Errors
    /// If the core makes an event that is no JSON.
    pub fn replay_in_pieces(&self, sizes: &[usize]) -> Result<Option<Value>> {
        Process::new()?.play(self, sizes)
    }
}

/// The type and the bytes of a fixture's request.
fn request_body(exchange: &Value) -> Result<(&'static str, Vec<u8>)> {
    let Some(form) = exchange["form"].as_array() else {
        let request = &exchange["request"];
        return Ok(("application/json", if request.is_null() { Vec::new() } else { request.to_string().into() }));
    };
    let mut body = String::new();
    for field in form {
        let (name, value) = field[0].as_str().zip(field[1].as_str()).context("a form of names and values")?;
        let (name, file) = name.strip_prefix('@').map_or((name, ""), |name| (name, "; filename=\"a.bin\""));
        body += &format!("--golden\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n");
    }
    Ok(("multipart/form-data; boundary=golden", (body + "--golden--\r\n").into_bytes()))
}

/// A process that has just started, and what it has learned since.
#[derive(Debug)]
pub struct Process {
    service: Service,
    store: MemoryStore,
    at: Timestamp,
}

impl Process {
    /// One with [`CONFIGURATION`].
    ///
    /// # Errors
    /// If the core does not take it.
    pub fn new() -> Result<Self> {
        match Service::configure(CONFIGURATION, Some("replay"), 1, &|_| None) {
            Ok(service) => Ok(Self { service, store: MemoryStore::default(), at: Timestamp::from_secs(1_767_225_600) }),
            Err(problems) => bail!("{problems}"),
        }
    }

    /// What all its workers share.
    #[must_use]
    pub const fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The time, which moves with each callback.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.at
    }

    /// The event's data of an exchange, with both bodies cut into pieces of these sizes, over and over.
    ///
    /// # Errors
    /// If the core makes an event that is no JSON.
    pub fn play(&mut self, recorded: &Recorded, sizes: &[usize]) -> Result<Option<Value>> {
        let Self { service, store, at } = self;
        let mut exchange = Exchange::default();
        let mut effects = Vec::new();
        let mut step = |effects: &mut Vec<Effect>, run: &mut dyn FnMut(&mut Service, &mut Exchange, &mut Host<'_>)| {
            *at = at.plus_millis(1);
            run(service, &mut exchange, &mut Host { store, properties: &NoProperties, now: *at, effects });
        };
        let (request, response) = (view(&recorded.request), view(&recorded.response));
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_request_headers(&request, recorded.request_body.is_empty(), service, host);
        });
        if !recorded.request_body.is_empty() {
            for (piece, end) in pieces(&recorded.request_body, sizes) {
                step(&mut effects, &mut |service, exchange, host| {
                    let _verdict = exchange.on_request_body(piece, end, service, host);
                });
            }
        }
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_response_headers(&response, recorded.response_body.is_empty(), service, host);
        });
        for (piece, end) in pieces(&recorded.response_body, sizes) {
            step(&mut effects, &mut |service, exchange, host| {
                let _verdict = exchange.on_response_body(piece, end, service, host);
            });
        }
        let event = effects.into_iter().find_map(|effect| match effect {
            Effect::SetFilterState("meterr", bytes) => Some(bytes),
            _ => None,
        });
        let Some(event) = event else { return Ok(None) };
        let mut event: Value = serde_json::from_slice(&event).context("the event is JSON")?;
        Ok(Some(event["data"].take()))
    }
}

/// A body in pieces, and whether each is the last.
fn pieces<'b>(body: &'b [u8], sizes: &[usize]) -> Vec<(&'b [u8], bool)> {
    let mut sizes = sizes.iter().copied().filter(|size| *size > 0).cycle();
    let mut pieces = Vec::new();
    let mut rest = body;
    loop {
        let size = sizes.next().unwrap_or(usize::MAX).min(rest.len());
        let (piece, after) = rest.split_at(size);
        pieces.push((piece, after.is_empty()));
        if after.is_empty() {
            return pieces;
        }
        rest = after;
    }
}

fn view(headers: &[(String, String)]) -> Headers<'_> {
    Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect())
}
