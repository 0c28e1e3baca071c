//! `scripts/reconcile`: what stands in logs and not at the collector is sent, once.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use meterr_tests::{
    calls::{chat, told},
    collector::{Collector, Mode},
    envoy::root,
    stack::{Options, Stack},
    traffic::reconcile,
};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;

fn event(id: &str, seq: u64) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "urn:meterr:n", "type": "ai.meterr.usage.v1", "subject": "t",
            "time": format!("2025-01-01T00:00:{:02}.000Z", seq % 60), "datacontenttype": "application/json",
            "data": { "tenant": "t", "provider": "openai", "writer": "w", "seq": seq, "input_tokens": 1 } })
}

/// A line of an access log, with what the filter state held.
fn line(state: &Value) -> String {
    json!({ "start_time": "2025-01-01T00:00:00.000Z", "status": 200, "duration_ms": 5, "meterr": state }).to_string()
        + "\n"
}

fn logged(id: &str, seq: u64) -> String {
    line(&json!(event(id, seq).to_string()))
}

fn lost(id: Option<&str>, request_id: &str, path: &str, upstream: Option<&str>) -> String {
    json!({ "start_time": "2025-01-01T00:00:00.900Z", "status": 503, "duration_ms": 200, "method": "POST", "path": path,
            "details": "wasm_fail_stream", "meterr_provider": upstream.map(|_| "openai"), "request_id": request_id, "upstream_host": upstream, "meterr_id": id, "meterr": null })
    .to_string()
        + "\n"
}

struct Bench {
    directory: TempDir,
    collector: Collector,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let collector = Collector::start(0, &directory.path().join("events.sqlite")).expect("a collector");
        Self { directory, collector }
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    /// Its exit status, and what it printed.
    fn told(&self, logs: &[&Path], more: &[&str]) -> (Option<i32>, String) {
        reconcile(logs, self.collector.address().port(), more)
    }

    fn events(&self) -> Vec<Value> {
        let found = self.collector.with_store(|store| store.events("")).expect("read");
        found.as_array().expect("an array").clone()
    }
}

#[test]
fn ok_what_is_missing_is_sent_once_from_all_kinds_of_logs() {
    let bench = Bench::new();
    let first = (1..=250).map(|seq| logged(&format!("a{seq}"), seq)).collect::<String>();
    let plain = bench.file("access.log", &first);
    let array = line(&json!(json!([event("r.1", 251), event("r.2", 252)]).to_string()));
    let unsent = format!("[2025-01-01][1][warning][wasm] wasm log meterr: meterr unsent: {}\nother\n", event("u", 253));
    let envoy = bench.file("envoy.log", &unsent);
    let packed = bench.directory.path().join("access.log.1.gz");
    let mut gz = flate2::write::GzEncoder::new(fs::File::create(&packed).expect("made"), flate2::Compression::fast());
    gz.write_all(array.as_bytes()).expect("written");
    gz.finish().expect("written");
    let logs = [&*plain, &*envoy, &*packed];

    let (status, text) = bench.told(&logs, &["--dry-run"]);
    assert_eq!((status, bench.events().len()), (Some(3), 0), "{text}");
    assert!(text.contains("253 to send"), "{text}");
    let (status, text) = bench.told(&logs, &[]);
    assert_eq!((status, bench.events().len()), (Some(0), 253), "{text}");
    let (status, text) = bench.told(&logs, &[]);
    assert!(status == Some(0) && text.contains("253 there already, 0 sent"), "{text}");
    let gaps = bench.collector.with_store(meterr_tests::collector::Store::gaps).expect("read");
    assert_eq!(gaps, json!([]));
    assert_eq!(bench.collector.with_store(|store| store.stats()).expect("read")["duplicates"], 0);
}

/// A line as Kubernetes' runtimes keep it, cut into parts of that many bytes.
fn cri(stream: &str, line: &str, part: usize) -> Vec<String> {
    let bytes: Vec<u8> = line.trim_end_matches('\n').bytes().collect();
    let parts: Vec<&[u8]> = bytes.chunks(part).collect();
    let tag = |nth: usize| if nth + 1 == parts.len() { "F" } else { "P" };
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("text that is not cut within a letter");
    let stamped =
        |(nth, part): (usize, &&[u8])| format!("2025-01-01T00:00:00.{nth:09}Z {stream} {} {}\n", tag(nth), text(part));
    parts.iter().enumerate().map(stamped).collect()
}

/// The same as Docker's `json-file` keeps it.
fn docker(stream: &str, line: &str, part: usize) -> Vec<String> {
    let bytes: Vec<u8> = line.bytes().collect();
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("text that is not cut within a letter");
    let kept = |part: &[u8]| json!({ "log": text(part), "stream": stream, "time": "2025-01-01T00:00:00.000000000Z" });
    // The order of its members is always the same.
    let write = |record: Value| {
        format!("{{\"log\":{},\"stream\":{},\"time\":{}}}\n", record["log"], record["stream"], record["time"])
    };
    bytes.chunks(part).map(|part| write(kept(part))).collect()
}

/// Lines of two streams in one file, as they come.
fn interleaved(streams: [Vec<String>; 2]) -> String {
    let [mut one, mut other] = streams.map(Vec::into_iter);
    let mut text = String::new();
    loop {
        let (first, second) = (one.next(), other.next());
        if first.is_none() && second.is_none() {
            return text;
        }
        text.extend(first.into_iter().chain(second));
    }
}

fn own(tag: &str, event: &Value) -> String {
    format!(
        "[2025-01-01 00:00:00.000][1][warning][wasm] [context.cc:1157] wasm log meterr meterr: meterr {tag}: {event}\n"
    )
}

#[test]
fn ok_container_logs_are_read_as_envoy_wrote_them() {
    let bench = Bench::new();
    let mut sent = 0;
    for (name, wrap) in [("cri", cri as fn(&str, &str, usize) -> Vec<String>), ("docker", docker)] {
        let id = |nth: u64| format!("{name}-{nth}");
        // An access log on stdout, and what the filter says on stderr; long lines come in parts, whatever else comes in between.
        let access: Vec<String> = (0..20).flat_map(|nth| wrap("stdout", &logged(&id(nth), nth), 100)).collect();
        let lost = wrap("stdout", &lost(Some(&id(20)), "r", "/v1/messages", Some("127.0.0.1:1")), 1_000);
        let mut told: Vec<String> = vec![wrap("stderr", "[2025-01-01][1][info][main] starting\n", 1_000).concat()];
        told.extend((21..26).flat_map(|nth| wrap("stderr", &own("unsent", &event(&id(nth), nth)), 90)));
        told.extend((26..30).flat_map(|nth| wrap("stderr", &own("dead letter", &event(&id(nth), nth)), 5_000)));
        let text = interleaved([[access, lost].concat(), told]);
        let (rotated, current) = text.split_at(text[..text.len() / 2].rfind('\n').expect("a line") + 1);
        let packed = bench.directory.path().join(format!("{name}.log.1.gz"));
        let file = fs::File::create(&packed).expect("made");
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(rotated.as_bytes()).expect("written");
        gz.finish().expect("written");
        let whole = bench.file(&format!("{name}.all"), &text);
        let (status, told) = bench.told(&[&whole], &["--dry-run"]);
        assert!(status == Some(3) && told.contains("30 to send"), "{told}");
        // Whoever rotates a container's log may cut between the parts of a line: that one line is unreadable, and told of.
        let current = bench.file(name, current);
        let (_, told) = bench.told(&[&packed, &current], &[]);
        sent = bench.events().len() - sent;
        assert!((28..=30).contains(&sent), "{told}");
        let (status, told) = bench.told(&[&whole], &[]);
        assert_eq!((status, bench.events().len() % 30), (Some(0), 0), "{told}");
        sent = bench.events().len();
    }
    assert_eq!(bench.events().len(), 60);
    // Envoy's own log may be JSON.
    let line = json!({ "level": "warning", "message": own("dead letter", &event("json", 1)).trim_end() }).to_string();
    let file = bench.file("json.log", &(line + "\n"));
    let (status, told) = bench.told(&[&file], &[]);
    assert_eq!((status, bench.events().len()), (Some(0), 61), "{told}");
}

#[test]
fn ok_it_goes_on_before_a_line_that_goes_on() {
    let bench = Bench::new();
    let parts = cri("stdout", &logged("b", 2), 100);
    let first = cri("stdout", &logged("a", 1), 1_000).concat();
    let log = bench.file("0.log", &(first.clone() + &parts[..2].concat()));
    let state = bench.directory.path().join("state").display().to_string();
    let (status, told) = bench.told(&[&log], &["--state", &state]);
    assert!(status == Some(0) && told.contains("1 sent"), "{told}");
    let mut file = fs::OpenOptions::new().append(true).open(&log).expect("there");
    file.write_all(parts[2..].concat().as_bytes()).expect("written");
    let (status, told) = bench.told(&[&log], &["--state", &state]);
    assert!(status == Some(0) && told.contains("1 events read, 0 there already, 1 sent"), "{told}");
    assert_eq!(bench.events().len(), 2);
}

#[test]
fn ok_what_a_collector_condemned_is_sent_when_it_has_thought_better_of_it() {
    let mut stack = Stack::start(&Options::default());
    stack.collector_mode(&json!({ "mode": "422" }));
    for _ in 0..10 {
        assert_eq!(stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false)).status, 200);
    }
    let condemned = |stack: &Stack| stack.prometheus().count("meterr_events_total", &[("result", "dead_lettered")]);
    stack.wait_for("they are not condemned", |stack| condemned(stack) == 10);
    stack.collector_mode(&json!({ "mode": "ok" }));
    let envoy_log = stack.logs().join("envoy.log");
    stack.stop_envoy();
    assert_eq!(stack.events_so_far().len(), 0);
    let (status, told) = reconcile(&[&envoy_log], stack.collector_port(), &[]);
    assert!(status == Some(0) && told.contains("10 sent"), "{told}");
    assert_eq!(stack.events_so_far().len(), 10);
}

#[test]
fn ok_what_was_in_flight_in_a_dead_vm_gets_one_event_that_stays_the_same() {
    let bench = Bench::new();
    let text = [
        logged("a", 1),
        lost(Some("0190-known"), "r1", "/v1/chat/completions", Some("127.0.0.1:1")),
        lost(None, "r2", "/v1/messages", None),
        lost(None, "r3", "/v1/models", None),
        // A filter in health let it pass unmetered; a dead one did not see it, and it went on before.
        lost(None, "r4", "/chat/messages", None).replace("wasm_fail_stream", "via_upstream"),
        lost(None, "r5", "/chat/messages", Some("127.0.0.1:1")).replace("\"openai\"", "null"),
    ]
    .concat();
    // Here the client was gone before the VM.
    let left = lost(Some("0190-left"), "r6", "/v1/messages", Some("127.0.0.1:1")).replace("503", "200");
    let text = text + &left.replace("wasm_fail_stream", "http2.remote_reset");
    let log = bench.file("access.log", &text);
    for _ in 0..2 {
        let (status, text) = bench.told(&[&log], &[]);
        assert_eq!((status, bench.events().len()), (Some(0), 4), "{text}");
    }
    let events = bench.events();
    assert_eq!(events[3]["data"]["outcome"], "client_aborted");
    assert_eq!(events[1]["id"], "0190-known");
    assert_eq!(
        (&events[1]["source"], &events[1]["time"]),
        (&json!("urn:meterr:n"), &json!("2025-01-01T00:00:01.100Z"))
    );
    assert_eq!((&events[1]["data"]["usage_status"], &events[1]["data"]["billable"]), (&json!("missing"), &json!(true)));
    assert_eq!((&events[2]["data"]["usage_status"], &events[2]["data"]["billable"]), (&json!("none"), &json!(false)));
    assert_eq!(events[2]["data"]["request_id"], "r2");
}

#[test]
fn ok_it_goes_on_where_it_ended_also_after_rotation() {
    let bench = Bench::new();
    let log = bench.file("access.log", &logged("a", 1));
    let state = bench.directory.path().join("state").display().to_string();
    bench.told(&[&log], &["--state", &state]);
    let rotated = bench.directory.path().join("access.log.1");
    fs::rename(&log, &rotated).expect("rotated");
    let mut file = fs::OpenOptions::new().append(true).open(&rotated).expect("there");
    file.write_all(logged("b", 2).as_bytes()).expect("written");
    // The new file's last line is still being written.
    let log = bench.file("access.log", &(logged("c", 3) + &logged("d", 4)[..40]));
    let (status, text) = bench.told(&[&log, &rotated], &["--state", &state]);
    assert!(status == Some(0) && text.contains("2 events read, 0 there already, 2 sent"), "{text}");
    fs::write(&log, logged("c", 3) + &logged("d", 4)).expect("written");
    let (_, text) = bench.told(&[&log, &rotated], &["--state", &state]);
    assert!(text.contains("1 events read, 0 there already, 1 sent"), "{text}");
    assert_eq!(bench.events().len(), 4);
}

#[test]
fn err_a_collector_that_is_ill_or_refuses_and_lines_that_are_none_are_told() {
    let bench = Bench::new();
    let mut bad = event("bad", 2);
    bad["data"]["tenant"] = Value::Null;
    let log = bench.file("access.log", &[logged("a", 1), line(&json!(bad.to_string())), logged("c", 3)].concat());
    bench.collector.set_mode(Mode { mode: "503".into(), retry_after: Some(60), ..Mode::default() });
    let (status, text) = bench.told(&[&log], &["--give-up-secs", "1"]);
    assert!(status == Some(1) && text.contains("status 503"), "{text}");
    bench.collector.set_mode(Mode::default());
    // One that is refused alone holds up nobody.
    let (status, text) = bench.told(&[&log], &[]);
    assert!(status == Some(1) && text.contains("refused: urn:meterr:n bad") && text.contains("2 sent"), "{text}");
    let log = bench.file("broken.log", &line(&json!("{\"id\":")));
    let (status, text) = bench.told(&[&log], &[]);
    assert!(status == Some(1) && text.contains("1 lines unreadable"), "{text}");
    assert_eq!(bench.told(&[&log], &["--since", "soon"]).0, Some(2));
}

/// Each killed Envoy may leave a record that is cut; the next one goes on in the same line.
#[test]
fn ok_a_record_that_was_cut_does_not_hide_the_one_behind_it() {
    let bench = Bench::new();
    let cut = |id: &str, at: usize| logged(id, 9)[..at].to_owned();
    let text = [
        logged("a", 1),
        cut("x", 30),
        logged("b", 2),
        // Within the event, which has braces of its own.
        cut("y", 200),
        cut("z", 1),
        logged("c", 3),
        cut("w", 150),
    ];
    let log = bench.file("access.log", &text.concat());
    let (status, told) = bench.told(&[&log], &[]);
    assert_eq!((status, bench.events().len()), (Some(0), 3), "{told}");
}

#[test]
fn ok_a_rotated_log_and_a_bare_sigterm_lose_nothing() {
    let mut stack = Stack::start(&Options::default());
    stack.kill_collector();
    let exchange = |stack: &Stack| {
        let reply = stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false));
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    (0..20).for_each(|_| exchange(&stack));
    // As logrotate does: rename, then ask Envoy to open the file anew. Exchanges go on meanwhile.
    let [log, rotated, envoy_log] = ["access.log", "access.log.1", "envoy.log"].map(|name| stack.logs().join(name));
    fs::rename(&log, &rotated).expect("renamed");
    (0..5).for_each(|_| exchange(&stack));
    let pid = stack.envoy().pid().to_string();
    assert!(Command::new("kill").args(["-USR1", &pid]).status().expect("kill").success());
    (0..15).for_each(|_| exchange(&stack));
    stack.wait_for("a new access log", |_| log.exists());
    stack.stop_envoy();

    stack.revive_collector();
    let count = |path: &Path, what: &str| fs::read_to_string(path).unwrap_or_default().matches(what).count();
    println!(
        "{} lines in the rotated log, {} in the new one, {} tagged lines in Envoy's own",
        count(&rotated, "\n"),
        count(&log, "\n"),
        count(&envoy_log, "meterr unsent: ")
    );
    let reconcile = |logs: &[&Path]| {
        let (status, told) = reconcile(logs, stack.collector_port(), &[]);
        assert_eq!(status, Some(0), "{told}");
        println!("{told}");
    };
    // Either log is enough: the one has all lines, the other what was unsent when Envoy ended.
    reconcile(&[&envoy_log]);
    assert_eq!(stack.collector_stats()["events"], 40);
    reconcile(&[&log, &rotated]);
    let stats = stack.collector_stats();
    assert_eq!((&stats["events"], &stats["duplicates"]), (&json!(40), &json!(0)));
}

/// What stands in the file is safe; what was in flight, and what Envoy had not written yet, is not.
#[test]
fn ok_a_sigkill_costs_what_was_in_flight_and_what_was_not_flushed() {
    let mut stack = Stack::start(&Options::default());
    stack.kill_collector();
    for _ in 0..20 {
        assert_eq!(stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false)).status, 200);
    }
    // One flush interval, however long it takes here.
    assert_eq!(stack.access_log(20).len(), 20);
    let behaviour = told(&json!({ "chunks": 1_000, "delay_ms": 10 }));
    let open: Vec<_> = (0..3)
        .map(|_| stack.post("/openai/v1/chat/completions").tell(behaviour.clone()).open(&chat("gpt-4o-mini", true)))
        .collect();
    stack.kill_envoy();
    drop(open);
    stack.revive_collector();
    stack.start_envoy();
    assert_eq!(stack.post("/openai/v1/chat/completions").send(&chat("gpt-4o-mini", false)).status, 200);
    assert_eq!(stack.events(1).len(), 1, "shared memory is gone with its process");
    stack.end_envoy();
    let (status, told) = reconcile(&[&stack.logs().join("access.log")], stack.collector_port(), &[]);
    assert!(status == Some(0) && told.contains("1 there already, 20 sent"), "{told}");
    assert_eq!((stack.provider().exchanges(), stack.events(21).len()), (24, 21));
    // Writers of the old process gave no number that nobody has: those in flight had none yet.
    assert_eq!(stack.gaps_so_far(), Vec::<Value>::new());
}

/// `envoy/operate/kubernetes-prestop.yaml`, with shorter waits: the order is what matters.
#[test]
fn ok_a_drain_before_the_end_leaves_nothing_to_reconcile() {
    let mut stack = Stack::start(&Options::default());
    let stream = |stack: &Stack| {
        let call = stack.post("/openai/v1/chat/completions").tell(told(&json!({ "chunks": 60, "delay_ms": 10 })));
        assert_eq!(call.send(&chat("gpt-4o-mini", true)).status, 200);
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| stream(&stack))).collect();
        // They are under way when it begins.
        std::thread::sleep(std::time::Duration::from_millis(300));
        for path in ["/healthcheck/fail", "/drain_listeners?graceful"] {
            stack.envoy().admin_post(path).expect("it drains");
        }
        all.into_iter().for_each(|stream| stream.join().expect("each stream ends as it should"));
    });
    // Two ticks of the filter, of a second each at most.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let [log, envoy_log] = ["access.log", "envoy.log"].map(|name| stack.logs().join(name));
    let lines = stack.stop_envoy();
    assert_eq!(lines.iter().filter(|line| line["meterr"].is_string()).count(), 20);
    assert!(!fs::read_to_string(&envoy_log).expect("a log").contains("meterr unsent: "));
    let (status, told) = reconcile(&[&log, &envoy_log], stack.collector_port(), &["--dry-run"]);
    assert_eq!(status, Some(0), "there is something to send: {told}");
    assert_eq!(stack.collector_stats()["events"], 20);
}

/// Every map of names to format strings that holds the event, wherever and in whatever syntax a file has its access log.
fn formats(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            if members.get("meterr").is_some_and(|format| format == EVENT) {
                found.push(value.clone());
            }
            members.values().for_each(|member| formats(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| formats(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const EVENT: &str = "%FILTER_STATE(wasm.meterr:PLAIN)%";

/// What `scripts/reconcile` reads, and how Envoy is to write it.
const FIELDS: [(&str, &str); 13] = [
    ("start_time", "%START_TIME%"),
    ("status", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("duration_ms", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ_WITHOUT_QUERY(:PATH)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("meterr_id", "%RESP(X-METERR-ID)%"),
    ("meterr", EVENT),
    ("meterr_tenant", "%FILTER_STATE(wasm.meterr_tenant:PLAIN)%"),
    ("meterr_provider", "%FILTER_STATE(wasm.meterr_provider:PLAIN)%"),
];

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn ok_each_access_log_that_has_the_event_has_all_that_is_needed_and_no_query() {
    let mut files = Vec::new();
    yaml_files(&root().join("envoy"), &mut files);
    let mut count = 0;
    for path in &files {
        let text = fs::read_to_string(path).expect("a file");
        let name = path.display();
        let has_query =
            ["%REQ(:PATH)%", "%QUERY_PARAM", "X-ENVOY-ORIGINAL-PATH"].iter().any(|what| text.contains(what));
        assert!(!has_query, "{name}: a query may hold a key");
        let mut found = Vec::new();
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            formats(&Value::deserialize(document).expect("YAML"), &mut found);
        }
        // Istio adds the extension by itself.
        let strips = text.contains("envoy.formatter.req_without_query") || text.contains("envoyFileAccessLog");
        assert!(strips || !text.contains("REQ_WITHOUT_QUERY"), "{name}: Envoy knows that command by an extension only");
        // Whoever runs the filter has a log that holds its events.
        assert!(!found.is_empty() || !text.contains("target/meterr.wasm"), "{name} has no access log for events");
        for format in &found {
            for (field, value) in FIELDS {
                assert_eq!(format[field], value, "{field} in {name}");
            }
        }
        count += found.len();
    }
    assert!(count > 10, "{count} access logs in {} files", files.len());
}
