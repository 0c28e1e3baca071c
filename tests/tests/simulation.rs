//! The laws of limits and delivery under all that can happen to a process: see [`meterr_tests::sim`].
//!
//! A law that does not hold is told with its seed: `METERR_SIM_SEED=<seed>` plays that run alone, `METERR_SIM_STEPS=<steps>` longer or
//! shorter ones.

use meterr_tests::sim::{self, Faults, LARGE_QUEUE, Plan, SMALL_QUEUE, Tally, Violation, store::Flaw};

/// Seeds that are played when none is named: some seconds in all.
const SEEDS: u64 = 24;
/// Steps of a run: about 200 exchanges.
const STEPS: usize = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number")))
}

/// Plays seeds of a plan, or the one that the environment names.
fn play(seeds: impl IntoIterator<Item = u64>, plan: impl Fn(Plan) -> Plan) -> Tally {
    let seeds = number("METERR_SIM_SEED").map_or_else(|| seeds.into_iter().collect(), |seed| vec![seed]);
    let steps = number("METERR_SIM_STEPS").map_or(STEPS, |steps| usize::try_from(steps).expect("a number of steps"));
    let mut total = Tally::default();
    for seed in seeds {
        match sim::run(&plan(Plan::new(seed, steps))) {
            Ok(tally) => total += tally,
            Err(violation) => {
                panic!("{violation}\nto play it again: METERR_SIM_SEED={seed} METERR_SIM_STEPS={steps}");
            }
        }
    }
    println!("{total:?}");
    total
}

/// Whether the run is the usual one, so that what it covers can be judged.
fn is_usual() -> bool {
    number("METERR_SIM_SEED").or_else(|| number("METERR_SIM_STEPS")).is_none()
}

#[test]
fn ok_the_laws_hold_whatever_happens() {
    let total = play(0..SEEDS, |plan| plan);
    if is_usual() {
        assert!(total.interruptions > 1_000 && total.crashes > 60 && total.again > 1_000, "too calm: {total:?}");
        assert!(total.decisions > 2_000 && total.remainders > 10_000 && total.waits > 500, "nothing judged: {total:?}");
    }
}

#[test]
fn ok_the_laws_hold_while_the_clock_jumps() {
    play(0..SEEDS / 4, |plan| Plan { faults: Faults { back: 60, leaps: 20, ..plan.faults }, ..plan });
}

#[test]
fn ok_while_nothing_goes_wrong_all_is_exact_and_nothing_is_given_up() {
    let total = play(0..SEEDS / 4, |plan| Plan { faults: Faults::NONE, queue_bytes: Some(LARGE_QUEUE), ..plan });
    assert_eq!((total.homeless, total.events.2, total.empty, total.interruptions), (0, 0, 0, 0));
    if is_usual() {
        assert!(total.decisions > 800 && total.waits > 100, "{total:?}");
    }
}

fn violations(flaw: Flaw, faults: Faults) -> Vec<Violation> {
    (0..10).filter_map(|seed| sim::run(&Plan { flaw, faults, ..Plan::new(seed, STEPS) }).err()).collect()
}

#[test]
fn err_a_store_that_ignores_versions_is_noticed() {
    let violations = violations(Flaw::IgnoresVersions, Faults { interruptions: 200, ..Faults::NONE });
    assert!(violations.len() >= 8, "lost updates were noticed in {} of 10 runs", violations.len());
    // Without others in between, no version is ever old.
    sim::run(&Plan { flaw: Flaw::IgnoresVersions, faults: Faults::NONE, ..Plan::new(1, STEPS) }).expect("no conflict");
}

#[test]
fn err_a_store_that_forgets_is_noticed() {
    let violations = violations(Flaw::ForgetsEvery(50), Faults::NONE);
    assert_eq!(violations.len(), 10, "each run loses writes");
}

#[test]
fn ok_many_workers_deliver_all_the_same() {
    let queue_bytes = Some(LARGE_QUEUE);
    let total = play(0..2, |plan| Plan { workers: 20, faults: Faults::NONE, steps: 6_000, queue_bytes, ..plan });
    assert_eq!(total.homeless, 0, "events that found no place in an empty queue");
}

#[test]
fn ok_a_full_queue_drops_the_oldest_and_never_the_newest() {
    let queue_bytes = Some(SMALL_QUEUE);
    let total = play(0..10, |plan| Plan { faults: Faults { collector: 10, ..Faults::NONE }, queue_bytes, ..plan });
    assert!(total.events.2 > 0 && total.homeless == 0, "{total:?}");
}

#[test]
fn ok_an_event_is_counted_once_however_often_its_ring_changes_hands() {
    let faults = Faults { leaps: 300, interruptions: 120, back: 0, collector: 3, crashes: 0, ..Faults::default() };
    let total = play((0..10).chain([28, 1139]), |plan| Plan { faults, steps: 500, ..plan });
    assert!(total.again > 0 || !is_usual(), "no ring was lost: {total:?}");
}

#[test]
fn ok_an_event_is_counted_once_while_the_store_of_rings_fails() {
    let seeds = (0..6).chain([1043, 1094, 1118]);
    play(seeds, |plan| Plan { faults: Faults { ring_errors: 10, ..plan.faults }, steps: 1_000, ..plan });
}
