//! Beside Envoy's `ext_proc` filter, in both orders and with buffered and streamed bodies: what `envoy/istio/README.md` says of it.

use meterr_tests::{
    calls::{assert_fields, chat, told},
    ext_proc::{Processor, Work},
    istio::{Shape, sidecar},
    stack::{Reply, Stack},
};
use serde_json::{Value, json};

const VARIABLES: [(&str, &str); 2] =
    [("METERR_SINK_AUTHORIZATION", "Bearer sink"), ("METERR_CREDENTIAL_KEY", "0123456789abcdef0123456789abcdef")];

/// Which of the two filters a request meets first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    ProcessorFirst,
    MeterrFirst,
}

/// What the processor does: it says who calls, where that can be heard, gives an alias its model, and changes words of the reply.
fn work(order: Order, mode: &str) -> Work {
    Work {
        headers: if order == Order::ProcessorFirst { vec![("x-tenant", "acme")] } else { Vec::new() },
        request: Some(("\"fast\"", "\"gpt-4o-mini\"")),
        reply: Some(("Hello", "HELLO")),
        buffered: mode == "BUFFERED",
    }
}

fn start(order: Order, shape: Shape, mode: &str, processor: &Processor) -> Stack {
    let filter = json!({ "name": "envoy.filters.http.ext_proc", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": { "envoy_grpc": { "cluster_name": "ext_proc" }, "timeout": "30s" },
        "message_timeout": "30s",
        "processing_mode": { "request_header_mode": "SEND", "response_header_mode": "SEND",
                             "request_body_mode": mode, "response_body_mode": mode },
    } });
    let address = processor.address();
    let protocol = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let cluster = json!({ "name": "ext_proc", "type": "STATIC", "connect_timeout": "5s",
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": protocol, "explicit_http_config": { "http2_protocol_options": {} } } },
        "load_assignment": { "cluster_name": "ext_proc", "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
            "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } } } }] }] } });
    Stack::made_for(&VARIABLES, |place| {
        let mut file = sidecar(shape, place, |configuration| {
            configuration["sink"]["heartbeat_secs"] = json!(1);
            configuration["identity"]["tenant"] = json!([{ "from": "header", "name": "x-tenant" }]);
            configuration["limits"] = json!([{ "id": "small", "per": ["model"], "match": { "model": ["gpt-4o-mini", "fast"] },
                "unit": "requests", "amount": 3, "window": { "kind": "fixed", "per": "month" } }]);
        })?;
        let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
        let filters = file.pointer_mut(filters).and_then(Value::as_array_mut).expect("filters");
        filters.insert(usize::from(order == Order::MeterrFirst), filter);
        file["static_resources"]["clusters"].as_array_mut().expect("clusters").push(cluster);
        Ok(file)
    })
}

fn ask(stack: &Stack, stream: bool) -> Reply {
    let call = stack.post("/v1/chat/completions").header("host", "api.openai.com");
    call.tell(told(&json!({ "input": 1_200, "output": 300 }))).send(&chat("fast", stream))
}

#[test]
fn ok_each_order_and_each_way_of_bodies_does_what_the_table_says() {
    for order in [Order::ProcessorFirst, Order::MeterrFirst] {
        for shape in [Shape::WasmPlugin, Shape::EnvoyFilter] {
            for mode in ["BUFFERED", "STREAMED"] {
                let case = format!("{order:?} {shape:?} {mode}");
                let processor = Processor::start(work(order, mode)).expect("a port");
                let stack = start(order, shape, mode, &processor);
                let first = order == Order::ProcessorFirst;
                // A body of unknown length, as a processor leaves it that changes it in parts, is never held, nor asked for its usage.
                let whole = !(first && mode == "STREAMED");
                let statuses = [false, true, false, false].map(|stream| {
                    let reply = ask(&stack, stream);
                    if reply.status == 200 {
                        assert!(reply.text().contains("HELLO"), "{case}: {}", reply.text());
                        assert!(!reply.text().contains(r#""choices":[]"#), "{case}: nothing of ours is seen");
                        let received = stack.received_by_provider(&reply);
                        assert!(received.contains("gpt-4o-mini"), "{case}: {received}");
                        assert_eq!(received.contains("include_usage"), stream && whole, "{case}: {received}");
                    }
                    reply.status
                });
                let limited = shape == Shape::EnvoyFilter && whole;
                assert_eq!(statuses, [200, 200, 200, if limited { 429 } else { 200 }], "{case}");
                let events = stack.events(4);
                for (nth, event) in events.iter().enumerate() {
                    let data = &event["data"];
                    let (tenant, model) = if first { ("acme", "gpt-4o-mini") } else { ("unknown", "fast") };
                    assert_fields(data, &json!({ "tenant": tenant, "request_model": model }));
                    match (nth, whole) {
                        (3, _) if limited => assert_fields(data, &json!({ "outcome": "rejected" })),
                        (1, false) => assert_fields(data, &json!({ "usage_status": "estimated" })),
                        _ => assert_fields(data, &json!({ "usage_status": "reported", "output_tokens": 300 })),
                    }
                }
                stack.finish();
            }
        }
    }
}
