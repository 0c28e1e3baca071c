//! "In your own Envoy" of the README, word for word: what is pasted goes into a configuration that knows nothing of meterr, the commands are
//! run, and an event is printed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use meterr_tests::{
    envoy::{Envoy, Process, end, root},
    provider::Provider,
};
use serde_json::{Value, json};

/// The fenced blocks of that section, in that language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let section = readme.split("\n### In your own Envoy\n").nth(1).and_then(|rest| rest.split("\n### ").next());
    let fences = section.expect("the section").split(&format!("\n```{language}\n")).skip(1).collect::<Vec<_>>();
    fences.iter().map(|rest| rest.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

/// A configuration as somebody has it who has heard nothing of us.
fn somebodys_own(provider: std::net::SocketAddr) -> Value {
    serde_json::from_value(json!({
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "static_resources": {
            "listeners": [{ "name": "main", "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
                "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "main",
                    "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
                        "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "openai", "timeout": "60s" } }] }] },
                    "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }] } }] }] }],
            "clusters": [{ "name": "openai", "type": "STATIC", "load_assignment": { "cluster_name": "openai", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": { "socket_address": {
                    "address": provider.ip().to_string(), "port_value": provider.port() } } } }] }] } }],
        },
    }))
    .expect("a document")
}

struct Collector(Child, Lines<BufReader<ChildStdout>>);

impl Drop for Collector {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

impl Collector {
    /// As the README says, but on any port.
    fn start() -> (Self, String) {
        let started = Command::new(root().join("scripts/collector")).arg("0").stdout(Stdio::piped()).spawn();
        let mut child = started.expect("python3");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let url = lines.next().expect("a line").expect("text");
        let port = url.trim_start_matches("http://127.0.0.1:").split('/').next().expect("a port").to_owned();
        (Self(child, lines), port)
    }
}

#[test]
fn ok_what_the_readme_says_leads_to_an_event() {
    let provider = Provider::start(0).expect("a port");
    let (mut collector, port) = Collector::start();
    let mut file = somebodys_own(provider.address());
    let yaml = blocks("yaml");
    let pasted = yaml.iter().map(|text| serde_yaml_ng::from_str::<Value>(text).expect("YAML")).collect::<Vec<_>>();
    let [filter, cluster] = &pasted[..] else { panic!("two things go into a configuration: {yaml:?}") };
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    file.pointer_mut(filters).and_then(Value::as_array_mut).expect("filters").insert(0, filter[0].clone());
    let mut cluster = cluster[0].clone();
    let address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
    *cluster.pointer_mut(address).expect("a port") = json!(port.parse::<u16>().expect("a port"));
    file["static_resources"]["clusters"].as_array_mut().expect("clusters").push(cluster);

    let commands = blocks("sh").concat();
    for program in commands.lines().filter(|line| line.starts_with("scripts/")) {
        let program = program.split_whitespace().next().expect("a program");
        assert!(root().join(program).exists(), "{program}");
    }
    let curl = commands.lines().find(|line| line.starts_with("curl ")).expect("a request");
    let directory = tempfile::tempdir().expect("a directory");
    let envoy =
        Envoy::run(&file, &Process { concurrency: 1, ..Process::default() }, directory.path()).expect("Envoy takes it");
    let curl = curl.replace("127.0.0.1:10000", &envoy.listener.to_string());
    let answer = Command::new("bash").args(["-c", &curl]).env("OPENAI_API_KEY", "sk-test").output().expect("curl");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let reply: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", envoy.log()));
    assert_eq!(reply["usage"]["total_tokens"], 46, "{reply}");

    let line = collector.1.next().expect("an event").expect("text");
    for part in ["openai", "gpt-4o-mini", "completed", "12 + 34 tokens", "$0.0000222"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    println!("{line}");
}
