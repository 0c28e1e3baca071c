use super::*;

fn world(mode: &str) -> World {
    World::of(&json!({
        "header_hold": true,
        "providers": { "backpressure": { "mode": mode } },
        "identity": { "tenant": [{ "from": "constant", "value": "acme" }] },
        "limits": tpm(1_000_000, "expected"),
        "sink": { "cluster": "collector" },
    }))
}

/// One exchange under these response headers and this body.
fn exchange(world: &mut World, headers: &[(&str, &str)], body: &str) {
    let mut exchange = Exchange::default();
    assert_eq!(world.request(&mut exchange, &[], &chat(false)), Verdict::Continue);
    world.response(&mut exchange, headers);
    world.body(&mut exchange, body, true);
}

fn refused(world: &mut World, more: &[(&str, &str)]) -> (LocalReply, Value) {
    let mut exchange = Exchange::default();
    let Verdict::Reply(reply) = world.request(&mut exchange, more, &chat(false)) else {
        panic!("the provider said to wait")
    };
    world.response(&mut exchange, &[(":status", "429"), ("content-type", "application/json"), ("retry-after", "1")]);
    world.done(&mut exchange, "meterr_provider_backpressure");
    (reply, world.events().pop().expect("an event")["data"].take())
}

fn decisions(world: &World) -> Vec<&'static str> {
    let decision = |effect: &Effect| match effect {
        Effect::Measure(Metric::LimitDecisions(id, decision), 1) if &**id == "provider" => Some(*decision),
        _ => None,
    };
    world.effects.iter().filter_map(decision).collect()
}

const REFUSAL: &[(&str, &str)] = &[(":status", "429"), ("content-type", "application/json"), ("retry-after", "7")];

#[test]
fn ok_a_refusal_of_the_provider_is_repeated_until_its_time_has_come() {
    let mut world = world("reject");
    exchange(&mut world, REFUSAL, "{}");
    let (reply, data) = refused(&mut world, &[]);
    assert_eq!((reply.status, reply.details), (429, "meterr_provider_backpressure"));
    let header = |name: &str| reply.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    // A callback takes a millisecond here: the headers came three of them ago.
    let ms: u64 = header("retry-after-ms").expect("told").parse().expect("a number");
    assert!((6_990..7_000).contains(&ms), "{ms}");
    assert_eq!([header("retry-after"), header("x-should-retry")], [Some("7"), Some("true")]);
    for (name, value) in [
        ("outcome", json!("rejected")),
        ("reason", json!("provider_backpressure")),
        ("billable", json!(false)),
        ("usage_status", json!("none")),
        ("status", json!(429)),
    ] {
        assert_eq!(data[name], value, "{name} in {data}");
    }
    assert_eq!(data["limits"].as_array().map(Vec::len), Some(1), "our own limits were not asked: {data}");
    let limit = &data["limits"][0];
    let expected = json!({ "id": "provider", "unit": "requests", "held": 0, "settled": 0, "remaining": 0,
        "reset_at": limit["reset_at"], "decision": "rejected", "would_reject": true });
    assert_eq!(limit, &expected);
    assert_eq!(decisions(&world), ["admitted", "rejected"]);
    // Our own refusal, which came back through the same callbacks, has taught it nothing.
    world.now = world.now.plus_millis(7_000);
    exchange(&mut world, JSON, REPLY);
    assert_eq!(decisions(&world).last(), Some(&"admitted"));
}

#[test]
fn ok_it_means_one_credential_and_one_model() {
    let mut world = world("reject");
    exchange(&mut world, REFUSAL, "{}");
    let mut other = Exchange::default();
    let body = chat(false).to_string();
    let length = body.len().to_string();
    let headers = view(&[
        (":method", "POST"),
        (":authority", "api.openai.com"),
        (":path", "/v1/chat/completions"),
        ("authorization", "Bearer sk-another-secret-0123456789"),
        ("content-length", &length),
    ]);
    let _held = world.step(|service, host| other.on_request_headers(&headers, false, service, host));
    let verdict = world.step(|service, host| other.on_request_body(body.as_bytes(), true, service, host));
    assert_eq!(verdict, Verdict::Continue, "another credential");
    let mut model = chat(false);
    model["model"] = json!("gpt-4o");
    assert_eq!(world.request(&mut Exchange::default(), &[], &model), Verdict::Continue, "another model");
    refused(&mut world, &[]);
}

#[test]
fn ok_nothing_left_under_a_success_is_a_wait_too() {
    let mut world = world("reject");
    let mut headers = JSON.to_vec();
    headers.extend([("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2s")]);
    exchange(&mut world, &headers, REPLY);
    let (reply, _) = refused(&mut world, &[]);
    assert!(reply.headers.contains(&("retry-after".to_owned(), "2".to_owned())), "{reply:?}");
}

#[test]
fn ok_the_body_of_a_refusal_is_heard_when_it_has_ended() {
    let mut world = world("reject");
    let mut first = Exchange::default();
    assert_eq!(world.request(&mut first, &[], &chat(false)), Verdict::Continue);
    world.response(&mut first, &[(":status", "429"), ("content-type", "application/json")]);
    world.body(&mut first, r#"{"error":{"message":"Rate limit reached. Please try again in 1m2"#, false);
    exchange(&mut world, JSON, REPLY);
    world.body(&mut first, r#"6.4s."}}"#, true);
    let (reply, _) = refused(&mut world, &[]);
    assert!(reply.headers.contains(&("retry-after".to_owned(), "87".to_owned())), "{reply:?}");
    assert!(reply.headers.contains(&("x-should-retry".to_owned(), "false".to_owned())), "{reply:?}");
}

#[test]
fn ok_report_only_lets_through_and_tells() {
    let mut world = world("report_only");
    exchange(&mut world, REFUSAL, "{}");
    exchange(&mut world, JSON, REPLY);
    let data = world.events().pop().expect("an event")["data"].take();
    assert_eq!((&data["outcome"], &data["billable"]), (&json!("completed"), &json!(true)));
    let limits = data["limits"].as_array().expect("limits");
    assert_eq!((&limits[0]["id"], &limits[0]["decision"]), (&json!("provider"), &json!("admitted")));
    assert_eq!((&limits[0]["would_reject"], &limits[1]["id"]), (&json!(true), &json!("tpm")));
    assert_eq!(decisions(&world), ["admitted", "would_reject"]);
}

#[test]
fn ok_off_reads_and_writes_nothing() {
    let mut off = world("off");
    exchange(&mut off, REFUSAL, "{}");
    exchange(&mut off, JSON, REPLY);
    assert_eq!((off.store.asked(b"meterr/b"), decisions(&off).len()), (0, 0));
    let mut off = world("off");
    exchange(&mut off, JSON, REPLY);
    exchange(&mut off, JSON, REPLY);
    let off_total = off.store.asked(b"");
    let mut on = world("reject");
    exchange(&mut on, JSON, REPLY);
    exchange(&mut on, JSON, REPLY);
    assert_eq!(on.store.asked(b"meterr/b"), 2, "one read for each request where nobody said anything");
    assert_eq!(on.store.asked(b""), off_total + 2);
}

#[test]
fn ok_what_nobody_pays_for_and_whom_nobody_knows_is_let_through() {
    for (authority, path) in
        [("api.anthropic.com", "/v1/messages/count_tokens"), ("llm.example.org", "/v1/chat/completions")]
    {
        let mut world = world("reject");
        let body = chat(false).to_string();
        for _ in 0..2 {
            let mut exchange = Exchange::default();
            let headers =
                view(&[(":method", "POST"), (":authority", authority), (":path", path), ("content-length", "90")]);
            let _held = world.step(|service, host| exchange.on_request_headers(&headers, false, service, host));
            let verdict = world.step(|service, host| exchange.on_request_body(body.as_bytes(), true, service, host));
            assert_eq!(verdict, Verdict::Continue, "{path}");
            world.response(&mut exchange, REFUSAL);
            world.body(&mut exchange, "{}", true);
        }
        assert_eq!((world.store.asked(b"meterr/b"), world.events().len()), (0, 2), "{path}");
    }
}

#[test]
fn ok_without_the_model_nothing_is_refused_but_everything_is_heard() {
    let mut world = World::of(&json!({
        "providers": { "backpressure": { "mode": "reject" } },
        "sink": { "cluster": "collector" },
    }));
    for _ in 0..2 {
        exchange(&mut world, REFUSAL, "{}");
    }
    assert!(decisions(&world).is_empty());
    // The path names the model: the same without a body.
    for expected in [true, false] {
        let mut exchange = Exchange::default();
        let headers = view(&[
            (":method", "POST"),
            (":authority", "generativelanguage.googleapis.com"),
            (":path", "/v1beta/models/gemini-2.5-flash:generateContent"),
            ("x-goog-api-key", KEY),
        ]);
        let verdict = world.step(|service, host| exchange.on_request_headers(&headers, false, service, host));
        assert_eq!(verdict == Verdict::Continue, expected, "{verdict:?}");
        if expected {
            world.response(&mut exchange, &[(":status", "429"), ("content-type", "application/json")]);
            let body = r#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED","details":[
                {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"48s"}]}}"#;
            world.body(&mut exchange, body, true);
        } else if let Verdict::Reply(reply) = verdict {
            let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert!(
                body["error"]["details"][0]["retryDelay"].as_str().is_some_and(|delay| delay.starts_with("47.")),
                "{body}"
            );
        }
    }
}

#[test]
fn ok_our_own_limits_are_not_the_providers() {
    let mut world = world("reject");
    let headers = [(":status", "429"), ("x-envoy-ratelimited", "true"), ("retry-after", "60")];
    exchange(&mut world, &headers, "");
    exchange(&mut world, JSON, REPLY);
    assert_eq!(decisions(&world), ["admitted", "admitted"]);
}

fn queueing(max_waiting: u64) -> World {
    World::of(&json!({
        "header_hold": true,
        "providers": { "backpressure": { "mode": "queue", "queue": { "max_wait_ms": 8_000, "max_waiting": max_waiting } } },
        "identity": { "tenant": [{ "from": "constant", "value": "acme" }] },
        "limits": [{ "id": "rpm", "per": ["tenant"], "unit": "requests", "amount": 2, "window": { "kind": "bucket", "per_sec": 1 },
            "on_exceed": "queue", "queue": { "max_wait_ms": 9_000, "max_waiting": 9 } }],
        "sink": { "cluster": "collector" },
    }))
}

#[test]
fn ok_what_waits_for_the_provider_goes_on_in_order_when_its_time_has_come() {
    let mut world = queueing(3);
    exchange(&mut world, REFUSAL, "{}");
    let ((mut first, waits), (mut second, _), (mut third, _)) = (world.asked(), world.asked(), world.asked());
    assert_eq!((waits, world.waiting()), (Verdict::Pause, 3));
    assert!(first.ticket() < second.ticket() && world.effects.contains(&Effect::SetTick(10)));
    let (_, full) = world.asked();
    assert!(matches!(full, Verdict::Reply(reply) if reply.details == "meterr_provider_backpressure"));
    assert_eq!(world.results(), ["full"]);
    let mut other = Exchange::default();
    let model = json!({ "model": "gpt-4o", "messages": [] });
    assert_eq!(world.request(&mut other, &[], &model), Verdict::Continue, "another model");

    world.wait(6_900);
    assert_eq!(world.turn(&mut first), Verdict::Pause, "a tenth of a second too early");
    world.wait(100);
    let (_, full) = world.asked();
    assert!(matches!(full, Verdict::Reply(_)), "the time has come, but nobody overtakes");
    assert_eq!((world.turn(&mut second), world.turn(&mut first)), (Verdict::Pause, Verdict::Continue));
    let (mut late, waits) = world.asked();
    assert_eq!((waits, world.turn(&mut second)), (Verdict::Pause, Verdict::Continue), "it is behind the others");
    // Our own limit has two a second.
    assert_eq!((world.turn(&mut third), world.turn(&mut late)), (Verdict::Pause, Verdict::Pause));
    assert_eq!(world.waiting(), 2, "now they wait for that");
    world.wait(1_000);
    assert_eq!((world.turn(&mut third), world.turn(&mut late)), (Verdict::Continue, Verdict::Pause));
    world.wait(1_000);
    assert_eq!((world.turn(&mut late), world.waiting()), (Verdict::Continue, 0));
    assert_eq!(
        world.results(),
        ["full", "full", "admitted", "admitted", "admitted", "admitted", "admitted", "admitted"]
    );
    let decided = decisions(&world);
    let admitted = decided.iter().filter(|decision| **decision == "admitted").count();
    assert_eq!((decided.len(), admitted), (8, 6), "each request once: {decided:?}");

    world.effects.clear();
    world.done(&mut third, "downstream_remote_disconnect");
    let data = world.data();
    let waited = data["queue_ms"].as_u64().expect("it waited");
    assert!((8_000..8_050).contains(&waited), "in both lines together: {waited} ms");
    let told = &data["limits"][0];
    assert_eq!((&told["id"], &told["decision"]), (&json!("provider"), &json!("admitted")));
    world.done(&mut other, "");
}

#[test]
fn ok_nobody_waits_in_vain_and_the_provider_may_ask_again() {
    let mut world = queueing(3);
    exchange(&mut world, &[(":status", "429"), ("content-type", "application/json"), ("retry-after", "9")], "{}");
    let (_, verdict) = world.asked();
    assert!(matches!(verdict, Verdict::Reply(_)), "nine seconds are more than it may wait");

    let mut world = queueing(3);
    let mut under_way = world.asked().0;
    exchange(&mut world, REFUSAL, "{}");
    let ((mut first, _), (mut gone, _)) = (world.asked(), world.asked());
    world.done(&mut gone, "downstream_remote_disconnect");
    assert_eq!((world.waiting(), world.results()), (1, vec!["left"]));
    world.response(&mut under_way, &[(":status", "429"), ("content-type", "application/json"), ("retry-after", "20")]);
    let reply = match world.turn(&mut first) {
        Verdict::Reply(reply) => reply,
        other => panic!("{other:?}"),
    };
    assert!(reply.headers.contains(&("retry-after".to_owned(), "20".to_owned())), "{reply:?}");
    assert_eq!((world.waiting(), world.results()), (0, vec!["left", "refused"]));
}

#[test]
fn ok_who_waits_for_quota_moves_when_the_provider_says_to_wait() {
    let mut world = queueing(3);
    let (mut a, mut b) = (world.asked().0, world.asked().0);
    let (mut waits, verdict) = world.asked();
    assert_eq!((verdict, world.waiting()), (Verdict::Pause, 1));
    world.response(&mut a, REFUSAL);
    world.body(&mut a, "{}", true);
    world.wait(2_000);
    assert_eq!((world.turn(&mut waits), world.waiting()), (Verdict::Pause, 1));
    assert_eq!(world.results(), ["moved"]);
    world.wait(5_000);
    assert_eq!((world.turn(&mut waits), world.waiting()), (Verdict::Continue, 0));
    world.done(&mut b, "");
    world.effects.clear();
    world.done(&mut waits, "");
    let waited = world.data()["queue_ms"].as_u64().expect("it waited");
    assert!((7_000..7_050).contains(&waited), "{waited} ms");
}
