//! What an exchange costs as something grows that there may be many of: tenants, limits, provider rows.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

use super::{Budget, Vm};
use crate::workload::{self, Replies, Workload};

/// Exchanges that are measured at each size; what is printed is their mean.
const MEASURED: u64 = 20;
/// Exchanges after which their events are delivered.
const BATCH: u64 = 100;

/// One size, and what an exchange costs there.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// How many of them there are.
    pub size: u64,
    /// The mean of an exchange.
    pub cost: Budget,
    /// Bytes of the VM's memory.
    pub memory: usize,
}

/// What an exchange of `chat_2k` costs by the number of tenants, limits and provider rows, with the module in that file.
///
/// # Errors
/// If an exchange does not end as it must.
pub fn scale(wasm: &Path) -> Result<BTreeMap<&'static str, Vec<Point>>> {
    let mut all = BTreeMap::new();
    let mut vm = Vm::start(wasm, &workload::configuration(1))?;
    let (mut known, mut points) = (0, Vec::new());
    for size in [10, 1_000, 100_000] {
        vm.serve(known..size)?;
        known = size;
        points.push(vm.point(size)?);
    }
    all.insert("tenants", points);
    let mut points = Vec::new();
    for size in [1, 4, 16, 64] {
        points.push(Vm::start(wasm, &workload::configuration(size))?.point(size)?);
    }
    all.insert("limits", points);
    let mut points = Vec::new();
    for size in [0, 16, 256] {
        let row = |nth: u64| json!({ "id": format!("own-{nth}"), "hosts": [format!("own-{nth}.example.com")], "dialects": ["openai.chat"] });
        let rows: Vec<Value> = (0..size).map(row).collect();
        let mut configuration = workload::configuration(1);
        configuration["providers"] = json!({ "extra": rows });
        points.push(Vm::start(wasm, &configuration)?.point(size)?);
    }
    all.insert("provider rows", points);
    Ok(all)
}

impl Vm {
    /// One exchange for each of these tenants.
    fn serve(&mut self, tenants: impl IntoIterator<Item = u64>) -> Result<()> {
        let (replies, message) = (Replies::new(), Workload::Chat2k.request(0));
        let message = String::from_utf8_lossy(&message).into_owned();
        for (nth, tenant) in (1_u64..).zip(tenants) {
            let message = message.replacen("tenant-0", &format!("tenant-{tenant}"), 1);
            self.pass(message.as_bytes(), Workload::Chat2k, &replies)?;
            if nth.is_multiple_of(BATCH) {
                self.answer()?;
            }
        }
        self.answer()?;
        Ok(())
    }

    /// The cost with so many of them; tenants that are spread over all there are.
    fn point(&mut self, size: u64) -> Result<Point> {
        let tenants = move |from: u64| (0..MEASURED).map(move |nth| (from + nth * 7_919) % size.max(1));
        self.serve(tenants(0))?;
        self.take_profile();
        let (replies, message) = (Replies::new(), Workload::Chat2k.request(0));
        let message = String::from_utf8_lossy(&message).into_owned();
        for tenant in tenants(3) {
            let message = message.replacen("tenant-0", &format!("tenant-{tenant}"), 1);
            self.pass(message.as_bytes(), Workload::Chat2k, &replies)?;
        }
        let total = self.take_profile().total();
        let mean = |sum: u64| (sum + MEASURED / 2) / MEASURED;
        let cost = Budget {
            callbacks: mean(total.callbacks),
            returning: mean(total.returning),
            plain: mean(total.plain),
            bytes: mean(total.bytes),
            steps: mean(total.steps),
        };
        Ok(Point { size, cost, memory: self.memory_bytes() })
    }
}
