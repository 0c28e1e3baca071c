//! A run of chaos: clients that go on, a collector that is ill in turns, an Envoy that crashes, changes and dies; and the comparison of
//! three ledgers in the end: what the provider served, what Envoy's access log says, what the collector has.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

pub mod judge;
pub mod load;
pub mod schedule;

use judge::{Evidence, Kill, Verdict};
use load::{Address, Records};
use schedule::{Action, Blow, Fault, Step};

use crate::{
    calls::chat,
    stack::{Options, Stack},
    traffic::reconcile,
    watched::Part,
};

/// Clients at once.
const CLIENTS: u64 = 24;
/// How long events may take to come by themselves after the last blow: the lease of a dead VM is over in ten seconds, and machines are busy.
const BY_THEMSELVES: Duration = Duration::from_secs(60);

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of schedule and traffic.
    pub seed: u64,
    /// Of the schedule; what is in flight then ends, and is compared.
    pub length: Duration,
    /// `sink.queue.max_bytes`, where it is not to be the default: a small queue drops events, which only the access log has then.
    pub queue_bytes: Option<u64>,
    /// Whether each step is told when it happens.
    pub verbose: bool,
}

/// What a run was.
#[derive(Debug)]
pub struct Report {
    /// How often each kind of thing happened.
    pub actions: BTreeMap<String, usize>,
    /// Exchanges that clients began.
    pub begun: usize,
    /// Exchanges in the provider's ledger.
    pub served: usize,
    /// Distinct events at the collector before `scripts/reconcile`.
    pub by_themselves: usize,
    /// Heartbeats by then.
    pub heartbeats: usize,
    /// Distinct events after it.
    pub events: usize,
    /// Events that came once more, and were kept once.
    pub duplicates: u64,
    /// Panics of VMs that nobody asked for.
    pub panics: usize,
    /// What `scripts/reconcile` printed.
    pub reconciled: String,
    /// The comparison.
    pub verdict: Verdict,
    /// What is not as it must be: nothing, or the run has failed.
    pub breaches: Vec<String>,
    /// Where logs and events are kept, of a run that has failed.
    pub kept: Option<PathBuf>,
}

struct Run {
    stack: Stack,
    address: Address,
    records: Arc<Records>,
    kills: Vec<Kill>,
    actions: BTreeMap<String, usize>,
    /// Where the access log of the last Envoy begins.
    log_begins: usize,
    /// The collector is ended.
    is_down: bool,
    is_queue_small: bool,
    changes: u64,
    crashes: usize,
}

/// What came without the help of `scripts/reconcile`.
struct Came {
    heartbeats: usize,
    events: usize,
    /// Heartbeats that say what cannot be.
    claims: Vec<String>,
    /// Events of the last Envoy that did not come.
    left: Vec<String>,
    /// What its queue holds.
    bytes: u64,
}

impl Came {
    fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (what, all) in
            [("heartbeats say what cannot be", &self.claims), ("events did not come by themselves", &self.left)]
        {
            if !all.is_empty() {
                breaches.push(format!("{} {what}: {:?}", all.len(), all.iter().take(10).collect::<Vec<_>>()));
            }
        }
        if self.bytes > 0 {
            breaches.push(format!("{} bytes wait, and the collector is well", self.bytes));
        }
        breaches
    }
}

/// Makes a run.
///
/// # Panics
/// If one of the parts does not start, or Envoy refuses a change.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    let steps = schedule::schedule(plan.seed, plan.length);
    let stack = Stack::start(&Options {
        module: "target/crash.wasm",
        watched: &[Part::Filter, Part::Listener],
        // Old configurations are to end within the run.
        arguments: &["--drain-time-s", "3"],
        more: plan.queue_bytes.map_or(json!({}), |bytes| json!({ "sink": { "queue": { "max_bytes": bytes } } })),
        ..Options::default()
    });
    let address = Arc::new(Mutex::new(stack.envoy().listener));
    let records = Arc::new(Records::default());
    let load = load::start(CLIENTS, plan.seed, &address, &records);
    let mut run = Run {
        stack,
        address,
        records,
        kills: Vec::new(),
        actions: BTreeMap::new(),
        log_begins: 0,
        is_down: false,
        is_queue_small: plan.queue_bytes.is_some(),
        changes: 0,
        crashes: 0,
    };
    let begun = Instant::now();
    // A busy machine takes its time to start an Envoy: what comes after comes later, and the end of the schedule perhaps never.
    let mut lag = Duration::ZERO;
    for step in &steps {
        thread::sleep((step.at + lag).min(plan.length).saturating_sub(begun.elapsed()));
        if begun.elapsed() >= plan.length {
            break;
        }
        lag = begun.elapsed().saturating_sub(step.at);
        if plan.verbose {
            println!("{:7.2} s  {:?}", begun.elapsed().as_secs_f64(), step.action);
        }
        run.take(step);
    }
    thread::sleep(plan.length.saturating_sub(begun.elapsed()));
    run.heal();
    load.stop();
    run.end()
}

impl Run {
    fn take(&mut self, step: &Step) {
        let kind = match step.action {
            Action::Fault(fault) => {
                self.fall_ill(fault);
                format!("collector: {fault:?}")
            }
            Action::Heal => {
                self.heal();
                return;
            }
            Action::Blow(blow) => {
                self.strike(blow);
                format!("Envoy: {}", blow.kind())
            }
        };
        *self.actions.entry(kind).or_default() += 1;
    }

    fn fall_ill(&mut self, fault: Fault) {
        match fault.mode() {
            Some(mode) => self.stack.collector_mode(&mode),
            None => {
                self.stack.kill_collector();
                self.is_down = true;
            }
        }
    }

    fn heal(&mut self) {
        if std::mem::take(&mut self.is_down) {
            self.stack.revive_collector();
        } else {
            self.stack.collector_mode(&json!({}));
        }
    }

    fn strike(&mut self, blow: Blow) {
        match blow {
            Blow::Crash(place) => self.crash(place),
            Blow::Reload(part @ Part::Filter) => {
                self.changes += 1;
                self.stack.change_generation(part, self.changes);
            }
            Blow::Reload(part @ Part::Listener) => {
                self.changes += 1;
                let secs = self.changes;
                self.stack.change(part, |listener| {
                    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
                    manager["stream_idle_timeout"] = format!("{}s", 600 + secs).into();
                });
                self.listens();
            }
            Blow::Terminate => {
                self.stack.end_envoy();
                self.start();
            }
            Blow::Kill => {
                let before = Instant::now();
                self.stack.kill_envoy();
                self.kills.push((before, Instant::now()));
                self.start();
            }
        }
    }

    fn access_log(&self) -> Vec<u8> {
        fs::read(self.stack.logs().join("access.log")).unwrap_or_default()
    }

    fn start(&mut self) {
        self.log_begins = self.access_log().len();
        self.stack.start_envoy();
        self.listens();
    }

    fn listens(&self) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = self.stack.envoy().listener;
    }

    /// One request that ends the VM which gets it.
    fn crash(&mut self, place: &str) {
        self.crashes += 1;
        let id = format!("crash-{}", self.crashes);
        self.records.begin(&id, (12, 34));
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
        let request = client
            .post(format!("http://{}/openai/v1/chat/completions", self.stack.envoy().listener))
            .header("authorization", "Bearer sk-test")
            .header("x-request-id", &id)
            .header("x-crash-for-tests", place);
        // It may be cut, refused as the VM is still dead, or end before the VM does.
        let body = chat("gpt-4o-mini", self.crashes % 2 == 1).to_string();
        let _answer = request.body(body).send().and_then(|answer| answer.bytes());
        self.records.end(&id);
    }

    /// Lets what can come by itself come.
    fn come(&self) -> Came {
        let begun = Instant::now();
        loop {
            // In this order: what is claimed must have come before.
            let heartbeats = self.stack.heartbeats();
            let events = self.stack.events_so_far();
            let access_log = self.access_log();
            let of_last = String::from_utf8_lossy(access_log.get(self.log_begins..).unwrap_or_default());
            // A queue that is too small drops what the access log has.
            let left = if self.is_queue_small {
                Vec::new()
            } else {
                judge::left_behind(&of_last, &self.stack.envoy_log(), &events)
            };
            let bytes = self.stack.prometheus().count("meterr_event_queue_bytes", &[]);
            // The gauge is set once a second.
            let is_over = bytes == 0 && left.is_empty() && begun.elapsed() > Duration::from_secs(2);
            if is_over || begun.elapsed() > BY_THEMSELVES {
                let claims = judge::false_claims(&heartbeats, &events);
                return Came { heartbeats: heartbeats.len(), events: events.len(), claims, left, bytes };
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Ends Envoy, reconciles and compares.
    fn end(mut self) -> Report {
        let came = self.come();
        let log = self.stack.envoy_log();
        let panics = log.matches("meterr panicked at").count().saturating_sub(log.matches("src/crash.rs").count());
        let complaints = self.stack.complaints();
        self.stack.end_envoy();
        let path = self.stack.logs().join("access.log");
        let (status, reconciled) = reconcile(&[&path], self.stack.collector_port(), &[]);

        let (ledger, records) = (self.stack.provider().ledger(), self.records.all());
        let access_log = self.access_log();
        let access_log = String::from_utf8_lossy(&access_log);
        let (events, gaps) = (self.stack.events_so_far(), self.stack.gaps_so_far());
        let verdict = judge::judge(&Evidence {
            ledger: &ledger,
            records: &records,
            access_log: &access_log,
            events: &events,
            gaps: &gaps,
            kills: &self.kills,
        });
        let mut breaches = verdict.breaches(self.kills.len());
        if status != Some(0) {
            breaches.push(format!("reconcile ended with {status:?}"));
        }
        breaches.extend(came.breaches());
        if panics > 0 {
            breaches.push(format!("{panics} panics that nobody asked for"));
        }
        // Crashes are asked for: what Envoy says of them is none.
        let odd = complaints.iter().filter(|complaint| !complaint.starts_with("Envoy: "));
        breaches.extend(odd.map(|complaint| format!("unexpected: {complaint}")));
        let mut report = Report {
            actions: self.actions,
            begun: records.len(),
            served: verdict.balance.served,
            by_themselves: came.events,
            heartbeats: came.heartbeats,
            events: events.len(),
            duplicates: self.stack.collector_stats()["duplicates"].as_u64().unwrap_or(0),
            panics,
            reconciled,
            verdict,
            breaches,
            kept: None,
        };
        if !report.breaches.is_empty() {
            report.kept = Some(self.stack.keep());
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, balance) = (&self.verdict, &self.verdict.balance);
        for (kind, count) in &self.actions {
            writeln!(f, "{count:6}  {kind}")?;
        }
        let actions: usize = self.actions.values().sum();
        writeln!(f, "{actions:6}  actions together")?;
        writeln!(f, "exchanges: {} begun by clients, {} in the provider's ledger", self.begun, self.served)?;
        writeln!(
            f,
            "access log: {} lines ({} cut), of {} exchanges in the provider's ledger",
            verdict.lines, verdict.cut_lines, verdict.logged
        )?;
        writeln!(
            f,
            "collector: {} distinct events, {} of them by themselves, of {} exchanges in the provider's ledger ({} of unknown usage)",
            self.events, self.by_themselves, balance.metered, balance.missing
        )?;
        writeln!(f, "reconcile: {}", self.reconciled)?;
        writeln!(f, "duplicates: {} received, {} after deduplication", self.duplicates, balance.twice.len())?;
        writeln!(
            f,
            "lost: {}; within SIGKILL's bound {}: {} in flight, {} not yet flushed, for {} ms at most",
            balance.lost.len(),
            verdict.lost_within_bound(),
            verdict.lost_in_flight,
            verdict.lost_unflushed,
            verdict.oldest_unflushed.as_millis()
        )?;
        writeln!(
            f,
            "seq: {} missing, {} explained by SIGKILL at most; {} heartbeats",
            verdict.missing_seqs, verdict.explained_seqs, self.heartbeats
        )?;
        writeln!(f, "panics that nobody asked for: {}", self.panics)?;
        for breach in &self.breaches {
            writeln!(f, "BROKEN: {breach}")?;
        }
        match &self.kept {
            Some(path) => write!(f, "logs and events are kept in {}", path.display()),
            None => write!(f, "the law holds"),
        }
    }
}
