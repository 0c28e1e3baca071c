//! How far the estimates of the core are from what providers report, over recorded exchanges: predict first, then learn.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;
use meterr_core::{
    config::Config,
    dialect::Operation,
    head::Headers,
    provider::route::{Providers, Route},
    request::RequestScan,
    usage::{
        estimate::learned::{FEW, Kind, Learned, Shape},
        meter::Meter,
    },
};
use serde_json::Value;

use crate::{
    envoy::root,
    recorded::{CONFIGURATION, Process, Recorded},
};

/// Errors of one side of the exchanges of one group, in thousandths of what was reported.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    prior: Vec<u64>,
    learned: Vec<u64>,
}

impl Errors {
    fn add(&mut self, truth: u64, prior: u64, learned: u64) {
        let error = |estimate: u64| estimate.abs_diff(truth).saturating_mul(1_000) / truth.max(1);
        self.prior.push(error(prior));
        self.learned.push(error(learned));
    }

    /// Exchanges that are looked at.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.prior.len()
    }

    /// Median and 90th percentile of the prior's error, and of what was learned.
    #[must_use]
    pub fn quantiles(&self) -> Option<[u64; 4]> {
        let of = |errors: &[u64]| {
            let mut sorted = errors.to_vec();
            sorted.sort_unstable();
            let at =
                |tenths: usize| sorted.get((sorted.len() * tenths / 10).min(sorted.len().checked_sub(1)?)).copied();
            Some([at(5)?, at(9)?])
        };
        let ([a, b], [c, d]) = (of(&self.prior)?, of(&self.learned)?);
        Some([a, b, c, d])
    }
}

/// Errors of a group's inputs and outputs.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Input.
    pub input: Errors,
    /// Output.
    pub output: Errors,
}

/// What one exchange was estimated as before it was played, and what it was reported as.
#[derive(Clone, Debug)]
struct Guess {
    shape: Shape,
    /// By the prior, and by what was learned.
    input: [u64; 2],
    /// `None` where the reply has no text.
    output: Option<[u64; 2]>,
}

/// All exchanges so far, as they come to one process.
#[derive(Debug)]
pub struct Estimated {
    process: Process,
    providers: Providers,
    nth: usize,
    groups: BTreeMap<String, Group>,
}

impl Estimated {
    /// None yet.
    ///
    /// # Errors
    /// If the core does not start.
    pub fn new() -> Result<Self> {
        let config = match Config::parse(CONFIGURATION, &|_| None) {
            Ok(config) => config,
            Err(problems) => bail!("{problems}"),
        };
        Ok(Self { providers: Providers::new(&config), process: Process::new()?, nth: 0, groups: BTreeMap::new() })
    }

    /// Groups by name: `text` and its halves, `more`, and one for each provider's text.
    #[must_use]
    pub const fn groups(&self) -> &BTreeMap<String, Group> {
        &self.groups
    }

    /// Takes the next exchange: estimates, plays it, compares.
    ///
    /// # Errors
    /// If the core makes an event that is no JSON.
    pub fn take(&mut self, recorded: &Recorded) -> Result<()> {
        let guess = self.guess(recorded);
        let Some(data) = self.process.play(recorded, &[])? else { return Ok(()) };
        let Some(guess) = guess.filter(|_| is_sure(&data)) else { return Ok(()) };
        let half = ["text, even", "text, odd"][self.nth % 2].to_owned();
        self.nth += 1;
        let names = match guess.shape {
            Shape::More | Shape::Unread => vec!["more".to_owned()],
            Shape::Plain | Shape::Tools => {
                vec!["text".to_owned(), half, format!("`{}`", data["provider"].as_str().unwrap_or_default())]
            }
        };
        let tokens = |name: &str| data[name].as_u64().filter(|tokens| *tokens > 0);
        for name in names {
            let group = self.groups.entry(name).or_default();
            if let (Some(truth), [prior, learned]) = (tokens("input_tokens"), guess.input)
                && prior > 0
            {
                group.input.add(truth, prior, learned);
            }
            if let (Some(truth), Some([prior, learned])) = (tokens("output_tokens"), guess.output) {
                group.output.add(truth, prior, learned);
            }
        }
        Ok(())
    }

    /// Takes the exchanges of a file, one a line, as [`Recorded::parse`] reads them; `.gz` is decompressed.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn take_file(&mut self, file: &Path) -> Result<()> {
        let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
        let reader: Box<dyn BufRead> = if file.extension().is_some_and(|extension| extension == "gz") {
            Box::new(BufReader::new(GzDecoder::new(opened)))
        } else {
            Box::new(BufReader::new(opened))
        };
        for (number, line) in reader.lines().enumerate() {
            let recorded = serde_json::from_str::<Value>(&line?).map_err(Into::into).and_then(|mut line| {
                line["host"] = line["host"].as_str().map(with_region).into();
                Recorded::parse(&line)
            });
            self.take(&recorded.with_context(|| format!("line {}", number + 1))?)?;
        }
        Ok(())
    }

    fn guess(&self, recorded: &Recorded) -> Option<Guess> {
        let header = |headers: &'_ [(String, String)], name: &str| {
            headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone().into_bytes())
        };
        let request = |name: &str| header(&recorded.request, name).unwrap_or_default();
        let (provider, matched) =
            match self.providers.route(&request(":method"), &request(":authority"), &request(":path"), false) {
                Route::Known { row, operation, .. } => (row.id.clone().into_owned(), operation?),
                Route::Unknown { operation } => ("unknown".to_owned(), operation),
                Route::Pass | Route::NotFound { .. } => return None,
            };
        let operation: &'static Operation = matched.operation;
        let mut scan = RequestScan::new(operation, matched.model, None);
        scan.push(&recorded.request_body);
        let facts = scan.finish();
        let kind = Kind {
            provider: &provider,
            dialect: operation.dialect_name(),
            model: facts.model.as_deref(),
            shape: facts.shape(),
        };
        let response = |name: &str| header(&recorded.response, name);
        let status = String::from_utf8(response(":status")?).ok()?.parse().ok()?;
        let content_type = response("content-type").unwrap_or_default();
        let headers = Headers::new(Vec::new());
        let mut meter = Meter::new(operation, status, &content_type, response("content-encoding").as_deref())
            .with_headers(&headers);
        meter.push(&recorded.response_body, self.process.now());
        meter.finish();
        let text = meter.snapshot().text;
        let both = [Learned::default(), Learned::read(&kind, FEW, self.process.store(), self.process.now())];
        Some(Guess {
            shape: facts.shape(),
            input: both.map(|known| known.input(facts.input_weight())),
            output: Some(both.map(|known| known.output(text))).filter(|_| text > 0),
        })
    }
}

/// Texts of this repository and of the Universal Declaration of Human Rights in seventeen languages as requests and replies, with the
/// counts of `o200k_base` (taken with the PyPI package `bpe-openai`) and of `OpenAI`'s recipe for messages as usage.
#[must_use]
pub fn counted() -> PathBuf {
    root().join("tests/fixtures/counted.jsonl")
}

/// A recorder's `<region>` in a host, replaced by one: otherwise no row would know it.
fn with_region(host: &str) -> String {
    match host.split_once('<').and_then(|(before, rest)| Some((before, rest.split_once('>')?.1))) {
        Some((before, after)) => format!("{before}us-east-1{after}"),
        None => host.to_owned(),
    }
}

/// Whether the provider has said all, and nothing strange.
fn is_sure(data: &Value) -> bool {
    data["usage_status"] == "reported" && data["outcome"] == "completed" && data["billable"] == true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prose, code, configuration and seventeen languages.
    #[test]
    fn ok_the_prior_is_near_and_so_is_what_is_learned() {
        let mut estimated = Estimated::new().expect("it starts");
        estimated.take_file(&counted()).expect("it plays");
        let text = &estimated.groups()["text"];
        for side in [&text.input, &text.output] {
            let [prior, prior_most, learned, learned_most] = side.quantiles().expect("some");
            println!("{} exchanges: {prior} / {prior_most} before, {learned} / {learned_most} after", side.count());
            assert!(side.count() > 60, "{}", side.count());
            assert!(prior < 150 && prior_most < 500, "{prior} {prior_most}");
            assert!(learned < 150 && learned_most < 500, "{learned} {learned_most}");
        }
    }
}
