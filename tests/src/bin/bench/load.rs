//! The load: connections that each send a request, wait for its whole reply, and send the next.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use meterr_tests::workload::{CHUNKS, PACE, STAMP, Workload};
use tokio::task::JoinSet;

use crate::http::{Connection, find};

/// Before the stamp in a chunk.
const BEFORE_STAMP: &[u8] = br#""delta":{"content":""#;

/// What the load saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests that were answered in full.
    pub(crate) requests: u64,
    /// A second: the sum over connections, each over its own time, so that neither a staggered start nor the end counts.
    pub(crate) per_second: f64,
    /// From the first byte sent to the last byte received, in seconds.
    pub(crate) latencies: Vec<f64>,
    /// From the provider's write of a chunk to its arrival here, in seconds.
    pub(crate) chunk_delays: Vec<f64>,
}

/// The client's side of one Envoy.
#[derive(Debug)]
pub(crate) struct Client {
    connections: Vec<Connection>,
    epoch: Instant,
}

impl Client {
    /// Opens all connections that the workload needs. `epoch` is that of the provider's stamps.
    pub(crate) async fn open(listener: SocketAddr, workload: Workload, epoch: Instant) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..workload.connections() {
            connections.push(Connection::open(listener).await?);
        }
        Ok(Self { connections, epoch })
    }

    /// Sends requests for that time, so many a second over all connections if that many are answered, and waits for the last replies. Any
    /// reply that is not what it must be is an error.
    pub(crate) async fn run(
        &mut self,
        workload: Workload,
        reply_bytes: usize,
        time: Duration,
        rate: Option<u32>,
    ) -> Result<Tally> {
        let connections = u32::try_from(workload.connections())?;
        let period = rate.map(|rate| Duration::from_secs(1) * connections / rate);
        // Streams begin evenly spread over the time that one takes: there is always work, and never a burst.
        let length = PACE * u32::try_from(CHUNKS + 1)?;
        let apart = match period {
            Some(period) => period / connections,
            None if workload.is_stream() => length / connections,
            None => Duration::ZERO,
        };
        let mut running = JoinSet::new();
        for (nth, connection) in self.connections.drain(..).enumerate() {
            let delay = apart * u32::try_from(nth)?;
            let bytes = workload.request(nth);
            let requests = Requests { connection, epoch: self.epoch, bytes, reply_bytes, period };
            running.spawn(async move {
                tokio::time::sleep(delay).await;
                requests.run(time).await
            });
        }
        let mut all = Tally::default();
        while let Some(done) = running.join_next().await {
            let (connection, mut tally) = done.context("a connection's task")??;
            self.connections.push(connection);
            all.requests += tally.requests;
            all.per_second += tally.per_second;
            all.latencies.append(&mut tally.latencies);
            all.chunk_delays.append(&mut tally.chunk_delays);
        }
        ensure!(!workload.is_stream() || !all.chunk_delays.is_empty(), "no chunk came whole");
        Ok(all)
    }
}

/// One connection's part of a load.
struct Requests {
    connection: Connection,
    epoch: Instant,
    bytes: Arc<[u8]>,
    reply_bytes: usize,
    /// From one request to the next; none sends each as soon as the one before is answered.
    period: Option<Duration>,
}

impl Requests {
    async fn run(mut self, time: Duration) -> Result<(Connection, Tally)> {
        let mut tally = Tally::default();
        let begun = Instant::now();
        let (mut now, mut due) = (begun, begun);
        while now - begun < time {
            if let Some(period) = self.period {
                tokio::time::sleep_until(due.into()).await;
                due += period;
                now = Instant::now();
            }
            self.one(&mut tally.chunk_delays).await?;
            let done = Instant::now();
            tally.requests += 1;
            tally.latencies.push((done - now).as_secs_f64());
            now = done;
        }
        tally.per_second = tally.requests as f64 / (now - begun).as_secs_f64();
        Ok((self.connection, tally))
    }

    async fn one(&mut self, delays: &mut Vec<f64>) -> Result<()> {
        self.connection.send(&self.bytes).await?;
        let head = self.connection.head().await?.context("Envoy closed the connection")?;
        if head.first != "HTTP/1.1 200 OK" {
            let mut text = Vec::new();
            self.connection.body(&head, |piece| text.extend_from_slice(piece)).await?;
            anyhow::bail!("{}: {}", head.first, String::from_utf8_lossy(&text));
        }
        let epoch = self.epoch;
        let got = self.connection.body(&head, |piece| delays.extend(delay(piece, epoch))).await?;
        ensure!(got == self.reply_bytes, "{got} bytes of body came, and {} were due", self.reply_bytes);
        Ok(())
    }
}

/// How long the chunk took that stands whole in this piece, if one does.
fn delay(piece: &[u8], epoch: Instant) -> Option<f64> {
    if !piece.starts_with(b"data: ") {
        return None;
    }
    let from = find(piece, BEFORE_STAMP)? + BEFORE_STAMP.len();
    let stamp = str::from_utf8(piece.get(from..from + STAMP.len())?).ok()?.parse().ok()?;
    Some(epoch.elapsed().saturating_sub(Duration::from_nanos(stamp)).as_secs_f64())
}
