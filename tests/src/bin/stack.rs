//! Keeps a whole system up on loopback for tests that are not written in Rust: Envoy with the filter, a strict provider, a strict
//! collector.
//!
//! Prints one line of JSON with their URLs when all of it is ready. Runs until its standard input is closed, so that it ends with
//! whoever started it, or until SIGTERM or SIGINT. Then Envoy is ended, and anything that a part did not expect is told on standard
//! error and makes the exit status 1.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::mpsc::{self, Sender},
    thread,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use meterr_tests::stack::{Options, Stack};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// Starts Envoy with the filter, a provider stand-in and a collector, and prints where they are.
#[derive(Parser)]
struct Arguments {
    /// The filter's `limits`.
    #[arg(long, value_name = "JSON", default_value = "[]", value_parser = parse)]
    limits: Value,
    /// Further members of the filter's configuration; objects are merged, everything else replaces.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = parse)]
    more: Value,
    /// Envoy's worker threads.
    #[arg(long, value_name = "N", default_value_t = 2)]
    concurrency: u32,
    /// A server that is not ours, to stand for every provider.
    #[arg(long, value_name = "ADDRESS:PORT")]
    upstream: Option<SocketAddr>,
}

fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (stop, stopped) = mpsc::channel();
    // Before anything is started: a signal during the start must not leave an Envoy behind.
    stop_on_signal(stop.clone())?;
    let stack = Stack::launch(&Options {
        limits: arguments.limits,
        more: arguments.more,
        concurrency: arguments.concurrency,
        upstream: arguments.upstream,
        ..Options::default()
    })?;
    thread::spawn(move || {
        let _whatever_came = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.send(())
    });
    announce(&stack)?;
    stopped.recv().context("nobody is left who could stop this")?;
    let complaints = stack.complaints();
    drop(stack);
    let mut out = io::stderr().lock();
    for complaint in &complaints {
        writeln!(out, "{complaint}")?;
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stop_on_signal(stop: Sender<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        });
        stop.send(())
    });
    Ok(())
}

fn announce(stack: &Stack) -> Result<()> {
    let urls = json!({
        "listener": format!("http://{}", stack.envoy().listener),
        "admin": format!("http://{}", stack.envoy().admin),
        "provider": format!("http://{}", stack.provider().address()),
        "collector": format!("http://127.0.0.1:{}", stack.collector_port()),
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{urls}")?;
    Ok(out.flush()?)
}
