//! The table that a person reads.

use std::{collections::BTreeMap, fmt::Write as _, iter};

use meterr_tests::{
    vm::{Measured, Point},
    workload::Workload,
};

use crate::{
    subject::Subject,
    summary::{CHUNK_P50, CHUNK_P99, CPU, Measure, OWN_CPU, P50, P99, RPS, RSS, Samples, Spread},
};

const NOTES: &str = "\
Medians of all slices; in brackets the quartiles. A ratio is taken slice by slice to the subject beside it in the same turn, then
its median. cpu: µs a request of the whole Envoy process, user and system, from the scheduler's nanosecond accounting of its
threads. own: the same of the load and the stand-ins together. p50, p99: of whole requests. chunk: from the provider's write of a
streamed chunk to its arrival at the client.
";

/// Processors that others may use before the reader is told: what a machine does for itself, and the coarse ticks that it is told by.
const QUIET: f64 = 0.1;

/// All that was measured.
pub(crate) fn table(samples: &Samples, workloads: &[Workload], subjects: &[Subject]) -> String {
    let mut out = String::new();
    for &workload in workloads {
        let slices = samples.slices(workload, Subject::Envoy).len();
        let connections = workload.connections();
        line(&mut out, format_args!("\n{}   {slices} slices, {connections} at once", workload.name()));
        absolute(&mut out, samples, workload, subjects);
        ratios(&mut out, samples, workload, subjects);
    }
    line(&mut out, format_args!("\n{NOTES}"));
    let others = samples.others();
    if others > QUIET {
        line(
            &mut out,
            format_args!("Not a quiet machine: other processes used {others:.2} processors (median of all slices).\n"),
        );
    }
    out
}

fn absolute(out: &mut String, samples: &Samples, workload: Workload, subjects: &[Subject]) {
    let heads =
        ["requests/s", "p50 ms", "p99 ms", "cpu µs/request", "RSS MiB", "own µs", "chunk p50 ms", "chunk p99 ms"];
    let columns = [(RPS, 0), (P50, 2), (P99, 2), (CPU, 1), (RSS, 1), (OWN_CPU, 1), (CHUNK_P50, 3), (CHUNK_P99, 3)];
    rows(out, "", &heads, subjects, |subject, nth| {
        let (measure, digits) = columns[nth];
        samples.absolute(workload, subject, measure).map(|spread| brackets(spread, digits))
    });
}

fn ratios(out: &mut String, samples: &Samples, workload: Workload, subjects: &[Subject]) {
    let heads = ["requests/s", "p50", "p99", "cpu", "RSS", "", "chunk p50", "chunk p99"];
    let columns: [Option<Measure>; 8] =
        [Some(RPS), Some(P50), Some(P99), Some(CPU), Some(RSS), None, Some(CHUNK_P50), Some(CHUNK_P99)];
    for base in [Subject::Envoy, Subject::Limits(0)] {
        let compared: Vec<Subject> = subjects.iter().copied().filter(|it| it.base() == base && *it != base).collect();
        if !compared.is_empty() {
            rows(out, &format!("÷ {}", base.name()), &heads, &compared, |subject, nth| {
                samples.ratio(workload, subject, base, columns[nth]?).map(|spread| brackets(spread, 3))
            });
        }
    }
}

fn rows(
    out: &mut String,
    corner: &str,
    heads: &[&str],
    subjects: &[Subject],
    cell: impl Fn(Subject, usize) -> Option<String>,
) {
    let mut lines = vec![format!("  {corner:<10}")];
    lines.extend(subjects.iter().map(|subject| format!("  {:<10}", subject.name())));
    for (nth, head) in heads.iter().enumerate() {
        let cells: Vec<Option<String>> = subjects.iter().map(|subject| cell(*subject, nth)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells: Vec<String> =
            iter::once((*head).to_owned()).chain(cells.into_iter().map(Option::unwrap_or_default)).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0) + 2;
        for (line, cell) in lines.iter_mut().zip(cells) {
            // Writing to a String cannot fail.
            let _infallible = write!(line, "{cell:>width$}");
        }
    }
    for text in lines {
        line(out, format_args!("{text}"));
    }
}

fn brackets(Spread { median, quartiles: [low, high] }: Spread, digits: usize) -> String {
    format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{text}");
}

/// What an exchange costs in counts, by how many there are of something.
pub(crate) fn scale(all: &BTreeMap<&'static str, Vec<Point>>) -> String {
    let mut out = String::new();
    for (name, points) in all {
        let heads = ["returning", "plain", "bytes", "steps", "memory KiB"];
        line(&mut out, format_args!("{name:>14}{}", heads.map(|head| format!("{head:>12}")).concat()));
        for Point { size, cost, memory } in points {
            let figures = [cost.returning, cost.plain, cost.bytes, cost.steps, *memory as u64 / 1024];
            line(&mut out, format_args!("{size:>14}{}", figures.map(|figure| format!("{figure:>12}")).concat()));
        }
        out.push('\n');
    }
    out
}

/// What each callback costs in counts, and then all of them together.
pub(crate) fn profile(measured: &Measured) -> String {
    let mut out = String::new();
    for (name, profile) in &measured.0 {
        let _infallible = writeln!(out, "{name}\n{profile}");
    }
    let _infallible = writeln!(
        out,
        "{:<16} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "", "callbacks", "returning", "plain", "bytes", "steps"
    );
    for (name, total) in measured.totals() {
        let _infallible = write!(out, "{name:<16}");
        for (figure, value) in total.figures() {
            let width = if figure == "steps" { 12 } else { 10 };
            let _infallible = write!(out, " {value:>width$}");
        }
        out.push('\n');
    }
    out
}
