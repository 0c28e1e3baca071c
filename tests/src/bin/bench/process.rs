//! What the kernel says about a process.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// CPU time of a process, user and system, over all its threads.
///
/// The sum of `/proc/<pid>/task/*/schedstat`, which counts nanoseconds where `/proc/<pid>/stat` counts ticks of 10 ms. A thread that
/// ended takes its time with it: Envoy's threads live as long as the process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two looks.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let time: u64 = text.split_whitespace().next().and_then(|time| time.parse().ok()).context("schedstat")?;
        nanos += time;
    }
    Ok(Duration::from_nanos(nanos))
}

/// CPU time of all processes of the machine, and what its host took away, from `/proc/stat`, in ticks of 10 ms.
pub(crate) fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat")?;
    let times = line.split_whitespace().skip(1).map(|time| time.parse::<u64>().context("/proc/stat"));
    // user nice system idle iowait irq softirq steal; the guests after them are in user already.
    let busy = times.take(8).enumerate().filter(|(nth, _)| ![3, 4].contains(nth)).map(|(_, time)| time);
    Ok(Duration::from_millis(busy.sum::<Result<u64>>()? * 10))
}
