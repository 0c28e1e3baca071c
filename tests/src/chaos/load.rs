//! Clients that go on whatever happens, and write down what they did: the third ledger beside the provider's and the access log.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use meterr_core::random::Random;
use reqwest::Client;
use serde_json::json;

use crate::traffic::{Clients, Exchange};

/// What a client knows of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When it began.
    pub begun: Instant,
    /// When it was over for the client, however it ended.
    pub ended: Option<Instant>,
    /// Input and output tokens that the provider was told to report.
    pub tokens: (u64, u64),
}

/// What all clients know, by `x-request-id`.
#[derive(Debug, Default)]
pub struct Records(Mutex<BTreeMap<String, Record>>);

impl Records {
    fn with<T>(&self, run: impl FnOnce(&mut BTreeMap<String, Record>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An exchange begins.
    pub fn begin(&self, id: &str, tokens: (u64, u64)) {
        self.with(|all| all.insert(id.to_owned(), Record { begun: Instant::now(), ended: None, tokens }));
    }

    /// It is over.
    pub fn end(&self, id: &str) {
        self.with(|all| {
            if let Some(record) = all.get_mut(id) {
                record.ended = Some(Instant::now());
            }
        });
    }

    /// It never was.
    pub fn forget(&self, id: &str) {
        self.with(|all| all.remove(id));
    }

    /// All so far.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Record> {
        self.with(|all| all.clone())
    }
}

/// What a client does next: replies, streams, compressed ones, errors, streams that end in one, connections that the provider cuts, and clients
/// that leave.
fn next(random: &mut Random) -> (Exchange, (u64, u64)) {
    // Zero for a reply with content is no count, but an anomaly.
    let (input, output) = (1 + random.up_to(5_000), 1 + random.up_to(2_000));
    let (chunks, delay_ms) = (1 + random.up_to(20), random.up_to(10));
    let told = json!({ "input": input, "output": output, "chunks": chunks, "delay_ms": delay_ms });
    let with = |name: &str, value: serde_json::Value| {
        let mut told = told.clone();
        told[name] = value;
        told
    };
    let exchange = match random.up_to(19) {
        0..=4 => Exchange::openai("gpt-4o-mini", false, told),
        10..=12 => Exchange::openai("gpt-4o-mini", true, told),
        13..=15 => Exchange::anthropic(true, told),
        5 => Exchange::anthropic(false, with("gzip", json!(true))),
        6 => Exchange::openai("gpt-4o", false, with("status", json!(500))),
        7 => Exchange::openai("gpt-4o", true, with("error_mid_stream", json!(true))),
        8 => Exchange::openai("gpt-4o", true, with("cut_after_bytes", json!(200 + random.up_to(800)))),
        // Longer than most of what happens.
        9 => {
            Exchange::openai("gpt-4o", true, json!({ "input": input, "output": output, "chunks": 100, "delay_ms": 50 }))
        }
        _ => Exchange::left("gpt-4o", json!({ "input": input, "output": output, "chunks": 200, "delay_ms": 5 })),
    };
    (exchange, (input, output))
}

/// Where Envoy listens now: one that is started again has another port.
pub type Address = Arc<Mutex<SocketAddr>>;

/// Begins, with so many clients; every second one speaks HTTP/2. What each does is drawn from the seed.
///
/// # Panics
/// If there are no threads to be had.
#[must_use]
pub fn start(clients: u64, seed: u64, address: &Address, records: &Arc<Records>) -> Clients {
    let mut seeds = Random::new(seed);
    let seeds: Vec<u64> = (0..clients).map(|_| seeds.next()).collect();
    Clients::start(clients, |client, is_over| {
        let random = Random::new(seeds[usize::try_from(client).expect("small")]);
        run(client, random, Arc::clone(address), Arc::clone(records), is_over)
    })
}

async fn run(number: u64, mut random: Random, address: Address, records: Arc<Records>, is_over: Arc<AtomicBool>) {
    let builder = Client::builder().timeout(Duration::from_secs(30));
    let builder = if number.is_multiple_of(2) { builder.http1_only() } else { builder.http2_prior_knowledge() };
    let client = builder.build().expect("a client");
    for nth in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("chaos-{number}-{nth}");
        let (exchange, tokens) = next(&mut random);
        let tenant = random.up_to(9);
        let listener = *address.lock().unwrap_or_else(PoisonError::into_inner);
        records.begin(&id, tokens);
        let done = exchange.send(&client, listener, (tenant, number), Some(id.clone())).await;
        match done {
            // There was no Envoy to take it.
            Err(error) if error.is_connect() => {
                records.forget(&id);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(_) | Err(_) => records.end(&id),
        }
    }
}
