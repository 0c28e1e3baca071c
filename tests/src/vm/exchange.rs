//! Exchanges of the benchmark's workloads, callback by callback, as Envoy makes them.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Budget, Profile, ROOT, Vm,
    host::{CALLOUT, Headers, REQUEST, REQUEST_BODY, RESPONSE, RESPONSE_BODY},
};
use crate::workload::{self, CHUNKS, Replies, Workload};

/// Bytes in which a request's body arrives: what Envoy reads from a socket at once.
const PIECE: usize = 128 * 1024;
/// Exchanges before one is measured: metrics are defined, counters and rings are there, and the estimator knows the model.
const WARM_UP: usize = 20;
/// Exchanges whose events go out together.
const BATCH: usize = 100;

/// What was measured, by name.
#[derive(Debug)]
pub struct Measured(pub BTreeMap<String, Profile>);

impl Measured {
    /// Measures one exchange of each workload with the module in that file, one chunk of a stream, and the delivery of a batch of events.
    ///
    /// # Errors
    /// If an exchange does not end as it must: what does not work is not cheap.
    pub fn of(wasm: &Path) -> Result<Self> {
        let replies = Replies::new();
        let mut measured = BTreeMap::new();
        for workload in Workload::ALL {
            let name = workload.name();
            let mut vm = Vm::start(wasm, &workload::configuration(1))?;
            for _ in 0..WARM_UP {
                vm.exchange(workload, &replies)?;
            }
            vm.deliver(WARM_UP)?;
            vm.take_profile();
            let chunk = vm.exchange(workload, &replies)?;
            measured.insert(name.to_owned(), vm.take_profile());
            measured.extend(chunk.map(|chunk| (format!("{name}_chunk"), chunk)));
            if workload == Workload::Chat2k {
                for _ in 1..BATCH {
                    vm.exchange(workload, &replies)?;
                }
                vm.take_profile();
                vm.deliver(BATCH)?;
                measured.insert(format!("deliver_{BATCH}"), vm.take_profile());
            }
        }
        Ok(Self(measured))
    }

    /// The totals.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<String, Budget> {
        self.0.iter().map(|(name, profile)| (name.clone(), profile.total())).collect()
    }
}

impl Vm {
    /// One exchange from its request's headers to its end; gives back what one chunk in the middle of a stream cost.
    fn exchange(&mut self, workload: Workload, replies: &Replies) -> Result<Option<Profile>> {
        let chunk = self.whole(&workload.request(0), PIECE, workload, replies)?;
        self.verify()?;
        Ok(chunk)
    }

    /// A chat whose request has that body, which comes in pieces of that size, and whose reply is that JSON: the event's data.
    ///
    /// # Errors
    /// If it does not end as it must.
    pub fn chat(&mut self, body: &[u8], piece: usize, reply: &[u8]) -> Result<Value> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        let replies = Replies { chat: [head.as_bytes(), reply].concat(), ..Replies::new() };
        let headers = "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nx-tenant: t\r\ncontent-length";
        let message = [format!("{headers}: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
        self.whole(&message, piece, Workload::Chat2k, &replies)?;
        let event = self.host_mut().states.remove(&b"meterr"[..]).context("an event")?;
        Ok(serde_json::from_slice::<Value>(&event)?["data"].take())
    }

    /// An exchange of that workload with that request.
    pub(super) fn pass(&mut self, message: &[u8], workload: Workload, replies: &Replies) -> Result<()> {
        self.whole(message, PIECE, workload, replies)?;
        self.verify()
    }

    fn whole(
        &mut self,
        message: &[u8],
        piece: usize,
        workload: Workload,
        replies: &Replies,
    ) -> Result<Option<Profile>> {
        let (headers, body) = request(message)?;
        let context = self.next_context;
        self.next_context += 1;
        self.host_mut().headers.insert(REQUEST, headers);
        self.call::<_, ()>("proxy_on_context_create", (context, ROOT))?;
        let held = self.call::<_, i32>("proxy_on_request_headers", (context, 0, 0))? != 0;
        let mut pieces: Vec<&[u8]> = body.chunks(piece).collect();
        // The end comes by itself.
        pieces.push(&[]);
        let sent = self.body("proxy_on_request_body", REQUEST_BODY, context, &pieces, held)?;
        ensure!(sent.len() >= body.len(), "a part of the request is missing");
        let chunk = self.response(context, workload, replies)?;
        for name in ["proxy_on_log", "proxy_on_delete"] {
            if name == "proxy_on_delete" {
                self.call::<_, i32>("proxy_on_done", context)?;
            }
            self.call::<_, ()>(name, context)?;
        }
        Ok(chunk)
    }

    fn response(&mut self, context: i32, workload: Workload, replies: &Replies) -> Result<Option<Profile>> {
        let (head, first) = head(if workload.is_stream() { &replies.opening } else { &replies.chat })?;
        self.host_mut().headers.insert(RESPONSE, head);
        self.call::<_, i32>("proxy_on_response_headers", (context, 0, 0))?;
        if !workload.is_stream() {
            self.body("proxy_on_response_body", RESPONSE_BODY, context, &[first, &[]], false)?;
            return Ok(None);
        }
        let [first, middle, closing] = [first, &replies.chunk, &replies.closing[1]].map(unframed);
        self.body("proxy_on_response_body", RESPONSE_BODY, context, &[&first], false)?;
        for _ in 1..CHUNKS {
            self.body("proxy_on_response_body", RESPONSE_BODY, context, &[&middle], false)?;
        }
        let before = self.take_profile();
        self.body("proxy_on_response_body", RESPONSE_BODY, context, &[&middle], false)?;
        let chunk = self.take_profile();
        self.host_mut().profile = before.and(&chunk);
        let last = self.body("proxy_on_response_body", RESPONSE_BODY, context, &[&closing, &[]], false)?;
        ensure!(last.len() < closing.len(), "the usage chunk is not hidden");
        Ok(Some(chunk))
    }

    /// Passes a body piece by piece, buffers what is held, and gives back what came out.
    fn body(
        &mut self,
        callback: &'static str,
        kind: i32,
        context: i32,
        pieces: &[&[u8]],
        held: bool,
    ) -> Result<Vec<u8>> {
        let (mut passed, mut buffered, mut held) = (Vec::new(), Vec::new(), held);
        for (nth, piece) in pieces.iter().enumerate() {
            buffered.extend_from_slice(piece);
            let is_last = nth + 1 == pieces.len() && piece.is_empty();
            let size = i32::try_from(buffered.len())?;
            self.host_mut().buffers.insert(kind, std::mem::take(&mut buffered));
            held = self.call::<_, i32>(callback, (context, size, i32::from(is_last)))? != 0;
            buffered = self.host_mut().buffers.remove(&kind).unwrap_or_default();
            if !held {
                passed.append(&mut buffered);
            }
        }
        ensure!(!held, "{callback}: the body is held at its end");
        Ok(passed)
    }

    /// Fails unless the exchange was metered, and rightly.
    fn verify(&mut self) -> Result<()> {
        let host = self.host_mut();
        let wanted = [
            ("meterr_outcome", "completed"),
            ("meterr_usage_status", "reported"),
            ("meterr_input_tokens", "412"),
            ("meterr_output_tokens", "50"),
        ];
        for (key, value) in wanted {
            let told = host.states.get(key.as_bytes()).map(|state| String::from_utf8_lossy(state).into_owned());
            ensure!(told.as_deref() == Some(value), "{key} is {told:?}");
        }
        let mut faults =
            host.metrics.iter().filter(|(name, _)| name.contains("_errors_") || name.contains("_unmetered_"));
        ensure!(faults.next().is_none(), "faults: {:?}", host.metrics);
        host.states.clear();
        Ok(())
    }

    /// Lets time pass and the collector answer, until so many events have gone out.
    fn deliver(&mut self, events: usize) -> Result<()> {
        let gone = self.answer()?;
        ensure!(gone == events, "{gone} events went out of {events}");
        Ok(())
    }

    /// Lets time pass and the collector answer; how many events went out.
    pub(super) fn answer(&mut self) -> Result<usize> {
        let mut gone = 0;
        for _ in 0..2 {
            self.host_mut().now += 100_000_000;
            self.call::<_, ()>("proxy_on_tick", ROOT)?;
            for callout in std::mem::take(&mut self.host_mut().callouts) {
                gone += String::from_utf8_lossy(&callout.body).matches("ai.meterr.usage.v1").count();
                self.host_mut().headers.insert(CALLOUT, vec![(b":status".to_vec(), b"200".to_vec())]);
                self.call::<_, ()>("proxy_on_http_call_response", (ROOT, callout.token, 1, 0, 0))?;
            }
        }
        Ok(gone)
    }
}

/// The headers of an HTTP/1.1 message and its body.
fn head(message: &[u8]) -> Result<(Headers, &[u8])> {
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("a head")?;
    let (head, body) = (std::str::from_utf8(&message[..end])?, &message[end + 4..]);
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut headers: Headers = Vec::new();
    match first.strip_prefix("HTTP/1.1 ") {
        Some(status) => headers.push((b":status".to_vec(), status.as_bytes()[..3].to_vec())),
        None => {
            let mut words = first.split(' ');
            for name in [":method", ":path"] {
                headers.push((name.into(), words.next().context("a request line")?.into()));
            }
        }
    }
    for line in lines {
        let (name, value) = line.split_once(": ").context("a header")?;
        let name = if name == "host" { ":authority" } else { name };
        headers.push((name.into(), value.into()));
    }
    Ok((headers, body))
}

/// A request's headers as Envoy shows them, and its body.
fn request(message: &[u8]) -> Result<(Headers, &[u8])> {
    let (mut headers, body) = head(message)?;
    let own =
        [(":scheme", "http"), ("x-forwarded-proto", "http"), ("x-request-id", "4f7a3c8e-9d2b-4e61-8a50-1c6f0b9d7e23")];
    headers.extend(own.map(|(name, value)| (name.into(), value.into())));
    Ok((headers, body))
}

/// What stands in HTTP/1.1 chunks, as the connection manager passes it on.
fn unframed(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..at]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        out.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        bytes = &bytes[at + 4 + size..];
    }
    out
}
