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
use clap::Parser;
use meterr_core::frame::sse::{SseFramer, SseSink};
use meterr_tests::recorded::Recorded;
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
