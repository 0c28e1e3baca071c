//! Istio's own control plane on loopback, with the manifests of `envoy/istio` and nothing else, and an Envoy that gets everything from it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    envoy::{ACCESS_LOG, end, root},
    istio::{Shape, manifests, stats_tags},
    stack::Place,
};

/// A running control plane.
#[derive(Debug)]
pub struct Istiod {
    api: Child,
    control: Child,
    grpc: SocketAddr,
    _directory: TempDir,
}

impl Drop for Istiod {
    fn drop(&mut self) {
        end(&mut self.control);
        end(&mut self.api);
    }
}

/// What the script prints, line by line, or nothing where it cannot be had here.
fn script(option: &str) -> Result<Option<Vec<String>>> {
    let told = Command::new(root().join("scripts/istio")).arg(option).stderr(Stdio::inherit()).output()?;
    if told.status.code() == Some(3) {
        return Ok(None);
    }
    if !told.status.success() {
        bail!("scripts/istio {option}: {:?}", told.status);
    }
    Ok(Some(String::from_utf8(told.stdout)?.lines().map(str::to_owned).collect()))
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Istiod {
    /// One that knows the manifests of that shape, pointed at these stand-ins; the sidecar's listener is on that port instead of 80.
    /// Nothing where there is no control plane to be had.
    ///
    /// # Errors
    /// If it does not start, or takes a manifest for wrong.
    pub fn start(shape: Shape, place: Place<'_>, port: u16, change: impl FnOnce(&mut Value)) -> Result<Option<Self>> {
        let (Some(program), Some(schemas)) = (script("--istiod")?, script("--path")?) else { return Ok(None) };
        let directory = tempfile::tempdir()?;
        let files = directory.path().join("manifests");
        fs::create_dir(&files)?;
        write(&files, shape, place, port, change)?;
        let mut mesh = manifests("mesh.yaml")?.into_iter().next().context("a configuration")?;
        mesh["extensionProviders"][0]["envoyFileAccessLog"]["path"] = json!(place.directory.join(ACCESS_LOG));
        fs::write(directory.path().join("mesh"), mesh.to_string())?;
        let mut api = Command::new(&schemas[1])
            .arg(root().join("tests/istio/api.py"))
            .args([&schemas[0], &files.display().to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(api.stdout.take().context("its port")?).read_line(&mut line)?;
        let cluster = json!({ "name": "none", "cluster": { "server": format!("http://127.0.0.1:{}", line.trim()) } });
        let context = json!({ "name": "none", "context": { "cluster": "none", "user": "none" } });
        let access = json!({ "apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
                             "users": [{ "name": "none", "user": {} }], "current-context": "none" });
        fs::write(directory.path().join("kubeconfig"), access.to_string())?;
        let (grpc, http) = (free()?, free()?);
        let log = fs::File::create(directory.path().join("istiod.log"))?;
        let control = Command::new(&program[0])
            .args(["discovery", "--kubeconfig", "kubeconfig", "--meshConfig", "mesh"])
            .args(["--grpcAddr", &grpc.to_string(), "--httpAddr", &http.to_string()])
            .args(["--httpsAddr", "", "--secureGRPCAddr", "", "--monitoringAddr", ""])
            // A filter of Istio's own proxy, which no other Envoy has.
            .env("PILOT_ENABLE_METADATA_EXCHANGE", "false")
            .current_dir(directory.path())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut istiod = Self { api, control, grpc, _directory: directory };
        let begun = Instant::now();
        while !reqwest::blocking::get(format!("http://{http}/ready")).is_ok_and(|ready| ready.status().is_success()) {
            if istiod.control.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(120) {
                let log = fs::read_to_string(istiod._directory.path().join("istiod.log")).unwrap_or_default();
                bail!("istiod did not start:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(istiod))
    }

    /// The bootstrap of a sidecar.
    ///
    /// # Errors
    /// If the Deployment says nothing of stats.
    pub fn bootstrap(&self) -> Result<Value> {
        let ads = json!({ "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" });
        let protocol = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let address =
            json!({ "socket_address": { "address": self.grpc.ip().to_string(), "port_value": self.grpc.port() } });
        Ok(json!({
            // No interception: the listener then is one that can be connected to. The pod's address is none that a host has.
            "node": { "id": "sidecar~127.0.0.2~shop-0.shop~shop.svc.cluster.local", "cluster": "shop.shop", "metadata": {
                "NAMESPACE": "shop", "ISTIO_VERSION": "1.31.0", "CLUSTER_ID": "Kubernetes", "LABELS": { "app": "shop" },
                "INTERCEPTION_MODE": "NONE" } },
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
            "stats_config": { "stats_tags": stats_tags()? },
            "dynamic_resources": {
                "ads_config": { "api_type": "GRPC", "transport_api_version": "V3",
                                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }] },
                "lds_config": ads, "cds_config": ads },
            "static_resources": { "clusters": [{
                "name": "xds-grpc", "type": "STATIC", "connect_timeout": "5s",
                "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": protocol, "explicit_http_config": { "http2_protocol_options": {} } } },
                "load_assignment": { "cluster_name": "xds-grpc", "endpoints": [
                    { "lb_endpoints": [{ "endpoint": { "address": address } }] }] } }] },
        }))
    }
}

/// The manifests as they are, but for where providers, collector and module are, and the port.
fn write(files: &Path, shape: Shape, place: Place<'_>, port: u16, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut hosts = manifests("hosts.yaml")?;
    for document in &mut hosts {
        let is_collector = document["metadata"]["name"] == "collector";
        let at = if is_collector { place.collector } else { place.provider };
        let spec = &mut document["spec"];
        if spec.get("ports").is_some() {
            spec["resolution"] = json!("STATIC");
            spec["ports"] = json!([{ "number": port, "name": "http", "protocol": "HTTP" }]);
            spec["endpoints"] = json!([{ "address": at.ip().to_string(), "ports": { "http": at.port() } }]);
        } else if spec.get("trafficPolicy").is_some() {
            spec["trafficPolicy"]["tls"] = json!({ "mode": "DISABLE" });
        } else {
            spec["http"][0]["route"][0]["destination"]["port"]["number"] = json!(port);
        }
    }
    let mut filter = match shape {
        Shape::WasmPlugin => manifests("wasmplugin.yaml")?,
        Shape::EnvoyFilter => manifests("envoyfilter.yaml")?,
    };
    let spec = &mut filter.first_mut().context("a manifest")?["spec"];
    let module = root().join("target/meterr.wasm");
    match shape {
        Shape::WasmPlugin => {
            spec["url"] = json!(format!("file://{}", module.display()));
            spec["match"][0]["ports"][0]["number"] = json!(port);
            spec["pluginConfig"]["sink"]["cluster"] = json!(format!("outbound|{port}||collector.example.com"));
            change(&mut spec["pluginConfig"]);
        }
        Shape::EnvoyFilter => {
            for patch in spec["configPatches"].as_array_mut().context("patches")? {
                if patch["match"].get("listener").is_some() {
                    patch["match"]["listener"]["portNumber"] = json!(port);
                }
            }
            let config = &mut spec["configPatches"][0]["patch"]["value"]["typed_config"]["config"];
            config["vm_config"]["code"]["local"]["filename"] = json!(module);
            change(&mut config["configuration"]["value"]);
            let cluster = &mut spec["configPatches"][1]["patch"]["value"];
            cluster["type"] = json!("STATIC");
            cluster.as_object_mut().context("a cluster")?.remove("transport_socket");
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
                json!({ "address": place.collector.ip().to_string(), "port_value": place.collector.port() });
        }
    }
    // The one other filter that only Istio's own proxy has.
    let alpn = json!({ "filter": { "name": "envoy.filters.network.http_connection_manager", "subFilter": { "name": "istio.alpn" } } });
    let stock = json!({ "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": { "name": "stock", "namespace": "shop" },
        "spec": { "configPatches": [{ "applyTo": "HTTP_FILTER", "patch": { "operation": "REMOVE" },
                                      "match": { "context": "SIDECAR_OUTBOUND", "listener": { "filterChain": alpn } } }] } });
    let all = hosts.into_iter().chain(manifests("telemetry.yaml")?).chain(filter).chain([stock]);
    for (nth, document) in all.enumerate() {
        fs::write(files.join(format!("{nth}.yaml")), document.to_string())?;
    }
    Ok(())
}
