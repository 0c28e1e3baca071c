//! How long an event takes from the end of its exchange to a healthy collector, at a steady rate on one worker.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    process::id,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use meterr_core::time::Timestamp;
use meterr_tests::{
    envoy::Envoy,
    prometheus::Metrics,
    workload::{Replies, Workload},
};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::{
    http::Connection,
    load::Client,
    process,
    subject::{Running, Subject},
    summary::quantile,
    upstream::{self, Sink, listen},
};

/// What the contract of the filter allows: that share of events is at a healthy collector within so many milliseconds.
const BOUND: (f64, f64) = (0.99, 100.0);
/// Quantiles that are printed.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// How a process is warmed before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last events may take, and Envoy's histograms, which it merges every five seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Delivery {
    asked: u32,
    rate: f64,
    exchanges: u64,
    batches: usize,
    /// Sorted milliseconds from the event's `time` to the end of its batch's body at the collector.
    arrivals: Vec<f64>,
    /// What Envoy's histogram says, with the warm-up.
    histogram: Vec<(String, f64)>,
    cpu: f64,
    others: f64,
}

/// What came to the collector.
#[derive(Debug, Default)]
struct Arrived {
    ids: BTreeSet<String>,
    /// Milliseconds from the `time` of each to its arrival, in the order of these.
    delays: Vec<f64>,
    batches: usize,
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

async fn take(mut connection: Connection, arrived: Arc<Mutex<Arrived>>) -> Result<()> {
    let mut body = Vec::new();
    while let Some(head) = connection.head().await? {
        ensure!(head.first == "POST /v1/events HTTP/1.1", "the request is {:?}", head.first);
        body.clear();
        connection.body(&head, |piece| body.extend_from_slice(piece)).await?;
        let came = now_ms();
        connection.send(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        let events: Vec<Value> = serde_json::from_slice(&body)?;
        let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.batches += 1;
        for event in events.iter().filter(|event| event["type"] == "ai.meterr.usage.v1") {
            let settled = event["time"].as_str().and_then(Timestamp::from_rfc3339).context("a time")?;
            ensure!(arrived.ids.insert(event["id"].to_string()), "{} came twice", event["id"]);
            arrived.delays.push(came - settled.millis() as f64);
        }
    }
    Ok(())
}

async fn collector(arrived: &Arc<Mutex<Arrived>>) -> Result<SocketAddr> {
    let arrived = Arc::clone(arrived);
    listen("collector", move |connection| take(connection, Arc::clone(&arrived))).await
}

/// Runs it: so many exchanges a second for that time, through one worker.
pub(crate) fn measure(asked: u32, time: Duration) -> Result<Delivery> {
    // One thread for load and stand-ins: the other processor is Envoy's.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (replies, epoch) = (Arc::new(Replies::new()), Instant::now());
    let arrived = Arc::<Mutex<Arrived>>::default();
    let provider = runtime.block_on(upstream::provider(Arc::clone(&replies), epoch))?;
    let sink = Sink::at(runtime.block_on(collector(&arrived))?);
    let mut running = Running::start(Subject::Meterr, Subject::Meterr.wasm()?, provider, sink)?;
    let workload = Workload::Chat2k;
    let mut client = runtime.block_on(Client::open(running.envoy.listener, workload, epoch))?;
    let mut load = |time| runtime.block_on(client.run(workload, replies.bytes(workload), time, Some(asked)));
    // Waits for the events of so many exchanges, and for no more of them.
    let expect = |exchanges: u64| {
        let count = || arrived.lock().unwrap_or_else(PoisonError::into_inner).ids.len() as u64;
        runtime.block_on(async {
            let begun = Instant::now();
            while count() < exchanges && begun.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ensure!(count() == exchanges, "{} events of {exchanges} exchanges came", count());
        Ok(())
    };
    let warm_up = load(WARM_UP)?.requests;
    expect(warm_up)?;
    let batches = || arrived.lock().unwrap_or_else(PoisonError::into_inner).batches;
    let warm_up_batches = batches();
    let pid = running.envoy.pid();
    let used = || Ok::<_, anyhow::Error>([process::cpu(pid)?, process::cpu(id())?, process::machine_cpu()?]);
    let (begun, before) = (Instant::now(), used()?);
    let tally = load(time)?;
    let elapsed = begun.elapsed().as_secs_f64();
    let after = used()?;
    let [envoy, own, machine] = [0, 1, 2].map(|at| after[at].saturating_sub(before[at]));
    running.exchanges = warm_up + tally.requests;
    expect(running.exchanges)?;
    // The collector is a task of this runtime, and must run while Envoy still has heartbeats to send; it has not while we wait here, which
    // costs them a time-out at most.
    let batches = batches().saturating_sub(warm_up_batches);
    let histogram = histogram(&running.envoy, running.exchanges)?;
    running.verify()?;
    let arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
    let mut arrivals: Vec<f64> = arrived.delays.iter().skip(usize::try_from(warm_up)?).copied().collect();
    arrivals.sort_unstable_by(f64::total_cmp);
    Ok(Delivery {
        asked,
        rate: tally.requests as f64 / elapsed,
        exchanges: tally.requests,
        batches,
        arrivals,
        histogram,
        cpu: envoy.as_secs_f64() / elapsed,
        others: machine.saturating_sub(envoy + own).as_secs_f64() / elapsed,
    })
}

/// What Envoy says of `meterr_event_delivery_ms` once it knows of so many: its cumulative quantiles.
fn histogram(envoy: &Envoy, count: u64) -> Result<Vec<(String, f64)>> {
    let begun = Instant::now();
    loop {
        let counted = Metrics::new(envoy.admin_get("/stats/prometheus")?).count("meterr_event_delivery_ms_count", &[]);
        if counted >= count {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "Envoy's histogram knows of {counted} of {count} events");
        thread::sleep(Duration::from_millis(100));
    }
    // `name: P0(of the interval,of all) P25(…) …`
    let text = envoy.admin_get("/stats?filter=meterr_event_delivery_ms")?;
    let (_, quantiles) = text.trim().rsplit_once(": ").with_context(|| format!("a histogram: {text}"))?;
    let read = |quantile: &str| {
        let (name, both) = quantile.strip_suffix(')')?.split_once('(')?;
        Some((name.to_owned(), both.split_once(',')?.1.parse().ok()?))
    };
    quantiles.split(' ').map(|quantile| read(quantile).with_context(|| format!("a quantile: {quantile}"))).collect()
}

impl Delivery {
    fn arrival(&self, share: f64) -> f64 {
        quantile(&self.arrivals, share).unwrap_or(f64::NAN)
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Value {
        let arrival: serde_json::Map<String, Value> =
            QUANTILES.iter().map(|(name, share)| ((*name).to_owned(), json!(self.arrival(*share)))).collect();
        let histogram: serde_json::Map<String, Value> =
            self.histogram.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "delivery": { "rate_asked": self.asked, "rate": self.rate, "exchanges": self.exchanges, "batches": self.batches,
                              "arrival_ms": arrival, "envoy_histogram_ms": histogram, "envoy_processors": self.cpu,
                              "other_processors": self.others } })
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} exchanges on one worker, {:.0} a second of {} asked for; each has one event at the collector, in {:.0} a batch",
            self.exchanges,
            self.rate,
            self.asked,
            self.exchanges as f64 / self.batches.max(1) as f64
        )?;
        writeln!(f, "processors: Envoy {:.2}, others than Envoy and the load {:.2}", self.cpu, self.others)?;
        write!(f, "end of the exchange → arrival at the collector, ms:     ")?;
        for (name, share) in QUANTILES {
            write!(f, " {name} {:.1}", self.arrival(share))?;
        }
        write!(f, "\nmeterr_event_delivery_ms (→ acknowledged), by Envoy, ms:")?;
        for (name, value) in
            self.histogram.iter().filter(|(name, _)| ["P50", "P90", "P99", "P99.9", "P100"].contains(&&**name))
        {
            write!(f, " {name} {value:.1}")?;
        }
        let (share, bound) = BOUND;
        let holds = if self.arrival(share) < bound { "holds" } else { "DOES NOT HOLD here" };
        writeln!(f, "\np99 below {bound} ms: {holds}")
    }
}
