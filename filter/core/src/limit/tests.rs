use core::cell::RefCell;

use proptest::prelude::*;

mod units;

use super::{
    reply::reply,
    spec::{Calendar, Dimension, Fallback, LimitSpec, Match, OnExceed, Override, Reserve, Window},
    *,
};
use crate::{
    dialect::ErrorShape,
    random::Random,
    store::{MemoryStore, SharedStore, StoreError, Version},
    time::Timestamp,
};

fn spec(id: &str, unit: Unit, amount: u64, reserve: Reserve) -> LimitSpec {
    LimitSpec {
        id: Rc::from(id),
        per: vec![Dimension::Tenant],
        applies: Match::default(),
        unit,
        amount,
        overrides: Vec::new(),
        window: Window::Fixed(Calendar::Minute),
        reserve,
        assume_output_tokens: 100,
        on_unbounded: Fallback::Allow,
        on_unpriced: Fallback::Allow,
        on_exceed: OnExceed::Reject,
        on_store_error: Fallback::Allow,
        max_descriptors: 16,
        notify_at: Vec::new(),
    }
}

fn subject(tenant: &str) -> Subject<'_> {
    Subject { tenant, user: None, key: None, provider: "openai", model: Some("gpt-4o"), labels: &[] }
}

fn demand(input: u64, cap: u64) -> Demand {
    Demand { input_estimate: input, output_cap: Some(cap), input_bound: Some(input) }
}

/// Two for an input token, four for one that is kept in a cache, ten for an output token. The model `free-form` has no price.
struct Flat;

impl Pricing for Flat {
    fn cost(&self, input: u64, output: u64, at_most: bool) -> Option<u64> {
        Some(input * if at_most { 4 } else { 2 } + output * 10)
    }
}

fn spent(tokens: u64) -> Charge {
    Charge { tokens, ..Charge::default() }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn admitted(admission: Admission) -> Reservation {
    match admission {
        Admission::Admitted { reservation, .. } => reservation,
        Admission::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn refused(admission: Admission) -> Refusal {
    match admission {
        Admission::Refused(refusal) => refusal,
        Admission::Admitted { .. } => panic!("it was admitted"),
    }
}

#[test]
fn ok_hold_settle_and_debt() {
    let limits = Limits::compile(&[spec("tpm", Unit::Tokens, 1_000, Reserve::Expected)]);
    let store = MemoryStore::default();
    let held = admitted(limits.admit(&subject("a"), &demand(100, 500), &Flat, &store, at(0)));
    assert_eq!((held.states()[0].held, held.states()[0].remaining), (600, 400));
    assert_eq!(
        refused(limits.admit(&subject("a"), &demand(100, 500), &Flat, &store, at(1))).kind,
        RefusalKind::RateLimit
    );
    let other = admitted(limits.admit(&subject("b"), &demand(100, 500), &Flat, &store, at(1)));
    assert_eq!(other.states()[0].remaining, 400, "another tenant has its own counter");
    let settled = held.settle(spent(1_300), &store, at(2));
    assert_eq!((settled.states[0].settled, settled.states[0].remaining), (1_300, -300), "debt is kept");
    assert!(settled.unsettled.is_none());
    let refusal = refused(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(59)));
    assert_eq!(refusal.states[0].remaining, -300);
    let _next = admitted(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(60)));
}

#[test]
fn ok_a_window_that_rolled_over_takes_only_the_excess() {
    for (tokens, charged) in [(100, 0), (600, 0), (750, 150)] {
        let limits = Limits::compile(&[spec("tpm", Unit::Tokens, 1_000, Reserve::Expected)]);
        let store = MemoryStore::default();
        let held = admitted(limits.admit(&subject("a"), &demand(100, 500), &Flat, &store, at(59)));
        let settled = held.settle(spent(tokens), &store, at(61));
        assert_eq!(settled.states[0].remaining, 1_000 - charged, "{tokens} tokens");
    }
}

#[test]
fn ok_all_or_none() {
    let rpm = LimitSpec { per: Vec::new(), ..spec("rpm", Unit::Requests, 2, Reserve::None) };
    let mut day = spec("day", Unit::Tokens, 500, Reserve::Expected);
    day.window = Window::Fixed(Calendar::Day);
    day.per = vec![Dimension::Tenant, Dimension::Model];
    let limits = Limits::compile(&[rpm, spec("tpm", Unit::Tokens, 1_000, Reserve::Expected), day]);
    let store = MemoryStore::default();
    let first = admitted(limits.admit(&subject("a"), &demand(0, 300), &Flat, &store, at(0)));
    assert_eq!(first.states().len(), 3);
    let refusal = refused(limits.admit(&subject("a"), &demand(0, 300), &Flat, &store, at(0)));
    assert_eq!((refusal.kind, &*refusal.limit.id), (RefusalKind::Budget, "day"));
    let decisions: Vec<&str> = refusal.states.iter().map(|state| state.decision).collect();
    assert_eq!(decisions, ["passed", "passed", "rejected"]);
    assert_eq!(refusal.states[0].remaining, 1, "the request that was refused was not counted");
    assert_eq!(refusal.states[1].remaining, 700);
    let settled = first.settle(spent(10), &store, at(1));
    assert_eq!(settled.states.iter().map(|state| state.remaining).collect::<Vec<_>>(), [1, 990, 490]);
}

#[test]
fn ok_the_longest_wait_is_told_and_is_true() {
    let mut hour = spec("hour", Unit::Requests, 1, Reserve::None);
    hour.window = Window::Fixed(Calendar::Hour);
    let limits = Limits::compile(&[spec("minute", Unit::Requests, 1, Reserve::None), hour]);
    let store = MemoryStore::default();
    let _held = admitted(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(0)));
    let now = Timestamp(at(10).0 + 400_000_000);
    let refusal = refused(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, now));
    assert_eq!(&*refusal.limit.id, "hour");
    let told = reply(&refusal, ErrorShape::OpenAi, "id", now);
    let header = |name: &str| told.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let ms: u64 = header("retry-after-ms").expect("told").parse().expect("a number");
    assert_eq!(header("retry-after"), Some(ms.div_ceil(1000).to_string()));
    assert_eq!(header("x-should-retry").as_deref(), Some("false"));
    refused(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, Timestamp(now.plus_millis(ms).0 - 1_000_000)));
    let _enough = admitted(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, now.plus_millis(ms)));
}

#[test]
fn ok_worst_case_clamps_nothing() {
    let limits = Limits::compile(&[spec("tpm", Unit::Tokens, 1_000, Reserve::WorstCase)]);
    let store = MemoryStore::default();
    let refusal = refused(limits.admit(&subject("a"), &demand(1, 1_000), &Flat, &store, at(0)));
    assert_eq!(refusal.kind, RefusalKind::RequestExceedsLimit);
    let told = reply(&refusal, ErrorShape::Anthropic, "id", at(0));
    assert!(told.headers.iter().all(|(name, _)| name != "retry-after"));
    let unbounded = Demand { input_bound: None, ..demand(10, 10) };
    let admission = limits.admit(&subject("a"), &unbounded, &Flat, &store, at(0));
    assert!(matches!(admission, Admission::Admitted { unbounded: true, .. }));
    let mut strict = spec("tpm", Unit::Tokens, 1_000, Reserve::WorstCase);
    strict.on_unbounded = Fallback::Reject;
    assert_eq!(
        refused(Limits::compile(&[strict]).admit(&subject("a"), &unbounded, &Flat, &store, at(0))).kind,
        RefusalKind::Unbounded
    );
    let expected = Limits::compile(&[spec("e", Unit::Tokens, 1_000, Reserve::Expected)]);
    assert_eq!(
        admitted(expected.admit(&subject("a"), &demand(1, 9_000), &Flat, &store, at(0))).states()[0].held,
        1_000
    );
}

#[test]
fn ok_matches_overrides_and_unknown_models() {
    let mut only = spec("only", Unit::Requests, 1, Reserve::None);
    only.applies.model = vec!["gpt-4o*".to_owned()];
    only.overrides = vec![Override { of: Match { tenant: vec!["big*".to_owned()], ..Match::default() }, amount: 2 }];
    let limits = Limits::compile(&[only]);
    let store = MemoryStore::default();
    let ask = |tenant, model| limits.admit(&Subject { model, ..subject(tenant) }, &demand(0, 0), &Flat, &store, at(0));
    assert!(admitted(ask("a", Some("o3"))).states().is_empty());
    assert!(admitted(ask("a", None)).states().is_empty());
    assert!(limits.needs_body(&subject("a")));
    let _one = admitted(ask("a", Some("gpt-4o-mini")));
    refused(ask("a", Some("gpt-4o")));
    let _two = (admitted(ask("big-1", Some("gpt-4o"))), admitted(ask("big-1", Some("gpt-4o"))));
    refused(ask("big-1", Some("gpt-4o")));
}

/// A store that fails now and then.
#[derive(Default)]
struct Shaky {
    inner: MemoryStore,
    random: RefCell<Option<Random>>,
    /// Conflicts in a hundred swaps, and failures in a hundred operations.
    rates: (u64, u64),
}

impl Shaky {
    fn strikes(&self, rate: u64) -> bool {
        self.random.borrow_mut().as_mut().is_some_and(|random| random.up_to(99) < rate)
    }
}

impl SharedStore for Shaky {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        if self.strikes(self.rates.1) { Err(StoreError::Host(9)) } else { self.inner.read(key) }
    }
    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        if self.strikes(self.rates.0) { Err(StoreError::Conflict) } else { self.inner.swap(key, value, version) }
    }
    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.strikes(self.rates.0) { Err(StoreError::Conflict) } else { self.inner.create(key, value) }
    }
    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.inner.write(key, value)
    }
}

#[test]
fn ok_a_store_that_fails_decides_by_configuration() {
    let store = Shaky { random: RefCell::new(Some(Random::new(1))), rates: (0, 100), ..Shaky::default() };
    let limits = Limits::compile(&[spec("tpm", Unit::Tokens, 1_000, Reserve::Expected)]);
    let held = admitted(limits.admit(&subject("a"), &demand(1, 1), &Flat, &store, at(0)));
    assert_eq!(held.states()[0].decision, "store_error");
    let mut strict = spec("tpm", Unit::Tokens, 1_000, Reserve::Expected);
    strict.on_store_error = Fallback::Reject;
    let refusal = refused(Limits::compile(&[strict]).admit(&subject("a"), &demand(1, 1), &Flat, &store, at(0)));
    assert_eq!(refusal.kind, RefusalKind::Store);
    assert_eq!(reply(&refusal, ErrorShape::OpenAi, "", at(0)).status, 503);
}

#[test]
fn ok_what_the_store_did_not_take_is_settled_later() {
    let mut store = Shaky { random: RefCell::new(Some(Random::new(1))), ..Shaky::default() };
    let limits = Limits::compile(&[spec("tpm", Unit::Tokens, 1_000, Reserve::Expected)]);
    let held = admitted(limits.admit(&subject("a"), &demand(100, 100), &Flat, &store, at(0)));
    store.rates = (0, 100);
    let unsettled = held.settle(spent(50), &store, at(1)).unsettled.expect("the store fails");
    let unsettled = unsettled.retry(&store, at(2)).expect("it still does");
    store.rates = (0, 0);
    assert!(unsettled.retry(&store, at(3)).is_none());
    let next = admitted(limits.admit(&subject("a"), &demand(0, 1), &Flat, &store, at(4)));
    assert_eq!(next.states()[0].remaining, 949);
}

#[derive(Clone, Debug)]
enum Act {
    Ask { tenant: u8, input: u64, cap: u64 },
    Settle { which: usize, tokens: u64 },
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3_u8, 0..200_u64, 0..200_u64).prop_map(|(tenant, input, cap)| Act::Ask { tenant, input, cap }),
        4 => (0..8_usize, 0..400_u64).prop_map(|(which, tokens)| Act::Settle { which, tokens }),
        1 => (0..40_u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    /// Conservation against a plain reference, with forced conflicts: held and settled are the sum of the exchanges of the window; a refusal
    /// leaves no trace; under `worst_case` what settles within its bound never exceeds the amount.
    #[test]
    fn conservation(acts in acts(), seed in any::<u64>()) {
        let store = Shaky { random: RefCell::new(Some(Random::new(seed))), rates: (30, 0), ..Shaky::default() };
        let limits = Limits::compile(&[
            spec("worst", Unit::Tokens, 1_000, Reserve::WorstCase),
            LimitSpec { per: Vec::new(), ..spec("all", Unit::Tokens, 2_000, Reserve::Expected) },
        ]);
        let names = ["a", "b", "c"];
        let mut open: Vec<(usize, u64, u64, Reservation)> = Vec::new();
        // Per tenant and window: settled so far. The window's start stands first.
        let mut settled: std::collections::BTreeMap<(usize, u64), u64> = std::collections::BTreeMap::new();
        let mut now = 0;
        for act in acts {
            match act {
                Act::Wait(secs) => now += secs,
                Act::Ask { tenant, input, cap } => {
                    let tenant = usize::from(tenant);
                    let window = now / 60;
                    let held: u64 = open.iter().filter(|o| o.0 == tenant && o.1 == window).map(|o| o.2).sum();
                    let held_all: u64 = open.iter().filter(|o| o.1 == window).map(|o| o.2).sum();
                    let used = held + settled.get(&(tenant, window)).copied().unwrap_or(0);
                    let used_all: u64 = held_all + (0..3).filter_map(|t| settled.get(&(t, window))).sum::<u64>();
                    let want = input + cap;
                    let fits = used < 1_000 && used + want <= 1_000 && used_all < 2_000 && used_all + want <= 2_000;
                    match limits.admit(&subject(names[tenant]), &demand(input, cap), &Flat, &store, at(now)) {
                        Admission::Admitted { reservation, .. } => {
                            prop_assert!(fits, "{used} + {want} of 1000, {used_all} + {want} of 2000");
                            prop_assert_eq!(reservation.states()[0].remaining, 1_000 - i64::try_from(used + want).unwrap());
                            open.push((tenant, window, want, reservation));
                        }
                        Admission::Refused(refusal) => {
                            prop_assert!(!fits, "{refusal:?}");
                            let left = 1_000 - i64::try_from(used).unwrap();
                            prop_assert_eq!(refusal.states[0].remaining, left, "a refusal leaves no trace");
                        }
                    }
                }
                Act::Settle { which, tokens } => {
                    if open.is_empty() {
                        continue;
                    }
                    let (tenant, window, held, reservation) = open.remove(which % open.len());
                    let tokens = tokens.min(held);
                    let done = reservation.settle(spent(tokens), &store, at(now));
                    prop_assert!(done.unsettled.is_none());
                    if window == now / 60 {
                        *settled.entry((tenant, window)).or_default() += tokens;
                    }
                    let total = settled.get(&(tenant, now / 60)).copied().unwrap_or(0);
                    prop_assert!(total <= 1_000, "{} settled in one window", total);
                }
            }
        }
    }
}
