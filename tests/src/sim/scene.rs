//! What is played: the configuration of a simulated process, its faults, and how long.

use meterr_core::random::Random;
use serde_json::{Value, json};

use super::{
    reference::{Rule, Unit},
    store::Flaw,
};

/// What goes wrong, in a thousand operations or steps.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Other workers act before an operation on the store.
    pub interruptions: u64,
    /// A swap of a limit's record is told as lost although nobody else wrote.
    pub conflicts: u64,
    /// An operation on a limit's record fails.
    pub limit_errors: u64,
    /// An operation on a ring fails.
    pub ring_errors: u64,
    /// A worker crashes, in a step.
    pub crashes: u64,
    /// The clock goes back, in a step.
    pub back: u64,
    /// The clock leaps over a lease or more, also while a worker is in the middle of a callback.
    pub leaps: u64,
    /// The collector turns bad or well again, in a step.
    pub collector: u64,
}

/// Everything at once, as far as it may happen to a process.
impl Default for Faults {
    fn default() -> Self {
        Self {
            interruptions: 40,
            conflicts: 30,
            limit_errors: 1,
            ring_errors: 0,
            crashes: 3,
            back: 3,
            leaps: 5,
            collector: 10,
        }
    }
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        interruptions: 0,
        conflicts: 0,
        limit_errors: 0,
        ring_errors: 0,
        crashes: 0,
        back: 0,
        leaps: 0,
        collector: 0,
    };
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// How many steps.
    pub steps: usize,
    /// How many workers.
    pub workers: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// What is wrong with the store; for tests of the checker itself.
    pub flaw: Flaw,
    /// Room for events, else small or large by the seed.
    pub queue_bytes: Option<u64>,
}

impl Plan {
    /// A run with all that goes wrong by default.
    #[must_use]
    pub fn new(seed: u64, steps: usize) -> Self {
        Self { seed, steps, workers: 4, faults: Faults::default(), flaw: Flaw::None, queue_bytes: None }
    }
}

/// Room for some thirty events in all, and so for two in a ring.
pub const SMALL_QUEUE: u64 = 65_536;
/// Room for more than any run makes.
pub const LARGE_QUEUE: u64 = 8_388_608;

/// The configuration of a run.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// As the plugin gets it.
    pub(super) text: Vec<u8>,
    /// Its limits.
    pub(super) rules: Vec<Rule>,
    /// Whether headers wait for the body.
    pub(super) header_hold: bool,
    /// The key of the credential hash, if the environment has one.
    pub(super) key: Option<&'static str>,
}

impl Scene {
    /// A configuration from a seed.
    pub(super) fn new(random: &mut Random, queue_bytes: Option<u64>) -> Self {
        let header_hold = random.up_to(4) > 0;
        let by_seed = if random.up_to(3) == 0 { SMALL_QUEUE } else { LARGE_QUEUE };
        let rules = rules(random);
        let config = json!({
            "header_hold": header_hold,
            "identity": { "tenant": [{ "from": "header", "name": "x-tenant" }] },
            "limits": rules.iter().map(Rule::json).collect::<Vec<Value>>(),
            "sink": {
                "cluster": "collector",
                "batch": { "max_events": 2 + random.up_to(20), "max_delay_ms": 50 },
                "retry": { "base_ms": 50, "max_ms": 1_000 },
                "queue": { "max_bytes": queue_bytes.unwrap_or(by_seed) },
                "heartbeat_secs": 20,
            },
        });
        let key = (random.up_to(1) == 0).then_some("a key of the environment");
        Self { text: config.to_string().into_bytes(), rules, header_hold, key }
    }
}

/// Some limits out of many: records of one and of several limits, windows that roll over often and never.
fn rules(random: &mut Random) -> Vec<Rule> {
    let rule = |id, per, unit, amount, window, reserve| Rule {
        id,
        per,
        model: None,
        unit,
        amount,
        other: None,
        window,
        reserve,
        allow_on_error: true,
    };
    let tenant: &[&str] = &["tenant"];
    let mut all = vec![
        rule("worst", tenant, Unit::Tokens, 300 + random.up_to(1_000), "minute", "worst_case"),
        rule("count", tenant, Unit::Requests, 2 + random.up_to(8), "minute", "expected"),
        rule("all", &[], Unit::Tokens, 1_500 + random.up_to(8_000), "hour", "expected"),
        rule("keys", &["key", "model"], Unit::Tokens, 100 + random.up_to(300), "minute", "none"),
        rule("burst", &["provider"], Unit::Requests, 1 + random.up_to(3), "second", "none"),
        rule("hour", &["tenant", "model"], Unit::Tokens, 800 + random.up_to(3_000), "hour", "worst_case"),
        rule("day", tenant, Unit::Tokens, 3_000 + random.up_to(12_000), "day", "worst_case"),
    ];
    all[1].allow_on_error = random.up_to(1) == 0;
    all[3].allow_on_error = random.up_to(1) == 0;
    all[5].model = Some("gpt");
    all[0].other = Some(("big", 2_000));
    all[6].other = Some(("big", 40_000));
    all.retain(|_| random.up_to(9) < 6);
    // The order of groups is the order of the configuration.
    if random.up_to(1) == 0 {
        all.reverse();
    }
    all
}
