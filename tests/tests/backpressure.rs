//! Provider back-pressure in the real Envoy, at `--concurrency 2`: a provider that says to wait, in every way that providers do.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use meterr_tests::stack::{Call, Options, Reply, Stack};
use serde_json::{Value, json};

/// Longer than any test takes, shorter than the longest wait that is believed, in seconds.
const WAIT: u64 = 1_800;

/// Built-in rows beside those that the reference file's own routes lead to the provider.
const ROWS: [&str; 12] = [
    "azure-openai",
    "cerebras",
    "digitalocean",
    "github-models",
    "google-ai-studio",
    "groq",
    "mistral",
    "nvidia-nim",
    "openrouter",
    "perplexity",
    "together",
    "xai",
];

fn stack(mode: &str) -> Stack {
    stack_of(&json!({ "mode": mode }))
}

fn stack_of(backpressure: &Value) -> Stack {
    Stack::start_at(|provider| {
        let authority = provider.to_string();
        let row = |id: &&str| json!({ "id": id, "authority": authority, "tls": false });
        let mut extra: Vec<Value> = ROWS.iter().map(row).collect();
        extra.push(json!({ "id": "corp", "hosts": ["llm.corp.internal"], "dialects": ["openai.chat"], "tls": false,
            "authority": authority, "rate_limit_headers": "ietf", "error_shape": "tgi" }));
        let more = json!({ "providers": { "backpressure": backpressure, "extra": extra } });
        Options { more, ..Options::default() }
    })
}

fn body(path: &str, model: &str) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello." }] });
    if path.ends_with("/messages") {
        body["max_tokens"] = json!(200);
    }
    body
}

fn ask(stack: &Stack, path: &str, model: &str, behaviour: &Value) -> Reply {
    call(stack, path, behaviour).send(&body(path, model))
}

fn call<'s>(stack: &'s Stack, path: &str, behaviour: &Value) -> Call<'s> {
    stack.post(path).tell(("x-test", behaviour.to_string()))
}

/// The milliseconds of a refusal, which must agree with its seconds.
fn told_ms(reply: &Reply) -> u64 {
    let header = |name| reply.header(name).and_then(|value| value.parse::<u64>().ok());
    let ms = header("retry-after-ms").unwrap_or_else(|| panic!("no wait is told: {reply:?}"));
    assert_eq!(header("retry-after"), Some(ms.div_ceil(1_000)), "{reply:?}");
    ms
}

fn epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + WAIT
}

/// An instant in the form of Anthropic's resets.
fn rfc_3339(secs: u64) -> String {
    meterr_core::time::Timestamp::from_secs(secs).rfc3339()
}

/// The text in a refusal for people, wherever the shape has it.
fn message(path: &str, body: &Value) -> Value {
    for pointer in ["/error/message", "/message", "/error", "/errors/0/message", "/detail"] {
        if let Some(message) = body.pointer(pointer).filter(|message| message.is_string()) {
            return message.clone();
        }
    }
    panic!("{path}: no message in {body}");
}

const CHAT: &str = "/openai/v1/chat/completions";

#[test]
fn ok_a_provider_that_says_to_wait_is_not_asked_again_whatever_its_form() {
    let stack = stack("reject");
    let at = epoch();
    let duration = format!("{}m0s", WAIT / 60);
    let retry_info = json!({ "error": { "code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{WAIT}s") }] } });
    let openrouter = json!({ "error": { "code": 429, "message": "Rate limit exceeded", "metadata": { "headers": {
        "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": format!("{at}000") } } } });
    let words = json!({ "error": { "message": format!("Rate limit reached. Please try again in {duration}."), "type": "requests" } });
    let refuses = |headers: Value| json!({ "status": 429, "headers": headers });
    let cases = [
        (CHAT, refuses(json!({ "retry-after": WAIT.to_string() }))),
        (CHAT, json!({ "status": 503, "headers": { "retry-after": WAIT.to_string() } })),
        (CHAT, json!({ "status": 429, "error": words })),
        (CHAT, refuses(json!({ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": duration }))),
        ("/groq/openai/v1/chat/completions", refuses(json!({ "retry-after": WAIT.to_string() }))),
        (
            "/azure-openai/openai/v1/chat/completions",
            refuses(json!({ "retry-after-ms": (WAIT * 1_000).to_string(), "retry-after": "1" })),
        ),
        (
            "/azure-openai/openai/v1/chat/completions",
            refuses(
                json!({ "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": (WAIT * 1_000).to_string() }),
            ),
        ),
        ("/anthropic/v1/messages", refuses(json!({ "retry-after": WAIT.to_string() }))),
        ("/anthropic/v1/messages", json!({ "status": 529, "headers": { "retry-after": WAIT.to_string() } })),
        (
            "/anthropic/v1/messages",
            refuses(
                json!({ "anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": rfc_3339(at) }),
            ),
        ),
        (
            "/anthropic/v1/messages",
            refuses(
                json!({ "anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": at.to_string() }),
            ),
        ),
        ("/google-ai-studio/v1beta/openai/v1/chat/completions", json!({ "status": 429, "error": retry_info })),
        (
            "/together/v1/chat/completions",
            refuses(json!({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": WAIT.to_string() })),
        ),
        ("/openrouter/api/v1/chat/completions", json!({ "status": 429, "error": openrouter })),
        (
            "/cerebras/v1/chat/completions",
            refuses(
                json!({ "x-ratelimit-remaining-tokens-hour": "0", "x-ratelimit-reset-tokens-hour": format!("{WAIT}.25") }),
            ),
        ),
        ("/github-models/v1/chat/completions", refuses(json!({ "x-ratelimit-timeremaining": WAIT.to_string() }))),
        (
            "/digitalocean/v1/chat/completions",
            refuses(json!({ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": at.to_string() })),
        ),
        ("/corp/v1/chat/completions", refuses(json!({ "ratelimit": format!("\"default\";r=0;t={WAIT}") }))),
        // Nothing is left, under a success.
        (CHAT, json!({ "headers": { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": duration } })),
        (
            "/anthropic/v1/messages",
            json!({ "headers": { "anthropic-ratelimit-output-tokens-remaining": "0", "anthropic-ratelimit-output-tokens-reset": rfc_3339(at) } }),
        ),
        ("/mistral/v1/chat/completions", refuses(json!({ "retry-after": WAIT.to_string() }))),
        ("/xai/v1/chat/completions", refuses(json!({ "retry-after": WAIT.to_string() }))),
    ];
    for (nth, (path, behaviour)) in cases.iter().enumerate() {
        // A model for each case: they share a credential.
        let model = format!("model-{nth}");
        let before = stack.provider().exchanges();
        let first = ask(&stack, path, &model, behaviour);
        let status = behaviour["status"].as_u64().unwrap_or(200);
        assert_eq!(u64::from(first.status), status, "the provider's own answer passes: {}", first.text());
        let second = ask(&stack, path, &model, &json!({}));
        assert_eq!(
            (second.status, stack.provider().exchanges()),
            (429, before + 1),
            "{path} {behaviour}: {}",
            second.text()
        );
        let ms = told_ms(&second);
        assert!((1..=WAIT * 1_000 + 1_000).contains(&ms) && ms > WAIT * 500, "{path} {behaviour}: {ms} ms");
        let text = message(path, &second.json()).to_string();
        assert!(text.contains("has said that this credential has reached its rate limit"), "{text}");
        assert_eq!(second.header("x-should-retry"), Some("false"), "such a wait is too long for a client to sit out");
    }
    let events = stack.events(cases.len() * 2);
    let rejected: Vec<&Value> =
        events.iter().map(|event| &event["data"]).filter(|data| data["outcome"] == "rejected").collect();
    assert_eq!(rejected.len(), cases.len());
    for data in rejected {
        let limit = &data["limits"][0];
        assert_eq!((&data["reason"], &data["billable"]), (&json!("provider_backpressure"), &json!(false)), "{data:#}");
        assert_eq!(
            (&limit["id"], &limit["decision"], &limit["would_reject"]),
            (&json!("provider"), &json!("rejected"), &json!(true))
        );
    }
    let log = stack.access_log(cases.len() * 2);
    assert!(
        log.iter().any(|line| line["meterr"].as_str().is_some_and(|event| event.contains("provider_backpressure")))
    );
    println!("{} forms of asking to wait: each refused here once the provider had said so", cases.len());
    stack.finish();
}

#[test]
fn ok_refusals_have_the_shape_of_the_row() {
    let stack = stack("reject");
    let wait = json!({ "status": 429, "headers": { "retry-after": "30" } });
    let told = |path: &str| {
        ask(&stack, path, "m", &wait);
        let reply = ask(&stack, path, "m", &json!({}));
        assert_eq!(reply.header("x-should-retry"), Some("true"));
        reply.json()
    };
    let code = "rate_limit_exceeded";
    assert_eq!(told(CHAT)["error"]["code"], code);
    assert_eq!(told("/azure-openai/openai/v1/chat/completions")["error"]["code"], "RateLimitReached");
    assert_eq!(told("/anthropic/v1/messages")["error"]["type"], "rate_limit_error");
    assert_eq!(told("/mistral/v1/chat/completions")["type"], "rate_limited");
    assert_eq!(told("/xai/v1/chat/completions")["code"], code);
    assert_eq!(told("/xai/v1/messages")["error"]["type"], "rate_limit_error");
    assert_eq!(told("/perplexity/v1/chat/completions")["error"]["code"], 429);
    assert_eq!(told("/openrouter/api/v1/chat/completions")["error"]["code"], 429);
    assert_eq!(told("/cerebras/v1/chat/completions")["code"], code);
    assert_eq!(told("/nvidia-nim/v1/chat/completions")["title"], "Too Many Requests");
    assert_eq!(told("/corp/v1/chat/completions")["error_type"], "overloaded");
    stack.finish();
}

#[test]
fn ok_all_workers_know_at_once_and_others_are_let_through() {
    let stack = stack("reject");
    let refused = json!({ "status": 429, "headers": { "retry-after": WAIT.to_string() } });
    assert_eq!(ask(&stack, CHAT, "gpt-4o", &refused).status, 429);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..8 {
                    assert_eq!(ask(&stack, CHAT, "gpt-4o", &json!({})).status, 429);
                }
            });
        }
    });
    assert_eq!(stack.provider().exchanges(), 1, "none of 128 reached the provider");
    assert_eq!(ask(&stack, CHAT, "gpt-4o-mini", &json!({})).status, 200, "another model");
    let elsewhere = call(&stack, CHAT, &json!({})).header("authorization", "Bearer sk-another-0123456789");
    assert_eq!(elsewhere.send(&body(CHAT, "gpt-4o")).status, 200, "another credential");
    assert_eq!(ask(&stack, "/groq/openai/v1/chat/completions", "gpt-4o", &json!({})).status, 200, "another provider");
    let metrics = stack.prometheus();
    for wanted in [
        r#"meterr_limit_decisions_total{limit="provider",decision="rejected"} 128"#,
        r#"meterr_limit_decisions_total{limit="provider",decision="admitted"} 4"#,
    ] {
        assert!(metrics.has(wanted), "{wanted} in\n{}", metrics.about("meterr_limit"));
    }
    assert_eq!(stack.events(132).len(), 132);
    println!("128 requests of 16 clients on two workers: none reached a provider that had said to wait");
    stack.finish();
}

#[test]
fn ok_the_time_that_is_told_is_enough() {
    let stack = stack("reject");
    for nth in 0..5 {
        let model = format!("m{nth}");
        ask(&stack, CHAT, &model, &json!({ "status": 429, "headers": { "retry-after-ms": "1500" } }));
        let refused = ask(&stack, CHAT, &model, &json!({}));
        // On a machine that was busy for so long, the time has come already.
        if refused.status == 429 {
            let ms = told_ms(&refused);
            assert!(ms <= 1_500, "{ms}");
            thread::sleep(Duration::from_millis(ms));
            assert_eq!(ask(&stack, CHAT, &model, &json!({})).status, 200, "the time has come");
        }
    }
    stack.finish();
}

#[test]
fn ok_report_only_shows_and_off_does_nothing() {
    let refused = json!({ "status": 429, "headers": { "retry-after": WAIT.to_string() } });
    let reporting = stack("report_only");
    assert_eq!(ask(&reporting, CHAT, "gpt-4o-mini", &refused).status, 429);
    assert_eq!(ask(&reporting, CHAT, "gpt-4o-mini", &json!({})).status, 200);
    let events = reporting.events(2);
    let data =
        events.iter().map(|event| &event["data"]).find(|data| data["outcome"] == "completed").expect("the second");
    let limit = &data["limits"][0];
    assert_eq!(
        (&limit["id"], &limit["decision"], &limit["would_reject"]),
        (&json!("provider"), &json!("admitted"), &json!(true))
    );
    let metrics = reporting.prometheus();
    let wanted = r#"meterr_limit_decisions_total{limit="provider",decision="would_reject"} 1"#;
    assert!(metrics.has(wanted), "{wanted} in\n{}", metrics.about("meterr_limit"));
    reporting.finish();
    let off = stack("off");
    assert_eq!(ask(&off, CHAT, "gpt-4o-mini", &refused).status, 429);
    assert_eq!(ask(&off, CHAT, "gpt-4o-mini", &json!({})).status, 200);
    assert!(off.events(2).iter().all(|event| event["data"].get("limits").is_none()));
    assert_eq!(off.prometheus().about("meterr_limit_decisions"), "");
    off.finish();
}

#[test]
fn ok_a_refusal_without_a_time_holds_nobody() {
    let stack = stack("reject");
    let quota = json!({ "error": { "message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota" } });
    for behaviour in [
        json!({ "status": 429, "error": quota }),
        json!({ "status": 429, "headers": { "retry-after": "soon" } }),
        json!({ "status": 429, "headers": { "retry-after": "0" } }),
        json!({ "status": 413, "headers": { "retry-after": "60" } }),
        json!({ "status": 429, "headers": { "x-envoy-ratelimited": "true", "retry-after": "60" } }),
        json!({ "headers": { "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s" } }),
    ] {
        ask(&stack, CHAT, "gpt-4o", &behaviour);
        assert_eq!(ask(&stack, CHAT, "gpt-4o", &json!({})).status, 200, "{behaviour}");
    }
    stack.finish();
}

#[test]
fn ok_requests_wait_until_the_time_of_the_provider_has_come() {
    const WAITING: usize = 40;
    let stack = stack_of(&json!({ "mode": "queue", "queue": { "max_wait_ms": 20_000, "max_waiting": 100 } }));
    let refused = json!({ "status": 429, "headers": { "retry-after": "3" } });
    assert_eq!(ask(&stack, CHAT, "gpt-4o", &refused).status, 429);
    let asked = |_| ask(&stack, CHAT, "gpt-4o", &json!({})).status;
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WAITING).map(|nth| scope.spawn(move || asked(nth))).collect();
        stack.wait_for("nobody waits", |stack| stack.prometheus().count("meterr_queue_waiting", &[]) > 0);
        assert_eq!(stack.provider().exchanges(), 1, "while anybody waits, none has reached the provider");
        assert_eq!(ask(&stack, CHAT, "gpt-4o-mini", &json!({})).status, 200, "another model does not wait");
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert_eq!(statuses, [200; WAITING]);
    let events = stack.events(WAITING + 2);
    let waited: Vec<&Value> = events.iter().filter(|event| event["data"]["queue_ms"].is_u64()).collect();
    // Each names the time that was told, and none has gone on before it.
    for event in &waited {
        let told = &event["data"]["limits"][0];
        assert_eq!((&told["id"], &told["decision"]), (&json!("provider"), &json!("admitted")), "{event:#}");
        assert!(event["time"].as_str() >= told["reset_at"].as_str(), "{event:#}");
    }
    println!("{} of {WAITING} waited until the provider's time had come, and all were answered", waited.len());
    assert!(waited.len() >= WAITING / 2);
    let metrics = stack.prometheus();
    assert_eq!(
        metrics.count("meterr_queue_total", &[("limit", "provider"), ("result", "admitted")]),
        waited.len() as u64
    );

    // What would have to wait for too long is told so at once, in the provider's own words.
    let refused = json!({ "status": 429, "headers": { "retry-after": WAIT.to_string() } });
    assert_eq!(ask(&stack, CHAT, "o3", &refused).status, 429);
    let reply = ask(&stack, CHAT, "o3", &json!({}));
    assert_eq!((reply.status, reply.header("x-should-retry")), (429, Some("false")));
    assert!(told_ms(&reply) > WAIT * 500);
    stack.finish();
}
