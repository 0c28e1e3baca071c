//! Our costs beside those of the Python package that the price table comes from: every model × usages × times × terms of service.
//!
//! `tests/prices/matrix` has the package price each pair; each part of ours must be the same decimal. What differs on purpose stands in
//! `tests/fixtures/price_differences.json`, each with its reason; an entry that explains nothing any more is a fault too.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use meterr_core::{
    price::{Adjustments, Cost, CostStatus, Details, PicoUsd, Query, price},
    time::Timestamp,
    usage::Usage,
};
use meterr_tests::envoy::root;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A pair of a model and a usage, as the package prices it.
#[derive(Deserialize)]
struct Pair {
    provider: String,
    model: String,
    /// The model that the package finds by that name.
    id: String,
    at: u64,
    terms: Map<String, Value>,
    usage: Map<String, Value>,
    /// Absent where the package refuses to price it.
    usd: Option<String>,
    /// Each rounded half to even to 1e-12 USD.
    parts: Option<Map<String, Value>>,
}

/// A difference that is meant.
#[derive(Deserialize)]
struct Explained {
    /// Absent: any.
    providers: Option<Vec<String>>,
    /// Absent: any.
    terms: Option<Vec<Map<String, Value>>>,
    ours: Ours,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ours {
    /// No cost, where the package says zero as it has no price.
    UnknownForZero,
    /// No cost at all.
    Unpriced,
    /// The package's price of tokens, times that many thousandths.
    Thousandths(u128),
    /// The usual price, where the package has another on terms that no reply tells.
    Usual,
}

impl Pair {
    fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for (key, value) in &self.usage {
            let place = match key.as_str() {
                "input_tokens" => &mut usage.input,
                "output_tokens" => &mut usage.output,
                "cache_read_tokens" => &mut usage.cache_read,
                "cache_write_tokens" => &mut usage.cache_write,
                "cache_write_1h_tokens" => &mut usage.cache_write_1h,
                "input_audio_tokens" => &mut usage.input_audio,
                "input_image_tokens" => &mut usage.input_image,
                "input_video_tokens" => &mut usage.input_video,
                "cache_audio_read_tokens" => &mut usage.cache_read_audio,
                "cache_image_read_tokens" => &mut usage.cache_read_image,
                "output_audio_tokens" => &mut usage.output_audio,
                "output_image_tokens" => &mut usage.output_image,
                "output_video_tokens" => &mut usage.output_video,
                "output_reasoning_tokens" => &mut usage.reasoning,
                "output_citation_tokens" => &mut usage.citations,
                "web_searches" => &mut usage.web_searches,
                "storage_searches" => &mut usage.file_searches,
                "input_characters" => &mut usage.characters,
                "input_text_messages" => &mut usage.text_messages,
                "input_document_pages" => &mut usage.pages,
                "input_annotated_document_pages" => &mut usage.annotated_pages,
                "audio_seconds" | "input_audio_seconds" => {
                    usage.audio_seconds = value.as_str().map(str::to_owned);
                    continue;
                }
                other => panic!("no such count: {other}"),
            };
            *place = Some(value.as_u64().expect("a count"));
        }
        usage
    }

    fn ours(&self, terms: &Map<String, Value>) -> Cost {
        let term = |name: &str| terms.get(name).and_then(Value::as_str);
        // The package is told that a call was part of a batch; replies say so as their tier.
        let query = Query {
            provider: &self.provider,
            request_model: Some(&self.model),
            response_model: None,
            service_tier: term("service_tier").or_else(|| term("processing")),
            usage: &self.usage(),
            details: Details { speed: term("speed"), ..Details::default() },
            reported: None,
            now: Timestamp::from_secs(self.at),
        };
        price(&Adjustments::default(), &query)
    }

    fn part(&self, name: &str) -> Option<PicoUsd> {
        Some(pico(self.parts.as_ref()?[name].as_str().expect("a decimal")))
    }

    /// What is wrong with our cost.
    fn difference(&self, cost: &Cost) -> Option<String> {
        let Some(usd) = &self.usd else {
            // It refuses where more was cached, say, than there was. We price the parts, and do not call that the cost.
            return (cost.status == CostStatus::Priced).then(|| "ours is whole, and the package refuses".to_owned());
        };
        let Some(total) = cost.total else { return Some(format!("ours is unpriced, theirs is {usd}")) };
        if cost.priced_model.as_deref() != Some(&*self.id) {
            return Some(format!("ours is the price of {:?}", cost.priced_model));
        }
        if self.parts.is_none() {
            return (total != pico(usd)).then(|| format!("ours is {total}, theirs is {usd}"));
        }
        let ours = parts(cost).map(|(name, part)| (name, part, self.part(name).unwrap_or_default()));
        let wrong = ours.into_iter().find(|(_, ours, theirs)| ours != theirs);
        wrong.map(|(name, ours, theirs)| format!("{name} is {ours} of ours, {theirs} of theirs"))
    }
}

fn parts(cost: &Cost) -> [(&'static str, PicoUsd); 5] {
    [
        ("input", cost.input),
        ("output", cost.output),
        ("cache_read", cost.cache_read),
        ("cache_write", cost.cache_write),
        ("other", cost.other),
    ]
    .map(|(name, part)| (name, part.unwrap_or_default()))
}

fn pico(decimal: &str) -> PicoUsd {
    PicoUsd::parse(decimal).unwrap_or_else(|| panic!("{decimal} is no decimal"))
}

impl Explained {
    fn is_meant_for(&self, pair: &Pair) -> bool {
        self.providers.as_ref().is_none_or(|providers| providers.contains(&pair.provider))
            && self.terms.as_ref().is_none_or(|terms| terms.contains(&pair.terms))
    }

    fn explains(&self, pair: &Pair, cost: &Cost) -> bool {
        match self.ours {
            Ours::UnknownForZero => cost.total.is_none() && pair.usd.as_deref() == Some("0"),
            Ours::Unpriced => cost.total.is_none(),
            Ours::Usual => *cost == pair.ours(&Map::new()),
            Ours::Thousandths(factor) => parts(cost).into_iter().all(|(name, ours)| {
                let theirs = pair.part(name).unwrap_or_default();
                // Theirs has been rounded before, ours is rounded after.
                let factor = if name == "other" { 1_000 } else { factor };
                (ours.0 * 1_000).abs_diff(theirs.0 * factor) <= 1_000
            }),
        }
    }
}

#[test]
fn ok_every_price_is_the_packages_own_or_differs_for_a_stated_reason() {
    let fixture = std::fs::read(root().join("tests/fixtures/price_differences.json")).expect("the fixture");
    let explained: Vec<Explained> = serde_json::from_slice(&fixture).expect("reasons");
    let mut uses = vec![0_u64; explained.len()];
    let mut matrix = Command::new(root().join("tests/prices/matrix")).stdout(Stdio::piped()).spawn().expect("a script");
    let (mut pairs, mut refused, mut partial, mut whole) = (0_u64, 0_u64, 0_u64, 0_u64);
    // One example of each kind.
    let mut unexplained: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut ended = false;
    for line in BufReader::new(matrix.stdout.take().expect("piped")).lines() {
        let line = line.expect("a line");
        if let Ok(end) = serde_json::from_str::<Map<String, Value>>(&line)
            && end.contains_key("unreachable")
        {
            assert_eq!(end["unreachable"], 0, "models that no name leads to");
            ended = true;
            continue;
        }
        let pair: Pair = serde_json::from_str(&line).expect("a pair");
        let cost = pair.ours(&pair.terms);
        pairs += 1;
        refused += u64::from(pair.usd.is_none());
        partial += u64::from(cost.status == CostStatus::Partial);
        whole += u64::from(cost.status == CostStatus::Priced);
        let sum: u128 = parts(&cost).iter().map(|(_, part)| part.0).sum();
        assert_eq!(cost.total.unwrap_or_default().0, sum, "the total is the sum of the parts: {line}");
        if let Some(difference) = pair.difference(&cost) {
            // The first that is meant for these terms must explain it: what another provider does not tell, this one may.
            let mut meant = explained.iter().enumerate().filter(|(_, explained)| explained.is_meant_for(&pair));
            let first = meant.find(|(_, explained)| explained.terms.is_some() || explained.explains(&pair, &cost));
            match first.filter(|(_, explained)| explained.explains(&pair, &cost)) {
                Some((at, _)) => uses[at] += 1,
                None => {
                    let kind = format!("{} {:?} {}", pair.provider, pair.terms, cost.status.code());
                    unexplained.entry(kind).or_insert_with(|| (0, format!("{difference}: {line}"))).0 += 1;
                }
            }
        }
    }
    assert!(matrix.wait().expect("it ends").success() && ended, "tests/prices/matrix failed");
    let by_reason: u64 = uses.iter().sum();
    let differences: u64 = unexplained.values().map(|(count, _)| count).sum();
    println!("{pairs} pairs, {} differences, {by_reason} of them explained", by_reason + differences);
    println!("  {whole} priced whole, {partial} in part; {refused} that the package refuses to price");
    for (explained, uses) in explained.iter().zip(&uses) {
        println!("  {uses:>6} × {}", explained.reason);
    }
    for (kind, (count, example)) in &unexplained {
        println!("unexplained: {count:>6} × {kind}, such as {example}");
    }
    assert_eq!(differences, 0, "differences that nobody explains");
    assert!(uses.iter().all(|uses| *uses > 0), "a reason explains nothing any more");
    assert!(pairs > 100_000 && whole > 80_000, "the matrix is too small to prove much");
}
