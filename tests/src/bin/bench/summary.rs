//! Medians of many slices, and how far they spread.

use std::collections::BTreeMap;

use meterr_tests::workload::Workload;
use serde_json::{Value, json};

use crate::subject::Subject;

/// What one slice measured.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Requests a second.
    pub(crate) rps: f64,
    /// Milliseconds that a request took.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU µs a request of the Envoy process.
    pub(crate) cpu: f64,
    /// Resident MiB of the Envoy process.
    pub(crate) rss: f64,
    /// CPU µs a request of this process: load and stand-ins.
    pub(crate) own_cpu: f64,
    /// Milliseconds between a chunk's write by the provider and its arrival at the client; streams only.
    pub(crate) chunk: Option<(f64, f64)>,
    /// Processors that neither Envoy nor this process used, and that were not idle.
    pub(crate) others: f64,
}

/// One number of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Its name in JSON.
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Sample) -> Option<f64>,
}

pub(crate) const RPS: Measure = Measure { name: "rps", of: |sample| Some(sample.rps) };
pub(crate) const P50: Measure = Measure { name: "p50", of: |sample| Some(sample.p50) };
pub(crate) const P99: Measure = Measure { name: "p99", of: |sample| Some(sample.p99) };
pub(crate) const CPU: Measure = Measure { name: "cpu", of: |sample| Some(sample.cpu) };
pub(crate) const RSS: Measure = Measure { name: "rss", of: |sample| Some(sample.rss) };
pub(crate) const OWN_CPU: Measure = Measure { name: "own_cpu", of: |sample| Some(sample.own_cpu) };
pub(crate) const CHUNK_P50: Measure = Measure { name: "chunk_p50", of: |sample| Some(sample.chunk?.0) };
pub(crate) const CHUNK_P99: Measure = Measure { name: "chunk_p99", of: |sample| Some(sample.chunk?.1) };

/// What can be compared between subjects.
const ALL: [Measure; 8] = [CPU, RPS, P50, P99, RSS, CHUNK_P50, CHUNK_P99, OWN_CPU];

/// A median and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) quartiles: [f64; 2],
}

impl Spread {
    /// Of these; none if there are none.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let at = |share| quantile(&values, share);
        Some(Self { median: at(0.5)?, quartiles: [at(0.25)?, at(0.75)?] })
    }
}

/// The value below which that share of the sorted values lies, interpolated.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// All samples, those of one slice of all subjects at the same index.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(Workload, Subject), Vec<Sample>>);

impl Samples {
    pub(crate) fn add(&mut self, workload: Workload, subject: Subject, sample: Sample) {
        self.0.entry((workload, subject)).or_default().push(sample);
    }

    pub(crate) fn slices(&self, workload: Workload, subject: Subject) -> &[Sample] {
        self.0.get(&(workload, subject)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn absolute(&self, workload: Workload, subject: Subject, measure: Measure) -> Option<Spread> {
        Spread::of(self.slices(workload, subject).iter().filter_map(measure.of).collect())
    }

    /// Processors that something else used, the median of all slices.
    pub(crate) fn others(&self) -> f64 {
        let all = self.0.values().flatten().map(|sample| sample.others);
        Spread::of(all.collect()).map_or(0.0, |spread| spread.median)
    }

    /// To `base`, each slice over that of the same turn.
    pub(crate) fn ratio(
        &self,
        workload: Workload,
        subject: Subject,
        base: Subject,
        measure: Measure,
    ) -> Option<Spread> {
        let pairs = self.slices(workload, subject).iter().zip(self.slices(workload, base));
        Spread::of(pairs.filter_map(|(one, other)| Some((measure.of)(one)? / (measure.of)(other)?)).collect())
    }

    /// Everything as JSON.
    pub(crate) fn json(&self, workloads: &[Workload], subjects: &[Subject]) -> Value {
        let (mut ratios, mut limits, mut absolute) = (json!({}), json!({}), json!({}));
        for &workload in workloads {
            let at = workload.name();
            for &subject in subjects {
                let name = subject.name();
                absolute[at][&name] = object(|measure| {
                    let Spread { median, quartiles } = self.absolute(workload, subject, measure)?;
                    Some(json!({ "median": round(median), "quartiles": quartiles.map(round) }))
                });
                let base = subject.base();
                let ratio = |measure| self.ratio(workload, subject, base, measure);
                if subject == base {
                    continue;
                }
                let mut values = object(|measure| Some(json!(round(ratio(measure)?.median))));
                values["quartiles"] = object(|measure| Some(json!(ratio(measure)?.quartiles.map(round))));
                match subject {
                    Subject::Limits(count) => limits[at][count.to_string()] = values,
                    Subject::Envoy | Subject::Noop | Subject::Meterr | Subject::Other => ratios[at][&name] = values,
                }
            }
        }
        json!({ "ratios": ratios, "limits": limits, "absolute": absolute, "other_processors": round(self.others()) })
    }
}

fn object(value: impl Fn(Measure) -> Option<Value>) -> Value {
    ALL.iter()
        .filter_map(|measure| Some((measure.name.to_owned(), value(*measure)?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// To what a reader can use.
fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
