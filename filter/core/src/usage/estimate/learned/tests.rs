use proptest::prelude::*;

use super::*;
use crate::store::MemoryStore;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

const fn kind(model: &str) -> Kind<'_> {
    Kind { provider: "openai", dialect: "openai.chat", model: Some(model), shape: Shape::Plain }
}

fn sample(weight: u64, input: u64, output: u64) -> Sample {
    Sample { input: Some((weight * PARTS, input)), output: Some((weight * PARTS, output)), choice: Some(output) }
}

#[test]
fn ok_dates_are_no_family() {
    let cases = [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("gpt-4.1", "gpt-4.1"),
        ("model-12345678", "model-12345678"),
        ("-20241022", "-20241022"),
        ("größe-20241022", "größe"),
        ("ü20241022", "ü20241022"),
        ("", ""),
    ];
    for (model, wanted) in cases {
        assert_eq!(family(model), wanted);
    }
}

#[test]
fn ok_what_is_learned_is_there_for_every_worker_and_for_other_models_of_the_provider() {
    let store = MemoryStore::default();
    for _ in 0..8 {
        learn(&kind("gpt-4o-2024-08-06"), &sample(100, 130, 50), &store, NOW);
    }
    let known = Learned::read(&kind("gpt-4o"), FEW, &store, NOW);
    assert_eq!((known.input(100 * PARTS), known.output(100 * PARTS)), (130, 50));
    let other = Learned::read(&kind("gpt-9"), FEW, &store, NOW);
    assert_eq!(other.input(100 * PARTS), 130, "a new model is like its siblings");
    let sure = Learned::read(&kind("gpt-4o"), ENOUGH, &store, NOW);
    assert_eq!(sure, Learned::default(), "eight are not enough to admit by");
    let elsewhere = Kind { provider: "corp", ..kind("gpt-4o") };
    assert_eq!(Learned::read(&elsewhere, FEW, &store, NOW), Learned::default());
    assert_eq!(Learned::default().input(100 * PARTS), 100, "the prior");
}

#[test]
fn ok_nine_of_ten_stay_below_what_is_usual_once_enough_were_seen() {
    let store = MemoryStore::default();
    let mut random = crate::random::Random::new(7);
    let mut below = 0;
    for nth in 0..2_000_u32 {
        let known = Learned::read(&kind("m"), ENOUGH, &store, NOW).usual_choice();
        assert_eq!(known.is_some(), nth >= ENOUGH, "{nth}");
        let output = 50 + random.up_to(900);
        below += u32::from(known.is_some_and(|known| output <= known));
        learn(&kind("m"), &sample(10, 10, output), &store, NOW);
    }
    assert!((1_700..1_950).contains(&below), "{below} of 2000");
}

#[test]
fn ok_the_table_is_bounded_and_what_is_stale_makes_room() {
    let store = MemoryStore::default();
    for nth in 0..3_000 {
        learn(&kind(&format!("model {nth}")), &sample(100, 110, 10), &store, NOW);
    }
    assert!(store.size().0 <= usize::from(SLOTS), "{:?}", store.size());
    let later = NOW.plus_millis(STALE_SECS * 1_000);
    learn(&kind("new"), &sample(100, 150, 10), &store, later);
    assert_eq!(Learned::read(&kind("new"), 1, &store, later).input(100 * PARTS), 150);
    assert!(store.size().0 <= usize::from(SLOTS), "{:?}", store.size());
}

#[test]
fn err_a_record_of_rubbish_is_written_over() {
    let store = MemoryStore::default();
    learn(&kind("m"), &sample(100, 150, 10), &store, NOW);
    let key = find(kind("m").owner(), &store, NOW).expect("a slot").key;
    store.write(&key, b"rubbish").expect("memory");
    assert_eq!(find(kind("m").owner(), &store, NOW).expect("a slot").learned.samples, 0);
    learn(&kind("m"), &sample(100, 160, 10), &store, NOW);
    assert_eq!(Learned::read(&kind("m"), 1, &store, NOW).input(100 * PARTS), 160);
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let pair = || proptest::option::of((any::<u64>(), any::<u64>()));
    (pair(), pair(), proptest::option::of(any::<u64>())).prop_map(|(input, output, choice)| Sample {
        input,
        output,
        choice,
    })
}

proptest! {
    #[test]
    fn ok_records_are_read_as_they_were_written(samples in proptest::collection::vec(any_sample(), 0..40)) {
        let mut learned = Learned { owner: [7; 8], ..Learned::default() };
        for sample in &samples {
            learned.learn(sample, NOW);
        }
        let bytes = learned.encode();
        prop_assert!(bytes.len() <= 36 + 2 * 18 * 19);
        prop_assert_eq!(Learned::decode(&bytes), Some(learned));
    }

    #[test]
    fn ok_no_record_makes_an_estimate_wrap_or_shrink(
        bytes in proptest::collection::vec(any::<u8>(), 36..400),
        sample in any_sample(),
        a in any::<u64>(),
        b in any::<u64>(),
    ) {
        // Whatever stands in the store: a whole number of points, or nothing.
        let whole = bytes.len() - (bytes.len() - 36) % 19;
        let mut bytes = bytes[..whole].to_vec();
        for point in bytes[36..].chunks_mut(19) {
            (point[0], point[1]) = (point[0] % 2, point[1] % 18);
        }
        let mut learned = Learned::decode(&bytes).expect("well formed");
        for _ in 0..3 {
            prop_assert!(learned.input(a.min(b)) <= learned.input(a.max(b)));
            prop_assert!(learned.output(a.min(b)) <= learned.output(a.max(b)));
            learned.learn(&sample, NOW);
        }
    }
}
