//! `envoy/examples/api-key-auth.yaml`: the id of the client to whom Envoy's `api_key_auth` gave the key.

use meterr_tests::{example, stack::Stack};
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    KEYS, assert_no_tenant, assert_refused_by_envoy, client, material::Material, of_tenant, send, start, status, to,
    two_requests_a_tenant,
};

fn chat(client: &Client, stack: &Stack, key: &str) -> RequestBuilder {
    to(client, &format!("http://{}", stack.envoy().listener)).header("authorization", format!("Bearer {key}"))
}

/// As anthropic-python sends it.
fn messages(client: &Client, stack: &Stack, key: &str) -> RequestBuilder {
    let body =
        json!({ "model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{ "role": "user", "content": "Hi." }] });
    client
        .post(format!("http://{}/anthropic/v1/messages", stack.envoy().listener))
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .header("x-api-key", key)
        .body(body.to_string())
}

/// Sends a request that must pass, and gives back the headers that the provider got.
fn arrived(stack: &Stack, request: RequestBuilder) -> reqwest::header::HeaderMap {
    let reply = send(request);
    assert_eq!(reply.status(), 200);
    let id = reply.headers()["x-stand-in-id"].to_str().expect("an id").to_owned();
    stack.provider().head(&id).expect("the provider remembers")
}

#[test]
fn ok_a_virtual_key_is_the_clients_and_never_the_providers() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = start("api-key-auth.yaml", &material, |_| {});
    for (head, name, value) in [
        (arrived(&stack, chat(&client, &stack, "sk-virtual-acme-1")), "authorization", "Bearer sk-upstream-openai"),
        (arrived(&stack, messages(&client, &stack, "sk-virtual-globex-1")), "x-api-key", "sk-upstream-anthropic"),
        // Both at once: the one that api_key_auth looks at first decides, and neither goes on.
        (
            arrived(
                &stack,
                messages(&client, &stack, "sk-virtual-globex-1").header("authorization", "Bearer sk-virtual-acme-2"),
            ),
            "x-api-key",
            "sk-upstream-anthropic",
        ),
    ] {
        let values: Vec<&str> = head.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        assert_eq!(values, [value]);
        assert!(!head.contains_key("x-client-id"), "{head:?}");
        assert!(!format!("{head:?}").contains("sk-virtual"), "{head:?}");
    }
    let events = stack.events(3);
    assert_eq!((of_tenant(&events, "acme"), of_tenant(&events, "globex")), (2, 1), "{events:#?}");
    let log = stack.envoy_log();
    assert!(!log.contains("sk-virtual") && !log.contains("sk-upstream"), "{log}");
    stack.finish();
}

#[test]
fn ok_all_keys_of_a_client_share_its_limit() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = start("api-key-auth.yaml", &material, two_requests_a_tenant);
    assert_eq!(status(chat(&client, &stack, "sk-virtual-acme-1")), 200);
    assert_eq!(status(messages(&client, &stack, "sk-virtual-acme-2")), 200);
    assert_eq!(status(chat(&client, &stack, "sk-virtual-acme-2")), 429, "the third of acme");
    let forged = chat(&client, &stack, "sk-virtual-acme-1").header("x-client-id", "globex");
    assert_eq!(status(forged), 429, "whoever it says it is");
    assert_eq!(status(chat(&client, &stack, "sk-virtual-globex-1")), 200);
    let events = stack.events(5);
    assert_eq!((of_tenant(&events, "acme"), of_tenant(&events, "globex")), (4, 1));
    stack.finish();
}

#[test]
fn err_unknown_keys_are_refused_before_meterr() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = start("api-key-auth.yaml", &material, |_| {});
    for key in ["sk-virtual-acme-9", "acme", ""] {
        assert_refused_by_envoy(
            chat(&client, &stack, key).header("x-client-id", "acme"),
            "Client authentication failed.",
        );
    }
    let bare = to(&client, &format!("http://{}", stack.envoy().listener)).header("x-client-id", "acme");
    assert_refused_by_envoy(bare, "Client authentication failed.");
    assert_eq!(stack.events(0).len(), 0);
    stack.finish();
}

/// What a client says under the name of the forwarding header: once, twice, in another case.
fn forged(request: impl Fn() -> RequestBuilder) -> Vec<RequestBuilder> {
    vec![
        request().header("x-client-id", "globex"),
        request().header("x-client-id", "globex").header("x-client-id", "globex"),
        request().header("x-client-id", "acme").header("x-client-id", "globex"),
        request().header("X-Client-ID", "globex"),
    ]
}

#[test]
fn err_a_client_that_names_itself_is_still_who_its_key_says() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let guarded = start("api-key-auth.yaml", &material, |_| {});
    // Without the example's second guard, too: the forwarding itself leaves nothing of what the client said.
    let bare = Stack::example("api-key-auth.yaml", material.path(), &KEYS, |file| {
        example::each(file, &mut |object| {
            object.remove("early_header_mutation_extensions");
        });
    });
    for stack in [guarded, bare] {
        let requests = forged(|| chat(&client, &stack, "sk-virtual-acme-1"));
        let count = requests.len();
        for request in requests {
            assert!(!arrived(&stack, request).contains_key("x-client-id"));
        }
        let events = stack.events(count);
        assert_eq!(of_tenant(&events, "acme"), count, "{events:#?}");
        stack.finish();
    }
}

/// A route that switches `api_key_auth` off: the header would be the client's own if the example did not remove it first.
#[test]
fn err_a_route_without_authentication_trusts_nobody() {
    let (material, client) = (Material::new(), client().build().expect("a client"));
    let stack = Stack::example("api-key-auth.yaml", material.path(), &KEYS, |file| {
        let off = json!({ "envoy.filters.http.api_key_auth": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true } });
        example::each(file, &mut |object| {
            if let Some(Value::Array(hosts)) = object.get_mut("virtual_hosts") {
                hosts[0]["typed_per_filter_config"] = off.clone();
            }
        });
    });
    let requests = forged(|| chat(&client, &stack, "sk-any"));
    let count = requests.len();
    requests.into_iter().for_each(assert_no_tenant);
    assert_eq!(of_tenant(&stack.events(count), "unknown"), count);
    stack.finish();
}
