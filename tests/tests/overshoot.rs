//! Many clients, streams and clients that leave, against limits that they exhaust again and again: what is settled stays within the amount.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use meterr_tests::stack::{Options, Stack};
use serde_json::{Value, json};

const CLIENTS: u64 = 64;
/// Tokens of each tenant.
const AMOUNT: u64 = 25_000;
/// Each tenant is used for so long, by all clients, before the next one is.
const TURN: Duration = Duration::from_millis(1_500);

/// How long: a minute in `scripts/test --all`.
fn duration() -> Duration {
    let told = std::env::var("METERR_SOAK_SECS").ok().and_then(|secs| secs.parse().ok());
    Duration::from_secs(told.unwrap_or(6))
}

/// One request of a tenant: a reply, a stream, or a stream that its client leaves.
async fn request(client: &reqwest::Client, listener: SocketAddr, tenant: &str, nth: u64) -> reqwest::Result<()> {
    let (stream, leaves) = (nth.is_multiple_of(2), nth % 8 == 6);
    let cap = 200 + nth % 300;
    let output = if leaves { cap } else { cap.min(nth % 500) };
    let mut body =
        json!({ "model": "gpt-4o-mini", "stream": stream, "messages": [{ "role": "user", "content": "Say hello." }] });
    if tenant.starts_with("worst") {
        // What bounds a request. Without it only an expectation is held.
        body["max_tokens"] = json!(cap);
    }
    let behaviour = json!({ "input": 30, "output": output, "chunks": if leaves { 100 } else { 5 }, "delay_ms": 3 });
    let mut response = client
        .post(format!("http://{listener}/openai/v1/chat/completions"))
        .header("authorization", "Bearer sk-test")
        .header("x-tenant", tenant)
        .header("x-test", behaviour.to_string())
        .body(body.to_string())
        .send()
        .await?;
    if response.status() == 429 {
        // Nobody hammers: it would only be the refusals that are measured.
        tokio::time::sleep(Duration::from_millis(20)).await;
    } else if leaves {
        response.chunk().await?;
        return Ok(());
    }
    response.bytes().await.map(drop)
}

/// One client, until the time is up. How many requests it sent.
async fn client(listener: SocketAddr, number: u64, started: Instant) -> u64 {
    let client = reqwest::Client::builder().http1_only().timeout(Duration::from_secs(30)).build().expect("a client");
    let mut sent = 0;
    while started.elapsed() < duration() {
        let turn = started.elapsed().as_millis() / TURN.as_millis();
        let kind = if number.is_multiple_of(2) { "worst" } else { "expected" };
        let nth = number * 1_000 + sent;
        request(&client, listener, &format!("{kind}-{turn}"), nth).await.expect("every request is answered");
        sent += 1;
    }
    sent
}

#[test]
fn ok_amounts_hold_under_load_with_streams_and_aborts() {
    let limit = |reserve: &str, tenants: &str| {
        json!({ "id": reserve, "per": ["tenant"], "unit": "tokens", "amount": AMOUNT, "reserve": reserve, "notify_at": [],
                "assume_output_tokens": 100, "match": { "tenant": [tenants] }, "window": { "kind": "fixed", "per": "day" } })
    };
    let limits = json!([limit("worst_case", "worst-*"), limit("expected", "expected-*")]);
    let stack = Stack::start(&Options { limits, ..Options::default() });
    let listener = stack.envoy().listener;
    let started = Instant::now();
    let sent: u64 = tokio::runtime::Runtime::new().expect("threads").block_on(async {
        let clients = (0..CLIENTS).map(|number| tokio::spawn(client(listener, number, started)));
        let mut sent = 0;
        for client in clients.collect::<Vec<_>>() {
            sent += client.await.expect("a client ends by itself");
        }
        sent
    });
    let events = stack.events(usize::try_from(sent).expect("a small number"));
    let mut used: BTreeMap<&str, u64> = BTreeMap::new();
    let mut lowest = i64::MAX;
    for event in &events {
        let data = &event["data"];
        let tenant = data["tenant"].as_str().expect("a tenant");
        if data["outcome"] != "rejected" {
            *used.entry(tenant).or_default() += data["total_tokens"].as_u64().unwrap_or(0);
            let limit = &data["limits"][0];
            assert_eq!(limit["settled"], data["total_tokens"], "{data:#}");
            if tenant.starts_with("worst") {
                lowest = lowest.min(limit["remaining"].as_i64().expect("a number"));
            }
        }
    }
    let of = |outcome: &str| events.iter().filter(|event: &&Value| event["data"]["outcome"] == outcome).count();
    let sum = |kind: &str, run: fn(u64) -> u64| -> u64 {
        used.iter().filter(|(tenant, _)| tenant.starts_with(kind)).map(|(_, tokens)| run(*tokens)).sum()
    };
    let tenants = used.keys().filter(|tenant| tenant.starts_with("worst")).count() as u64;
    println!(
        "{} s, {CLIENTS} clients: {} completed, {} left by their client, {} refused; {tenants} amounts of {AMOUNT} tokens each way",
        duration().as_secs(),
        of("completed"),
        of("client_aborted"),
        of("rejected"),
    );
    for kind in ["worst", "expected"] {
        let (total, over) = (sum(kind, |tokens| tokens), sum(kind, |tokens| tokens.saturating_sub(AMOUNT)));
        let percent = over as f64 * 100.0 / (tenants * AMOUNT) as f64;
        println!("reserve {kind}: {total} tokens settled, overshoot {over} tokens ({percent:.2} %)");
    }
    assert_eq!(sum("worst", |tokens| tokens.saturating_sub(AMOUNT)), 0, "an amount was exceeded: {used:?}");
    assert!(lowest >= 0, "held and settled exceeded an amount: {lowest}");
    assert!(of("rejected") > 50 && of("completed") > 200 && of("client_aborted") > 20, "too calm");
    stack.finish();
}
