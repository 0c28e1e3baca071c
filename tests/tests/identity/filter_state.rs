//! `envoy/examples/filter-state.yaml`: what an earlier filter has set.

use std::net::Ipv4Addr;

use meterr_tests::{example, stack::Stack};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::{assert_no_tenant, chat, client, material::Material, of_tenant, start, status, two_requests_a_tenant};

/// A client at that address of the loopback network.
fn client_at(last: [u8; 2]) -> Client {
    let address = Ipv4Addr::new(127, 0, last[0], last[1]);
    client().local_address(std::net::IpAddr::from(address)).build().expect("a client")
}

#[test]
fn ok_the_network_is_the_tenant_and_counts_for_it_alone() {
    let stack = start("filter-state.yaml", &Material::new(), two_requests_a_tenant);
    let (one, two, other) = (client_at([1, 5]), client_at([1, 6]), client_at([2, 5]));
    assert_eq!(status(chat(&one, &stack)), 200);
    assert_eq!(status(chat(&two, &stack)), 200, "the same network from another address");
    assert_eq!(status(chat(&one, &stack)), 429, "the third of research");
    assert_eq!(status(chat(&other, &stack)), 200, "another network has its own counter");
    let events = stack.events(4);
    assert_eq!((of_tenant(&events, "research"), of_tenant(&events, "support")), (3, 1), "{events:#?}");
    stack.finish();
}

#[test]
fn err_a_client_from_elsewhere_chooses_no_tenant() {
    let stack = start("filter-state.yaml", &Material::new(), |_| {});
    let (inside, outside) = (client_at([2, 5]), client_at([0, 1]));
    let names =
        ["tenant", "x-tenant-id", "x-meterr-tenant", "filter_state", "x-forwarded-for", "x-real-ip", "forwarded"];
    let claimed = |client: &Client, value: &str| {
        names.iter().fold(chat(client, &stack), |request, name| request.header(*name, value))
    };
    for value in ["research", "127.0.1.5"] {
        assert_no_tenant(claimed(&outside, value));
        assert_eq!(status(claimed(&inside, value)), 200);
    }
    let events = stack.events(4);
    assert_eq!((of_tenant(&events, "unknown"), of_tenant(&events, "support")), (2, 2), "{events:#?}");
    stack.finish();
}

/// The same from a filter of the HTTP chain, which overrides nothing that the connection has: it has a name of its own.
#[test]
fn ok_a_filter_of_the_http_chain_sets_it_for_one_request() {
    let set = json!({ "name": "envoy.filters.http.set_filter_state", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [{ "object_key": "address", "factory_key": "envoy.string", "format_string": {
            "text_format_source": { "inline_string": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } } }] } });
    let material = Material::new();
    let stack = Stack::example("filter-state.yaml", material.path(), &[], |file| {
        example::each(file, &mut |object| {
            if let Some(Value::Array(filters)) = object.get_mut("http_filters") {
                filters.insert(0, set.clone());
            }
        });
        example::configure(file, &mut |configuration| {
            configuration["identity"]["user"] = json!([{ "from": "filter_state", "key": "address" }]);
        });
    });
    for last in [[1, 5], [2, 5]] {
        assert_eq!(status(chat(&client_at(last), &stack)), 200);
    }
    let mut callers: Vec<(String, String)> = (stack.events(2).iter().map(|event| &event["data"]))
        .map(|data| (data["tenant"].to_string(), data["user"].to_string()))
        .collect();
    callers.sort();
    let expected = [("\"research\"", "\"127.0.1.5\""), ("\"support\"", "\"127.0.2.5\"")];
    assert_eq!(callers, expected.map(|(tenant, user)| (tenant.to_owned(), user.to_owned())));
    stack.finish();
}
