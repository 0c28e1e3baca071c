//! Measures what meterr costs: the same load through bare Envoy, Envoy with a wasm filter that does nothing, and Envoy with meterr.
//!
//! One run, in short slices that take turns, so that whatever else the machine does happens to all alike; processes are restarted
//! between rounds, since one process keeps one memory layout. A result is quoted as a ratio. A wrong reply, a missing event or a fault
//! in the filter ends the run: what does not work is not fast.

mod delivery;
mod http;
mod load;
mod process;
mod report;
mod subject;
mod summary;
mod upstream;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::id,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use meterr_tests::{
    vm::{self, Measured},
    workload::{Replies, Workload},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    load::{Client, Tally},
    subject::{Running, Subject},
    summary::{Sample, Samples, quantile},
    upstream::Sink,
};

/// Measures what meterr costs in Envoy.
#[derive(Parser)]
struct Arguments {
    /// Rounds; Envoy is restarted in each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of a slice (0.5), or of --delivery (20).
    #[arg(long)]
    seconds: Option<f64>,
    /// Only this workload; may be repeated.
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<Workload>,
    /// Also with 1, 4 and 16 applicable limits, compared with none.
    #[arg(long)]
    limits: bool,
    /// Also that other build of the filter.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Measures nothing in time: counts hostcalls, bytes and steps of one exchange of each kind, callback by callback.
    #[arg(long)]
    profile: bool,
    /// Measures nothing in time: what an exchange costs in counts as tenants, limits and provider rows grow in number.
    #[arg(long)]
    scale: bool,
    /// Measures how long events take to the collector, at a steady rate.
    #[arg(long, conflicts_with_all = ["profile", "limits", "rounds", "workloads"])]
    delivery: bool,
    /// Exchanges a second: of a comparison, which else makes as many as go through, or of --delivery (1000).
    #[arg(long, conflicts_with_all = ["profile", "scale"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Writes the results here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How long a fresh process is warmed: longer did not make meterr's wasm any cheaper, V8 has compiled what is hot.
const FIRST_WARM_UP: Duration = Duration::from_millis(500);
/// How long a process is warmed that stood still while others had their turn.
const WARM_UP: Duration = Duration::from_millis(100);
/// Slices of each process.
const TURNS: usize = 2;

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    let seconds = arguments.seconds.unwrap_or(if arguments.delivery { 20.0 } else { 0.5 });
    ensure!((0.1..=600.0).contains(&seconds), "--seconds: from 0.1 to 600");
    if arguments.profile {
        print!("{}", report::profile(&Measured::of(&Subject::Meterr.wasm()?)?));
        return Ok(());
    }
    if arguments.scale {
        print!("{}", report::scale(&vm::scale(&Subject::Meterr.wasm()?)?));
        return Ok(());
    }
    if arguments.delivery {
        let delivery = delivery::measure(arguments.rate.unwrap_or(1_000), Duration::from_secs_f64(seconds))?;
        print!("{delivery}");
        return arguments.json.map_or(Ok(()), |file| write(&file, &delivery.json()));
    }
    if arguments.workloads.is_empty() {
        arguments.workloads = Workload::ALL.to_vec();
    }
    arguments.workloads.sort_unstable();
    arguments.workloads.dedup();
    let mut subjects = Subject::ALWAYS.to_vec();
    if arguments.against.is_some() {
        subjects.push(Subject::Other);
    }
    if arguments.limits {
        subjects.extend(Subject::LIMITS);
    }
    let mut bench = Bench::new(Duration::from_secs_f64(seconds), arguments.rate, arguments.against)?;
    let begun = Instant::now();
    for round in 0..arguments.rounds {
        for &workload in &arguments.workloads {
            let name = workload.name();
            bench.round(round as usize, workload, &subjects).with_context(|| format!("{name}, round {}", round + 1))?;
            eprintln!("round {} of {}: {name} [{:.0} s]", round + 1, arguments.rounds, begun.elapsed().as_secs_f64());
        }
    }
    print!("{}", report::table(&bench.samples, &arguments.workloads, &subjects));
    arguments.json.map_or(Ok(()), |file| write(&file, &bench.samples.json(&arguments.workloads, &subjects)))
}

fn write(file: &Path, json: &serde_json::Value) -> Result<()> {
    let json = serde_json::to_string_pretty(json)?;
    fs::write(file, json + "\n").with_context(|| format!("writing {}", file.display()))
}

/// What lasts for the whole run.
struct Bench {
    // One thread for load and stand-ins: the other processor is Envoy's.
    runtime: Runtime,
    replies: Arc<Replies>,
    provider: SocketAddr,
    epoch: Instant,
    slice: Duration,
    /// Exchanges a second; none are as many as go through.
    rate: Option<u32>,
    /// The module of [`Subject::Other`].
    other: Option<PathBuf>,
    samples: Samples,
}

impl Bench {
    fn new(slice: Duration, rate: Option<u32>, other: Option<PathBuf>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let replies = Arc::new(Replies::new());
        let epoch = Instant::now();
        let provider = runtime.block_on(upstream::provider(Arc::clone(&replies), epoch))?;
        Ok(Self { runtime, replies, provider, epoch, slice, rate, other, samples: Samples::default() })
    }

    /// Fresh processes of all subjects, then slices of each in turn, in an order that changes with every turn.
    fn round(&mut self, round: usize, workload: Workload, subjects: &[Subject]) -> Result<()> {
        let mut all = Vec::new();
        for &subject in subjects {
            let sink = self.runtime.block_on(Sink::start())?;
            let wasm = match (&self.other, subject) {
                (Some(file), Subject::Other) => file.clone(),
                _ => subject.wasm()?,
            };
            let running = Running::start(subject, wasm, self.provider, sink).with_context(|| subject.name())?;
            let client = self.runtime.block_on(Client::open(running.envoy.listener, workload, self.epoch))?;
            all.push((running, client));
        }
        all.rotate_left(round % subjects.len());
        for turn in 0..TURNS {
            let warm_up = if turn == 0 { FIRST_WARM_UP } else { WARM_UP };
            for (running, client) in &mut all {
                let sample = self.slice(running, client, workload, warm_up);
                let subject = running.subject;
                let sample =
                    sample.with_context(|| format!("{}; Envoy logged:\n{}", subject.name(), running.envoy.log()))?;
                self.samples.add(workload, subject, sample);
            }
            all.reverse();
        }
        all.iter().try_for_each(|(running, _)| running.verify().with_context(|| running.subject.name()))
    }

    fn slice(
        &self,
        running: &mut Running,
        client: &mut Client,
        workload: Workload,
        warm_up: Duration,
    ) -> Result<Sample> {
        self.load(running, client, workload, warm_up)?;
        let pid = running.envoy.pid();
        // From rest to rest, events included: every request counts with all that it cost.
        let used = || Ok::<_, anyhow::Error>([process::cpu(pid)?, process::cpu(id())?, process::machine_cpu()?]);
        let (begun, before) = (Instant::now(), used()?);
        let Tally { requests, per_second, mut latencies, mut chunk_delays } =
            self.load(running, client, workload, self.slice)?;
        let after = used()?;
        let [envoy, own, machine] = [0, 1, 2].map(|at| after[at].saturating_sub(before[at]));
        let others = machine.saturating_sub(envoy + own).as_secs_f64() / begun.elapsed().as_secs_f64();
        let per_request = |time: Duration| time.as_secs_f64() * 1e6 / requests as f64;
        let millis = |values: &mut Vec<f64>, share| {
            values.sort_unstable_by(f64::total_cmp);
            quantile(values, share).map(|seconds| seconds * 1e3)
        };
        let chunk = millis(&mut chunk_delays, 0.5).zip(millis(&mut chunk_delays, 0.99));
        Ok(Sample {
            rps: per_second,
            p50: millis(&mut latencies, 0.5).context("no request was answered")?,
            p99: millis(&mut latencies, 0.99).context("no request was answered")?,
            cpu: per_request(envoy),
            rss: running.envoy.kib("VmRSS")? as f64 / 1024.0,
            own_cpu: per_request(own),
            chunk,
            others,
        })
    }

    /// Sends requests for that time, and waits for their events.
    fn load(&self, running: &mut Running, client: &mut Client, workload: Workload, time: Duration) -> Result<Tally> {
        let Running { exchanges, sink, subject, .. } = running;
        self.runtime.block_on(async {
            let tally = client.run(workload, self.replies.bytes(workload), time, self.rate).await?;
            *exchanges += tally.requests;
            if subject.meters() {
                sink.expect(*exchanges).await?;
            }
            Ok(tally)
        })
    }
}
