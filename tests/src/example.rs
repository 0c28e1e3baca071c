//! The files of `envoy/examples`: loaded as they are, and pointed at stand-ins.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::envoy::{ACCESS_LOG, root};

/// Where the examples look for what an operator brings along.
const FILES: &str = "/etc/meterr";

/// The text of an example that looks for those files in that directory instead.
///
/// # Errors
/// If there is no such example.
pub fn text(name: &str, files: &Path) -> Result<String> {
    let path = root().join("envoy/examples").join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.replace(FILES, &files.display().to_string()))
}

/// That text, read as Envoy reads it.
///
/// # Errors
/// If it is no YAML.
pub fn load(name: &str, files: &Path) -> Result<Value> {
    serde_yaml_ng::from_str(&text(name, files)?).with_context(|| name.to_owned())
}

/// Points an example at stand-ins: every provider is that one, ports are what Envoy takes, the access log is in that directory.
/// What the file says of how clients are told apart stays.
///
/// # Errors
/// If the file has no listener or no cluster.
pub fn point(file: &mut Value, provider: SocketAddr, collector: SocketAddr, directory: &Path) -> Result<()> {
    file["admin"]["address"]["socket_address"]["port_value"] = json!(0);
    let [listener, clusters] = ["/static_resources/listeners/0", "/static_resources/clusters"];
    file.pointer_mut(listener).context("a listener")?["address"]["socket_address"]["port_value"] = json!(0);
    for cluster in file.pointer_mut(clusters).and_then(Value::as_array_mut).context("clusters")? {
        let address = if cluster["name"] == "collector" { collector } else { provider };
        cluster["type"] = json!("STATIC");
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
            json!({ "address": address.ip().to_string(), "port_value": address.port() });
        // The stand-in speaks plain HTTP.
        cluster.as_object_mut().context("a cluster")?.remove("transport_socket");
    }
    each(file, &mut |object| {
        if object.get("path").is_some_and(|path| path == "/dev/stdout") {
            object["path"] = json!(directory.join(ACCESS_LOG));
        }
    });
    Ok(())
}

/// Changes the filter's configuration, wherever the file has it.
pub fn configure(file: &mut Value, change: &mut impl FnMut(&mut Value)) {
    each(file, &mut |object| {
        if object.get("name").is_some_and(|name| name == "meterr")
            && object.contains_key("vm_config")
            && let Some(configuration) = object.get_mut("configuration")
        {
            change(&mut configuration["value"]);
        }
    });
}

/// Runs something on every object of a document, outer ones first.
pub fn each(value: &mut Value, run: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            run(members);
            members.values_mut().for_each(|member| each(member, run));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, run)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
