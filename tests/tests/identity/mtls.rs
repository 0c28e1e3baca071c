//! `envoy/examples/mtls.yaml`: the SPIFFE id of the client's certificate.

use meterr_tests::{example, stack::Stack};
use reqwest::{
    Identity,
    blocking::{Client, RequestBuilder},
};
use serde_json::json;

use crate::{
    assert_no_tenant, client,
    material::{Authority, Material},
    of_tenant, start, status, to, two_requests_a_tenant,
};

const WEB: &str = "spiffe://corp.example/ns/shop/sa/web";
const BATCH: &str = "spiffe://corp.example/ns/batch/sa/nightly";

fn tls_client(material: &Material, identity: Option<Identity>) -> Client {
    let trusting = client().add_root_certificate(material.trusted());
    match identity {
        Some(identity) => trusting.identity(identity),
        None => trusting,
    }
    .build()
    .expect("a client")
}

fn chat(client: &Client, stack: &Stack) -> RequestBuilder {
    to(client, &format!("https://localhost:{}", stack.envoy().listener.port()))
        .header("authorization", "Bearer sk-provider")
}

/// That the handshake failed: no HTTP answer came at all.
fn assert_no_connection(what: &str, request: RequestBuilder) {
    let answer = request.send();
    assert!(answer.is_err(), "{what}: {answer:?}");
}

#[test]
fn ok_the_spiffe_id_is_the_tenant_and_counts_for_it_alone() {
    let material = Material::new();
    let stack = start("mtls.yaml", &material, two_requests_a_tenant);
    let of = |uri: &str| tls_client(&material, Some(material.clients().client(&[uri], None)));
    let (web, batch) = (of(WEB), of(BATCH));
    // Another certificate for the same workload is the same tenant.
    let renewed = of(WEB);
    assert_eq!(status(chat(&web, &stack)), 200);
    assert_eq!(status(chat(&renewed, &stack)), 200);
    assert_eq!(status(chat(&web, &stack)), 429, "the third of the workload");
    assert_eq!(status(chat(&batch, &stack)), 200, "another one has its own counter");
    let events = stack.events(4);
    assert_eq!((of_tenant(&events, WEB), of_tenant(&events, BATCH)), (3, 1), "{events:#?}");
    stack.finish();
}

#[test]
fn ok_the_examples_own_override_applies_by_spiffe_id() {
    let material = Material::new();
    let stack = start("mtls.yaml", &material, |_| {});
    let of = |uri: &str| tls_client(&material, Some(material.clients().client(&[uri], None)));
    let policy = |uri: &str| {
        let reply = chat(&of(uri), &stack).send().expect("an answer");
        reply.headers()["ratelimit-policy"].to_str().expect("text").to_owned()
    };
    assert!(policy(WEB).contains("q=2000000"), "{}", policy(WEB));
    assert!(policy(BATCH).contains("q=200000;"), "{}", policy(BATCH));
    stack.finish();
}

#[test]
fn err_certificates_that_prove_nothing_choose_no_tenant() {
    let material = Material::new();
    let stack = start("mtls.yaml", &material, |_| {});
    let stranger = Authority::new();
    let cases = [
        ("no certificate", None),
        ("signed by another authority", Some(stranger.client(&[WEB], None))),
        ("no name at all", Some(material.clients().client(&[], None))),
        ("a DNS name only", Some(material.clients().client(&[], Some("corp.example")))),
        (
            "another trust domain",
            Some(material.clients().client(&["spiffe://corp.example.evil.example/ns/shop/sa/web"], None)),
        ),
    ];
    for (what, identity) in cases {
        assert_no_connection(what, chat(&tls_client(&material, identity), &stack));
    }
    let plain = client().build().expect("a client");
    let plain = to(&plain, &format!("http://localhost:{}", stack.envoy().listener.port()));
    assert_no_connection("no TLS", plain);
    // Refused for these reasons and no other; a client may try again.
    let metrics = stack.prometheus();
    for (reason, least) in [("no_cert", 1.0), ("error", 1.0), ("san", 3.0)] {
        let count = metrics.sum(&format!("envoy_listener_ssl_fail_verify_{reason}"), &[]);
        assert!(count >= least, "{count} refused for {reason}");
    }
    // What proxies say of certificates is for those who trust the proxy.
    let web = tls_client(&material, Some(material.clients().client(&[WEB], None)));
    let claimed =
        chat(&web, &stack).header("x-forwarded-client-cert", format!("URI={BATCH}")).header("x-tenant-id", BATCH);
    assert_eq!(status(claimed), 200);
    let events = stack.events(1);
    assert_eq!(of_tenant(&events, WEB), 1, "{events:#?}");
    stack.finish();
}

/// Where the listener takes any certificate of the authority, one that names no workload is nobody's.
#[test]
fn err_without_a_uri_there_is_no_tenant() {
    let material = Material::new();
    let stack = Stack::example("mtls.yaml", material.path(), &[], |file| {
        example::each(file, &mut |object| {
            object.remove("match_typed_subject_alt_names");
        });
        example::configure(file, &mut |configuration| {
            configuration["identity"]["labels"] = json!({ "peer": [{ "from": "peer_san" }] });
        });
    });
    let long = format!("spiffe://corp.example/{}", "x".repeat(300));
    for names in [&[][..], &[long.as_str()]] {
        let identity = material.clients().client(names, Some("web.corp.example"));
        assert_no_tenant(chat(&tls_client(&material, Some(identity)), &stack));
    }
    let both = material.clients().client(&[WEB, BATCH], None);
    assert_eq!(status(chat(&tls_client(&material, Some(both)), &stack)), 200);
    let events = stack.events(3);
    assert_eq!((of_tenant(&events, "unknown"), of_tenant(&events, WEB)), (2, 1), "the first URI counts: {events:#?}");
    let last = events.iter().find(|event| event["data"]["tenant"] == WEB).expect("one");
    assert_eq!(last["data"]["labels"], json!({ "peer": WEB }));
    stack.finish();
}
