//! Refusals that are told of once a minute.

use super::*;

fn world(more: &Value) -> World {
    let mut config = json!({
        "header_hold": true,
        "identity": { "tenant": [{ "from": "header", "name": "x-tenant" }, { "from": "constant", "value": "acme" }] },
        "limits": [{ "id": "rpm", "unit": "requests", "amount": 1, "per": ["tenant"], "notify_at": [], "window": { "kind": "fixed", "per": "day" } }],
        "sink": { "cluster": "collector", "rejected": "summary_per_minute" },
    });
    for (name, value) in more.as_object().expect("an object") {
        config["sink"][name] = value.clone();
    }
    World::of(&config)
}

impl World {
    fn ask_as(&mut self, tenant: &str) -> Verdict {
        let mut exchange = Exchange::default();
        let verdict = self.request(&mut exchange, &[("x-tenant", tenant)], &chat(false));
        self.done(&mut exchange, "downstream_remote_disconnect");
        verdict
    }

    /// All events that went out by now, by type.
    fn out(&self, kind: &str) -> Vec<Value> {
        let body = |effect: &Effect| match effect {
            Effect::Callout(callout) => Some(serde_json::from_slice::<Vec<Value>>(&callout.body).expect("an array")),
            _ => None,
        };
        self.effects.iter().filter_map(body).flatten().filter(|event| event["type"] == kind).collect()
    }
}

#[test]
fn ok_refusals_are_one_event_a_minute_and_the_log_has_each() {
    let mut world = world(&json!({}));
    assert_eq!(world.ask_as("a"), Verdict::Continue);
    let refused = |world: &mut World, tenant: &str, count: usize| {
        for _ in 0..count {
            assert!(matches!(world.ask_as(tenant), Verdict::Reply(_)));
        }
    };
    refused(&mut world, "a", 100);
    assert_eq!(world.ask_as("b"), Verdict::Continue);
    refused(&mut world, "b", 7);
    assert_eq!(world.counted("accepted"), 2, "none is an event for the collector");
    // The access log has all of them; those that were told of together have no number that could be a gap.
    let events = world.events();
    assert_eq!(events.len(), 109);
    for event in &events {
        let is_refused = event["data"]["outcome"] == "rejected";
        assert_eq!(event["data"].get("seq").is_none(), is_refused, "{event}");
        assert_eq!(event["data"].get("writer").is_none(), is_refused, "{event}");
    }
    world.deliver();
    assert_eq!((world.out("ai.meterr.usage.v1").len(), world.out("ai.meterr.rejected.v1").len()), (2, 0));
    world.wait(60_000);
    world.deliver();
    let told = world.out("ai.meterr.rejected.v1");
    assert_eq!(told.len(), 2, "{told:#?}");
    for (event, (tenant, count)) in told.iter().zip([("a", 100), ("b", 7)]) {
        let data = &event["data"];
        assert_eq!(
            (&event["subject"], &data["tenant"], &data["count"]),
            (&json!(tenant), &json!(tenant), &json!(count))
        );
        assert_eq!([&data["provider"], &data["outcome"], &data["limit"]], ["openai", "rejected", "rpm"]);
        assert_eq!((&data["billable"], data["reason"].is_string()), (&json!(false), true));
        assert!(data["first_at"].as_str() < data["last_at"].as_str(), "{data}");
        assert!(data["seq"].is_u64() && data["writer"].is_string());
    }
    assert_ne!(told[0]["data"]["writer"], world.out("ai.meterr.usage.v1")[0]["data"]["writer"]);
    assert_eq!((world.counted("accepted"), world.counted("delivered")), (4, 4));
    world.wait(60_000);
    world.deliver();
    assert_eq!(world.out("ai.meterr.rejected.v1").len(), 2, "each is told once");
}

#[test]
fn ok_the_end_tells_what_the_minute_has_so_far() {
    let mut world = world(&json!({}));
    assert_eq!(world.ask_as("a"), Verdict::Continue);
    (0..3).for_each(|_| drop(world.ask_as("a")));
    world.step(Service::on_done);
    let unsent = |effect: &Effect| match effect {
        Effect::Log(_, text) => text.strip_prefix("meterr unsent: ").map(str::to_owned),
        _ => None,
    };
    let unsent: Vec<Value> =
        world.effects.iter().filter_map(unsent).map(|text| serde_json::from_str(&text).expect("JSON")).collect();
    let kinds: Vec<&str> = unsent.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["ai.meterr.usage.v1", "ai.meterr.rejected.v1"]);
    assert_eq!(unsent[1]["data"]["count"], 3);
}

#[test]
fn ok_refusals_for_want_of_room_are_summed_up_too() {
    let mut world = world(&json!({ "queue": { "max_bytes": 65_536, "on_full": "reject_requests" } }));
    let mut refusals = 0;
    for nth in 0..300 {
        refusals += u64::from(matches!(world.ask_as(&format!("tenant-{nth}")), Verdict::Reply(_)));
    }
    assert!(refusals > 100, "{refusals}");
    assert_eq!((world.counted("accepted"), world.counted("dropped")), (300 - refusals, 0));
    world.deliver();
    world.wait(60_000);
    world.deliver();
    let told = world.out("ai.meterr.rejected.v1");
    let count: u64 = told.iter().filter_map(|event| event["data"]["count"].as_u64()).sum();
    assert_eq!(count, refusals);
    assert!(told.iter().all(|event| event["data"]["reason"] == "event_queue_full"), "{told:#?}");
    assert_eq!(world.counted("dead_lettered"), 0);
}
