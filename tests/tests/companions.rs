//! What Envoy itself does beside meterr: the files of `envoy/examples` that are about keys, signatures, retries, TLS, foreign authorization
//! and traces, in the real Envoy.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, http::request::Parts};
use meterr_tests::{
    calls::{assert_fields, chat, told},
    server::{Body, Connection, Handler, Server, full},
    stack::Stack,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const CHAT: &str = "/openai/v1/chat/completions";

/// A service that answers by a function, and remembers what it was asked.
struct Service<F> {
    answer: F,
    asked: Mutex<Vec<(Parts, Vec<u8>)>>,
}

impl<F> Service<F> {
    fn asked<T>(&self, look: impl FnOnce(&[(Parts, Vec<u8>)]) -> T) -> T {
        look(&self.asked.lock().expect("nobody panics with it"))
    }
}

impl<F: Fn(usize, &Parts) -> Response<Body> + Send + Sync + 'static> Handler for Service<F> {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        _connection: Connection,
    ) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
        let mut asked = self.asked.lock().expect("nobody panics with it");
        let response = (self.answer)(asked.len(), &head);
        asked.push((head, body));
        Ok(response)
    }
}

fn serve<F>(answer: F) -> (Server, Arc<Service<F>>)
where
    F: Fn(usize, &Parts) -> Response<Body> + Send + Sync + 'static,
{
    let service = Arc::new(Service { answer, asked: Mutex::default() });
    (Server::start(0, Arc::clone(&service)).expect("a port"), service)
}

fn respond(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(full(body.to_owned())).expect("a response")
}

fn reply() -> String {
    json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hello." }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14 } })
    .to_string()
}

/// Points one cluster of a file elsewhere.
fn point(file: &mut Value, cluster: &str, to: SocketAddr) {
    let clusters = file["static_resources"]["clusters"].as_array_mut().expect("clusters");
    let cluster = clusters.iter_mut().find(|one| one["name"] == cluster).expect("a cluster of that name");
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
        json!({ "address": to.ip().to_string(), "port_value": to.port() });
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A certificate for `localhost` that is its own authority.
fn certificate(files: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::create_dir(files.join("tls")).expect("a directory");
    fs::write(files.join("tls/server.crt"), made.cert.pem()).expect("a file");
    fs::write(files.join("tls/server.key"), made.signing_key.serialize_pem()).expect("a file");
    made.cert.pem()
}

/// A request to a listener that speaks TLS.
fn over_tls(stack: &Stack, trusted: &str) -> reqwest::blocking::Response {
    let trusted = reqwest::Certificate::from_pem(trusted.as_bytes()).expect("a certificate");
    let client = reqwest::blocking::Client::builder().add_root_certificate(trusted).timeout(Duration::from_secs(60));
    let url = format!("https://localhost:{}{CHAT}", stack.envoy().listener.port());
    let request = client.build().expect("a client").post(url).header("authorization", "Bearer sk-test");
    request.body(chat("gpt-4o-mini", false).to_string()).send().expect("an answer")
}

#[test]
fn ok_a_provider_that_asks_to_wait_is_asked_again_and_it_is_one_exchange() {
    let files = directory();
    let trusted = certificate(files.path());
    let (server, service) = serve(|nth, _| match nth {
        0 => respond(429, &[("retry-after", "1")], "{}"),
        1 => respond(503, &[], "{}"),
        _ => respond(200, &[], &reply()),
    });
    let stack = Stack::example("resilience.yaml", files.path(), &[], |file| point(file, "openai", server.address));
    let answer = over_tls(&stack, &trusted);
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    assert_eq!(service.asked(<[_]>::len), 3, "the client saw none of the refusals");
    let event = stack.events(1).remove(0);
    assert_fields(&event["data"], &json!({ "status": 200, "outcome": "completed", "total_tokens": 14 }));
    stack.finish();
}

#[test]
fn ok_a_wait_that_is_too_long_is_the_clients_to_decide() {
    let files = directory();
    let trusted = certificate(files.path());
    let (server, service) = serve(|_, _| respond(429, &[("retry-after", "1800")], "{}"));
    let stack = Stack::example("resilience.yaml", files.path(), &[], |file| point(file, "openai", server.address));
    let answer = over_tls(&stack, &trusted);
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"1800".parse().expect("a value")));
    // Envoy then waits as between any attempts.
    assert_eq!(service.asked(<[_]>::len), 3);
    assert_fields(&stack.events(1)[0]["data"], &json!({ "outcome": "provider_error", "usage_status": "none" }));
    stack.finish();
}

#[test]
fn ok_a_host_that_keeps_failing_is_taken_out_and_the_client_is_told() {
    let files = directory();
    let trusted = certificate(files.path());
    let (server, service) = serve(|_, _| respond(500, &[], "{}"));
    let stack = Stack::example("resilience.yaml", files.path(), &[], |file| {
        point(file, "openai", server.address);
        // With a single host Envoy would rather ask it than nobody.
        let clusters = file["static_resources"]["clusters"].as_array_mut().expect("clusters");
        let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == "openai").expect("the provider");
        cluster["outlier_detection"]["max_ejection_percent"] = json!(100);
        cluster["common_lb_config"] = json!({ "healthy_panic_threshold": { "value": 0 } });
    });
    let statuses: Vec<u16> = (0..12).map(|_| over_tls(&stack, &trusted).status().as_u16()).collect();
    assert_eq!(statuses[0], 500);
    assert_eq!(statuses.last(), Some(&503), "{statuses:?}");
    assert!(service.asked(<[_]>::len) < 12, "it is left alone for a while");
    for event in stack.events(12) {
        assert_fields(&event["data"], &json!({ "outcome": "provider_error" }));
    }
    stack.finish();
}

#[test]
fn ok_the_provider_is_reached_over_tls_and_only_if_it_is_who_it_says() {
    let (files, other) = (directory(), directory());
    let trusted = certificate(files.path());
    certificate(other.path());
    for (authority, status) in [(files.path(), 200), (other.path(), 503)] {
        let stack = Stack::example("resilience.yaml", files.path(), &[], |file| {
            // A second listener plays the provider: it ends TLS with the certificate and hands on in the clear.
            let mut provider = file["static_resources"]["listeners"][0].clone();
            provider["name"] = json!("provider");
            let chain = &mut provider["filter_chains"][0]["filters"][0]["typed_config"];
            let filters = chain["http_filters"].as_array_mut().expect("filters");
            filters.retain(|filter| filter["name"] == "envoy.filters.http.router");
            chain["route_config"]["virtual_hosts"][0]["routes"] =
                json!([{ "match": { "prefix": "/" }, "route": { "cluster": "behind" } }]);
            chain.as_object_mut().expect("an object").remove("access_log");
            let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
            provider["address"]["socket_address"]["port_value"] = json!(port.port());
            file["static_resources"]["listeners"].as_array_mut().expect("listeners").push(provider);
            let clusters = file["static_resources"]["clusters"].as_array_mut().expect("clusters");
            let mut behind = clusters[0].clone();
            behind["name"] = json!("behind");
            clusters.push(behind);
            point(file, "openai", port);
            let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
            file["static_resources"]["clusters"][0]["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": { "@type": tls, "sni": "localhost", "common_tls_context": { "validation_context": {
                    "trusted_ca": { "filename": authority.join("tls/server.crt") },
                    "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": "localhost" } }],
                } } },
            });
        });
        assert_eq!(over_tls(&stack, &trusted).status().as_u16(), status);
        stack.finish();
    }
}

#[test]
fn ok_a_rotated_key_reaches_the_provider_without_a_restart() {
    let files = directory();
    let folder = files.path().join("sds");
    fs::create_dir(&folder).expect("a directory");
    let rotate = |key: &str| {
        let secret = json!({ "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                             "name": "openai_key", "generic_secret": { "secret": { "inline_string": key } } });
        fs::write(folder.join("next"), json!({ "resources": [secret] }).to_string()).expect("a file");
        fs::rename(folder.join("next"), folder.join("openai.yaml")).expect("it replaces the one before");
    };
    rotate("sk-first");
    let stack = Stack::example("upstream-keys.yaml", files.path(), &[], |_| {});
    let pid = stack.envoy().pid();
    let key = || {
        let reply = stack.post(CHAT).send(&chat("gpt-4o-mini", false));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let head = stack.provider().head(reply.header("x-stand-in-id").expect("an id")).expect("it remembers");
        head["authorization"].to_str().expect("text").to_owned()
    };
    assert_eq!(key(), "Bearer sk-first");
    rotate("sk-second");
    stack.wait_for("the new key is not used", |_| key() == "Bearer sk-second");
    assert_eq!(stack.envoy().pid(), pid);
    let log = stack.envoy_log();
    assert!(!log.contains("sk-first") && !log.contains("sk-second"), "{log}");
    stack.finish();
}

#[test]
fn ok_bedrock_gets_what_envoy_has_signed() {
    let converse = json!({ "output": { "message": { "role": "assistant", "content": [{ "text": "Hello." }] } }, "stopReason": "end_turn",
                           "usage": { "inputTokens": 9, "outputTokens": 4, "totalTokens": 13 }, "metrics": { "latencyMs": 5 } });
    let (server, service) = serve(move |_, _| respond(200, &[], &converse.to_string()));
    let keys = [("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST"), ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")];
    let files = directory();
    let stack = Stack::example("bedrock.yaml", files.path(), &keys, |file| point(file, "bedrock", server.address));
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "Say hello." }] }] });
    let reply = stack.post("/bedrock/model/amazon.nova-micro-v1:0/converse").header("x-tenant", "acme").send(&body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    service.asked(|asked| {
        let (head, body) = &asked[0];
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signature = header("authorization");
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIATESTTESTTEST/"), "{signature}");
        assert!(signature.contains("/us-east-1/bedrock/aws4_request"), "{signature}");
        let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(header("x-amz-content-sha256"), hash, "what was signed is what was sent");
        assert_eq!(header("host"), "bedrock-runtime.us-east-1.amazonaws.com");
        assert!(!head.headers.contains_key("x-tenant"), "{head:?}");
    });
    let event = stack.events(1).remove(0);
    assert_fields(
        &event["data"],
        &json!({ "tenant": "acme", "provider": "bedrock", "dialect": "bedrock.converse", "input_tokens": 9, "output_tokens": 4 }),
    );
    stack.finish();
}

#[test]
fn ok_a_service_of_ones_own_says_who_calls() {
    let (authz, service) = serve(|_, head| match head.headers.get("authorization").map(|value| value.as_bytes()) {
        Some(b"Bearer sk-acme") => respond(200, &[("x-tenant", "acme"), ("x-team", "red")], ""),
        Some(b"Bearer sk-nameless") => respond(200, &[], ""),
        _ => respond(403, &[], r#"{"error":{"message":"no"}}"#),
    });
    let files = directory();
    let stack = Stack::example("ext-authz.yaml", files.path(), &[], |file| point(file, "authz", authz.address));
    let ask = |key: &str| {
        let call = stack.post(CHAT).header("authorization", &format!("Bearer {key}"));
        call.header("x-tenant", "globex").header("x-team", "blue").send(&chat("gpt-4o-mini", false)).status
    };
    assert_eq!(ask("sk-acme"), 200);
    assert_eq!(ask("sk-nobody"), 403, "the service's own refusal");
    assert_eq!(ask("sk-nameless"), 401, "what the client says of itself counts for nothing");
    assert_eq!(service.asked(<[_]>::len), 3);
    let events = stack.events(2);
    assert_fields(
        &events[0]["data"],
        &json!({ "tenant": "acme", "labels": { "team": "red" }, "outcome": "completed" }),
    );
    assert_fields(&events[1]["data"], &json!({ "outcome": "rejected", "reason": "identity_missing" }));
    stack.finish();
}

/// Whether these bytes hold a protobuf string, length and all.
fn holds(bytes: &[u8], text: &str) -> bool {
    let wanted = [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn ok_the_span_says_what_the_event_says() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (traces, service) = serve(|_, _| respond(200, &[], "{}"));
    let files = directory();
    let stack = Stack::example("tracing.yaml", files.path(), &[], |file| {
        point(file, "traces", traces.address);
        // Spans go out in batches, by default every five seconds.
        file["layered_runtime"] = json!({ "layers": [{ "name": "soon", "static_layer": {
            "tracing": { "opentelemetry": { "flush_interval_ms": 100, "min_flush_spans": 1 } } } }] });
    });
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let call = stack.post(CHAT).header("traceparent", &parent).tell(told(&json!({ "input": 1_234, "output": 56 })));
    assert_eq!(call.send(&chat("gpt-4o-mini", true)).status, 200);
    let event = stack.events(1).remove(0);
    assert_eq!(event["data"]["trace_id"], TRACE);
    let exported = || service.asked(|asked| asked.iter().flat_map(|(_, body)| body.clone()).collect::<Vec<u8>>());
    // Envoy's span of the upstream request has the same tags, of the moment when it ended.
    let says = |name: &str, value: &str| {
        let bytes = exported();
        let ends = bytes.windows(name.len()).enumerate().filter(|(_, window)| *window == name.as_bytes());
        ends.map(|(at, _)| at).any(|at| holds(&bytes[at..bytes.len().min(at + name.len() + 64)], value))
    };
    stack.wait_for("no span came", |_| says("gen_ai.usage.input_tokens", "1234"));
    let model = event["data"]["response_model"].as_str().expect("a model");
    let micros = event["data"]["cost_usd"].as_str().expect("a cost");
    for (name, value) in [
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.response.model", model),
        ("gen_ai.usage.output_tokens", "56"),
        ("meterr.outcome", "completed"),
        ("meterr.usage_status", "reported"),
    ] {
        assert!(says(name, value), "{name} {value}");
    }
    assert!(micros.starts_with("0.000"), "{micros}");
    let trace: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).expect("hex")).collect();
    assert!(exported().windows(16).any(|window| window == trace), "the span is part of the client's trace");
    stack.finish();
}
