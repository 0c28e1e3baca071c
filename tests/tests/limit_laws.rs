//! Every unit, window, reserve and reaction of limits against a plain model, with workers in the middle of each other: see
//! [`meterr_tests::limits`].
//!
//! A law that does not hold is told with its seed: `METERR_SIM_SEED=<seed>` plays that run alone. `METERR_LIMIT_STEPS` says how many steps
//! there are in all.

use meterr_tests::limits::{self, Faults, Tally};

/// Steps of one run: each has other limits.
const STEPS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number")))
}

fn play(part: u64, faults: Faults) -> Tally {
    let total = number("METERR_LIMIT_STEPS").unwrap_or(100_000) / part;
    let seeds = number("METERR_SIM_SEED").map_or(0..total / STEPS, |seed| seed..seed + 1);
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        match limits::run(seed, STEPS, faults) {
            Ok(more) => tally += more,
            Err(broken) => {
                panic!("step {}: {}\nto play it again: METERR_SIM_SEED={seed}", broken.step, broken.seen);
            }
        }
    }
    println!("seeds {seeds:?}, {STEPS} steps each, {faults:?}: {tally:?}");
    tally
}

/// Whether the run is no shorter than usual, so that what it covers can be judged.
fn is_usual() -> bool {
    number("METERR_SIM_SEED").is_none() && number("METERR_LIMIT_STEPS").is_none_or(|steps| steps >= 100_000)
}

#[test]
fn ok_limits_hold_whatever_workers_and_clocks_do() {
    let tally = play(2, Faults::ALL);
    if is_usual() {
        assert!(tally.interruptions > 10_000 && tally.settled > 10_000 && tally.alerts > 100, "too calm: {tally:?}");
    }
}

#[test]
fn ok_each_decision_and_each_wait_is_exact_while_nobody_is_in_the_way() {
    let tally = play(2, Faults::NONE);
    if is_usual() {
        assert!(tally.waits > 3_000 && tally.refused > 5_000 && tally.remainders > 50_000, "too calm: {tally:?}");
    }
}
