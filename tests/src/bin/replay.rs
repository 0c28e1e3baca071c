//! Feeds captured traffic to the very core that runs in Envoy, and prints what it counts.
//!
//! `replay FILE` prints the records of one captured response body, its dialect and its usage.
//! `replay --exchanges FILE` reads whole exchanges as JSON lines and prints one line each: `{"id", "data"}`.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Parser;
use meterr_core::{
    effect::Effect,
    exchange::Exchange,
    frame::sse::{SseFramer, SseSink},
    head::Headers,
    host::Host,
    service::Service,
    store::MemoryStore,
    time::Timestamp,
};
use serde_json::{Value, json};

/// Prints what meterr counts in captured traffic.
#[derive(Parser)]
struct Arguments {
    /// One captured response body: JSON or server-sent events.
    file: Option<PathBuf>,
    /// Whole exchanges as JSON lines (id, host, method, path, request_headers, request_body base64, status,
    /// response_headers, response_body base64).
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    exchanges: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match (arguments.file, arguments.exchanges) {
        (Some(file), _) => body(&fs::read(&file).with_context(|| format!("reading {}", file.display()))?),
        (None, Some(file)) => exchanges(&file),
        (None, None) => bail!("give a FILE or --exchanges FILE; see --help"),
    }
}

fn exchanges(file: &PathBuf) -> Result<()> {
    let lines = BufReader::new(fs::File::open(file).with_context(|| format!("opening {}", file.display()))?).lines();
    let mut out = BufWriter::new(io::stdout().lock());
    for (number, line) in lines.enumerate() {
        let line: Value = serde_json::from_str(&line?).with_context(|| format!("line {}", number + 1))?;
        let data = Recorded::parse(&line).with_context(|| format!("line {}", number + 1))?.replay()?;
        serde_json::to_writer(&mut out, &json!({ "id": line["id"], "data": data }))?;
        writeln!(out)?;
    }
    Ok(())
}

/// One recorded exchange.
struct Recorded {
    request: Vec<(String, String)>,
    request_body: Vec<u8>,
    response: Vec<(String, String)>,
    response_body: Vec<u8>,
}

impl Recorded {
    fn parse(line: &Value) -> Result<Self> {
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

    /// The event's data, or nothing if the exchange is not metered.
    fn replay(&self) -> Result<Option<Value>> {
        let store = MemoryStore::default();
        let configuration =
            br#"{"identity":{"tenant":[{"from":"constant","value":"replay"}]},"sink":{"cluster":"none"}}"#;
        let mut service = match Service::configure(configuration, Some("replay"), 1, &|_| None) {
            Ok(service) => service,
            Err(problems) => bail!("{problems}"),
        };
        let mut exchange = Exchange::default();
        let mut effects = Vec::new();
        let mut at = Timestamp::from_secs(1_767_225_600);
        let mut step = |effects: &mut Vec<Effect>, run: &mut dyn FnMut(&mut Service, &mut Exchange, &mut Host<'_>)| {
            at = at.plus_millis(1);
            run(&mut service, &mut exchange, &mut Host { store: &store, now: at, effects });
        };
        let (request, response) = (view(&self.request), view(&self.response));
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_request_headers(&request, self.request_body.is_empty(), service, host);
        });
        if !self.request_body.is_empty() {
            step(&mut effects, &mut |service, exchange, host| {
                let _verdict = exchange.on_request_body(&self.request_body, true, service, host);
            });
        }
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_response_headers(&response, self.response_body.is_empty(), service, host);
        });
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_response_body(&self.response_body, true, service, host);
        });
        let event = effects.into_iter().find_map(|effect| match effect {
            Effect::SetFilterState("meterr", bytes) => Some(bytes),
            _ => None,
        });
        let Some(event) = event else { return Ok(None) };
        let mut event: Value = serde_json::from_slice(&event).context("the event is JSON")?;
        Ok(Some(event["data"].take()))
    }
}

fn view(headers: &[(String, String)]) -> Headers<'_> {
    Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect())
}

/// One response body without its exchange: what it is, is told from its first record.
fn body(bytes: &[u8]) -> Result<()> {
    let sse = serde_json::from_slice::<Value>(bytes).is_err();
    let mut records = Records::default();
    if sse {
        let mut framer = SseFramer::default();
        framer.push(bytes, &mut records);
        framer.finish(&mut records);
    } else {
        records.done.push(String::from_utf8_lossy(bytes).into_owned());
    }
    let mut out = io::stdout().lock();
    for record in &records.done {
        writeln!(out, "record   {record}")?;
    }
    let anthropic = records.done.iter().any(|record| {
        serde_json::from_str::<Value>(record)
            .is_ok_and(|value| value["type"] == "message_start" || value["type"] == "message")
    });
    let (host, path) =
        if anthropic { ("api.anthropic.com", "/v1/messages") } else { ("api.openai.com", "/v1/chat/completions") };
    let kind = if sse { "text/event-stream" } else { "application/json" };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let recorded = Recorded {
        request: vec![pair(":method", "POST"), pair(":authority", host), pair(":path", path)],
        request_body: format!(r#"{{"stream":{sse}}}"#).into_bytes(),
        response: vec![pair(":status", "200"), pair("content-type", kind)],
        response_body: bytes.to_vec(),
    };
    let Some(data) = recorded.replay()? else { bail!("the body was not metered") };
    for (name, value) in data.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "writer" | "seq" | "tenant" | "duration_ms" | "upstream_ms" | "ttft_ms") {
            writeln!(out, "{name:<24} {value}")?;
        }
    }
    Ok(())
}

/// Collects the data of each event of a stream.
#[derive(Default)]
struct Records {
    open: Vec<u8>,
    done: Vec<String>,
}

impl SseSink for Records {
    fn data(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    fn event_name(&mut self, _name: &[u8]) {}

    fn end_of_event(&mut self, _end: usize, has_data: bool) {
        if has_data {
            self.done.push(String::from_utf8_lossy(&self.open).into_owned());
        }
        self.open.clear();
    }
}
