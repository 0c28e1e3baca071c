//! What the collector may answer, and how POSTs look.

use super::*;

impl World {
    /// Answers all that is under way, oldest first, as the collector does that `status` tells of.
    fn answer_all(&mut self, mut status: impl FnMut(&Callout) -> Option<u32>) {
        while let Some((_, callout)) = self.under_way.first() {
            let status = status(callout);
            self.answer(0, status);
        }
    }

    fn answer_with(&mut self, status: u32, retry_after: &str) {
        let (worker, callout) = self.under_way.remove(0);
        let mut effects = Vec::new();
        let exporter = self.workers[worker].as_mut().expect("there");
        exporter.on_callout_response(
            callout.token,
            Some(status),
            Some(retry_after),
            &self.store,
            self.now,
            &mut effects,
        );
        self.take(worker, effects);
    }

    fn header(&self, name: &str) -> Option<&str> {
        let (_, callout) = self.under_way.first()?;
        callout.headers.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }
}

#[test]
fn ok_a_batch_that_is_too_large_is_halved_and_the_next_ones_are_smaller() {
    // Some 480 bytes each: sixteen in a batch.
    let mut world = World::new(1, Sink { batch_events: 100, batch_bytes: 7_800, ..sink() });
    (0..16).for_each(|_| world.accept(0));
    world.wait(50);
    let mut too_large = 0;
    let mut check = |callout: &Callout| {
        let is_too_large = callout.body.len() > 4_000;
        too_large += u64::from(is_too_large);
        Some(if is_too_large { 413 } else { 204 })
    };
    world.answer_all(&mut check);
    assert_eq!((world.collected.len(), world.count("dead_lettered")), (16, 0));
    (0..16).for_each(|_| world.accept(0));
    world.wait(50);
    world.answer_all(&mut check);
    world.wait(50);
    world.answer_all(&mut check);
    assert_eq!((world.collected.len(), world.count("dead_lettered"), too_large), (32, 0, 1));
}

#[test]
fn ok_an_event_that_is_too_large_by_itself_goes_to_the_dead_letters() {
    let mut world = World::new(1, sink());
    (0..2).for_each(|_| world.accept(0));
    world.wait(50);
    world.answer_all(|callout| {
        let is_one = !String::from_utf8_lossy(&callout.body).contains("\"n\":2,");
        Some(if is_one { 204 } else { 413 })
    });
    assert_eq!((world.dead, world.collected), (BTreeSet::from([2]), BTreeSet::from([1])));
}

#[test]
fn ok_the_collector_says_how_long_to_wait() {
    let date = "Fri, 15 Jan 2027 08:00:30 GMT";
    for retry_after in ["30", date] {
        let mut world = World::new(1, Sink { retry_max_ms: 100, ..sink() });
        world.now = Timestamp::from_secs(1_800_000_000);
        world.accept(0);
        world.wait(50);
        world.answer_with(429, retry_after);
        let waited = (1..).find(|_| {
            world.wait(100);
            !world.under_way.is_empty()
        });
        // Thirty seconds from the answer, or until the date, which is a twentieth of a second earlier.
        assert!(waited.is_some_and(|ticks| (299..=301).contains(&ticks)), "{retry_after}: {waited:?}");
        world.answer(0, Some(204));
        assert_eq!(world.count("delivered"), 1);
    }
}

#[test]
fn ok_a_collector_that_is_down_is_probed_with_one_batch() {
    let mut world = World::new(1, sink());
    (0..40).for_each(|_| world.accept(0));
    assert_eq!(world.under_way.len(), 4, "four batches at once");
    world.answer_all(|_| None);
    let mut most = 0;
    for _ in 0..200 {
        world.wait(50);
        most = most.max(world.under_way.len());
        world.answer_all(|_| None);
    }
    assert_eq!(most, 1);
    world.wait(2_000);
    assert_eq!(world.under_way.len(), 1);
    world.answer(0, Some(200));
    assert_eq!(world.under_way.len(), 4, "it is well again");
}

#[test]
fn ok_waits_are_spread() {
    let mut firsts = BTreeSet::new();
    for seed in 0..20 {
        let mut world = World::new(1, Sink { retry_base_ms: 2_000, ..sink() });
        world.seed = seed * 7;
        world.crash(0);
        world.accept(0);
        world.wait(50);
        world.answer(0, Some(500));
        let wait = (1..200).find(|_| {
            world.wait(20);
            !world.under_way.is_empty()
        });
        firsts.insert(wait.expect("within the bound of two seconds"));
    }
    assert!(firsts.len() > 10, "{firsts:?}");
}

#[test]
fn ok_a_post_says_what_it_is() {
    for (format, kind) in [
        (Format::CloudEvents, "application/cloudevents-batch+json"),
        (Format::OtlpLogs, "application/json"),
        (Format::Ndjson, "application/x-ndjson"),
    ] {
        let mut world = World::new(1, Sink { format, timeout_ms: 1_234, ..sink() });
        world.accept(0);
        world.wait(50);
        assert_eq!([world.header("content-type"), world.header("content-encoding")], [Some(kind), None]);
        assert_eq!(world.under_way[0].1.timeout_ms, 1_234);
    }
    let mut world = World::new(1, Sink { gzip: true, ..sink() });
    world.accept(0);
    world.wait(50);
    assert_eq!(world.header("content-encoding"), Some("gzip"));
    assert!(world.under_way[0].1.body.starts_with(&[0x1f, 0x8b]));
}

#[test]
fn ok_what_waited_through_a_change_of_format_leaves_in_the_new_one() {
    let mut world = World::new(1, sink());
    world.accept(0);
    world.wait(50);
    world.answer(0, Some(503));
    world.sink.format = Format::Ndjson;
    world.crash(0);
    for _ in 0..15 {
        world.wait(1_000);
    }
    assert_eq!(world.header("content-type"), Some("application/x-ndjson"));
    let (_, callout) = &world.under_way[0];
    assert!(callout.body.ends_with(b"}\n"), "{}", String::from_utf8_lossy(&callout.body));
}

#[test]
fn ok_the_way_of_an_event_is_timed() {
    let mut world = World::new(1, sink());
    world.accept(0);
    world.wait(40);
    world.now = world.now.plus_millis(7);
    let (_, callout) = world.under_way.remove(0);
    let mut effects = Vec::new();
    let exporter = world.workers[0].as_mut().expect("there");
    exporter.on_callout_response(callout.token, Some(200), None, &world.store, world.now, &mut effects);
    assert!(effects.contains(&Effect::Measure(Metric::EventDeliveryMs, 47)), "{effects:?}");
}

#[test]
fn ok_what_an_otlp_collector_rejects_is_counted_and_not_sent_again() {
    let mut world = World::new(1, Sink { format: Format::OtlpLogs, ..sink() });
    world.accept(0);
    world.wait(50);
    let exporter = world.workers[0].as_mut().expect("there");
    let mut effects = Vec::new();
    exporter.on_answer_body(br#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no"}}"#, &mut effects);
    assert!(effects.contains(&Effect::Measure(Metric::EventsRejected, 1)), "{effects:?}");
    let is_told = |effect: &Effect| matches!(effect, Effect::Log(_, text) if text.ends_with("rejected 1 log records of a batch that it took: no"));
    assert!(effects.iter().any(is_told), "{effects:?}");
    let (_, callout) = world.under_way.remove(0);
    exporter.on_callout_response(callout.token, Some(200), None, &world.store, world.now, &mut effects);
    world.take(0, effects.into_iter().filter(|effect| !is_told(effect)).collect());
    (0..100).for_each(|_| world.wait(50));
    assert_eq!((world.under_way.len(), world.count("delivered")), (0, 1));
}
