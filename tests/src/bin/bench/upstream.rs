//! The stand-ins behind Envoy: a provider that answers with prebuilt bytes, and a sink of events that counts them.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use meterr_tests::workload::{CHUNKS, PACE, Replies, STAMP, Workload};
use tokio::net::TcpListener;

use crate::http::{Connection, count, find};

/// Listens on any port of loopback.
pub(crate) async fn listen<F: Future<Output = Result<()>> + Send + 'static>(
    who: &'static str,
    serve: impl Fn(Connection) -> F + Send + 'static,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(connection) = Connection::new(stream) else { continue };
            let served = serve(connection);
            tokio::spawn(async move {
                // The connection closes: the load sees that, and fails with its own words.
                if let Err(error) = served.await {
                    eprintln!("{who}: {error:#}");
                }
            });
        }
    });
    Ok(address)
}

/// Starts the provider. The times in its chunks count from `epoch`.
pub(crate) async fn provider(replies: Arc<Replies>, epoch: Instant) -> Result<SocketAddr> {
    listen("provider", move |connection| answer(connection, Arc::clone(&replies), epoch)).await
}

async fn answer(mut connection: Connection, replies: Arc<Replies>, epoch: Instant) -> Result<()> {
    let mut chunk = replies.chunk.clone();
    let stamp = find(&chunk, STAMP).context("a chunk holds a stamp")?;
    let mut body = Vec::new();
    while let Some(head) = connection.head().await? {
        ensure!(head.first == "POST /v1/chat/completions HTTP/1.1", "the request is {:?}", head.first);
        let (workload, bytes) = head.told.as_deref().and_then(|told| told.split_once(';')).context("what to answer")?;
        let bytes: usize = bytes.parse()?;
        if workload != Workload::Sse50.name() {
            let got = connection.body(&head, |_| {}).await?;
            ensure!(got == bytes, "{got} bytes came of {bytes}");
            connection.send(&replies.chat).await?;
            continue;
        }
        body.clear();
        let got = connection.body(&head, |piece| body.extend_from_slice(piece)).await?;
        let asks_for_usage = find(&body, br#""include_usage":true"#).is_some();
        ensure!(got == bytes || asks_for_usage && got > bytes, "{got} bytes came of {bytes}");
        connection.send(&replies.opening).await?;
        let mut due = Instant::now();
        for _ in 0..CHUNKS {
            // On schedule, since a timer is late by up to a millisecond each time; but never close upon a chunk that was late.
            due = (due + PACE).max(Instant::now() + PACE / 2);
            tokio::time::sleep_until(due.into()).await;
            let now = format!("{:0width$}", epoch.elapsed().as_nanos(), width = STAMP.len());
            chunk[stamp..stamp + STAMP.len()].copy_from_slice(now.as_bytes());
            connection.send(&chunk).await?;
        }
        connection.send(&replies.closing[usize::from(asks_for_usage)]).await?;
    }
    Ok(())
}

/// A sink of events, and what it got.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    got: Arc<Got>,
}

#[derive(Debug, Default)]
struct Got {
    completed: AtomicU64,
    reported: AtomicU64,
}

/// How long events may take after the last reply: far more than the filter's batches, a fraction of its time-out.
const PATIENCE: Duration = Duration::from_secs(3);

impl Sink {
    /// One that somebody else counts for.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, got: Arc::default() }
    }

    /// Starts one.
    pub(crate) async fn start() -> Result<Self> {
        let got = Arc::new(Got::default());
        let counts = Arc::clone(&got);
        let address = listen("sink", move |connection| take(connection, Arc::clone(&counts))).await?;
        Ok(Self { address, got })
    }

    /// Waits until an event came of each of so many exchanges, all completed and with the provider's own usage.
    pub(crate) async fn expect(&self, exchanges: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (completed, reported) = (self.got.completed.load(Relaxed), self.got.reported.load(Relaxed));
            if completed.min(reported) >= exchanges {
                ensure!(
                    completed == exchanges && reported == exchanges,
                    "{completed} events completed, {reported} with usage, of only {exchanges} exchanges"
                );
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("of {exchanges} exchanges {completed} have a completed event, {reported} one with usage");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn take(mut connection: Connection, got: Arc<Got>) -> Result<()> {
    let mut body = Vec::new();
    while let Some(head) = connection.head().await? {
        ensure!(head.first == "POST /v1/events HTTP/1.1", "the request is {:?}", head.first);
        body.clear();
        connection.body(&head, |piece| body.extend_from_slice(piece)).await?;
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        got.completed.fetch_add(count(&body, br#""outcome":"completed""#), Relaxed);
        got.reported.fetch_add(count(&body, br#""usage_status":"reported""#), Relaxed);
    }
    Ok(())
}
