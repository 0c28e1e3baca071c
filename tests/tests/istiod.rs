//! Istio's own control plane takes the manifests of `envoy/istio`, and what it makes of them works in a stock Envoy. Where no control plane
//! can be built there is nothing to try, which `scripts/test` says.

use std::{net::TcpListener, path::Path};

use meterr_tests::{
    calls::{assert_fields, chat, told},
    istio::{self, Shape, manifests},
    istiod::Istiod,
    stack::Stack,
};
use serde_json::{Value, json};

const VARIABLES: [(&str, &str); 2] =
    [("METERR_SINK_AUTHORIZATION", "Bearer sink"), ("METERR_CREDENTIAL_KEY", "0123456789abcdef0123456789abcdef")];

/// The first object of a document that `wanted` says yes to.
fn find<'v>(value: &'v Value, wanted: &impl Fn(&Value) -> bool) -> Option<&'v Value> {
    if wanted(value) {
        return Some(value);
    }
    match value {
        Value::Object(members) => members.values().find_map(|member| find(member, wanted)),
        Value::Array(items) => items.iter().find_map(|item| find(item, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// A sidecar that has all from the control plane.
fn start(shape: Shape) -> Option<(Stack, Istiod, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let mut istiod = None;
    let stack = Stack::try_made_for(&VARIABLES, |place| {
        let heartbeat = |configuration: &mut Value| configuration["sink"]["heartbeat_secs"] = json!(1);
        istiod = Istiod::start(shape, place, port, heartbeat)?;
        istiod.as_ref().map_or_else(|| anyhow::bail!("not to be had"), Istiod::bootstrap)
    });
    match (stack, istiod) {
        (Ok(stack), Some(istiod)) => Some((stack, istiod, port)),
        (Err(error), Some(_)) => panic!("{error:#}"),
        (Err(error), None) if error.to_string() != "not to be had" => panic!("{error:#}"),
        _ => {
            println!("skipped: no control plane is to be had here");
            None
        }
    }
}

/// What the filter is given has the same members as in the model that `tests/tests/istio.rs` runs.
fn same_as_the_model(shape: Shape, dump: &Value, port: u16) {
    let is_ours = |value: &Value| value["root_id"] == "meterr" && value.get("vm_config").is_some();
    let mut found = find(dump, &is_ours).expect("the filter's configuration").clone();
    let mut model = match shape {
        Shape::WasmPlugin => {
            let mut plugin = manifests("wasmplugin.yaml").expect("a manifest").remove(0);
            plugin["spec"]["pluginConfig"]["sink"]["heartbeat_secs"] = json!(1);
            plugin["spec"]["pluginConfig"]["sink"]["cluster"] =
                json!(format!("outbound|{port}||collector.example.com"));
            istio::plugin_config(&plugin, 1).expect("what the model makes")
        }
        Shape::EnvoyFilter => {
            let filter = manifests("envoyfilter.yaml").expect("a manifest").remove(0);
            filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["config"].clone()
        }
    };
    for config in [&mut found, &mut model] {
        // Istio has called it differently from version to version. Text is compared as what it says; an EnvoyFilter's is another test's.
        config["name"] = json!("meterr");
        if config.get("reload_config").is_some() {
            config["reload_config"]["backoff"]["base_interval"] = json!("0.1s");
        }
        let text = config["configuration"]["value"].as_str().map(|text| serde_json::from_str(text).expect("JSON"));
        config["configuration"]["value"] = text.unwrap_or_default();
        let file = &mut config["vm_config"]["code"]["local"]["filename"];
        *file =
            Path::new(file.as_str().expect("a file")).extension().map(|name| json!(name.to_str())).unwrap_or_default();
        let keys = config["vm_config"]["environment_variables"]["host_env_keys"].as_array_mut().expect("variables");
        keys.sort_by_key(ToString::to_string);
    }
    assert_eq!(found, model);
}

#[test]
fn ok_what_istiod_makes_of_the_manifests_meters_in_a_stock_envoy() {
    for shape in [Shape::WasmPlugin, Shape::EnvoyFilter] {
        let Some((stack, _istiod, port)) = start(shape) else { return };
        let usage = json!({ "input": 1_200, "output": 300 });
        for stream in [false, true] {
            let call = stack.post("/v1/chat/completions").header("host", "api.openai.com").header("x-user", "ann");
            let reply = call.tell(told(&usage)).send(&chat("gpt-4o-mini", stream));
            assert_eq!(reply.status, 200, "{shape:?}: {}", reply.text());
            assert!(!stream || !reply.text().contains(r#""choices":[]"#), "the usage chunk is hidden");
            let head = stack.provider().head(reply.header("x-stand-in-id").expect("an id")).expect("it remembers");
            assert!(head.keys().all(|name| !name.as_str().starts_with("x-meterr")), "{head:?}");
        }
        let events = stack.events(2);
        for event in &events {
            let data = json!({ "tenant": "shop", "user": "ann", "cost_usd": "0.00036", "usage_status": "reported" });
            assert_fields(&event["data"], &data);
        }
        let lines = stack.access_log(2);
        assert_eq!(lines[0]["meterr_id"], events[0]["id"]);
        let labels = [("provider", "openai"), ("tenant", "shop")];
        assert_eq!(stack.prometheus().count("meterr_requests_total", &labels), 2);
        let dump = stack.envoy().admin_get("/config_dump").expect("the admin interface");
        same_as_the_model(shape, &serde_json::from_str(&dump).expect("JSON"), port);
        println!("{shape:?}: 2 exchanges by what istiod sent, as by the model");
        stack.finish();
    }
}
