//! `envoy/istio`: the manifests against the published schemas, and both shapes of the filter in the real Envoy. `envoy/istio/README.md` has
//! the table that this proves.

use std::{collections::BTreeSet, fs, process::Command};

use meterr_tests::{
    calls::{assert_fields, chat, messages, told},
    envoy::root,
    istio::{self, Shape, manifests, sidecar},
    stack::{Call, Stack},
};
use serde_json::{Value, json};

const SHAPES: [Shape; 2] = [Shape::WasmPlugin, Shape::EnvoyFilter];
const VARIABLES: [(&str, &str); 2] =
    [("METERR_SINK_AUTHORIZATION", "Bearer sink"), ("METERR_CREDENTIAL_KEY", "0123456789abcdef0123456789abcdef")];

fn start(shape: Shape, change: impl FnOnce(&mut Value)) -> Stack {
    Stack::made_for(&VARIABLES, |place| sidecar(shape, place, |configuration| quick(configuration, change)))
}

/// The manifest's configuration with a heartbeat that a test need not wait for.
fn quick(configuration: &mut Value, change: impl FnOnce(&mut Value)) {
    configuration["sink"]["heartbeat_secs"] = json!(1);
    change(configuration);
}

fn openai(stack: &Stack) -> Call<'_> {
    stack.post("/v1/chat/completions").header("host", "api.openai.com")
}

fn limit(more: &Value) -> Value {
    let mut limit = json!({ "id": "few", "per": ["tenant"], "unit": "requests", "amount": 1, "window": { "kind": "fixed", "per": "month" } });
    limit.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!([limit])
}

/// Whether the manifests, and what is wrong in them, are as `scripts/istio --check` says. Nothing where it has no schemas.
fn check(files: &[&str]) -> Option<(bool, String)> {
    let told = Command::new(root().join("scripts/istio")).arg("--check").args(files).output().expect("the script runs");
    if told.status.code() == Some(3) {
        println!("skipped: {}", String::from_utf8_lossy(&told.stderr));
        return None;
    }
    Some((told.status.success(), String::from_utf8_lossy(&told.stdout).into_owned()))
}

#[test]
fn ok_the_manifests_are_what_istio_and_kubernetes_take() {
    let Some((valid, told)) = check(&[]) else { return };
    println!("{told}");
    assert!(valid, "{told}");
}

#[test]
fn err_a_misspelt_field_is_noticed_in_every_kind() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, right, wrong) in [
        ("wasmplugin.yaml", "failStrategy:", "failstrategy:"),
        ("wasmplugin.yaml", "valueFrom: HOST", "valueFrom: Host"),
        ("envoyfilter.yaml", "workloadSelector:", "workloadselector:"),
        ("envoyfilter.yaml", "INSERT_BEFORE", "INSERT_BEFOR"),
        ("hosts.yaml", "targetPort:", "targetport:"),
        ("hosts.yaml", "subjectAltNames:", "subjectAltName:"),
        ("hosts.yaml", "remove:", "removed:"),
        ("telemetry.yaml", "formatter:", "format:"),
        ("deployment.yaml", "readOnly:", "readonly:"),
        ("deployment.yaml", "preStop:", "prestop:"),
    ] {
        let text = fs::read_to_string(root().join("envoy/istio").join(name)).expect("a manifest");
        assert!(text.contains(right), "{name} has no {right}");
        let path = directory.path().join(name);
        fs::write(&path, text.replacen(right, wrong, 1)).expect("a file");
        let Some((valid, told)) = check(&[path.to_str().expect("a name")]) else { return };
        assert!(!valid, "{name}: {wrong} is taken: {told}");
    }
}

#[test]
fn ok_the_sidecar_makes_the_labels_of_stats_tags() {
    let text = fs::read_to_string(root().join("envoy/stats_tags.yaml")).expect("its file");
    let tags: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    assert_eq!(istio::stats_tags().expect("an annotation"), tags["stats_tags"]);
}

#[test]
fn ok_both_shapes_meter_hide_log_and_deliver() {
    for shape in SHAPES {
        let stack = start(shape, |_| {});
        let usage = json!({ "input": 1_200, "output": 300 });
        assert_eq!(openai(&stack).tell(told(&usage)).send(&chat("gpt-4o-mini", false)).status, 200);
        let reply = openai(&stack).header("x-user", "ann").tell(told(&usage)).send(&chat("gpt-4o-mini", true));
        assert!(!reply.text().contains(r#""choices":[]"#), "{shape:?}: the usage chunk is hidden");
        let claude = stack.post("/v1/messages").header("host", "api.anthropic.com");
        assert_eq!(claude.tell(told(&usage)).send(&messages(true)).status, 200);
        let events = stack.events(3);
        for event in &events {
            let data =
                json!({ "tenant": "shop", "outcome": "completed", "usage_status": "reported", "output_tokens": 300 });
            assert_fields(&event["data"], &data);
            assert!(event["source"].as_str().is_some_and(|source| source.contains("sidecar~")), "{event}");
        }
        assert_fields(&events[1]["data"], &json!({ "user": "ann", "cost_usd": "0.00036" }));
        let logged: BTreeSet<String> =
            stack.access_log(3).iter().map(|line| line["meterr_id"].as_str().unwrap_or_default().to_owned()).collect();
        assert_eq!(logged, events.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect());
        let labels = [("provider", "openai"), ("tenant", "shop"), ("outcome", "completed")];
        assert_eq!(
            stack.prometheus().count("meterr_requests_total", &labels),
            2,
            "{}",
            stack.prometheus().about("meterr")
        );
        let decided = [("limit", "shop-tokens"), ("decision", "admitted")];
        assert_eq!(stack.prometheus().count("meterr_limit_decisions_total", &decided), 3);
        stack.finish();
    }
}

#[test]
fn ok_both_shapes_share_a_limit_between_workers() {
    for shape in SHAPES {
        let stack = start(shape, |configuration| configuration["limits"] = limit(&json!({ "amount": 5 })));
        // A connection each, so that both workers are asked.
        let statuses: Vec<u16> = (0..10)
            .map(|_| openai(&stack).header("connection", "close").send(&chat("gpt-4o-mini", false)).status)
            .collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{shape:?}: {statuses:?}");
        assert_eq!(stack.events(10).len(), 10);
        stack.finish();
    }
}

#[test]
fn ok_a_limit_that_names_a_model_needs_requests_that_are_held() {
    for (shape, statuses) in [(Shape::WasmPlugin, [200, 200, 200]), (Shape::EnvoyFilter, [200, 429, 200])] {
        let stack = start(shape, |configuration| {
            configuration["limits"] = limit(&json!({ "match": { "model": ["gpt-4o"] } }));
        });
        let asked = ["gpt-4o", "gpt-4o", "gpt-4o-mini"].map(|model| openai(&stack).send(&chat(model, false)).status);
        assert_eq!(asked, statuses, "{shape:?}");
        assert_eq!(stack.events(3).len(), 3);
        stack.finish();
    }
}

#[test]
fn ok_state_outlives_a_change_of_the_plugin() {
    let stack = start(Shape::WasmPlugin, |configuration| configuration["limits"] = limit(&json!({ "amount": 3 })));
    let ask = || openai(&stack).send(&chat("gpt-4o-mini", false)).status;
    assert_eq!([ask(), ask()], [200, 200]);
    stack.kill_collector();
    assert_eq!(ask(), 200);
    let mut plugin = manifests("wasmplugin.yaml").expect("the manifest").remove(0);
    quick(&mut plugin["spec"]["pluginConfig"], |configuration| {
        configuration["limits"] = limit(&json!({ "amount": 3 }));
        configuration["tags"] = json!({ "response_headers": "off" });
    });
    istio::publish(stack.logs(), &plugin, 2).expect("a file");
    // The third's counter stands, and refusals have no header any more: this is the new version.
    stack.wait_for("the new version is not there", |_| {
        let reply = openai(&stack).send(&chat("gpt-4o-mini", false));
        assert_eq!(reply.status, 429, "the counter is as it was");
        reply.header("ratelimit").is_none()
    });
    stack.revive_collector();
    stack.wait_for("the event of before is lost", |stack| {
        let events = stack.events_so_far();
        events.iter().filter(|event| event["data"]["outcome"] == "completed").count() == 3
    });
    stack.finish();
}

/// What a configuration says that only `header_hold` makes possible, and the key that is named when it is refused.
fn only_held() -> [(Value, &'static str); 2] {
    [
        (json!({ "limits": limit(&json!({ "on_exceed": "queue" })) }), "limits[0].on_exceed"),
        (json!({ "tags": { "response_headers": "usage" } }), "tags.response_headers"),
    ]
}

fn extend(configuration: &mut Value, more: &Value) {
    configuration.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
}

/// Requests are refused, rather than let pass unmetered, while there is no plugin that could be taken.
#[test]
fn err_a_plugin_whose_configuration_is_wrong_from_the_start_refuses_requests_and_the_log_says_why() {
    for (more, path) in only_held() {
        let stack = start(Shape::WasmPlugin, |configuration| extend(configuration, &more));
        assert_eq!(openai(&stack).send(&chat("gpt-4o-mini", false)).status, 500);
        let log = stack.envoy_log();
        assert!(log.contains(path) && log.contains("header_hold"), "{log}");
    }
}

#[test]
fn err_a_wrong_change_of_the_plugin_leaves_the_one_before() {
    let stack = start(Shape::WasmPlugin, |_| {});
    assert_eq!(openai(&stack).send(&chat("gpt-4o-mini", false)).status, 200);
    for (nth, (more, path)) in only_held().into_iter().enumerate() {
        let mut plugin = manifests("wasmplugin.yaml").expect("the manifest").remove(0);
        extend(&mut plugin["spec"]["pluginConfig"], &more);
        istio::publish(stack.logs(), &plugin, u32::try_from(nth).expect("small") + 2).expect("a file");
        stack.wait_for("Envoy did not refuse it", |stack| stack.envoy_log().contains(path));
        assert_eq!(openai(&stack).send(&chat("gpt-4o-mini", false)).status, 200);
    }
    // Not finished as others are: Envoy calls what it refuses critical.
    assert_eq!(stack.events(3).len(), 3);
}

/// What the upstream gets of a stream whose usage is asked for: its length is another one, and a plugin cannot know which when headers go.
#[test]
fn ok_a_changed_body_goes_on_whole_or_in_chunks() {
    for (shape, length) in [(Shape::WasmPlugin, false), (Shape::EnvoyFilter, true)] {
        let stack = start(shape, |_| {});
        let reply = openai(&stack).send(&chat("gpt-4o-mini", true));
        let received: Value = serde_json::from_str(&stack.received_by_provider(&reply)).expect("JSON");
        assert_eq!(received["stream_options"], json!({ "include_usage": true }), "{shape:?}");
        let head = stack.provider().head(reply.header("x-stand-in-id").expect("an id")).expect("it remembers");
        assert_eq!(head.contains_key("content-length"), length, "{shape:?}: {head:?}");
        assert!(head.keys().all(|name| !name.as_str().starts_with("x-meterr")), "{head:?}");
        stack.finish();
    }
}

/// Istio has no `allow_on_headers_stop_iteration`: whoever says `header_hold` all the same waits for the watchdog, and gets estimates.
#[test]
fn err_header_hold_in_a_plugin_costs_two_seconds_a_request_and_is_counted() {
    let stack = start(Shape::WasmPlugin, |configuration| configuration["header_hold"] = json!(true));
    let reply = openai(&stack).send(&chat("gpt-4o-mini", true));
    assert_eq!(reply.status, 200);
    assert_fields(&stack.events(1)[0]["data"], &json!({ "outcome": "completed", "usage_status": "estimated" }));
    assert_eq!(stack.prometheus().count("meterr_errors_total", &[("code", "body_overdue")]), 1);
    assert!(stack.envoy_log().contains("allow_on_headers_stop_iteration"), "{}", stack.envoy_log());
    stack.finish();
}
