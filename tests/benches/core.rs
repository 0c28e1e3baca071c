//! The core by itself, natively: nanoseconds of a request's body, of an event of a stream, of a whole exchange, of a limit.
//!
//! `cargo bench -p meterr-tests --bench core`. For a person who looks for what is slow; the counts of `tests/budgets.json` are what CI
//! watches.

use divan::{Bencher, counter::BytesCount};
use meterr_core::{
    dialect::{DialectId, Operation},
    effect::Effect,
    exchange::Exchange,
    frame::hide::UsageChunkHider,
    head::Headers,
    host::{Host, NoProperties},
    request::RequestScan,
    service::Service,
    store::MemoryStore,
    time::Timestamp,
    usage::{estimate, meter::Meter},
};
use meterr_tests::workload::{self, Replies, Workload};

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp(1_790_000_000_000_000_000);

fn operation() -> &'static Operation {
    DialectId::OpenAiChat.operations()[0]
}

fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    &message[end + 4..]
}

/// One event of a stream, without its framing in HTTP.
fn event(replies: &Replies) -> Vec<u8> {
    let from = replies.chunk.windows(2).position(|bytes| bytes == b"\r\n").expect("a chunk's size") + 2;
    replies.chunk[from..replies.chunk.len() - 2].to_vec()
}

#[divan::bench(args = [Workload::Chat2k, Workload::Chat50k, Workload::Chat1m])]
fn request(bencher: Bencher<'_, '_>, workload: Workload) {
    let message = workload.request(0);
    let body = body(&message);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let mut scan = RequestScan::new(operation(), None, None);
        scan.push(body);
        scan.finish()
    });
}

#[divan::bench]
fn weigh_1k(bencher: Bencher<'_, '_>) {
    let text = "The budget is the one point that is still open. ".repeat(21);
    bencher.counter(BytesCount::new(text.len())).bench(|| estimate::weigh(divan::black_box(text.as_bytes())));
}

#[divan::bench]
fn metered_event(bencher: Bencher<'_, '_>) {
    let event = event(&Replies::new());
    let mut meter = Meter::new(operation(), 200, b"text/event-stream", None);
    bencher.counter(BytesCount::new(event.len())).bench_local(|| meter.push(divan::black_box(&event), NOW));
}

#[divan::bench]
fn watched_event(bencher: Bencher<'_, '_>) {
    let event = event(&Replies::new());
    let (mut hider, mut out) = (UsageChunkHider::new(), Vec::new());
    bencher.counter(BytesCount::new(event.len())).bench_local(|| hider.push(divan::black_box(&event), &mut out));
}

/// A whole exchange of `chat_2k`, with so many limits that apply to it.
#[divan::bench(args = [0, 1, 4, 16])]
fn exchange(bencher: Bencher<'_, '_>, limits: u64) {
    let text = workload::configuration(limits).to_string();
    let mut service = Service::configure(text.as_bytes(), None, 1, &|_| None).expect("a configuration");
    let (message, replies, store) = (Workload::Chat2k.request(0), Replies::new(), MemoryStore::default());
    let (request, reply) = (body(&message), body(&replies.chat));
    let length = request.len().to_string();
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "api.openai.com"),
        ("accept-encoding", "gzip, deflate"),
        ("authorization", "Bearer sk-bench"),
        ("content-type", "application/json"),
        ("content-length", &length),
        ("x-tenant", "tenant-0"),
    ];
    let sent: Vec<(&[u8], &[u8])> = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes())).to_vec();
    let came: Vec<(&[u8], &[u8])> = vec![(b":status", b"200"), (b"content-type", b"application/json")];
    let mut effects: Vec<Effect> = Vec::new();
    bencher.bench_local(|| {
        effects.clear();
        let mut host = Host { store: &store, properties: &NoProperties, now: NOW, effects: &mut effects };
        let mut exchange = Exchange::default();
        let _held = exchange.on_request_headers(&Headers::new(sent.clone()), false, &mut service, &mut host);
        let _held = exchange.on_request_body(request, false, &mut service, &mut host);
        let _on = exchange.on_request_body(&[], true, &mut service, &mut host);
        let _on = exchange.on_response_headers(&Headers::new(came.clone()), false, &mut service, &mut host);
        let _on = exchange.on_response_body(reply, false, &mut service, &mut host);
        let _on = exchange.on_response_body(&[], true, &mut service, &mut host);
        assert!(!exchange.is_open());
    });
}
