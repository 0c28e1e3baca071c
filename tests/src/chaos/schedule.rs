//! What happens in a run, and when: drawn from a seed, so that a run can be repeated.

use std::time::Duration;

use meterr_core::random::Random;
use serde_json::{Value, json};

use crate::watched::Part;

/// What is wrong with the collector for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody listens.
    Down,
    /// It answers 500.
    Status500,
    /// It answers 429, and when to come again.
    RetryAfter,
    /// It condemns whatever comes: 400.
    Condemns,
    /// It answers late, but in time.
    Slow,
    /// It keeps events, and answers when nobody waits any more.
    TooLate,
    /// It resets connections while a batch comes.
    ResetMidBody,
    /// It keeps events, and resets connections while it answers.
    ResetMidAnswer,
    /// It keeps events, and its answer is lost.
    AnswerLost,
    /// It keeps events, and its answer's content is not what the headers say.
    WrongContent,
    /// What answers speaks no HTTP.
    NoHttp,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Down,
        Self::Status500,
        Self::RetryAfter,
        Self::Condemns,
        Self::Slow,
        Self::TooLate,
        Self::ResetMidBody,
        Self::ResetMidAnswer,
        Self::AnswerLost,
        Self::WrongContent,
        Self::NoHttp,
    ];

    /// As the collector is told; nothing where it is to be ended.
    #[must_use]
    pub fn mode(self) -> Option<Value> {
        Some(match self {
            Self::Down => return None,
            Self::Status500 => json!({ "mode": "500" }),
            Self::RetryAfter => json!({ "mode": "429", "retry_after": 1 }),
            Self::Condemns => json!({ "mode": "400" }),
            Self::Slow => json!({ "delay_ms": 300 }),
            // The sink waits for a second.
            Self::TooLate => json!({ "delay_ms": 1_500 }),
            Self::ResetMidBody => json!({ "mode": "reset_mid_body" }),
            Self::ResetMidAnswer => json!({ "mode": "reset_mid_answer" }),
            Self::AnswerLost => json!({ "mode": "accept_then_reset" }),
            Self::WrongContent => json!({ "mode": "wrong_content" }),
            Self::NoHttp => json!({ "mode": "no_http" }),
        })
    }
}

/// What happens to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// A VM dies in that place: [`PLACES`].
    Crash(&'static str),
    /// That part of the configuration changes.
    Reload(Part),
    /// SIGTERM, without a drain before it, and another start.
    Terminate,
    /// SIGKILL, and another start.
    Kill,
}

/// Where VMs crash: in callbacks, and before so many operations on shared data, of which several belong to one settlement.
pub const PLACES: [&str; 16] = [
    "request_headers",
    "request_body",
    "response_headers",
    "response_body",
    "log",
    "settled",
    "tick",
    "callout",
    "store:1",
    "store:2",
    "store:3",
    "store:4",
    "store:5",
    "store:6",
    "store:7",
    "store:8",
];

impl Blow {
    /// What kind it is, for a table.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Crash(_) => "worker crash",
            Self::Reload(Part::Listener) => "listener reload",
            Self::Reload(Part::Filter) => "filter reload",
            Self::Terminate => "SIGTERM",
            Self::Kill => "SIGKILL",
        }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The collector falls ill; what was wrong with it before is over.
    Fault(Fault),
    /// It is well again.
    Heal,
    /// Something happens to Envoy.
    Blow(Blow),
}

/// When it happens, from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From the beginning.
    pub at: Duration,
    /// What happens.
    pub action: Action,
}

/// Shuffled again whenever all were drawn, so that a run of any length has all kinds about equally often.
struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    fn new(all: &[T]) -> Self {
        Self { all: all.to_vec(), left: Vec::new() }
    }

    fn draw(&mut self, random: &mut Random) -> Option<T> {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
        }
        let last = self.left.len().checked_sub(1)?;
        let at = usize::try_from(random.up_to(last as u64)).ok()?;
        Some(self.left.swap_remove(at))
    }
}

fn between(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + random.up_to(most - least))
}

/// What happens to Envoy; `None` is a crash in some place.
const BLOWS: [Option<Blow>; 7] = [
    None,
    None,
    None,
    Some(Blow::Reload(Part::Listener)),
    Some(Blow::Reload(Part::Filter)),
    Some(Blow::Terminate),
    Some(Blow::Kill),
];

/// The schedule of a run of that length: what is wrong with the collector and what happens to Envoy are drawn apart from each other, so
/// that each meets each.
#[must_use]
pub fn schedule(seed: u64, length: Duration) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let (mut faults, mut at) = (Deck::new(&Fault::ALL), Duration::ZERO);
    while let Some(fault) = faults.draw(&mut random) {
        at += between(&mut random, 200, 1_200);
        if at >= length {
            break;
        }
        steps.push(Step { at, action: Action::Fault(fault) });
        // Most are short, so that there are many; some are long enough for leases to run out and queues to grow.
        let most = if random.up_to(7) == 0 { 15_000 } else { 2_000 };
        at += between(&mut random, 500, most);
        steps.push(Step { at: at.min(length), action: Action::Heal });
    }
    let mut places = Deck::new(&PLACES);
    let mut crash = |random: &mut Random| Blow::Crash(places.draw(random).unwrap_or_default());
    let (mut blows, mut at) = (Deck::new(&BLOWS), Duration::ZERO);
    while let Some(blow) = blows.draw(&mut random) {
        let blow = blow.unwrap_or_else(|| crash(&mut random));
        at += between(&mut random, 300, 3_500);
        if at >= length {
            break;
        }
        steps.push(Step { at, action: Action::Blow(blow) });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(600);

    #[test]
    fn ok_a_seed_gives_one_schedule_and_another_gives_another() {
        assert_eq!(schedule(1, LENGTH), schedule(1, LENGTH));
        assert_ne!(schedule(1, LENGTH), schedule(2, LENGTH));
    }

    #[test]
    fn ok_a_long_run_has_every_kind_in_order_and_ends_well() {
        for seed in 0..50 {
            let steps = schedule(seed, LENGTH);
            assert!(steps.is_sorted_by_key(|step| step.at) && steps.iter().all(|step| step.at <= LENGTH));
            let blows: BTreeSet<Blow> = steps
                .iter()
                .filter_map(|step| if let Action::Blow(blow) = step.action { Some(blow) } else { None })
                .collect();
            let faults: BTreeSet<Fault> = steps
                .iter()
                .filter_map(|step| if let Action::Fault(fault) = step.action { Some(fault) } else { None })
                .collect();
            assert_eq!((blows.len(), faults.len()), (BLOWS.len() - 3 + PLACES.len(), Fault::ALL.len()));
            let collector = steps.iter().rev().find(|step| !matches!(step.action, Action::Blow(_)));
            assert_eq!(collector.map(|step| step.action), Some(Action::Heal));
        }
    }
}
