//! Limits of every kind in the real filter in the real Envoy, at `--concurrency 2`.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    calls::{assert_fields, chat, told},
    stack::{Options, Reply, Stack},
};
use serde_json::{Value, json};

const CHAT: &str = "/openai/v1/chat/completions";

fn stack(limits: Value) -> Stack {
    Stack::start(&Options { limits, ..Options::default() })
}

fn ask(stack: &Stack, tenant: &str, behaviour: &Value) -> Reply {
    stack.post(CHAT).header("x-tenant", tenant).tell(told(behaviour)).send(&chat("gpt-4o-mini", false))
}

fn limit_of<'e>(event: &'e Value, id: &str) -> &'e Value {
    let limits = event["data"]["limits"].as_array().expect("limits");
    limits.iter().find(|limit| limit["id"] == id).unwrap_or_else(|| panic!("{id} in {event}"))
}

#[test]
fn ok_input_output_and_money_are_counted_each_in_its_unit() {
    let fixed = json!({ "kind": "fixed", "per": "hour" });
    let stack = stack(json!([
        { "id": "in", "per": ["tenant"], "unit": "input_tokens", "amount": 5_000, "window": fixed, "reserve": "none" },
        { "id": "out", "per": ["tenant"], "unit": "output_tokens", "amount": 5_000, "window": fixed, "reserve": "none" },
        { "id": "usd", "per": ["tenant"], "unit": "usd", "amount": "0.0005", "window": fixed },
    ]));
    // 1200 × 0.15 + 300 × 0.60 USD per million tokens
    let usage = json!({ "input": 1_200, "output": 300 });
    assert_eq!(ask(&stack, "acme", &usage).status, 200);
    let event = stack.events(1).remove(0);
    assert_eq!(event["data"]["cost_usd"], "0.00036");
    assert_fields(limit_of(&event, "in"), &json!({ "settled": 1_200, "remaining": 3_800 }));
    assert_fields(limit_of(&event, "out"), &json!({ "settled": 300, "remaining": 4_700 }));
    let usd = json!({ "unit": "usd", "amount": "0.0005", "settled": "0.00036", "remaining": "0.00014" });
    assert_fields(limit_of(&event, "usd"), &usd);
    let mut small = chat("gpt-4o-mini", false);
    small["max_tokens"] = json!(10);
    let reply = stack.post(CHAT).header("x-tenant", "acme").tell(told(&usage)).send(&small);
    assert_eq!(reply.status, 200, "ten tokens cost less than what is left");
    let reply = stack.post(CHAT).header("x-tenant", "acme").send(&small);
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("insufficient_quota")));
    assert_eq!((reply.header("x-should-retry"), reply.header("retry-after")), (Some("false"), None));
    let events = stack.events(3);
    assert_fields(limit_of(&events[2], "usd"), &json!({ "decision": "rejected", "remaining": "-0.00022" }));
    assert_fields(limit_of(&events[2], "in"), &json!({ "decision": "passed", "remaining": 2_600 }));
    stack.finish();
}

#[test]
fn ok_what_has_no_price_is_let_through_or_refused() {
    let limit = |id: &str, on_unpriced: &str, tenant: &str| {
        json!({ "id": id, "unit": "usd", "amount": "1", "on_unpriced": on_unpriced, "match": { "tenant": [tenant] },
                "window": { "kind": "fixed", "per": "hour" } })
    };
    let stack = stack(json!([limit("lax", "allow", "lax"), limit("strict", "reject", "strict")]));
    let ask = |tenant| stack.post(CHAT).header("x-tenant", tenant).send(&chat("no-such-model", false));
    assert_eq!(ask("lax").status, 200);
    let reply = ask("strict");
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("unpriced_model")));
    let events = stack.events(2);
    assert_fields(limit_of(&events[0], "lax"), &json!({ "settled": "0", "remaining": "1" }));
    assert_fields(&events[1]["data"], &json!({ "outcome": "rejected", "reason": "unpriced_model" }));
    stack.finish();
}

#[test]
fn ok_a_thousand_slots_come_back_when_their_clients_are_killed() {
    const SLOTS: usize = 1_000;
    let stack = stack(json!([{ "id": "slots", "unit": "concurrent_requests", "amount": SLOTS, "per": ["tenant"] }]));
    let body = chat("gpt-4o-mini", true).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nx-tenant: acme\r\nauthorization: Bearer sk-test\r\ncontent-length: {}\r\n\
         content-type: application/json\r\nx-test: {{\"chunks\":2,\"stall_after_bytes\":200}}\r\n\r\n{body}",
        body.len()
    );
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..SLOTS {
        let mut client = TcpStream::connect(stack.envoy().listener).expect("a listener");
        client.write_all(request.as_bytes()).expect("it takes requests");
        clients.push(client);
    }
    for client in &mut clients {
        let mut head = [0; 12];
        client.read_exact(&mut head).expect("a reply");
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    let refused = ask(&stack, "acme", &json!({}));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(ask(&stack, "other", &json!({})).status, 200);
    let killed = Instant::now();
    drop(clients);
    let events = stack.events(SLOTS + 2);
    println!("{SLOTS} slots: all events of killed clients there after {} ms", killed.elapsed().as_millis());
    let aborted = events.iter().filter(|event| event["data"]["outcome"] == "client_aborted").count();
    assert_eq!(aborted, SLOTS);
    assert_eq!(ask(&stack, "acme", &json!({})).status, 200);
    let last = stack.events(SLOTS + 3).pop().expect("events");
    assert_fields(limit_of(&last, "slots"), &json!({ "held": 1, "settled": 0, "remaining": SLOTS }));
    stack.finish();
}

#[test]
fn ok_requests_wait_for_their_turn() {
    let stack = stack(json!([{ "id": "rps", "per": ["tenant"], "unit": "requests", "amount": 20, "on_exceed": "queue",
        "queue": { "max_wait_ms": 20_000, "max_waiting": 1_000 }, "window": { "kind": "fixed", "per": "second" } }]));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(|| ask(&stack, "acme", &json!({})).status)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert!(statuses.iter().all(|status| *status == 200), "nobody is refused");
    let events = stack.events(100);
    let waited: Vec<&Value> = events.iter().filter(|event| event["data"]["queue_ms"].is_u64()).collect();
    assert!(waited.len() >= 60, "twenty a second, and a hundred at once: {} waited", waited.len());
    // Room comes at the edge of a second: the milliseconds of a settle time say how late it was used, the provider's answer included.
    let late = waited.iter().filter_map(|event| event["time"].as_str()?.get(20..23)?.parse::<u64>().ok());
    let mut late: Vec<u64> = late.collect();
    late.sort_unstable();
    println!(
        "100 requests at 20 a second: {} waited; settled after the edge of their second: median {} ms, p99 {} ms",
        waited.len(),
        late[late.len() / 2],
        late[late.len() * 99 / 100]
    );
    for event in &events {
        assert_fields(limit_of(event, "rps"), &json!({ "decision": "admitted", "settled": 1 }));
    }
    stack.wait_for("the gauge of those who wait is not 0", |stack| {
        stack.prometheus().count("meterr_queue_waiting", &[]) == 0
    });
    assert_eq!(stack.prometheus().count("meterr_queue_total", &[("result", "admitted")]), waited.len() as u64);
    stack.finish();
}

#[test]
fn ok_waits_end_when_the_client_leaves_the_time_is_up_or_there_is_no_place() {
    let stack = stack(json!([{ "id": "one", "per": ["tenant"], "unit": "requests", "amount": 1, "on_exceed": "queue",
        "queue": { "max_wait_ms": 1_500, "max_waiting": 1 }, "window": { "kind": "fixed", "per": "month" } }]));
    assert_eq!(ask(&stack, "acme", &json!({})).status, 200);
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_millis(400)).build().expect("a client");
    let url = format!("http://{}{CHAT}", stack.envoy().listener);
    let left = client
        .post(url)
        .header("x-tenant", "acme")
        .header("authorization", "Bearer sk-test")
        .body(chat("gpt-4o-mini", false).to_string())
        .send();
    assert!(left.is_err_and(|error| error.is_timeout()), "it waits until the client has enough");
    let events = stack.events(2);
    assert_fields(&events[1]["data"], &json!({ "outcome": "client_aborted", "usage_status": "none" }));
    let refused: Vec<Reply> = thread::scope(|scope| {
        let ask = || ask(&stack, "acme", &json!({}));
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert!(refused.iter().all(|reply| reply.status == 429));
    let events = stack.events(8);
    let waited = events.iter().filter(|event| event["data"]["queue_ms"].as_u64() >= Some(1_500)).count();
    assert!((1..=2).contains(&waited), "a place in each worker: {waited}");
    let metrics = stack.prometheus();
    let ended = |result| metrics.count("meterr_queue_total", &[("result", result)]);
    assert_eq!((ended("left"), ended("timed_out"), ended("full")), (1, waited as u64, 6 - waited as u64));
    stack.finish();
}

#[test]
fn ok_a_drain_lets_those_go_on_who_wait() {
    const CLIENTS: usize = 30;
    let stack = stack(json!([{ "id": "rps", "per": ["tenant"], "unit": "requests", "amount": 10, "on_exceed": "queue",
        "queue": { "max_wait_ms": 30_000, "max_waiting": 100 }, "window": { "kind": "fixed", "per": "second" } }]));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask(&stack, "acme", &json!({})).status)).collect();
        stack.wait_for("nobody waits", |stack| stack.prometheus().count("meterr_queue_waiting", &[]) > 0);
        stack.envoy().admin_post("/drain_listeners?graceful").expect("it drains");
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert_eq!(statuses, [200; CLIENTS]);
    let events = stack.events(CLIENTS);
    assert!(events.iter().any(|event| event["data"]["queue_ms"].as_u64() > Some(0)));
    assert!(events.iter().all(|event| event["data"]["outcome"] == "completed"), "{events:#?}");
    stack.finish();
}

#[test]
fn ok_whoever_waits_when_envoy_ends_is_told_so_and_stands_in_the_access_log() {
    const WAITING: usize = 20;
    let mut stack =
        stack(json!([{ "id": "one", "per": ["tenant"], "unit": "requests", "amount": 1, "on_exceed": "queue",
        "queue": { "max_wait_ms": 600_000, "max_waiting": 100 }, "window": { "kind": "fixed", "per": "month" } }]));
    assert_eq!(ask(&stack, "acme", &json!({})).status, 200);
    let url = format!("http://{}{CHAT}", stack.envoy().listener);
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(120)).build().expect("a client");
    let threads: Vec<_> = (0..WAITING)
        .map(|_| {
            let request = client.post(&url).header("x-tenant", "acme").header("authorization", "Bearer sk-test");
            let request = request.body(chat("gpt-4o-mini", false).to_string());
            thread::spawn(move || request.send())
        })
        .collect();
    stack.wait_for("not all wait", |stack| stack.prometheus().count("meterr_queue_waiting", &[]) == WAITING as u64);
    let log = stack.stop_envoy();
    for thread in threads {
        assert!(thread.join().expect("no panic").is_err(), "the connection ends; nobody waits for a time-out");
    }
    let events: Vec<Value> = log
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line["meterr"].as_str()?).ok())
        .filter(|event| event["data"]["queue_ms"].is_u64())
        .collect();
    assert_eq!(events.len(), WAITING, "{log:#?}");
    for event in &events {
        assert_fields(&event["data"], &json!({ "outcome": "client_aborted", "usage_status": "none" }));
    }
}

#[test]
fn ok_a_trial_refuses_nobody_and_alerts_are_told_once() {
    let stack = stack(json!([
        { "id": "trial", "per": ["tenant"], "unit": "requests", "amount": 3, "on_exceed": "report_only",
          "window": { "kind": "fixed", "per": "month" } },
        { "id": "team", "per": ["label:team", "user"], "unit": "tokens", "amount": 1_000, "reserve": "none", "notify_at": [0.5, 1],
          "window": { "kind": "fixed", "per": "month" } },
    ]));
    let would: Vec<u64> = (0..6)
        .map(|nth| {
            let call = stack.post(CHAT).header("x-tenant", "acme").header("x-user", "ann").header("x-team", "red");
            let reply = call.tell(told(&json!({ "input": 100, "output": 50 }))).send(&chat("gpt-4o-mini", false));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let event = stack.events(nth + 1).pop().expect("events");
            u64::from(limit_of(&event, "trial")["would_reject"] == true)
        })
        .collect();
    assert_eq!(would, [0, 0, 0, 1, 1, 1]);
    assert_eq!(stack.prometheus().count("meterr_limit_decisions_total", &[("decision", "would_reject")]), 3);
    let mut alerts = stack.alerts(2);
    alerts.sort_by_key(|alert| alert["limit"].to_string());
    assert_eq!(alerts.len(), 2, "{alerts:#?}");
    let team = json!({ "limit": "team", "user": "ann", "labels": { "team": "red" }, "threshold": "0.5", "used": 600, "unit": "tokens" });
    assert_fields(&alerts[0], &team);
    // Three of three are past 0.8 and 1 at once, which is told as the higher.
    assert_fields(&alerts[1], &json!({ "limit": "trial", "tenant": "acme", "threshold": "1", "used": 3, "amount": 3 }));
    stack.finish();
}

#[test]
fn ok_sliding_windows_and_buckets_tell_true_waits() {
    for window in [json!({ "kind": "sliding", "secs": 2 }), json!({ "kind": "bucket", "per_sec": 3 })] {
        let stack = stack(json!([{ "id": "x", "unit": "requests", "amount": 3, "window": window }]));
        for _ in 0..4 {
            let refused = std::iter::repeat_with(|| ask(&stack, "acme", &json!({})))
                .take(100)
                .find(|reply| reply.status == 429)
                .expect("three are few");
            let wait = refused.header("retry-after-ms").and_then(|ms| ms.parse().ok()).expect("milliseconds");
            thread::sleep(Duration::from_millis(wait));
            assert_eq!(ask(&stack, "acme", &json!({})).status, 200, "nobody else was admitted meanwhile: {window}");
        }
        stack.finish();
    }
}

#[test]
fn ok_overrides_unbounded_requests_and_the_shared_slot() {
    let hour = json!({ "kind": "fixed", "per": "hour" });
    let stack = stack(json!([
        { "id": "rpm", "per": ["tenant"], "unit": "requests", "amount": 1, "window": hour, "max_descriptors": 3,
          "overrides": [{ "tenant": "big*", "amount": 2 }] },
        { "id": "strict", "unit": "tokens", "amount": 1_000_000, "window": hour, "reserve": "worst_case", "on_unbounded": "reject",
          "match": { "model": ["gpt-4.1*"] } },
        { "id": "clamped", "unit": "tokens", "amount": 500, "window": hour, "match": { "model": ["o3*"] } },
    ]));
    let statuses = |tenants: &[&str]| -> Vec<u16> {
        tenants.iter().map(|tenant| ask(&stack, tenant, &json!({})).status).collect()
    };
    assert_eq!(statuses(&["big-1", "big-1", "big-1"]), [200, 200, 429]);
    assert_eq!(statuses(&["a", "a", "b", "b"]), [200, 429, 200, 429]);
    // Three have counters of their own; all others share one, which is limited.
    assert_eq!(statuses(&["c", "d", "e", "a"]), [200, 429, 429, 429]);
    let metrics = stack.prometheus();
    let counters = |result| metrics.count("meterr_limit_counters_total", &[("limit", "rpm"), ("result", result)]);
    assert_eq!((counters("created"), counters("shared")), (3, 1), "what is refused takes nothing");

    let mut image = chat("gpt-4.1", false);
    image["max_tokens"] = json!(10);
    image["messages"][0]["content"] =
        json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    let reply = stack.post(CHAT).header("x-tenant", "big-2").send(&image);
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("unbounded_request")));
    // A hold that is larger than the amount is clamped: the first request gets all of it.
    let reply = stack.post(CHAT).header("x-tenant", "big-2").send(&chat("o3", false));
    assert_eq!(reply.status, 200);
    let event = stack.events(13).pop().expect("events");
    assert_fields(limit_of(&event, "clamped"), &json!({ "held": 500, "settled": 46, "remaining": 454 }));
    stack.finish();
}
