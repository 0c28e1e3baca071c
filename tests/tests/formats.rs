//! Formats of events, compression and back-pressure of the queue, in the real Envoy.

use std::{
    io::{self, Read as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, header::HeaderMap};
use meterr_tests::{
    server::{Body, Connection, Handler, Server, full},
    stack::{Options, Stack},
};
use serde_json::{Value, json};

const PATH: &str = "/openai/v1/chat/completions";

fn chat() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Hi." }] })
}

/// A collector of any format: keeps what comes, and gives every POST the same answer.
#[derive(Debug, Default)]
struct Keeper {
    posts: Mutex<Vec<(HeaderMap, String, Vec<u8>)>>,
    answer: &'static str,
}

impl Handler for Keeper {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Connection) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
        let path = head.uri.path().to_owned();
        self.posts.lock().expect("no test panics with it").push((head.headers, path, body));
        Ok(Response::new(full(self.answer)))
    }
}

/// A system whose collector is [`Keeper`], and that collector.
fn keeping(sink: &Value, answer: &'static str) -> (Stack, Arc<Keeper>, Server) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let stack = Stack::start(&Options { ports: [0, 0, 0, port], more: json!({ "sink": sink }), ..Options::default() });
    stack.kill_collector();
    let keeper = Arc::new(Keeper { answer, ..Keeper::default() });
    let server = Server::start(port, Arc::clone(&keeper)).expect("the port of the collector that went");
    (stack, keeper, server)
}

fn deliver(stack: &Stack, count: u64) {
    for _ in 0..count {
        assert_eq!(stack.post(PATH).header("x-tenant", "acme").send(&chat()).status, 200);
    }
    stack.wait_for("all events to be delivered", |stack| {
        stack.prometheus().count("meterr_events_total", &[("result", "delivered")]) == count
    });
}

#[test]
fn ok_otlp_logs() {
    let answer = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"for a test"}}"#;
    let sink = json!({ "format": "otlp_logs", "path": "/v1/logs", "heartbeat_secs": 3_600 });
    let (stack, keeper, _server) = keeping(&sink, answer);
    deliver(&stack, 3);
    let posts = keeper.posts.lock().expect("whole").clone();
    let mut records = Vec::new();
    for (headers, path, body) in &posts {
        assert_eq!((&headers["content-type"], &**path), (&"application/json".parse().expect("valid"), "/v1/logs"));
        let body: Value = serde_json::from_slice(body).expect("JSON");
        let logs = &body["resourceLogs"][0];
        assert_eq!(logs["resource"]["attributes"][0]["value"]["stringValue"], "meterr");
        records.extend(logs["scopeLogs"][0]["logRecords"].as_array().expect("records").clone());
    }
    assert_eq!(records.len(), 3, "each once: {records:#?}");
    for record in &records {
        assert_eq!(record["eventName"], "ai.meterr.usage");
        let value = |key: &str| {
            let attributes = record["attributes"].as_array().expect("attributes");
            attributes.iter().find(|attribute| attribute["key"] == key).map(|attribute| attribute["value"].clone())
        };
        assert_eq!(value("gen_ai.provider.name"), Some(json!({ "stringValue": "openai" })));
        assert_eq!(value("gen_ai.request.model"), Some(json!({ "stringValue": "gpt-4o-mini" })));
        assert_eq!(value("meterr.tenant"), Some(json!({ "stringValue": "acme" })));
        let tokens = value("gen_ai.usage.input_tokens").expect("told");
        assert!(tokens["intValue"].as_str().is_some_and(|text| text.parse::<u64>().is_ok()), "{tokens}");
    }
    let metrics = stack.prometheus();
    assert_eq!(metrics.count("meterr_events_rejected_total", &[]), posts.len() as u64, "one of each batch");
    assert_eq!(metrics.count("meterr_events_total", &[("result", "dead_lettered")]), 0);
}

#[test]
fn ok_lines_compressed() {
    let sink = json!({ "format": "ndjson", "gzip": true, "path": "/ingest", "heartbeat_secs": 3_600 });
    let (stack, keeper, _server) = keeping(&sink, "");
    deliver(&stack, 3);
    let mut lines = Vec::new();
    for (headers, _, body) in keeper.posts.lock().expect("whole").iter() {
        let told = [&headers["content-type"], &headers["content-encoding"]];
        assert_eq!(told, ["application/x-ndjson", "gzip"]);
        let mut text = String::new();
        GzDecoder::new(&**body).read_to_string(&mut text).expect("gzip");
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!([&line["type"], &line["subject"], &line["tenant"]], ["ai.meterr.usage.v1", "acme", "acme"]);
        assert!(line["input_tokens"].is_u64() && line["id"].is_string() && line["time"].is_string(), "{line:#}");
    }
    stack.wait_for("the way of events to be timed", |stack| {
        stack.prometheus().count("meterr_event_delivery_ms_count", &[]) == 3
    });
}

#[test]
fn err_a_full_queue_refuses_requests_and_loses_nothing() {
    let queue = json!({ "max_bytes": 65_536, "on_full": "reject_requests" });
    let stack = Stack::start(&Options { more: json!({ "sink": { "queue": queue } }), ..Options::default() });
    stack.kill_collector();
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let reply = stack.post(PATH).send(&chat());
        statuses.push(reply.status);
        if reply.status == 503 {
            assert_eq!(
                (reply.header("retry-after"), &reply.json()["error"]["code"]),
                (Some("1"), &json!("event_queue_full"))
            );
        }
    }
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    println!("{admitted} of 200 requests found room for their events in 64 KiB");
    assert!(
        (10..190).contains(&admitted) && admitted + statuses.iter().filter(|status| **status == 503).count() == 200
    );
    stack.revive_collector();
    assert_eq!(stack.events(admitted).len(), admitted, "all that were served are told of");
    let metrics = stack.prometheus();
    let counted = |result| metrics.count("meterr_events_total", &[("result", result)]);
    assert_eq!((counted("accepted"), counted("dropped")), (200, 200 - admitted as u64), "refusals alone are dropped");
    assert_eq!(metrics.count("meterr_errors_total", &[("code", "event_queue_full")]), 200 - admitted as u64);
    stack.finish();
}
