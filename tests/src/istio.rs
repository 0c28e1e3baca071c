//! What Istio makes of the manifests in `envoy/istio`, for a plain Envoy: the outbound listener of a sidecar on port 80, its routes and
//! clusters by the names that Istio gives them, and the filter in the shape of a `WasmPlugin` or of an `EnvoyFilter`.
//!
//! Written from what `istiod` sends; `tests/tests/istiod.rs` compares the two where an `istiod` can be built.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    envoy::{ACCESS_LOG, root},
    stack::Place,
};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const MODULE: &str = "target/meterr.wasm";

/// Which of the two manifests brings the filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// `wasmplugin.yaml`.
    WasmPlugin,
    /// `envoyfilter.yaml`.
    EnvoyFilter,
}

/// The documents of a file of `envoy/istio`.
///
/// # Errors
/// If there is none, or it is no YAML.
pub fn manifests(name: &str) -> Result<Vec<Value>> {
    let path = root().join("envoy/istio").join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text).map(Value::deserialize);
    documents.collect::<Result<_, _>>().context(name.to_owned())
}

/// A bootstrap that holds what a sidecar gets, after `change` was made to the filter's configuration. Every provider is at one address.
///
/// # Errors
/// If a manifest is not what it is expected to be.
pub fn sidecar(shape: Shape, place: Place<'_>, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let hosts = manifests("hosts.yaml")?;
    let of = |kind: &'static str| hosts.iter().filter(move |document| document["kind"] == kind);
    let (mut clusters, mut virtual_hosts) = (Vec::new(), Vec::new());
    for entry in of("ServiceEntry") {
        let host = entry["spec"]["hosts"][0].as_str().context("a host")?;
        let port = entry["spec"]["ports"][0]["number"].as_u64().context("a port")?;
        let cluster = format!("outbound|{port}||{host}");
        let at = if entry["metadata"]["name"] == "collector" { place.collector } else { place.provider };
        clusters.push(cluster_at(&cluster, at));
        let service = of("VirtualService").find(|service| service["spec"]["hosts"][0] == host);
        let remove = service.map(|service| service["spec"]["http"][0]["headers"]["request"]["remove"].clone());
        virtual_hosts.push(json!({
            "name": format!("{host}:{port}"), "domains": [host, format!("{host}:*")],
            "request_headers_to_remove": remove.unwrap_or_else(|| json!([])),
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster, "timeout": "0s" } }],
        }));
    }
    let mut listener = json!({
        "name": "0.0.0.0_80",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "outbound_0.0.0.0_80",
            "normalize_path": true,
            "upgrade_configs": [{ "upgrade_type": "websocket" }],
            "access_log": [access_log(place.directory)?],
            "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": ROUTER } }],
            "route_config": { "name": "80", "virtual_hosts": virtual_hosts },
        } }] }],
    });
    match shape {
        Shape::WasmPlugin => {
            let filter = wasm_plugin(place.directory, change)?;
            insert_before_router(&mut listener, filter)?;
        }
        Shape::EnvoyFilter => envoy_filter(&mut listener, &mut clusters, place.collector, change)?,
    }
    Ok(json!({
        "node": { "id": "sidecar~10.0.0.1~shop-0.shop~shop.svc.cluster.local", "cluster": "shop.shop" },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "stats_config": { "stats_tags": stats_tags()? },
        "static_resources": { "listeners": [listener], "clusters": clusters },
    }))
}

/// What the annotation of the Deployment makes of stats: Istio's own expression for each name.
///
/// # Errors
/// If the Deployment has no such annotation.
pub fn stats_tags() -> Result<Value> {
    let deployment = manifests("deployment.yaml")?.into_iter().next().context("a Deployment")?;
    let annotation = &deployment["spec"]["template"]["metadata"]["annotations"]["proxy.istio.io/config"];
    let proxy: BTreeMap<String, Value> = serde_yaml_ng::from_str(annotation.as_str().context("an annotation")?)?;
    let names = proxy.get("extraStatTags").and_then(Value::as_array).context("extraStatTags")?;
    let tags = names.iter().filter_map(Value::as_str);
    Ok(tags.map(|tag| json!({ "tag_name": tag, "regex": format!(r"({tag}=\.=(.*?);\.;)") })).collect())
}

fn cluster_at(name: &str, at: SocketAddr) -> Value {
    json!({ "name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": { "cluster_name": name, "endpoints": [
        { "lb_endpoints": [{ "endpoint": { "address": { "socket_address":
            { "address": at.ip().to_string(), "port_value": at.port() } } } }] }] } })
}

/// The log of `mesh.yaml`, which `telemetry.yaml` switches on.
fn access_log(directory: &Path) -> Result<Value> {
    let mesh = manifests("mesh.yaml")?.into_iter().next().context("a configuration")?;
    let telemetry = manifests("telemetry.yaml")?.into_iter().next().context("a Telemetry")?;
    let wanted = &telemetry["spec"]["accessLogging"][0]["providers"][0]["name"];
    let provider = mesh["extensionProviders"].as_array().into_iter().flatten().find(|one| one["name"] == *wanted);
    let labels = &provider.context("the provider of the access log")?["envoyFileAccessLog"]["logFormat"]["labels"];
    let without_query = "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery";
    Ok(json!({ "name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": directory.join(ACCESS_LOG),
        "log_format": { "json_format": labels, "formatters": [
            { "name": "envoy.formatter.req_without_query", "typed_config": { "@type": without_query } }] },
    } }))
}

fn insert_before_router(listener: &mut Value, filter: Value) -> Result<()> {
    let filters = listener.pointer_mut("/filter_chains/0/filters/0/typed_config/http_filters");
    let filters = filters.and_then(Value::as_array_mut).context("filters")?;
    filters.insert(filters.len().saturating_sub(1), filter);
    Ok(())
}

/// The filter as the listener names it. What it is comes by itself (ECDS), here from a file.
fn wasm_plugin(directory: &Path, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut plugin = manifests("wasmplugin.yaml")?.into_iter().next().context("a WasmPlugin")?;
    change(&mut plugin["spec"]["pluginConfig"]);
    publish(directory, &plugin, 1)?;
    let source = json!({ "path_config_source": { "path": directory.join(DISCOVERY) }, "resource_api_version": "V3" });
    Ok(json!({ "name": resource_name(&plugin), "config_discovery": { "config_source": source, "type_urls": [WASM] } }))
}

const DISCOVERY: &str = "ecds.json";

fn resource_name(plugin: &Value) -> String {
    let part = |name: &str| plugin["metadata"][name].as_str().unwrap_or_default();
    format!("extensions.istio.io/trafficextension/{}.{}", part("namespace"), part("name"))
}

/// What `istiod` sends of a `WasmPlugin`, whose module the agent has fetched: no `vm_id`, nothing of headers that are held, and all of the
/// configuration as text. The version of the manifest is a variable of its VM.
///
/// # Errors
/// If the manifest names what has no equal.
pub fn plugin_config(plugin: &Value, version: u32) -> Result<Value> {
    let spec = &plugin["spec"];
    let policy = match spec["failStrategy"].as_str() {
        Some("FAIL_RELOAD") => "FAIL_RELOAD",
        Some("FAIL_OPEN") => "FAIL_OPEN",
        Some("FAIL_CLOSE") | None => "FAIL_CLOSED",
        Some(other) => bail!("failStrategy {other}"),
    };
    let env = spec["vmConfig"]["env"].as_array().cloned().unwrap_or_default();
    let (host, inline): (Vec<&Value>, Vec<&Value>) = env.iter().partition(|one| one["valueFrom"] == "HOST");
    let mut values = json!({ "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": version.to_string() });
    if let Some(pull) = spec["imagePullPolicy"].as_str() {
        values["ISTIO_META_WASM_IMAGE_PULL_POLICY"] = json!(pull);
    }
    for one in inline {
        values[one["name"].as_str().context("a name")?] = one["value"].clone();
    }
    let part = |name: &str| plugin["metadata"][name].as_str().unwrap_or_default();
    Ok(json!({
        "name": format!("{}.{}", part("namespace"), part("name")),
        "root_id": spec["pluginName"],
        "failure_policy": policy,
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": root().join(MODULE) } },
            "environment_variables": {
                "key_values": values, "host_env_keys": host.iter().map(|one| one["name"].clone()).collect::<Value>() },
        },
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": spec["pluginConfig"].to_string() },
    }))
}

/// Puts the plugin, or a later version of it, where the Envoy of that directory looks for it.
///
/// # Errors
/// If the file cannot be written.
pub fn publish(directory: &Path, plugin: &Value, version: u32) -> Result<()> {
    let discovery = json!({ "version_info": version.to_string(), "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": resource_name(plugin),
        "typed_config": { "@type": WASM, "config": plugin_config(plugin, version)? } }] });
    let next = directory.join("ecds.next");
    fs::write(&next, discovery.to_string())?;
    Ok(fs::rename(next, directory.join(DISCOVERY))?)
}

/// Applies the patches; the module is the one of this repository, and the collector's cluster leads to that address.
fn envoy_filter(
    listener: &mut Value,
    clusters: &mut Vec<Value>,
    collector: SocketAddr,
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    let filter = manifests("envoyfilter.yaml")?.into_iter().next().context("an EnvoyFilter")?;
    let mut change = Some(change);
    for patch in filter["spec"]["configPatches"].as_array().context("patches")? {
        let (kind, operation) = (&patch["applyTo"], &patch["patch"]["operation"]);
        let mut value = patch["patch"]["value"].clone();
        match (kind.as_str(), operation.as_str()) {
            (Some("HTTP_FILTER"), Some("INSERT_BEFORE")) => {
                let config = &mut value["typed_config"]["config"];
                config["vm_config"]["code"]["local"]["filename"] = json!(root().join(MODULE));
                if let Some(change) = change.take() {
                    change(&mut config["configuration"]["value"]);
                }
                insert_before_router(listener, value)?;
            }
            (Some("CLUSTER"), Some("ADD")) => {
                let mut here = cluster_at(value["name"].as_str().context("a name")?, collector);
                here["circuit_breakers"] = value["circuit_breakers"].clone();
                clusters.push(here);
            }
            (Some("LISTENER"), Some("MERGE")) => {
                for (name, value) in value.as_object().context("members")? {
                    listener[name.as_str()] = value.clone();
                }
            }
            other => bail!("a patch that nobody applies here: {other:?}"),
        }
    }
    Ok(())
}
