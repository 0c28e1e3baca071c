//! Who pays, as Envoy itself has found out: the files of `envoy/examples` in the real Envoy, with clients that tell the truth and
//! clients that do not.

use std::{process::Command, time::Duration};

use meterr_tests::{
    envoy::{binary, root},
    example,
    stack::Stack,
};
use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

mod api_key_auth;
mod filter_state;
mod jwt;
mod material;
mod mtls;

use material::Material;

/// What the providers' keys are called in the examples, and the keys.
const KEYS: [(&str, &str); 2] =
    [("OPENAI_API_KEY", "sk-upstream-openai"), ("ANTHROPIC_API_KEY", "sk-upstream-anthropic")];

/// Two requests a month for each tenant, whatever the example's own limits are.
fn two_requests_a_tenant(configuration: &mut Value) {
    configuration["limits"] = json!([{ "id": "two", "per": ["tenant"], "unit": "requests", "amount": 2,
                                       "window": { "kind": "fixed", "per": "month" } }]);
}

/// The example of that name, with a change to the filter's configuration.
fn start(name: &str, material: &Material, mut change: impl FnMut(&mut Value)) -> Stack {
    Stack::example(name, material.path(), &KEYS, |file| example::configure(file, &mut change))
}

fn client() -> reqwest::blocking::ClientBuilder {
    Client::builder().timeout(Duration::from_secs(30))
}

/// A chat request with the provider's key; headers are added, so that a name can stand twice.
fn chat(client: &Client, stack: &Stack) -> RequestBuilder {
    to(client, &format!("http://{}", stack.envoy().listener)).header("authorization", "Bearer sk-provider")
}

fn to(client: &Client, base: &str) -> RequestBuilder {
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Say hello." }] });
    client
        .post(format!("{base}/openai/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn send(request: RequestBuilder) -> Response {
    request.send().expect("an answer")
}

fn status(request: RequestBuilder) -> u16 {
    send(request).status().as_u16()
}

/// That meterr itself refused the request, because nothing that it trusts names a tenant.
fn assert_no_tenant(request: RequestBuilder) {
    let reply = send(request);
    let status = reply.status().as_u16();
    let text = reply.text().expect("a body");
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!((status, &body["error"]["code"]), (401, &json!("identity_missing")), "{text}");
}

/// That Envoy refused the request before meterr saw it.
fn assert_refused_by_envoy(request: RequestBuilder, words: &str) {
    let reply = send(request);
    let (status, id) = (reply.status().as_u16(), reply.headers().get("x-meterr-id").cloned());
    let text = reply.text().expect("a body");
    assert!(matches!(status, 401 | 403) && id.is_none(), "{status} {id:?}: {text}");
    assert!(text.contains(words), "{words} in {text}");
}

/// How many of these events have that tenant.
fn of_tenant(events: &[Value], tenant: &str) -> usize {
    events.iter().filter(|event| event["data"]["tenant"] == tenant).count()
}

#[test]
fn ok_each_example_is_a_configuration_that_envoy_takes() {
    let material = Material::new();
    let mut count = 0;
    for entry in root().join("envoy/examples").read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        if !entry.file_type().expect("a type").is_file() {
            continue;
        }
        let name = entry.file_name().into_string().expect("a name");
        let file = material.path().join(&name);
        std::fs::write(&file, example::text(&name, material.path()).expect("the example")).expect("a copy");
        let checked = Command::new(binary().expect("Envoy"))
            .args(["--mode", "validate", "--log-level", "warning", "-c"])
            .arg(&file)
            .envs(KEYS)
            .env("METERR_SINK_AUTHORIZATION", "Bearer of-the-sink")
            .env("METERR_CREDENTIAL_KEY", "0123456789abcdef0123456789abcdef")
            .current_dir(root())
            .output()
            .expect("Envoy runs");
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        count += 1;
    }
    println!("{count} examples are valid");
    assert!(count >= 4, "{count} examples");
}
