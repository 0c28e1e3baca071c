//! Every unit, every window, every dimension, and what happens past an amount.

use super::*;

/// No price for anything.
struct Unpriced;

impl Pricing for Unpriced {
    fn cost(&self, _input: u64, _output: u64, _at_most: bool) -> Option<u64> {
        None
    }
}

fn one(spec: LimitSpec) -> Limits {
    Limits::compile(&[spec])
}

#[test]
fn ok_each_unit_holds_and_settles_its_own() {
    let truth = Charge { tokens: 30, input: 20, output: 10, usd: 140 };
    let cases = [
        (Unit::Requests, Reserve::Expected, 1, 1),
        (Unit::Tokens, Reserve::Expected, 150, 30),
        (Unit::InputTokens, Reserve::Expected, 100, 20),
        (Unit::OutputTokens, Reserve::Expected, 50, 10),
        (Unit::Usd, Reserve::Expected, 700, 140),
        (Unit::Usd, Reserve::WorstCase, 900, 140),
        (Unit::InputTokens, Reserve::WorstCase, 100, 20),
        (Unit::OutputTokens, Reserve::WorstCase, 50, 10),
        (Unit::Usd, Reserve::None, 0, 140),
    ];
    for (unit, reserve, held, settled) in cases {
        let store = MemoryStore::default();
        let limits = one(spec("x", unit, 1_000, reserve));
        let taken = admitted(limits.admit(&subject("a"), &demand(100, 50), &Flat, &store, at(0)));
        assert_eq!(taken.states()[0].held, held, "{unit:?} {reserve:?}");
        let done = taken.settle(truth, &store, at(1));
        assert_eq!(
            (done.states[0].settled, done.states[0].remaining),
            (settled, 1_000 - i64::try_from(settled).expect("small")),
            "{unit:?}"
        );
    }
}

#[test]
fn ok_slots_are_taken_and_given_back() {
    let mut slots = spec("slots", Unit::ConcurrentRequests, 2, Reserve::Expected);
    slots.window = Window::Open;
    let limits = one(slots);
    let store = MemoryStore::default();
    let ask = |now| limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(now));
    let first = admitted(ask(0));
    let said = headers::ratelimit(first.states(), at(0));
    assert_eq!(said, Some(("\"slots\";q=2".to_owned(), "\"slots\";r=1;t=1".to_owned())), "slots have no window");
    let second = admitted(ask(0));
    let refusal = refused(ask(5));
    assert_eq!((refusal.kind, refusal.wait_ms, refusal.limit.remaining), (RefusalKind::RateLimit, 1_000, 0));
    let told = reply(&refusal, ErrorShape::OpenAi, "id", at(5));
    assert!(told.headers.contains(&("retry-after".to_owned(), "1".to_owned())));
    let done = first.settle(Charge::default(), &store, at(6));
    assert_eq!(done.states[0].remaining, 1);
    let _third = admitted(ask(6));
    refused(ask(6));
    let _fourth = admitted(ask(6 + 1_800));
    drop(second);
}

#[test]
fn ok_what_is_renewed_is_held_for_as_long_as_it_takes() {
    let mut slots = spec("slots", Unit::ConcurrentRequests, 1, Reserve::Expected);
    slots.window = Window::Open;
    let mut tokens = spec("tokens", Unit::Tokens, 100, Reserve::Expected);
    tokens.window = Window::Fixed(Calendar::Month);
    for limit in [slots, tokens] {
        let limits = one(limit);
        let store = MemoryStore::default();
        let ask = |now| limits.admit(&subject("a"), &demand(0, 100), &Flat, &store, at(now));
        let mut first = admitted(ask(0));
        for nth in 1..=20 {
            first.renew(&store, at(nth * 900));
            refused(ask(nth * 900 + 450));
        }
        // Nobody came for too long, and then it was found to be open all the same.
        first.renew(&store, at(30 * 900));
        refused(ask(30 * 900));
        let done = first.settle(Charge::default(), &store, at(30 * 900 + 1));
        assert!(done.states[0].remaining >= 1, "given back: {:?}", done.states);
        let _another = admitted(ask(30 * 900 + 1));
    }
}

#[test]
fn ok_a_sliding_window_and_a_bucket_tell_true_waits() {
    for (window, wait_ms) in
        [(Window::Sliding { secs: 60 }, 60_000 + 6_000), (Window::Bucket { per_sec: 50 }, 2_000 - 1_000)]
    {
        let mut limit = spec("x", Unit::Tokens, 1_000, Reserve::Expected);
        limit.window = window;
        let limits = one(limit);
        let store = MemoryStore::default();
        let ask = |now| limits.admit(&subject("a"), &demand(0, 100), &Flat, &store, now);
        // The second window since the epoch that is a multiple of a minute.
        let start = at(0);
        for _ in 0..10 {
            let _held = admitted(ask(start));
        }
        let now = start.plus_millis(1_000);
        let refusal = refused(ask(now));
        let wait = if window == (Window::Sliding { secs: 60 }) { wait_ms - 1_000 } else { wait_ms };
        assert_eq!(refusal.wait_ms, wait, "{window:?}");
        refused(ask(now.plus_millis(wait - 1)));
        let _enough = admitted(ask(now.plus_millis(wait)));
    }
}

#[test]
fn ok_every_dimension_has_counters_of_its_own() {
    let labels = [("team".to_owned(), "blue".to_owned())];
    let base = Subject { user: Some("u"), key: Some("k"), labels: &labels, ..subject("a") };
    let other_labels = [("team".to_owned(), "red".to_owned())];
    let others = [
        (Dimension::Tenant, Subject { tenant: "b", ..base }),
        (Dimension::User, Subject { user: Some("v"), ..base }),
        (Dimension::Key, Subject { key: None, ..base }),
        (Dimension::Provider, Subject { provider: "groq", ..base }),
        (Dimension::Model, Subject { model: None, ..base }),
        (Dimension::Label(Rc::from("team")), Subject { labels: &other_labels, ..base }),
    ];
    for (dimension, other) in &others {
        let limits = one(LimitSpec { per: vec![dimension.clone()], ..spec("x", Unit::Requests, 1, Reserve::None) });
        let store = MemoryStore::default();
        let ask = |subject: &Subject<'_>| limits.admit(subject, &demand(0, 0), &Flat, &store, at(0));
        let _first = admitted(ask(&base));
        refused(ask(&base));
        let _other = admitted(ask(other));
        for (kind, same) in &others {
            if kind != dimension {
                refused(ask(same));
            }
        }
    }
}

#[test]
fn ok_matches_of_every_kind() {
    let labels = [("team".to_owned(), "blue".to_owned())];
    let who = Subject { user: Some("ann"), key: Some("k1"), labels: &labels, ..subject("a") };
    let globs = |glob: &str| vec![glob.to_owned()];
    let hit = [
        Match { user: globs("a*"), ..Match::default() },
        Match { key: globs("k?1").iter().map(|_| "k1".to_owned()).collect(), ..Match::default() },
        Match { labels: vec![("team".to_owned(), globs("bl*"))], ..Match::default() },
        Match { provider: globs("open*"), model: globs("gpt*"), tenant: globs("*"), ..Match::default() },
    ];
    let miss = [
        Match { user: globs("b*"), ..Match::default() },
        Match { key: globs("x"), ..Match::default() },
        Match { labels: vec![("team".to_owned(), globs("red"))], ..Match::default() },
        Match { labels: vec![("other".to_owned(), globs("blue"))], ..Match::default() },
    ];
    for (applies, counts) in hit.into_iter().map(|m| (m, 1)).chain(miss.into_iter().map(|m| (m, 0))) {
        let limits = one(LimitSpec { applies: applies.clone(), ..spec("x", Unit::Requests, 1, Reserve::None) });
        let taken = admitted(limits.admit(&who, &demand(0, 0), &Flat, &MemoryStore::default(), at(0)));
        assert_eq!(taken.states().len(), counts, "{applies:?}");
    }
}

#[test]
fn ok_what_has_no_price_is_decided_by_configuration() {
    let store = MemoryStore::default();
    for reserve in [Reserve::Expected, Reserve::WorstCase, Reserve::None] {
        let budget = spec("budget", Unit::Usd, 1_000, reserve);
        let taken = admitted(one(budget.clone()).admit(&subject("a"), &demand(1, 1), &Unpriced, &store, at(0)));
        assert_eq!(taken.states()[0].held, 0);
        let strict = LimitSpec { on_unpriced: Fallback::Reject, ..budget };
        let refusal = refused(one(strict).admit(&subject("a"), &demand(1, 1), &Unpriced, &store, at(0)));
        assert_eq!(refusal.kind, RefusalKind::Unpriced);
        let told = reply(&refusal, ErrorShape::OpenAi, "id", at(0));
        assert!(told.status == 429 && told.headers.contains(&("x-should-retry".to_owned(), "false".to_owned())));
    }
}

#[test]
fn ok_a_budget_of_money_is_told_in_dollars() {
    let limits = one(spec("budget", Unit::Usd, 25_000_000_000_000, Reserve::None));
    let store = MemoryStore::default();
    let truth = Charge { usd: 25_500_000_000_000, ..Charge::default() };
    let _done = admitted(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(0))).settle(truth, &store, at(1));
    let refusal = refused(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(2)));
    assert_eq!((refusal.kind, refusal.limit.remaining), (RefusalKind::Budget, -500_000_000_000));
    assert_eq!(Unit::Usd.show(refusal.limit.remaining), "-0.5");
    let told = reply(&refusal, ErrorShape::OpenAi, "id", at(2));
    let body = String::from_utf8(told.body).expect("JSON is UTF-8");
    assert!(body.contains("Budget budget of 25 usd") && body.contains("insufficient_quota"), "{body}");
}

#[test]
fn ok_a_limit_that_only_reports_refuses_nobody_and_counts_all() {
    let report = LimitSpec { on_exceed: OnExceed::ReportOnly, ..spec("trial", Unit::Tokens, 100, Reserve::WorstCase) };
    let limits = Limits::compile(&[report, spec("real", Unit::Requests, 3, Reserve::None)]);
    let store = MemoryStore::default();
    let would = |cap| {
        let taken = admitted(limits.admit(&subject("a"), &demand(10, cap), &Flat, &store, at(0)));
        let state = taken.states()[0].clone();
        assert_eq!(taken.states()[1].would_reject, None);
        let _done = taken.settle(spent(60), &store, at(1));
        (state.would_reject, state.decision)
    };
    assert_eq!(would(50), (Some(false), "admitted"));
    assert_eq!(would(50), (Some(true), "admitted"), "60 and 60 are more than 100");
    assert_eq!(would(5_000), (Some(true), "admitted"), "larger than the whole amount");
    let refusal = refused(limits.admit(&subject("a"), &demand(10, 50), &Flat, &store, at(2)));
    assert_eq!((refusal.states[0].remaining, refusal.states[0].would_reject), (100 - 180, Some(true)));
    assert_eq!((&*refusal.limit.id, refusal.states[0].decision), ("real", "passed"));
}

#[test]
fn ok_only_if_all_that_refuse_let_it_may_a_request_wait() {
    let queue = OnExceed::Queue { max_wait_ms: 500, max_waiting: 3 };
    let waits = LimitSpec { on_exceed: queue, ..spec("waits", Unit::Requests, 1, Reserve::None) };
    let limits = Limits::compile(&[waits.clone(), spec("strict", Unit::Requests, 2, Reserve::None)]);
    let store = MemoryStore::default();
    let ask = || limits.admit(&subject("a"), &demand(0, 0), &Flat, &store, at(0));
    let _first = admitted(ask());
    let place = refused(ask()).queue.expect("only `waits` refuses");
    assert_eq!((place.max_wait_ms, place.max_waiting), (500, 3));
    assert_eq!(limits.queues(&subject("a")), [place]);
    assert_ne!(limits.queues(&subject("b")), [place]);
    assert!(limits.needs_body(&subject("a")), "who may wait is held whole");
    let both = Limits::compile(&[waits, spec("strict", Unit::Requests, 1, Reserve::None)]);
    let store = MemoryStore::default();
    let _first = admitted(both.admit(&subject("a"), &demand(0, 0), &Flat, &store, at(0)));
    assert_eq!(refused(both.admit(&subject("a"), &demand(0, 0), &Flat, &store, at(0))).queue, None);
}

#[test]
fn ok_alerts_come_from_taking_and_from_settling() {
    let parts = vec![500_000, 1_000_000];
    let requests = LimitSpec { notify_at: parts.clone(), ..spec("requests", Unit::Requests, 2, Reserve::None) };
    let tpm = LimitSpec { notify_at: parts, ..spec("tokens", Unit::Tokens, 100, Reserve::None) };
    let limits = Limits::compile(&[requests, tpm]);
    let store = MemoryStore::default();
    let mut taken = admitted(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(0)));
    let told = |alerts: Vec<Alert>| -> Vec<(String, u64, u64)> {
        alerts.iter().map(|alert| (alert.state.id.to_string(), alert.part, alert.used)).collect()
    };
    assert_eq!(told(taken.take_alerts()), [("requests".to_owned(), 500_000, 1)]);
    assert_eq!(told(taken.settle(spent(130), &store, at(1)).alerts), [("tokens".to_owned(), 1_000_000, 130)]);
    assert_eq!(told(admitted(limits.admit(&subject("b"), &demand(1, 1), &Flat, &store, at(1))).take_alerts()).len(), 1);
}

#[test]
fn ok_what_a_refused_request_would_have_told_is_told_by_the_next() {
    let first =
        LimitSpec { per: Vec::new(), notify_at: vec![1_000_000], ..spec("first", Unit::Requests, 1, Reserve::None) };
    let second = spec("second", Unit::Tokens, 100, Reserve::WorstCase);
    let limits = Limits::compile(&[first, second]);
    let store = MemoryStore::default();
    let ask = |cap| limits.admit(&subject("a"), &demand(0, cap), &Flat, &store, at(0));
    let _taken_and_given_back = refused(ask(101));
    let mut taken = admitted(ask(1));
    assert_eq!(taken.take_alerts().len(), 1, "nobody has been told before");
}

#[test]
fn ok_giving_back_is_tried_again_when_the_store_fails() {
    /// Fails the read that comes after so many.
    struct Tires(MemoryStore, core::cell::Cell<u32>);
    impl SharedStore for Tires {
        fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
            self.1.set(self.1.get().wrapping_sub(1));
            if self.1.get() == 0 { Err(StoreError::Host(9)) } else { self.0.read(key) }
        }
        fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
            self.0.swap(key, value, version)
        }
        fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
            self.0.create(key, value)
        }
        fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
            self.0.write(key, value)
        }
    }
    let loose = LimitSpec { per: Vec::new(), ..spec("loose", Unit::Requests, 5, Reserve::None) };
    let limits = Limits::compile(&[loose, spec("strict", Unit::Requests, 1, Reserve::None)]);
    let store = Tires(MemoryStore::default(), core::cell::Cell::new(u32::MAX));
    let ask = || limits.admit(&subject("a"), &demand(0, 0), &Flat, &store, at(0));
    let _first = admitted(ask());
    store.1.set(3);
    let unsettled = refused(ask()).unsettled.expect("the third read fails: what was taken stays");
    assert_eq!(refused(ask()).states[0].remaining, 3);
    assert!(unsettled.retry(&store, at(1)).is_none());
    assert_eq!(refused(ask()).states[0].remaining, 4, "a refused request leaves no trace");
}

#[test]
fn ok_a_million_callers_do_not_grow_the_store() {
    const CALLERS: u64 = 1_000_000;
    let limits = one(LimitSpec { max_descriptors: 8, ..spec("rpm", Unit::Requests, 5, Reserve::None) });
    let store = MemoryStore::default();
    let (mut created, mut shared, mut turned_away) = (0, 0, 0);
    for caller in 0..CALLERS {
        // A flood of ids over a hundred seconds, which lie in two minutes of the calendar.
        let now = at(caller / 10_000);
        match limits.admit(&subject(&format!("caller-{caller}")), &demand(0, 0), &Flat, &store, now) {
            Admission::Admitted { mut reservation, .. } => {
                for (_, slot) in reservation.take_slot_uses() {
                    match slot {
                        SlotUse::Created => created += 1,
                        SlotUse::Shared => shared += 1,
                    }
                }
            }
            Admission::Refused(_) => turned_away += 1,
        }
    }
    let (keys, bytes) = store.size();
    assert_eq!(created, 8);
    assert!(keys <= 9 && bytes < 9 * 256, "{keys} keys of {bytes} bytes");
    // Two minutes of callers share one counter of five a minute, and all slots are free again when the minute is over.
    assert!((5..=10).contains(&shared), "{shared} shared");
    assert_eq!(CALLERS, turned_away + 2 * 8 + shared);
}
