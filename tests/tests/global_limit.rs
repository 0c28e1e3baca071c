//! Budgets of the whole mesh: `envoy/examples/global-limit.yaml` in real Envoys, before Envoy's own rate limit service and a Redis.
//!
//! Budgets are those of the example, which is why the calls here are so large: 500 million input tokens, 100 million output tokens, 550
//! million tokens and $500 for a tenant and month.

use std::{
    io::Read as _,
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    ratelimit::{Mesh, RateLimit},
    stack::{Options, Reply, Stack},
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const BUDGETS: [&str; 4] = ["input_tokens", "output_tokens", "total_tokens", "cost_microusd"];

fn service() -> RateLimit {
    RateLimit::start().unwrap_or_else(|error| panic!("{error:#}"))
}

/// An Envoy with a provider and a collector of its own.
fn envoy(service: &RateLimit, failure_mode_deny: bool) -> Stack {
    Stack::start(&Options { mesh: Some(Mesh { service: service.socket(), failure_mode_deny }), ..Options::default() })
}

fn chat(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "Say hello." }] })
}

fn messages(stream: bool) -> Value {
    json!({ "model": "claude-sonnet-4-5", "max_tokens": 200, "stream": stream,
            "messages": [{ "role": "user", "content": "Say hello." }] })
}

/// Micro-dollars of a decimal in dollars, rounded half up.
fn micros(usd: &str) -> u64 {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    let digits: u64 = format!("{whole}{fraction:0<12}").parse().expect("a decimal");
    (digits + 500_000) / 1_000_000
}

/// A chat of that tenant that uses so much.
fn spend(stack: &Stack, tenant: &str, model: &str, input: u64, output: u64) -> Reply {
    let told = json!({ "input": input, "output": output }).to_string();
    stack
        .post("/openai/v1/chat/completions")
        .header("x-tenant", tenant)
        .tell(("x-test", told))
        .send(&chat(model, false))
}

/// What Redis has counted for that tenant; `None` where it has no counter.
fn counted(service: &RateLimit, tenant: &str) -> [Option<u64>; 4] {
    let counters = service.counters().expect("Redis answers");
    BUDGETS.map(|budget| {
        let prefix = format!("meterr_budget_{budget}_tenant_{tenant}_month_");
        let mut found = counters.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, count)| *count);
        let count = found.next();
        assert_eq!(found.next(), None, "one counter for a budget and month: {counters:?}");
        count
    })
}

/// Waits until exactly that was charged.
fn charged(service: &RateLimit, tenant: &str, wanted: [u64; 4]) {
    wait(|| counted(service, tenant) == wanted.map(Some), || format!("{tenant}: {:?}", counted(service, tenant)));
    println!("{tenant}: {BUDGETS:?} = {wanted:?}");
}

/// Calls of the service that have been answered, of this Envoy.
fn calls(stack: &Stack) -> u64 {
    stat(stack, "cluster.ratelimit.upstream_rq_completed")
}

fn stat(stack: &Stack, name: &str) -> u64 {
    let text = stack.envoy().admin_get(&format!("/stats?filter=^{name}$")).expect("stats");
    text.trim().rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn wait(done: impl Fn() -> bool, else_say: impl Fn() -> String) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{}", else_say());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ok_two_envoys_share_one_budget() {
    let service = service();
    let [one, two] = [(); 2].map(|()| envoy(&service, false));
    assert_eq!(spend(&one, "globex", "gpt-4o-mini", 300_000_000, 10).status, 200);
    charged(&service, "globex", [300_000_000, 10, 300_000_010, 45_000_006]);
    assert_eq!(spend(&two, "globex", "gpt-4o-mini", 250_000_000, 10).status, 200, "nothing is exceeded yet");
    charged(&service, "globex", [550_000_000, 20, 550_000_020, 82_500_012]);
    for stack in [&one, &two] {
        let refused = spend(stack, "globex", "gpt-4o-mini", 1, 1);
        println!("refused: {} {}", refused.status, refused.text());
        assert_eq!(refused.status, 429);
        assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
        assert_eq!(refused.json()["error"]["type"], "insufficient_quota");
        let headers =
            ["content-type", "x-should-retry", "retry-after", "x-ratelimit-reset"].map(|name| refused.header(name));
        assert_eq!(headers, [Some("application/json"), Some("false"), None, None]);
        let refused = stack.post("/anthropic/v1/messages").header("x-tenant", "globex").send(&messages(false));
        println!("refused: {} {}", refused.status, refused.text());
        assert_eq!(refused.status, 429);
        assert_eq!(refused.json()["error"]["details"]["error_code"], "budget_exceeded");
        // A refusal is an event too. For meterr it is any other 429 that came back.
        for event in &stack.events(3)[1..] {
            let data = &event["data"];
            let told = ["status", "outcome", "reason", "usage_status"].map(|name| data[name].clone());
            assert_eq!(told, [json!(429), json!("provider_error"), json!("rate_limited"), json!("none")], "{data:#}");
        }
        assert_eq!(spend(stack, "initech", "gpt-4o-mini", 1, 1).status, 200, "others have budgets of their own");
    }
    charged(&service, "globex", [550_000_000, 20, 550_000_020, 82_500_012]);
    one.finish();
    two.finish();
}

#[test]
fn ok_each_amount_is_charged_apart_and_nothing_is_charged_for_nothing() {
    let service = service();
    let stack = envoy(&service, false);
    // 400,000 × $2.50 + 100,000 × $10 a million: two dollars.
    assert_eq!(spend(&stack, "globex", "gpt-4o", 400_000, 100_000).status, 200);
    assert_eq!(stack.events(1)[0]["data"]["cost_usd"], "2");
    let two_dollars = [400_000, 100_000, 500_000, 2_000_000];
    charged(&service, "globex", two_dollars);
    // A call that failed, one without a price, and one that is not metered.
    let told = ("x-test", json!({ "status": 500 }).to_string());
    let failed = stack.post("/openai/v1/chat/completions").header("x-tenant", "globex").tell(told);
    assert_eq!(failed.send(&chat("gpt-4o", false)).status, 500);
    wait(|| calls(&stack) >= 4, || format!("{} calls", calls(&stack)));
    charged(&service, "globex", two_dollars);
    assert_eq!(spend(&stack, "globex", "no-such-model", 7, 5).status, 200);
    charged(&service, "globex", [400_007, 100_005, 500_012, 2_000_000]);
    let _unmetered = stack.get("/openai/v1/models").header("x-tenant", "globex").fetch();
    // The next charge comes after whatever that has done.
    assert_eq!(spend(&stack, "globex", "gpt-4o", 400_000, 100_000).status, 200);
    charged(&service, "globex", [800_007, 200_005, 1_000_012, 4_000_000]);
    assert_eq!(service.counters().expect("Redis answers").len(), 4, "what is not metered has no counter");
    stack.finish_expecting_provider_complaints();
}

#[test]
fn ok_aborted_streams_are_charged_and_what_is_in_flight_overshoots() {
    let service = service();
    let [one, two] = [(); 2].map(|()| envoy(&service, false));
    // Each of these streams has told its input when it goes silent.
    let told = json!({ "input": 100_000_000, "output": 50, "chunks": 5, "stall_after_bytes": 700 }).to_string();
    let open = |stack: &Stack| {
        let call = stack.post("/anthropic/v1/messages").header("x-tenant", "globex").tell(("x-test", told.clone()));
        let mut stream = call.open(&messages(true));
        assert_eq!(stream.status(), 200);
        stream.read_exact(&mut [0; 500]).expect("it has begun");
        stream
    };
    let streams: Vec<_> = (0..8).map(|nth| open(if nth % 2 == 0 { &one } else { &two })).collect();
    assert_eq!(counted(&service, "globex"), [Some(0); 4], "nothing is charged before a stream is over");
    drop(streams);
    let mut sum = [0; 4];
    for event in [one.events(4), two.events(4)].concat() {
        let data = &event["data"];
        assert_eq!(
            (&data["outcome"], &data["usage_status"]),
            (&json!("client_aborted"), &json!("partial")),
            "{data:#}"
        );
        let [input, output, total] =
            ["input_tokens", "output_tokens", "total_tokens"].map(|name| data[name].as_u64().expect("known"));
        let micros = micros(data["cost_usd"].as_str().expect("priced"));
        sum = [sum[0] + input, sum[1] + output, sum[2] + total, sum[3] + micros];
    }
    assert!(sum[0] >= 800_000_000 && sum[1] > 0, "{sum:?}");
    charged(&service, "globex", sum);
    println!("8 streams at once took a budget of 500,000,000 input tokens to {}", sum[0]);
    for stack in [&one, &two] {
        assert_eq!(spend(stack, "globex", "gpt-4o-mini", 1, 1).status, 429);
    }
    one.finish();
    two.finish();
}

#[test]
fn ok_one_after_another_stop_when_more_than_the_amount_is_counted() {
    let service = service();
    let [one, two] = [(); 2].map(|()| envoy(&service, false));
    let mut sum = 0;
    for nth in 0..6 {
        let stack = if nth % 2 == 0 { &one } else { &two };
        assert_eq!(spend(stack, "globex", "no-such-model", 100_000_000, 0).status, 200, "after {sum}");
        sum += 100_000_000;
        charged(&service, "globex", [sum, 0, sum, 0]);
    }
    assert_eq!(spend(&two, "globex", "no-such-model", 1, 0).status, 429, "600,000,000 are more than 500,000,000");
    one.finish();
    two.finish();
}

#[test]
fn ok_many_at_once_are_all_charged() {
    let service = service();
    let [one, two] = [(); 2].map(|()| envoy(&service, false));
    thread::scope(|scope| {
        for nth in 0..8 {
            let stack = if nth % 2 == 0 { &one } else { &two };
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(spend(stack, "globex", "gpt-4o", 10, 5).status, 200);
                }
            });
        }
    });
    // 10 × $2.50 + 5 × $10 a million
    charged(&service, "globex", [400 * 10, 400 * 5, 400 * 15, 400 * 75]);
    one.finish();
    two.finish();
}

#[test]
fn ok_a_restart_of_everything_keeps_the_month() {
    let mut service = service();
    let spent = [520_000_000, 10, 520_000_010, 78_000_006];
    let stack = envoy(&service, false);
    assert_eq!(spend(&stack, "globex", "gpt-4o-mini", 520_000_000, 10).status, 200);
    charged(&service, "globex", spent);
    stack.finish();
    service.stop_service();
    service.stop_redis();
    service.start_redis().expect("Redis starts again");
    service.start_service().expect("the service starts again");
    for _ in 0..2 {
        let stack = envoy(&service, false);
        charged(&service, "globex", spent);
        assert_eq!(spend(&stack, "globex", "gpt-4o-mini", 1, 1).status, 429);
        stack.finish();
    }
}

#[test]
fn ok_without_the_service_requests_pass_or_are_refused_as_configured() {
    let mut service = service();
    let [allows, denies] = [false, true].map(|deny| envoy(&service, deny));
    for stack in [&allows, &denies] {
        assert_eq!(spend(stack, "globex", "gpt-4o", 1_000, 0).status, 200);
    }
    charged(&service, "globex", [2_000, 0, 2_000, 5_000]);
    let away = |what: &str| {
        let passed = spend(&allows, "globex", "gpt-4o", 1_000, 0);
        assert_eq!(passed.status, 200, "{what} away: {}", passed.text());
        let refused = spend(&denies, "globex", "gpt-4o", 1_000, 0);
        println!("{what} away: {}, or {} {}", passed.status, refused.status, refused.text());
        assert_eq!(refused.status, 503);
        assert_eq!(refused.json()["error"]["code"], "rate_limit_service_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
    };
    service.stop_service();
    away("service");
    service.start_service().expect("the service starts again");
    wait(|| spend(&denies, "initech", "gpt-4o", 0, 0).status == 200, || "the service is not found again".to_owned());
    charged(&service, "globex", [2_000, 0, 2_000, 5_000]);
    service.stop_redis();
    away("Redis");
    service.start_redis().expect("Redis starts again");
    // Of the service's connections to Redis some may still be dead.
    let spends_again = || {
        let reply = spend(&denies, "globex", "gpt-4o", 1_000, 0);
        reply.status == 200 && counted(&service, "globex")[0] > Some(2_000)
    };
    wait(spends_again, || "Redis is not found again".to_owned());
    println!("after both were away: {:?}", counted(&service, "globex"));
    // What passed unchecked was not charged, but Envoy has counted it, and it is an event.
    assert_eq!(stat(&allows, "cluster.stand_in.ratelimit.failure_mode_allowed"), 2);
    assert_eq!(allows.events(3).len(), 3);
    allows.finish();
    denies.finish();
}

#[test]
fn ok_large_requests_pass_unchanged() {
    let service = service();
    let stack = envoy(&service, false);
    for bytes in [900_000, 3_000_000] {
        let mut body = chat("gpt-4o-mini", false);
        body["messages"][0]["content"] = json!("word ".repeat(bytes / 5));
        let told = json!({ "input": 9, "output": 9 }).to_string();
        let reply =
            stack.post("/openai/v1/chat/completions").header("x-tenant", "globex").tell(("x-test", told)).send(&body);
        assert_eq!(reply.status, 200, "{bytes} bytes: {}", reply.text());
        assert_eq!(stack.received_by_provider(&reply), body.to_string());
    }
    // 9 × $0.15 + 9 × $0.60 a million, rounded to a whole micro-dollar for each call
    charged(&service, "globex", [18, 18, 36, 14]);
    stack.finish();
}

#[test]
fn ok_a_single_amount_beyond_what_envoy_takes_is_charged_as_far_as_it_takes() {
    let service = service();
    let stack = envoy(&service, false);
    // $1,500 of input and 1,000,000,003 tokens; more than 1,000,000,000 of anything Envoy drops whole.
    assert_eq!(spend(&stack, "globex", "gpt-4o", 600_000_000, 400_000_003).status, 200);
    charged(&service, "globex", [600_000_000, 400_000_003, 1_000_000_000, 1_000_000_000]);
    stack.finish();
}

#[test]
fn ok_without_header_hold_it_is_the_same() {
    let service = service();
    let mesh = Mesh { service: service.socket(), failure_mode_deny: false };
    let stack = Stack::start(&Options { mesh: Some(mesh), header_hold: false, ..Options::default() });
    let told = json!({ "input": 501_000_000, "output": 70 }).to_string();
    let call = || stack.post("/openai/v1/chat/completions").header("x-tenant", "globex").tell(("x-test", told.clone()));
    assert_eq!(call().send(&chat("gpt-4o-mini", true)).status, 200);
    // 501 × $0.15 and 70 × $0.60 a million
    charged(&service, "globex", [501_000_000, 70, 501_000_070, 75_150_042]);
    assert_eq!(call().send(&chat("gpt-4o-mini", true)).status, 429);
    stack.finish();
}
