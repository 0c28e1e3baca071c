//! Prints how far the estimates are from what providers report: each recorded exchange is estimated first and learned from then.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use clap::Parser;
use meterr_tests::estimated::{Errors, Estimated, Group, counted};

/// Prints the errors of estimates over recorded exchanges.
#[derive(Parser)]
struct Arguments {
    /// Whole exchanges as JSON lines, as `replay --exchanges` takes them; may be compressed with gzip. Without it the repository's own
    /// texts are taken, as `o200k_base` counts them.
    #[arg(long, value_name = "FILE")]
    exchanges: Option<PathBuf>,
    /// Providers with fewer exchanges are left out of the table.
    #[arg(long, value_name = "N", default_value_t = 1)]
    least: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut estimated = Estimated::new()?;
    estimated.take_file(&arguments.exchanges.unwrap_or_else(counted))?;
    let mut groups: Vec<(&String, &Group)> = estimated.groups().iter().collect();
    // Whole groups first, then providers by how much there is of them.
    groups.sort_by_key(|(name, group)| (name.starts_with('`'), std::cmp::Reverse(group.input.count())));
    let mut out = io::stdout().lock();
    writeln!(out, "| | input | prior | learned | output | prior | learned |\n|---|--:|--:|--:|--:|--:|--:|")?;
    for (name, group) in groups {
        if !name.starts_with('`') || group.input.count() >= arguments.least {
            writeln!(out, "| {name} | {} | {} |", cells(&group.input), cells(&group.output))?;
        }
    }
    writeln!(out, "\nExchanges, and median / 90th percentile of the relative error of their estimates.")?;
    Ok(())
}

fn cells(errors: &Errors) -> String {
    let percent = |thousandths: u64| format!("{}.{}", thousandths / 10, thousandths % 10);
    match errors.quantiles() {
        None => "0 | | ".to_owned(),
        Some(all) => {
            let [a, b, c, d] = all.map(percent);
            format!("{} | {a} / {b} % | {c} / {d} %", errors.count())
        }
    }
}
