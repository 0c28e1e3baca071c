//! The recipes of `envoy/README.md` about budgets, roll-out and where events go: each file of `envoy/examples` in the real Envoy, with traffic.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, http::request::Parts};
use meterr_tests::{
    calls::{assert_fields, chat, told},
    envoy::{end, root},
    server::{Body, Connection, Handler, Server, full},
    stack::{Reply, Stack},
};
use serde_json::{Value, json};

const CHAT: &str = "/openai/v1/chat/completions";
const VARIABLES: [(&str, &str); 2] =
    [("METERR_SINK_AUTHORIZATION", "Bearer om_test"), ("METERR_CREDENTIAL_KEY", "0123456789abcdef0123456789abcdef")];

/// The example with the labels of metrics, and with its collector at that address if it is not the usual one.
fn start(name: &str, collector: Option<SocketAddr>) -> Stack {
    let nothing = tempfile::tempdir().expect("a directory");
    Stack::example(name, nothing.path(), &VARIABLES, |file| {
        let tags = fs::read_to_string(root().join("envoy/stats_tags.yaml")).expect("its file");
        file["stats_config"] = serde_yaml_ng::from_str(&tags).expect("YAML");
        let clusters = file["static_resources"]["clusters"].as_array_mut().expect("clusters");
        let cluster = clusters.iter_mut().find(|one| one["name"] == "collector").expect("a collector");
        if let Some(at) = collector {
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
                json!({ "address": at.ip().to_string(), "port_value": at.port() });
        }
    })
}

/// A request that the provider counts so many tokens for, and ten of output.
fn spend(stack: &Stack, team: &str, model: &str, input: u64) -> Reply {
    let call = stack.post(CHAT).header("x-team", team).header("x-tenant", "acme");
    call.tell(told(&json!({ "input": input, "output": 10 }))).send(&chat(model, false))
}

fn deliver(stack: &Stack, count: u64) {
    stack.wait_for("not all events are delivered", |stack| {
        stack.prometheus().count("meterr_events_total", &[("result", "delivered")]) == count
    });
}

#[test]
fn ok_each_team_has_its_budget() {
    let stack = start("team-budgets.yaml", None);
    // gpt-4o: $2.50 for a million tokens. Four million are $10.
    assert_eq!(spend(&stack, "intern-ann", "gpt-4o", 4_000_000).status, 200);
    let refused = spend(&stack, "intern-ann", "gpt-4o", 10);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("insufficient_quota")));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(spend(&stack, "sales", "gpt-4o", 400_000).status, 200);
    assert_eq!(spend(&stack, "research", "gpt-4o", 400_000).status, 200);
    let unpriced = spend(&stack, "sales", "no-such-model", 10);
    assert_eq!((unpriced.status, &unpriced.json()["error"]["code"]), (429, &json!("unpriced_model")));
    let alerts = stack.alerts(1);
    assert!(alerts.iter().any(|alert| alert.to_string().contains("team-month")), "{alerts:#?}");
    assert_fields(&stack.events(5)[0]["data"], &json!({ "labels": { "team": "intern-ann" }, "tenant": "corp" }));
    stack.finish_expecting_provider_complaints();
}

#[test]
fn ok_in_the_shadow_nobody_is_refused_and_all_is_told() {
    let stack = start("shadow.yaml", None);
    for _ in 0..3 {
        let reply = spend(&stack, "sales", "gpt-4o", 30_000_000);
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
        assert!(reply.header("x-meterr-id").is_some());
    }
    let events = stack.events(3);
    let would: Vec<&str> = events[2]["data"]["limits"]
        .as_array()
        .expect("limits")
        .iter()
        .filter(|limit| limit["would_reject"] == true)
        .filter_map(|limit| limit["id"].as_str())
        .collect();
    assert_eq!(would, ["tenant-minute", "tenant-day"]);
    let told = [("limit", "tenant-day"), ("decision", "would_reject")];
    assert!(stack.prometheus().count("meterr_limit_decisions_total", &told) >= 1);
    stack.finish();
}

/// OpenMeter's events endpoint: what it wants of a request, and its answer.
#[derive(Default)]
struct OpenMeter {
    events: Mutex<Vec<Value>>,
    complaints: Mutex<Vec<String>>,
}

impl OpenMeter {
    /// What is not as it is there: the header is compared as a whole, and these members are required.
    fn faults(head: &Parts, body: &[u8]) -> Result<Vec<Value>, String> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if (head.method.as_str(), head.uri.path()) != ("POST", "/api/v1/events") {
            return Err(format!("{} {}", head.method, head.uri));
        }
        if header("authorization") != "Bearer om_test" {
            return Err("401".to_owned());
        }
        if header("content-type") != "application/cloudevents-batch+json" {
            return Err(header("content-type").to_owned());
        }
        let events: Vec<Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        for event in &events {
            for name in ["specversion", "id", "source", "type", "subject", "time"] {
                if event[name].as_str().is_none_or(str::is_empty) {
                    return Err(format!("no {name} in {event}"));
                }
            }
        }
        Ok(events)
    }
}

impl Handler for OpenMeter {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Connection) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let status = match Self::faults(&head, &body) {
            Ok(events) => {
                self.events.lock().expect("whole").extend(events);
                204
            }
            Err(fault) => {
                self.complaints.lock().expect("whole").push(fault);
                400
            }
        };
        Response::builder().status(status).body(full("")).map_err(io::Error::other)
    }
}

#[test]
fn ok_openmeter_takes_the_events_as_they_are() {
    let service = Arc::new(OpenMeter::default());
    let server = Server::start(0, Arc::clone(&service)).expect("a port");
    let stack = start("openmeter.yaml", Some(server.address));
    for _ in 0..3 {
        assert_eq!(spend(&stack, "sales", "gpt-4o", 1_000).status, 200);
    }
    deliver(&stack, 3);
    assert!(service.complaints.lock().expect("whole").is_empty(), "{:?}", service.complaints);
    let events = service.events.lock().expect("whole").clone();
    let usage: Vec<&Value> = events.iter().filter(|event| event["type"] == "ai.meterr.usage.v1").collect();
    assert_eq!((usage.len(), &usage[0]["subject"]), (3, &json!("acme")));
    // What the meters of the file's comment sum up and group by: a number or a text of one, and a scalar.
    for event in usage {
        let data = &event["data"];
        assert!(data["cost_usd"].as_str().is_some_and(|cost| cost.parse::<f64>().is_ok()), "{event}");
        assert!(data["output_tokens"].is_u64() && data["response_model"].is_string(), "{event}");
    }
}

#[test]
fn ok_otel_collector_gets_log_records() {
    let service = Arc::new(Lines::default());
    let server = Server::start(0, Arc::clone(&service)).expect("a port");
    let stack = start("otel-collector.yaml", Some(server.address));
    assert_eq!(spend(&stack, "sales", "gpt-4o", 1_000).status, 200);
    deliver(&stack, 1);
    let (path, body) = service.0.lock().expect("whole")[0].clone();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(path, "/v1/logs");
    assert_eq!(body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["eventName"], "ai.meterr.usage");
}

/// Keeps the path and the body of each request.
#[derive(Default)]
struct Lines(Mutex<Vec<(String, Vec<u8>)>>);

impl Handler for Lines {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Connection) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
        self.0.lock().expect("whole").push((head.uri.path().to_owned(), body));
        Ok(Response::new(full("{}")))
    }
}

/// ClickHouse's own engine.
struct ClickHouse {
    child: Child,
    address: SocketAddr,
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl ClickHouse {
    /// Nothing where it cannot be had.
    fn start() -> Option<Self> {
        let mut child = Command::new(root().join("tests/clickhouse/run"))
            .arg(root().join("envoy/operate/clickhouse.sql"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its port")).read_line(&mut line).expect("a line");
        let Ok(port) = line.trim().parse() else {
            assert_eq!(child.wait().expect("it ends").code(), Some(3), "ClickHouse did not start");
            return None;
        };
        Some(Self { child, address: ([127, 0, 0, 1], port).into() })
    }

    fn rows(&self, query: &str) -> Vec<Value> {
        let url = reqwest::Url::parse_with_params(&format!("http://{}/", self.address), [("query", query)]);
        let text = reqwest::blocking::get(url.expect("a URL")).and_then(reqwest::blocking::Response::text);
        let text = text.expect("an answer");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{query}: {text}"))).collect()
    }
}

#[test]
fn ok_clickhouse_itself_reads_the_lines_and_counts_each_event_once() {
    let Some(clickhouse) = ClickHouse::start() else {
        println!("skipped: ClickHouse's engine is not to be had here");
        return;
    };
    let stack = start("clickhouse.yaml", Some(clickhouse.address));
    for team in ["sales", "sales", "research"] {
        assert_eq!(spend(&stack, team, "gpt-4o", 1_000_000).status, 200);
    }
    // Nobody says how much: unknown is NULL.
    assert_eq!(
        stack
            .post(CHAT)
            .header("x-tenant", "acme")
            .tell(told(&json!({ "encoding": "br" })))
            .send(&chat("gpt-4o", false))
            .status,
        200
    );
    deliver(&stack, 4);
    let spent =
        clickhouse.rows("SELECT team, toString(usd) AS usd, tokens FROM meterr.spent WHERE team != '' ORDER BY team");
    // $2.50 for a million tokens in, ten dollars for a million out.
    assert_eq!((&spent[0]["team"], &spent[0]["usd"]), (&json!("research"), &json!("2.5001")), "{spent:?}");
    assert_eq!((&spent[1]["team"], &spent[1]["usd"]), (&json!("sales"), &json!("5.0002")), "{spent:?}");
    let unknown =
        clickhouse.rows("SELECT input_tokens, cost_usd FROM meterr.events FINAL WHERE usage_status = 'missing'");
    assert_eq!(unknown, [json!({ "input_tokens": null, "cost_usd": null })]);
    // All of them once more, as after a lost acknowledgement.
    clickhouse.rows("INSERT INTO meterr.events SELECT * FROM meterr.events");
    let twice =
        clickhouse.rows("SELECT team, toString(usd) AS usd, tokens FROM meterr.spent WHERE team != '' ORDER BY team");
    assert_eq!(twice, spent);
    assert_eq!(clickhouse.rows("SELECT * FROM meterr.gaps"), [Value::Null; 0]);
    assert_eq!(stack.prometheus().count("meterr_events_total", &[("result", "dead_lettered")]), 0);
    println!("ClickHouse: {spent:?}");
}
