//! Mixed traffic that goes on whatever happens to Envoy, and the comparison of what was served with what was metered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};

use crate::{
    calls::{chat, messages},
    envoy::root,
};

/// One exchange of a load: what is asked, and how the provider is to answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    path: &'static str,
    body: Value,
    behaviour: Value,
    /// Whether the client leaves after the first piece of the answer.
    leaves: bool,
}

impl Exchange {
    /// In OpenAI's words.
    #[must_use]
    pub fn openai(model: &str, stream: bool, behaviour: Value) -> Self {
        Self { path: "openai/v1/chat/completions", body: chat(model, stream), behaviour, leaves: false }
    }

    /// In Anthropic's.
    #[must_use]
    pub fn anthropic(stream: bool, behaviour: Value) -> Self {
        Self { path: "anthropic/v1/messages", body: messages(stream), behaviour, leaves: false }
    }

    /// A stream that its client leaves.
    #[must_use]
    pub fn left(model: &str, behaviour: Value) -> Self {
        Self { leaves: true, ..Self::openai(model, true, behaviour) }
    }

    /// Has it, as that tenant and by that key; the status.
    ///
    /// # Errors
    /// If the connection fails before the answer is whole, or before its first piece where the client leaves.
    pub async fn send(
        &self,
        client: &Client,
        listener: SocketAddr,
        (tenant, key): (u64, u64),
        request_id: Option<String>,
    ) -> reqwest::Result<reqwest::StatusCode> {
        let mut request = client
            .post(format!("http://{listener}/{}", self.path))
            .header("authorization", format!("Bearer sk-{key}"))
            .header("x-api-key", format!("sk-{key}"))
            .header("anthropic-version", "2023-06-01")
            .header("x-tenant", format!("tenant-{tenant}"))
            .header("x-test", self.behaviour.to_string())
            .body(self.body.to_string());
        if let Some(id) = request_id {
            request = request.header("x-request-id", id);
        }
        let mut response = request.send().await?;
        let status = response.status();
        if self.leaves {
            response.chunk().await?;
        } else {
            response.bytes().await?;
        }
        Ok(status)
    }
}

/// Replies, streams, errors, and streams that the client leaves.
fn mixed(nth: u64) -> Exchange {
    match nth % 6 {
        0 => Exchange::openai("gpt-4o-mini", false, json!({})),
        1 => Exchange::openai("gpt-4o-mini", true, json!({ "chunks": 20, "delay_ms": 10 })),
        2 => Exchange::anthropic(true, json!({ "chunks": 10, "delay_ms": 5 })),
        3 => Exchange::openai("gpt-4o", false, json!({ "status": 500 })),
        4 => Exchange::left("gpt-4o", json!({ "chunks": 200, "delay_ms": 5 })),
        _ => Exchange::anthropic(false, json!({ "gzip": true })),
    }
}

/// Clients at work, side by side.
#[derive(Debug)]
pub struct Clients {
    runtime: tokio::runtime::Runtime,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Clients {
    /// Starts so many. What each does is told its number, and when to stop.
    ///
    /// # Panics
    /// If there are no threads to be had.
    pub fn start<F>(count: u64, client: impl Fn(u64, Arc<AtomicBool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let is_over = Arc::new(AtomicBool::new(false));
        let tasks = (0..count).map(|number| runtime.spawn(client(number, Arc::clone(&is_over)))).collect();
        Self { runtime, tasks, is_over }
    }

    /// Has exchanges of these numbers, each as soon as a client is free for it, and tells `heed` what came of it. Also gives back how many
    /// were begun so far, counted from the first number.
    ///
    /// # Panics
    /// If there are no threads to be had.
    pub fn send_each(
        count: u64,
        numbers: Range<u64>,
        listener: SocketAddr,
        call: impl Fn(u64) -> (Exchange, (u64, u64)) + Clone + Send + 'static,
        heed: impl Fn(u64, reqwest::Result<reqwest::StatusCode>) + Clone + Send + 'static,
    ) -> (Self, Arc<AtomicU64>) {
        let next = Arc::new(AtomicU64::new(numbers.start));
        let clients = Self::start(count, |_, _| {
            let (next, call, heed) = (Arc::clone(&next), call.clone(), heed.clone());
            async move {
                let client = Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= numbers.end {
                        return;
                    }
                    let (exchange, caller) = call(nth);
                    let done = exchange.send(&client, listener, caller, None).await;
                    heed(nth, done);
                }
            }
        });
        (clients, next)
    }

    /// Whether all have come to their end.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.tasks.iter().all(tokio::task::JoinHandle::is_finished)
    }

    /// Waits until all have come to their end.
    ///
    /// # Panics
    /// If a client has panicked.
    pub fn join(self) {
        for task in self.tasks {
            self.runtime.block_on(task).expect("no client panics");
        }
    }

    /// Tells all to stop, and lets what was begun end.
    ///
    /// # Panics
    /// If a client has panicked.
    pub fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.join();
    }
}

/// Clients that go on until they are told to stop.
#[derive(Debug)]
pub struct Traffic {
    clients: Clients,
    begun: Arc<AtomicU64>,
}

impl Traffic {
    /// Begins with so many clients. The address is asked for before each request: an Envoy that is started anew has another.
    ///
    /// # Panics
    /// If there are no threads to be had.
    pub fn start(clients: u64, listener: impl Fn() -> SocketAddr + Send + Sync + 'static) -> Self {
        let (begun, listener) = (Arc::new(AtomicU64::new(0)), Arc::new(listener));
        let clients = Clients::start(clients, |_, is_over| {
            let (begun, listener) = (Arc::clone(&begun), Arc::clone(&listener));
            async move {
                let client = Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");
                while !is_over.load(Ordering::Relaxed) {
                    let nth = begun.fetch_add(1, Ordering::Relaxed);
                    let id = format!("load-{nth}");
                    // A cut stream, a refused connection: what became of it is for the ledger to say.
                    if mixed(nth).send(&client, listener(), (nth % 5, 0), Some(id)).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        });
        Self { clients, begun }
    }

    /// Lets what was begun end; how many exchanges were begun.
    ///
    /// # Panics
    /// If a client has panicked.
    #[must_use]
    pub fn stop(self) -> u64 {
        self.clients.stop();
        self.begun.load(Ordering::Relaxed)
    }
}

/// Runs `scripts/reconcile` on these logs: its exit status, and what it printed.
///
/// # Panics
/// If there is no Python to run it.
#[must_use]
pub fn reconcile(logs: &[&Path], collector_port: u16, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(root().join("scripts/reconcile"));
    command.args(logs).args(["--collector", &format!("http://127.0.0.1:{collector_port}/v1/events")]);
    let output = command.args(more).env("no_proxy", "*").output().expect("python3 runs it");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    (output.status.code(), text)
}

/// What the provider served, and what the collector knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Exchanges in the provider's ledger.
    pub served: usize,
    /// Events of these.
    pub metered: usize,
    /// Of these, events that do not know what was used: their VM died first.
    pub missing: usize,
    /// Request ids in the ledger without an event.
    pub lost: Vec<String>,
    /// Request ids with several events.
    pub twice: Vec<String>,
    /// Request ids that no provider has seen, of events that say that something was used.
    pub invented: Vec<String>,
}

impl Balance {
    /// Compares the ledger with usage events.
    #[must_use]
    pub fn of(ledger: &[String], events: &[Value]) -> Self {
        let mut by_request = BTreeMap::<&str, Vec<&Value>>::new();
        for event in events {
            by_request.entry(event["data"]["request_id"].as_str().unwrap_or_default()).or_default().push(event);
        }
        let served: BTreeSet<&str> = ledger.iter().map(String::as_str).collect();
        let mut balance = Self { served: served.len(), ..Self::default() };
        for (request, events) in &by_request {
            let is_served = served.contains(request);
            let status = |status: &str| events.iter().any(|event| event["data"]["usage_status"] == status);
            if events.len() > 1 {
                balance.twice.push((*request).to_owned());
            }
            if is_served {
                balance.metered += 1;
                balance.missing += usize::from(status("missing") && !status("reported"));
            } else if status("reported") {
                balance.invented.push((*request).to_owned());
            }
        }
        let lost = served.iter().filter(|request| !by_request.contains_key(*request));
        balance.lost = lost.map(|request| (*request).to_owned()).collect();
        balance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_what_is_lost_twice_or_invented_is_told() {
        let event = |request: &str, status: &str| json!({ "data": { "request_id": request, "usage_status": status } });
        let ledger = ["a", "b", "c", "d"].map(str::to_owned);
        let events = [
            event("a", "reported"),
            event("b", "missing"),
            event("c", "reported"),
            event("c", "missing"),
            event("x", "reported"),
            event("y", "none"),
        ];
        let balance = Balance::of(&ledger, &events);
        assert_eq!((balance.served, balance.metered, balance.missing), (4, 3, 1));
        assert_eq!(
            (balance.lost, balance.twice, balance.invented),
            (vec!["d".to_owned()], vec!["c".to_owned()], vec!["x".to_owned()])
        );
    }
}
