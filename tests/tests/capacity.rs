//! What Envoy's memory grows by: for each tenant that has counters, for each stream that is open, for each event that waits. The figures stand
//! in `envoy/operating.md`; this prints them anew, and fails only if one is another order of magnitude.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use meterr_tests::{
    calls::chat,
    stack::{Options, Stack},
};
use serde_json::{Value, json};

const CHAT: &str = "/openai/v1/chat/completions";

/// The bytes that Envoy's process holds.
fn resident(stack: &Stack) -> u64 {
    stack.envoy().kib("VmRSS").expect("the process runs") * 1024
}

fn start(limits: Value) -> Stack {
    Stack::start(&Options { limits, concurrency: 1, ..Options::default() })
}

/// One request of each of these tenants.
fn requests(stack: &Stack, tenants: std::ops::Range<usize>) {
    let tenants: Vec<usize> = tenants.collect();
    thread::scope(|scope| {
        for part in tenants.chunks(tenants.len().div_ceil(4)) {
            scope.spawn(move || {
                for tenant in part {
                    let call = stack.post(CHAT).header("x-tenant", &format!("tenant-{tenant:06}"));
                    assert_eq!(call.send(&chat("gpt-4o-mini", false)).status, 200);
                }
            });
        }
    });
}

fn delivered(stack: &Stack) {
    stack.wait_for("the queue is not empty", |stack| stack.prometheus().count("meterr_event_queue_bytes", &[]) == 0);
}

#[test]
fn ok_a_tenant_takes_little_for_each_limit() {
    const TENANTS: usize = 15_000;
    let limit = |id: usize| json!({ "id": format!("limit-{id}"), "per": ["tenant"], "unit": "tokens", "amount": 1_000_000, "window": { "kind": "fixed", "per": "month" } });
    let mut grown = Vec::new();
    for count in [0, 4] {
        let stack = start((0..count).map(limit).collect());
        // Past 2,000 series there are no more metrics, and what is allocated once is allocated.
        requests(&stack, 0..2_500);
        delivered(&stack);
        let before = resident(&stack);
        requests(&stack, 2_500..2_500 + TENANTS);
        delivered(&stack);
        grown.push(resident(&stack).saturating_sub(before) / TENANTS as u64);
        stack.finish();
    }
    println!("a tenant: {} bytes without a limit, {} with four", grown[0], grown[1]);
    assert!(grown[1] < 16_384, "{grown:?}");
}

#[test]
fn ok_an_open_stream_takes_tens_of_kilobytes() {
    const STREAMS: usize = 800;
    let stack = start(json!([]));
    let body = chat("gpt-4o-mini", true).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nx-tenant: acme\r\nauthorization: Bearer sk-test\r\ncontent-length: {}\r\n\
         content-type: application/json\r\nx-test: {{\"chunks\":2,\"stall_after_bytes\":200}}\r\n\r\n{body}",
        body.len()
    );
    let open = |count: usize| -> Vec<TcpStream> {
        let streams = (0..count).map(|_| {
            let mut stream = TcpStream::connect(stack.envoy().listener).expect("a listener");
            stream.write_all(request.as_bytes()).expect("it takes them");
            let mut first = [0; 64];
            assert!(stream.read(&mut first).expect("the head of the reply") > 0);
            stream
        });
        streams.collect()
    };
    let _warm = open(100);
    let before = resident(&stack);
    let _streams = open(STREAMS);
    let each = resident(&stack).saturating_sub(before) / STREAMS as u64;
    println!("an open stream: {each} bytes, with both of Envoy's connections");
    assert!(each < 1_048_576, "{each}");
}

#[test]
fn ok_an_event_that_waits_takes_its_own_length() {
    let stack = start(json!([]));
    requests(&stack, 0..500);
    delivered(&stack);
    stack.kill_collector();
    requests(&stack, 0..2_000);
    let lines = stack.access_log(2_500);
    let bytes: usize = lines.iter().skip(500).map(|line| line["meterr"].as_str().map_or(0, str::len)).sum();
    // The gauge is set once a second, so right after the last exchange it still tells of an earlier moment.
    stack.wait_for("not each event that waits takes its own length", |stack| {
        stack.prometheus().count("meterr_event_queue_bytes", &[]) == bytes as u64
    });
    println!("an event that waits: {} bytes", bytes / 2_000);
    assert!((2_000 * 200..2_000 * 8_192).contains(&bytes), "{bytes}");
    stack.revive_collector();
    assert_eq!(stack.events(2_500).len(), 2_500);
    stack.finish();
}
