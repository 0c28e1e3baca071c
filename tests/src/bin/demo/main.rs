//! The main job, shown: traffic shaped as the SDKs shape it goes through a real Envoy with the filter in it, and every event, limit and
//! metric that comes of it is printed beside what a calculation by hand says. Exits with 0 only if all of it is right.

mod bill;
mod show;

use std::{io::Read as _, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use meterr_tests::stack::{Options, Stack};
use serde_json::{Value, json};

use bill::Bill;
use show::Show;

/// Shows meterr at work on loopback.
#[derive(Parser)]
struct Arguments {
    /// Stays up on fixed ports and prints the URLs to try.
    #[arg(long)]
    serve: bool,
}

/// Listener, admin interface, provider and collector of `--serve`: the first two and the last are those of `envoy/envoy.yaml`.
const PORTS: [u16; 4] = [10_000, 9_901, 8_901, 8_900];

fn main() -> ExitCode {
    let run = if Arguments::parse().serve { serve() } else { demo() };
    match run {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(ports: [u16; 4]) -> Options {
    let limits = json!([
        { "id": "tenant-tokens", "per": ["tenant"], "unit": "tokens", "amount": 1_000_000,
          "window": { "kind": "fixed", "per": "hour" } },
        { "id": "trial-requests", "per": ["tenant"], "match": { "tenant": ["trial-*"] }, "unit": "requests", "amount": 2,
          "window": { "kind": "fixed", "per": "hour" } },
    ]);
    Options { limits, ports, ..Options::default() }
}

/// What is sent, and what must come of it.
struct Scene {
    title: &'static str,
    path: &'static str,
    tenant: &'static str,
    body: Value,
    /// What the stand-in is told to answer.
    usage: Value,
    bill: Bill,
}

fn scenes() -> Vec<Scene> {
    let question = json!([{ "role": "user", "content": "What is the answer?" }]);
    let chat = |stream: bool| json!({ "model": "gpt-4o-mini", "stream": stream, "messages": question });
    let messages = |stream: bool| json!({ "model": "claude-sonnet-4-5", "max_tokens": 1024, "stream": stream, "messages": question });
    // The prices that both providers publish, in USD for a million tokens.
    let (input, cached, output) = ("0.15", "0.075", "0.6");
    let (claude, read, write_5m, write_1h, written) = ("3", "0.3", "3.75", "6", "15");
    vec![
        Scene {
            title: "OpenAI chat, whole: 1000 of 1200 input tokens cached, 100 of 300 output tokens reasoning",
            path: "/openai/v1/chat/completions",
            tenant: "acme",
            body: chat(false),
            usage: json!({ "input": 1200, "output": 300, "cached": 1000, "reasoning": 100 }),
            bill: Bill::new(1200, 300, &[(200, input), (1000, cached), (300, output)]),
        },
        Scene {
            title: "OpenAI chat, streamed: the client did not ask for usage, so the chunk that tells it is hidden from it",
            path: "/openai/v1/chat/completions",
            tenant: "acme",
            body: chat(true),
            usage: json!({ "input": 57, "output": 21 }),
            bill: Bill::new(57, 21, &[(57, input), (21, output)]),
        },
        Scene {
            title: "Anthropic messages, whole: cache read and cache writes of both lives are priced apart",
            path: "/anthropic/v1/messages",
            tenant: "acme",
            body: messages(false),
            usage: json!({ "input": 100, "output": 50, "cached": 2000, "cache_write": 300, "cache_5m": 100, "cache_1h": 200 }),
            bill: Bill::new(2400, 50, &[(100, claude), (2000, read), (100, write_5m), (200, write_1h), (50, written)]),
        },
        Scene {
            title: "Anthropic messages, streamed and gzipped: the first record's output count is a placeholder, the last one counts",
            path: "/anthropic/v1/messages",
            tenant: "globex",
            body: messages(true),
            usage: json!({ "input": 640, "output": 480, "gzip": true }),
            bill: Bill::new(640, 480, &[(640, claude), (480, written)]),
        },
    ]
}

fn demo() -> Result<bool> {
    let mut show = Show::default();
    let stack = Stack::launch(&options([0; 4]))?;
    show.title("A real Envoy with target/meterr.wasm, between a provider stand-in and a collector");
    show.fact(&format!("listener http://{}, admin http://{}", stack.envoy().listener, stack.envoy().admin));
    let mut events = 0;
    for scene in scenes() {
        events += 1;
        show.title(scene.title);
        let reply = stack
            .post(scene.path)
            .header("x-tenant", scene.tenant)
            .header("accept-encoding", "gzip")
            .tell(("x-test", scene.usage.to_string()))
            .send(&scene.body);
        show.check("the client gets 200", reply.status == 200);
        show.check("… and no usage chunk that it did not ask for", !reply.text().contains(r#""choices":[]"#));
        let Some(event) = stack.events(events).pop() else { continue };
        show.event(&event, &scene.bill);
        show.check("the reply names its event in x-meterr-id", reply.header("x-meterr-id") == event["id"].as_str());
    }
    abort(&stack, &mut show, &mut events);
    limit(&stack, &mut show, &mut events);
    outage(&stack, &mut show, &mut events);
    sums(&stack, &mut show, events);
    stack.finish();
    Ok(show.is_right())
}

fn abort(stack: &Stack, show: &mut Show, events: &mut usize) {
    show.title("A client that hangs up in the middle of a stream still becomes an event");
    let body = json!({ "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "Tell me a long story." }] });
    let mut stream = stack
        .post("/openai/v1/chat/completions")
        .header("x-tenant", "acme")
        .tell(("x-test", json!({ "chunks": 1000, "delay_ms": 5 }).to_string()))
        .open(&body);
    let mut begun = [0; 2_000];
    show.check("the stream has begun", stream.read_exact(&mut begun).is_ok());
    drop(stream);
    *events += 1;
    let Some(event) = stack.events(*events).pop() else { return };
    let data = &event["data"];
    show.json(
        &event,
        &["outcome", "reason", "usage_status", "usage_flags", "input_tokens", "output_tokens", "cost_usd"],
    );
    show.check("outcome client_aborted", data["outcome"] == "client_aborted");
    show.check("tokens are marked as an estimate, not as a fact", data["usage_status"] == "estimated");
    show.check("what it had received is charged", data["output_tokens"].as_u64().is_some_and(|tokens| tokens > 0));
}

fn limit(stack: &Stack, show: &mut Show, events: &mut usize) {
    show.title("The limit of two requests an hour for trial tenants bites at the third");
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Hello." }] });
    let send = || stack.post("/openai/v1/chat/completions").header("x-tenant", "trial-1").send(&body);
    let replies = [send(), send(), send()];
    let statuses = replies.each_ref().map(|reply| reply.status);
    show.fact(&format!("statuses {statuses:?}"));
    show.check("200, 200, 429", statuses == [200, 200, 429]);
    let [_, _, refused] = &replies;
    show.fact(&refused.text());
    for name in ["retry-after", "x-should-retry"] {
        show.fact(&format!("{name}: {}", refused.header(name).unwrap_or("absent")));
    }
    show.check("in the provider's own words", refused.json()["error"]["code"] == "rate_limit_exceeded");
    let wait = refused.header("retry-after").and_then(|secs| secs.parse::<u64>().ok());
    show.check("with the seconds until the hour is over", wait.is_some_and(|secs| secs <= 3_600));
    *events += 3;
    let rejected = stack.events(*events).into_iter().find(|event| event["data"]["outcome"] == "rejected");
    show.check(
        "the refusal is an event too, and nobody pays for it",
        rejected.is_some_and(|event| event["data"]["billable"] == false),
    );
}

fn outage(stack: &Stack, show: &mut Show, events: &mut usize) {
    show.title("While the collector is down, traffic goes on and no event is lost");
    stack.kill_collector();
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Hello." }] });
    let all_served =
        (0..50).all(|_| stack.post("/openai/v1/chat/completions").header("x-tenant", "acme").send(&body).status == 200);
    show.check("50 requests are served meanwhile", all_served);
    stack.revive_collector();
    *events += 50;
    show.check("all of them arrive when it is back", stack.events(*events).len() == *events);
    show.check("no sequence number is missing", stack.gaps().is_empty());
    let stats = stack.collector_stats();
    show.fact(&format!("collector: {stats}"));
}

fn sums(stack: &Stack, show: &mut Show, events: usize) {
    show.title("What FinOps sees: GET /v1/usage");
    let usage = stack.usage();
    for row in usage.as_array().into_iter().flatten() {
        show.fact(&row.to_string());
    }
    show.title("What the platform team sees: /stats/prometheus");
    let metrics = stack.prometheus();
    for name in
        ["meterr_tokens_total", "meterr_cost_microusd_total", "meterr_limit_decisions_total", "meterr_events_total"]
    {
        show.lines(&metrics.about(name));
    }
    let delivered = metrics.sum("meterr_events_total", &[("result", "delivered")]);
    let accepted = metrics.sum("meterr_events_total", &[("result", "accepted")]);
    let alerts = stack.alerts(1);
    for alert in &alerts {
        show.fact(&format!("ai.meterr.limit.v1: {alert}"));
    }
    let all = (events + alerts.len()) as f64;
    show.check(
        "every event that was accepted was delivered, alerts of limits too",
        accepted == delivered && accepted == all,
    );
    let sum = |label: &str, field: &str| -> (f64, u64) {
        let rows = usage.as_array().into_iter().flatten();
        (metrics.sum("meterr_tokens_total", &[("type", label)]), rows.filter_map(|row| row[field].as_u64()).sum())
    };
    let agrees = |(metric, events): (f64, u64)| metric == events as f64;
    show.check(
        "metrics and events agree on tokens",
        agrees(sum("input", "input_tokens")) && agrees(sum("output", "output_tokens")),
    );
    show.check("so does the access log", stack.access_log(events).len() == events);
}

fn serve() -> Result<bool> {
    let stack = Stack::launch(&options(PORTS))?;
    let (listener, admin) = (stack.envoy().listener, stack.envoy().admin);
    println!(
        "meterr is up.

  OpenAI base URL     http://{listener}/openai/v1
  Anthropic base URL  http://{listener}/anthropic
  events              http://127.0.0.1:{collector}/v1/events
  usage               http://127.0.0.1:{collector}/v1/usage
  gaps                http://127.0.0.1:{collector}/v1/gaps
  metrics             http://{admin}/stats/prometheus?filter=meterr

The provider behind it is a stand-in: it takes any key and answers at once. Try:

  curl http://{listener}/openai/v1/chat/completions -H 'authorization: Bearer any' -H 'x-tenant: acme' \\
       -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello.\"}}]}}'
  curl http://127.0.0.1:{collector}/v1/usage

Tenants called trial-* have two requests an hour. Ctrl-C ends it.",
        collector = stack.collector_port()
    );
    tokio::runtime::Runtime::new()?.block_on(stop_signal())?;
    Ok(true)
}

async fn stop_signal() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
