//! Runs chaos for a while and prints the three ledgers: see `scripts/chaos --help`.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use meterr_tests::chaos::{Plan, run};

/// Runs chaos and compares three ledgers. Exits with 0 only if nothing is lost and nothing counts twice.
#[derive(Parser)]
struct Arguments {
    /// Length of the schedule, in minutes.
    #[arg(long, value_name = "M", default_value_t = 0.4)]
    minutes: f64,
    /// Of schedule and traffic.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// `sink.queue.max_bytes`: a small queue drops events, which only the access log has then.
    #[arg(long, value_name = "N")]
    queue_bytes: Option<u64>,
    /// Tells each step when it happens.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Ok(length) = Duration::try_from_secs_f64(arguments.minutes * 60.0) else {
        eprintln!("error: --minutes is no length of time");
        return ExitCode::from(2);
    };
    let plan = Plan { seed: arguments.seed, length, queue_bytes: arguments.queue_bytes, verbose: arguments.verbose };
    let report = run(&plan);
    println!("{report}");
    if report.breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
