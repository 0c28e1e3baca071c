//! Requests that wait for quota.

use super::*;

fn rpm(amount: u64, more: &Value) -> Value {
    let mut limit = json!({ "id": "rpm", "per": ["tenant"], "unit": "requests", "amount": amount, "on_exceed": "queue",
        "queue": { "max_wait_ms": 5_000, "max_waiting": 2 }, "window": { "kind": "bucket", "per_sec": 1 } });
    limit.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!([limit])
}

impl World {
    pub(super) fn turn(&mut self, exchange: &mut Exchange) -> Verdict {
        self.step(|service, host| exchange.on_turn(service, host))
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
    }

    pub(super) fn waiting(&self) -> i64 {
        let moved = self.effects.iter().map(|effect| match effect {
            Effect::Move(Metric::QueueWaiting(_), by) => *by,
            _ => 0,
        });
        moved.sum()
    }

    pub(super) fn results(&self) -> Vec<&'static str> {
        let result = |effect: &Effect| match effect {
            Effect::Measure(Metric::Queue(_, result), 1) => Some(*result),
            _ => None,
        };
        self.effects.iter().filter_map(result).collect()
    }

    /// The events of the next batch.
    fn sent(&mut self) -> Vec<Value> {
        self.wait(100);
        let sent = self.step(|service, host| {
            service.on_tick(host);
            let body = |effect: &Effect| match effect {
                Effect::Callout(callout) => Some(callout.body.clone()),
                _ => None,
            };
            host.effects.iter().find_map(body).expect("a batch")
        });
        serde_json::from_slice(&sent).expect("an array")
    }

    pub(super) fn asked(&mut self) -> (Exchange, Verdict) {
        let mut exchange = Exchange::default();
        let verdict = self.request(&mut exchange, &[], &chat(false));
        (exchange, verdict)
    }
}

fn refused(verdict: Verdict) -> LocalReply {
    match verdict {
        Verdict::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ok_requests_wait_in_order_and_go_on_when_there_is_room() {
    let mut world = World::new(&rpm(1, &json!({})));
    let (mut first, verdict) = world.asked();
    assert_eq!(verdict, Verdict::Continue);
    let (mut second, verdict) = world.asked();
    assert_eq!(verdict, Verdict::Pause);
    let (mut third, verdict) = world.asked();
    assert_eq!((verdict, world.waiting()), (Verdict::Pause, 2));
    assert!(second.ticket() < third.ticket() && first.ticket().is_none());
    assert!(world.effects.contains(&Effect::SetTick(10)), "somebody has to look");

    let (_, verdict) = world.asked();
    let reply = refused(verdict);
    assert_eq!((reply.status, world.results()), (429, vec!["full"]));

    world.wait(400);
    assert_eq!(world.turn(&mut second), Verdict::Pause);
    world.wait(700);
    assert_eq!(world.turn(&mut third), Verdict::Pause, "it is not its turn");
    assert_eq!(world.turn(&mut second), Verdict::Continue);
    assert_eq!(world.turn(&mut third), Verdict::Pause, "there was room for one");
    world.wait(1_100);
    assert_eq!(world.turn(&mut third), Verdict::Continue);
    assert_eq!((world.waiting(), world.results()), (0, vec!["full", "admitted", "admitted"]));

    world.effects.clear();
    world.done(&mut second, "downstream_remote_disconnect");
    let waited = world.data()["queue_ms"].as_u64().expect("it waited");
    assert!((1_100..1_120).contains(&waited), "{waited} ms");
    world.done(&mut first, "");
}

#[test]
fn ok_nobody_overtakes() {
    let mut world = World::new(&rpm(1, &json!({})));
    let _first = world.asked();
    let (mut second, _) = world.asked();
    world.wait(1_500);
    let (mut late, verdict) = world.asked();
    assert_eq!(verdict, Verdict::Pause, "there is room, but somebody waits for it");
    assert_eq!(world.turn(&mut second), Verdict::Continue);
    assert_eq!(world.turn(&mut late), Verdict::Pause);
}

#[test]
fn ok_a_wait_that_is_too_long_ends_in_a_refusal() {
    let mut world = World::new(&rpm(1, &json!({ "window": { "kind": "fixed", "per": "hour" } })));
    let _first = world.asked();
    let ((mut second, _), (mut third, _)) = (world.asked(), world.asked());
    world.wait(5_000);
    for exchange in [&mut third, &mut second] {
        let reply = refused(world.turn(exchange));
        assert!(reply.headers.iter().any(|(name, _)| name == "retry-after"), "{reply:?}");
    }
    assert_eq!((world.waiting(), world.results()), (0, vec!["timed_out", "timed_out"]));
    world.effects.clear();
    let exchange = &mut second;
    world.response(exchange, &[(":status", "429"), ("content-type", "application/json")]);
    world.body(exchange, "{}", true);
    let data = world.data();
    assert_eq!((&data["outcome"], &data["reason"]), (&json!("rejected"), &json!("rate_limit_exceeded")));
    assert!(data["queue_ms"].as_u64() >= Some(5_000), "{data}");
}

#[test]
fn ok_a_client_that_leaves_frees_its_place() {
    let mut world = World::new(&rpm(1, &json!({})));
    let _first = world.asked();
    let ((mut second, _), (mut third, _)) = (world.asked(), world.asked());
    world.effects.clear();
    world.done(&mut second, "downstream_remote_disconnect");
    let data = world.data();
    assert_eq!((&data["outcome"], &data["usage_status"]), (&json!("client_aborted"), &json!("none")));
    assert_eq!(world.results(), ["left"]);
    let (_fourth, verdict) = world.asked();
    assert_eq!(verdict, Verdict::Pause, "there is a place again");
    world.wait(1_100);
    assert_eq!(world.turn(&mut third), Verdict::Continue, "it moved up");
}

#[test]
fn ok_what_cannot_be_held_or_never_fits_does_not_wait() {
    let mut world = World::new(&rpm(1, &json!({})));
    let _first = world.asked();
    let mut upgrade = Exchange::default();
    let verdict = world.request(&mut upgrade, &[("upgrade", "websocket")], &chat(false));
    assert_eq!(refused(verdict).status, 429);

    let tokens = json!({ "unit": "tokens", "reserve": "worst_case", "window": { "kind": "fixed", "per": "minute" } });
    let mut world = World::new(&rpm(20, &tokens));
    let reply = refused(world.request(
        &mut Exchange::default(),
        &[],
        &json!({ "model": "m", "max_tokens": 500, "messages": [] }),
    ));
    assert!(String::from_utf8_lossy(&reply.body).contains("request_exceeds_limit"));
    assert!(world.results().is_empty());
}

#[test]
fn ok_alerts_and_trials_are_told() {
    let mut world = World::new(&json!([
        { "id": "rpm", "unit": "requests", "amount": 2, "per": ["tenant"], "notify_at": [0.5, 1.0] },
        { "id": "trial", "unit": "requests", "amount": 1, "on_exceed": "report_only", "notify_at": [] },
    ]));
    let (mut first, _) = world.asked();
    let (mut second, verdict) = world.asked();
    assert_eq!(verdict, Verdict::Continue);
    world.done(&mut first, "downstream_remote_disconnect");
    world.effects.clear();
    world.done(&mut second, "downstream_remote_disconnect");
    let trial = &world.data()["limits"][1];
    assert_eq!((&trial["would_reject"], &trial["decision"]), (&json!(true), &json!("admitted")));
    let sent = world.sent();
    let alerts: Vec<&Value> = sent.iter().filter(|event| event["type"] == "ai.meterr.limit.v1").collect();
    assert_eq!(alerts.len(), 2);
    let data = &alerts[1]["data"];
    assert_eq!((&data["limit"], &data["tenant"], &data["unit"]), (&json!("rpm"), &json!("acme"), &json!("requests")));
    assert_eq!((&data["threshold"], &data["used"], &data["amount"]), (&json!("1"), &json!(2), &json!(2)));
    // Alerts stand in no access log, and have a sequence of their own.
    let of = |event: &Value| (event["data"]["writer"].to_string(), event["data"]["seq"].as_u64());
    let (usage, alerts): (Vec<_>, Vec<_>) = sent.iter().partition(|event| event["type"] == "ai.meterr.usage.v1");
    let [usage, alerts] = [usage, alerts].map(|events| events.into_iter().map(of).collect::<Vec<_>>());
    assert_ne!(usage[0].0, alerts[0].0);
    for events in [usage, alerts] {
        let writer = &events[0].0;
        assert_eq!(events, [(writer.clone(), Some(1)), (writer.clone(), Some(2))]);
    }
}

#[test]
fn ok_an_alert_names_the_counter_that_was_taken_from() {
    // Whether the body was read before the limits decided, or came too late for them.
    for (is_held, model) in [(true, "gpt-4o-mini"), (false, "unknown")] {
        let mut world = World::of(&json!({
            "header_hold": is_held,
            "identity": { "tenant": [{ "from": "constant", "value": "acme" }] },
            "limits": [{ "id": "tpm", "per": ["model"], "unit": "tokens", "amount": 46, "reserve": "none", "notify_at": [1.0] }],
            "sink": { "cluster": "collector" },
        }));
        let mut exchange = Exchange::default();
        assert_eq!(world.request(&mut exchange, &[], &chat(false)), Verdict::Continue);
        world.response(&mut exchange, JSON);
        world.body(&mut exchange, REPLY, true);
        world.done(&mut exchange, "via_upstream");
        assert_eq!(world.data()["request_model"], "gpt-4o-mini", "the event of the exchange knows it in the end");
        let sent = world.sent();
        let alert = sent.iter().find(|event| event["type"] == "ai.meterr.limit.v1").expect("all 46 are used");
        assert_eq!((&alert["data"]["request_model"], &alert["data"]["used"]), (&json!(model), &json!(46)));
    }
}

#[test]
fn ok_metrics_name_the_limit_that_is_waited_for() {
    let queue = json!({ "max_wait_ms": 5_000, "max_waiting": 2 });
    let mut world = World::new(&json!([
        { "id": "all", "unit": "requests", "amount": 1, "on_exceed": "queue", "queue": queue,
          "window": { "kind": "bucket", "per_sec": 1 } },
        { "id": "own", "per": ["tenant"], "unit": "requests", "amount": 1, "on_exceed": "queue", "queue": queue,
          "window": { "kind": "fixed", "per": "hour" } },
    ]));
    let ask =
        |world: &mut World, tenant| world.request(&mut Exchange::default(), &[("x-tenant", tenant)], &chat(false));
    assert_eq!(ask(&mut world, "a"), Verdict::Continue);
    assert_eq!(ask(&mut world, "b"), Verdict::Pause);
    // Its own limit would make it wait for longer, but it stands behind the other one.
    assert_eq!(ask(&mut world, "a"), Verdict::Pause);
    assert_eq!(refused(ask(&mut world, "a")).status, 429);
    let named = |effect: &Effect| match effect {
        Effect::Move(Metric::QueueWaiting(limit), by) => Some((limit.to_string(), *by)),
        Effect::Measure(Metric::Queue(limit, "full"), _) => Some((limit.to_string(), 0)),
        _ => None,
    };
    let named: Vec<(String, i64)> = world.effects.iter().filter_map(named).collect();
    assert_eq!(named, [1, 1, 0].map(|by| ("all".to_owned(), by)));
}

#[test]
fn ok_whoever_waits_hears_that_the_provider_says_to_wait() {
    let mut world = World::of(&json!({
        "header_hold": true,
        "providers": { "backpressure": { "mode": "reject" } },
        "identity": { "tenant": [{ "from": "constant", "value": "acme" }] },
        "limits": rpm(1, &json!({})),
        "sink": { "cluster": "collector" },
    }));
    let (mut first, _) = world.asked();
    let (mut second, verdict) = world.asked();
    assert_eq!(verdict, Verdict::Pause);
    world.response(&mut first, &[(":status", "429"), ("content-type", "application/json"), ("retry-after", "30")]);
    world.body(&mut first, "{}", true);
    world.wait(1_500);
    let verdict = world.turn(&mut second);
    assert_eq!(refused(verdict).details, "meterr_provider_backpressure");
    assert_eq!((world.waiting(), world.results()), (0, vec!["refused"]));
    world.response(&mut second, &[(":status", "429"), ("content-type", "application/json")]);
    world.done(&mut second, "meterr_provider_backpressure");
    let data = world.events().pop().expect("an event")["data"].take();
    assert_eq!((&data["reason"], &data["billable"]), (&json!("provider_backpressure"), &json!(false)), "{data}");
}

/// A request that waits: when it came, and where in the order of arrivals.
struct Waits {
    exchange: Exchange,
    tenant: usize,
    came: u64,
    nth: u64,
}

#[test]
fn ok_the_laws_of_waiting_hold_for_random_arrivals_and_departures() {
    const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];
    const MAX_WAIT: u64 = 5_000;
    let limit = json!([{ "id": "rpm", "per": ["tenant"], "unit": "requests", "amount": 3, "on_exceed": "queue",
        "queue": { "max_wait_ms": MAX_WAIT, "max_waiting": 4 }, "window": { "kind": "bucket", "per_sec": 1 } }]);
    for seed in 0..20 {
        let mut random = crate::random::Random::new(seed);
        let mut world = World::new(&limit);
        let (mut lines, mut last): (Vec<Waits>, [u64; 3]) = (Vec::new(), [0; 3]);
        // The level of each tenant's bucket in thousandths, as of that millisecond.
        let mut buckets = [(0_u64, world.now.millis()); 3];
        let mut ended = 0;
        for nth in 1..500 {
            world.now = world.now.plus_millis(random.up_to(300));
            let now = world.now.millis();
            let mut admitted = |tenant: usize, nth: u64| {
                assert!(last[tenant] < nth, "seed {seed}: {nth} was overtaken");
                last[tenant] = nth;
                let (level, at) = &mut buckets[tenant];
                // A callback takes a millisecond here.
                *level = level.saturating_sub(now + 2 - *at) + 1_000;
                *at = now + 2;
                assert!(*level <= 3_000 + 10, "seed {seed}: more than the amount: {level}");
            };
            match random.up_to(9) {
                0..6 => {
                    let tenant = usize::try_from(random.up_to(2)).expect("small");
                    let mut exchange = Exchange::default();
                    let waiting = lines.iter().filter(|waits| waits.tenant == tenant).count();
                    match world.request(&mut exchange, &[("x-tenant", TENANTS[tenant])], &chat(false)) {
                        Verdict::Continue => {
                            assert_eq!(waiting, 0, "seed {seed}: others wait");
                            admitted(tenant, nth);
                            world.done(&mut exchange, "");
                        }
                        Verdict::Pause => {
                            assert!(waiting < 4);
                            lines.push(Waits { exchange, tenant, came: now, nth });
                        }
                        Verdict::Reply(_) => assert_eq!(waiting, 4, "seed {seed}: there was a place"),
                    }
                }
                6 if !lines.is_empty() => {
                    let at = usize::try_from(random.up_to(lines.len() as u64 - 1)).expect("small");
                    world.done(&mut lines.remove(at).exchange, "downstream_remote_disconnect");
                    ended += 1;
                }
                _ => {
                    // A tick: whoever waits looks, in the order of tickets.
                    lines.sort_by_key(|waits| waits.exchange.ticket());
                    lines.retain_mut(|waits| match world.turn(&mut waits.exchange) {
                        Verdict::Continue => {
                            admitted(waits.tenant, waits.nth);
                            world.done(&mut waits.exchange, "");
                            ended += 1;
                            false
                        }
                        Verdict::Reply(_) => {
                            assert!(world.now.millis() >= waits.came + MAX_WAIT, "seed {seed}: too soon");
                            ended += 1;
                            false
                        }
                        Verdict::Pause => {
                            let waited = world.now.millis() - waits.came;
                            assert!(waited <= MAX_WAIT + 20, "seed {seed}: it waits for {waited} ms");
                            true
                        }
                    });
                }
            }
            assert_eq!(world.waiting(), i64::try_from(lines.len()).expect("small"), "seed {seed}: the gauge");
        }
        assert!(ended > 50, "seed {seed}: too calm, {ended}");
    }
}
