//! Requests, and what a limit wants of them by its definition.

use meterr_core::{
    limit::{
        Charge, Demand, Pricing, Subject, Unit,
        spec::{Dimension, LimitSpec, OnExceed, Reserve},
    },
    random::Random,
};

/// Who asks for what, and what it will come to.
#[derive(Clone, Debug)]
pub(super) struct Request {
    tenant: &'static str,
    user: Option<&'static str>,
    key: &'static str,
    provider: &'static str,
    model: Option<&'static str>,
    labels: Vec<(String, String)>,
    pub(super) demand: Demand,
    pub(super) truth: Charge,
}

/// Three units of money for an input token, seven for an output token; at most four and seven.
pub(super) struct Flat;

impl Pricing for Flat {
    fn cost(&self, input: u64, output: u64, at_most: bool) -> Option<u64> {
        Some(input * if at_most { 4 } else { 3 } + output * 7)
    }
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.up_to(of.len() as u64 - 1)).expect("small")]
}

impl Request {
    pub(super) fn new(random: &mut Random) -> Self {
        let often = |random: &mut Random| random.up_to(9) > 0;
        let (input, output) = (random.up_to(60), random.up_to(60));
        let cap = often(random).then(|| output + random.up_to(20));
        let bound = often(random).then(|| input + random.up_to(20));
        let is_gone = random.up_to(9) == 0;
        let (input, output) = if is_gone { (0, 0) } else { (input, output) };
        Self {
            tenant: pick(random, &["acme", "beta", "big"]),
            user: pick(random, &[Some("ann"), Some("bob"), None]),
            key: pick(random, &["k1", "k2"]),
            provider: pick(random, &["openai", "groq"]),
            model: pick(random, &[Some("gpt-4o"), Some("gpt-5"), Some("o3"), None]),
            labels: pick(random, &[None, Some("red"), Some("blue")])
                .map(|team| ("team".to_owned(), team.to_owned()))
                .into_iter()
                .collect(),
            demand: Demand {
                input_estimate: bound.map_or(input + random.up_to(20), |bound| bound.min(input + random.up_to(20))),
                output_estimate: (random.up_to(1) == 0).then(|| random.up_to(60)),
                output_cap: cap,
                input_bound: bound,
            },
            truth: Charge { tokens: input + output, input, output, usd: input * 3 + output * 7 },
        }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: self.tenant,
            user: self.user,
            key: Some(self.key),
            provider: self.provider,
            model: self.model,
            labels: &self.labels,
        }
    }

    pub(super) fn applies(&self, spec: &LimitSpec) -> bool {
        // Two kinds of globs occur in the simulated limits: a prefix of models, and a tenant.
        let model = self.model.unwrap_or("unknown");
        spec.applies.model.iter().all(|glob| model.starts_with(glob.trim_end_matches('*')))
            && spec.applies.tenant.iter().all(|tenant| tenant == self.tenant)
    }

    pub(super) fn descriptor(&self, spec: &LimitSpec) -> String {
        let value = |dimension: &Dimension| match dimension {
            Dimension::Tenant => self.tenant,
            Dimension::User => self.user.unwrap_or("unknown"),
            Dimension::Key => self.key,
            Dimension::Provider => self.provider,
            Dimension::Model => self.model.unwrap_or("unknown"),
            Dimension::Label(_) => self.labels.first().map_or("unknown", |(_, team)| team),
        };
        spec.per.iter().map(value).collect::<Vec<_>>().join("|")
    }

    pub(super) fn amount(&self, spec: &LimitSpec) -> u64 {
        let is_meant = |tenant: &String| tenant == self.tenant;
        spec.overrides
            .iter()
            .find(|other| other.of.tenant.iter().all(is_meant))
            .map_or(spec.amount, |other| other.amount)
    }

    /// What it wants of a limit.
    pub(super) fn want(&self, spec: &LimitSpec) -> Want {
        let of = |input: u64, output: u64, at_most: bool| match spec.unit {
            Unit::InputTokens => input,
            Unit::OutputTokens => output,
            Unit::Usd => Flat.cost(input, output, at_most).expect("a price"),
            _ => input + output,
        };
        let amount = self.amount(spec);
        let plain = |hold, charge| Want { amount, hold, charge, never: false, is_bounded: true };
        match spec.unit {
            Unit::Requests => return plain(0, 1),
            Unit::ConcurrentRequests => return plain(1, 0),
            _ => {}
        }
        let Demand { input_estimate, output_estimate, output_cap, input_bound } = self.demand;
        let usual = match (output_estimate, output_cap) {
            (Some(usual), Some(cap)) => usual.min(cap),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => spec.assume_output_tokens,
        };
        let expected = of(input_estimate, usual, false).min(amount);
        let most = match (spec.unit, input_bound, output_cap) {
            (Unit::InputTokens, Some(input), _) => Some(of(input, 0, true)),
            (Unit::OutputTokens, _, Some(output)) => Some(of(0, output, true)),
            (Unit::InputTokens | Unit::OutputTokens, ..) | (_, None, _) | (.., None) => None,
            (_, Some(input), Some(output)) => Some(of(input, output, true)),
        };
        match (spec.reserve, most) {
            (Reserve::None, _) => Want { is_bounded: false, ..plain(0, 0) },
            (Reserve::Expected, _) | (Reserve::WorstCase, None) => Want { is_bounded: false, ..plain(expected, 0) },
            (Reserve::WorstCase, Some(most)) if most > amount => {
                Want { never: true, is_bounded: false, ..plain(expected, 0) }
            }
            (Reserve::WorstCase, Some(most)) => plain(most, 0),
        }
    }

    pub(super) const fn truth(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests | Unit::ConcurrentRequests => 0,
            Unit::Tokens => self.truth.tokens,
            Unit::InputTokens => self.truth.input,
            Unit::OutputTokens => self.truth.output,
            Unit::Usd => self.truth.usd,
        }
    }
}

/// What a request wants of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) amount: u64,
    pub(super) hold: u64,
    pub(super) charge: u64,
    /// It is larger than the whole amount.
    pub(super) never: bool,
    /// It cannot come to more than its hold.
    pub(super) is_bounded: bool,
}

pub(super) fn only_reports(spec: &LimitSpec) -> bool {
    spec.on_exceed == OnExceed::ReportOnly
}
