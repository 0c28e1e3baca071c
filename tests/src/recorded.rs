//! Whole exchanges as they were recorded, fed to the very core that runs in Envoy.

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
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
        let store = MemoryStore::default();
        // The row stands for the servers that only a row makes known.
        let configuration = br#"{"identity":{"tenant":[{"from":"constant","value":"replay"}]},"sink":{"cluster":"none"},
            "providers":{"extra":[{"id":"corp-llama","hosts":["llama.corp.internal"],"dialects":["llamacpp"],"tls":false,
            "authority":"llama.corp.internal:8080"}]}}"#;
        let mut service = match Service::configure(configuration, Some("replay"), 1, &|_| None) {
            Ok(service) => service,
            Err(problems) => bail!("{problems}"),
        };
        let mut exchange = Exchange::default();
        let mut effects = Vec::new();
        let mut at = Timestamp::from_secs(1_767_225_600);
        let mut step = |effects: &mut Vec<Effect>, run: &mut dyn FnMut(&mut Service, &mut Exchange, &mut Host<'_>)| {
            at = at.plus_millis(1);
            run(&mut service, &mut exchange, &mut Host { store: &store, properties: &NoProperties, now: at, effects });
        };
        let (request, response) = (view(&self.request), view(&self.response));
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_request_headers(&request, self.request_body.is_empty(), service, host);
        });
        if !self.request_body.is_empty() {
            for (piece, end) in pieces(&self.request_body, sizes) {
                step(&mut effects, &mut |service, exchange, host| {
                    let _verdict = exchange.on_request_body(piece, end, service, host);
                });
            }
        }
        step(&mut effects, &mut |service, exchange, host| {
            let _verdict = exchange.on_response_headers(&response, self.response_body.is_empty(), service, host);
        });
        for (piece, end) in pieces(&self.response_body, sizes) {
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
