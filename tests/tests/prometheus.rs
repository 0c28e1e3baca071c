//! A real Prometheus that scrapes Envoy: the labels that it sees, the rules, and every query of the dashboard.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use meterr_tests::{
    calls::{chat, messages, told},
    envoy::{end, root},
    stack::{Options, Stack},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);
const CHAT: &str = "/openai/v1/chat/completions";

struct Prometheus {
    child: Child,
    address: String,
    directory: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Its two programs.
fn programs() -> [String; 2] {
    let found = Command::new(root().join("scripts/prometheus")).arg("--path").output().expect("the script runs");
    let text = String::from_utf8(found.stdout).expect("text");
    let mut lines = text.lines().map(str::to_owned);
    [(); 2].map(|()| lines.next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&found.stderr))))
}

impl Prometheus {
    /// One that looks at that Envoy twice a second.
    fn start(target: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let text = fs::read_to_string(root().join("envoy/prometheus/prometheus.yaml")).expect("its file");
        let mut file: Value = serde_yaml_ng::from_str(&text).expect("YAML");
        file["global"] = json!({ "scrape_interval": "500ms", "evaluation_interval": "500ms" });
        file["rule_files"] = json!([root().join("envoy/prometheus/rules.yaml")]);
        file["scrape_configs"][0]["static_configs"][0]["targets"] = json!([target]);
        let path = directory.path().join("prometheus.yaml");
        fs::write(&path, file.to_string()).expect("a file");
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
        let log = fs::File::create(directory.path().join("log")).expect("a file");
        let child = Command::new(&programs()[0])
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        Self { child, address, directory }
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("http://{}{path}", self.address), query).expect("a URL");
        let answer: Value = serde_json::from_str(&reqwest::blocking::get(url).ok()?.text().ok()?).ok()?;
        assert_eq!(answer["status"], "success", "{query:?}: {answer:#}");
        Some(answer["data"].clone())
    }

    /// The samples of an instant query.
    fn query(&self, query: &str) -> Vec<Value> {
        let data = self.get("/api/v1/query", &[("query", query)]);
        data.and_then(|data| data["result"].as_array().cloned()).unwrap_or_default()
    }

    fn wait_for(&self, query: &str) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            // A quantile of nothing is no number.
            let is_number = |sample: &Value| sample["value"][1] != "NaN";
            let samples = self.query(query);
            if samples.iter().any(is_number) {
                return samples.into_iter().filter(is_number).collect();
            }
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "nothing for {query}\n{}", log());
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Something of every kind that the dashboard shows.
fn traffic(stack: &Stack) {
    let tenant = |nth: usize| ["acme", "globex"][nth % 2];
    for nth in 0..4 {
        let stream =
            stack.post(CHAT).header("x-tenant", tenant(nth)).tell(told(&json!({ "cached": 10, "reasoning": 5 })));
        assert_eq!(stream.send(&chat("gpt-4o-mini", true)).status, 200);
        assert_eq!(
            stack.post("/anthropic/v1/messages").header("x-tenant", tenant(nth)).send(&messages(false)).status,
            200
        );
    }
    assert_eq!(stack.post(CHAT).tell(told(&json!({ "status": 500 }))).send(&chat("gpt-4o", false)).status, 500);
    // A reply in an encoding that nobody reads is missing, and a limit that refuses, one that lets wait.
    let unread = stack.post(CHAT).tell(told(&json!({ "encoding": "br" })));
    assert_eq!(unread.send(&chat("gpt-4o", false)).status, 200);
    for _ in 0..2 {
        let status = stack.post(CHAT).header("x-tenant", "small").send(&chat("gpt-4o", false)).status;
        assert!(matches!(status, 200 | 429));
        assert_eq!(stack.post(CHAT).header("x-tenant", "patient").send(&chat("gpt-4o", false)).status, 200);
    }
    // Neither an operation nor a provider.
    stack.get("/openai/v1/models").fetch();
    stack.get("/nowhere/v1/models").fetch();
}

fn stack() -> Stack {
    let limits = json!([
        { "id": "small", "unit": "requests", "amount": 1, "match": { "tenant": ["small"] }, "window": { "kind": "fixed", "per": "month" } },
        { "id": "patient", "unit": "requests", "amount": 1, "match": { "tenant": ["patient"] }, "on_exceed": "queue",
          "queue": { "max_wait_ms": 20_000 }, "window": { "kind": "fixed", "per": "second" } },
    ]);
    Stack::start(&Options { limits, ..Options::default() })
}

#[test]
fn ok_prometheus_sees_the_labels_and_every_query_of_the_dashboard_shows_something() {
    let stack = stack();
    let prometheus = Prometheus::start(&stack.envoy().admin.to_string());
    // A rate needs two samples: the first before all traffic, and traffic twice, as a counter begins with its first count.
    prometheus.wait_for("up == 1");
    traffic(&stack);
    prometheus.wait_for("sum(meterr_events_total{result=\"delivered\"}) >= 14");
    // Envoy brings histograms up to date every five seconds.
    prometheus.wait_for("sum(meterr_time_to_first_token_ms_count) >= 4");
    traffic(&stack);
    prometheus.wait_for("sum(meterr_events_total{result=\"delivered\"}) >= 27");

    let label_set = |metric: &str, more: &str| -> BTreeSet<String> {
        let samples = prometheus.wait_for(&format!("{metric}{{{more}}}"));
        let names = samples[0]["metric"].as_object().expect("labels").keys();
        names.filter(|name| !matches!(name.as_str(), "__name__" | "instance" | "job")).cloned().collect()
    };
    for (metric, more, labels) in [
        ("meterr_requests_total", r#"tenant="acme""#, &["provider", "model", "tenant", "outcome"][..]),
        ("meterr_tokens_total", r#"type="cache_read",tenant="acme""#, &["provider", "model", "tenant", "type"]),
        ("meterr_cost_microusd_total", r#"tenant="acme",provider="anthropic""#, &["provider", "model", "tenant"]),
        ("meterr_usage_status_total", r#"status="missing""#, &["provider", "status"]),
        ("meterr_time_to_first_token_ms_bucket", "", &["provider", "model", "le"]),
        ("meterr_duration_ms_bucket", "", &["provider", "model", "le"]),
        ("meterr_limit_decisions_total", r#"limit="small",decision="rejected""#, &["limit", "decision"]),
        ("meterr_queue_total", r#"limit="patient",result="admitted""#, &["limit", "result"]),
        ("meterr_events_total", "", &["result"]),
        ("meterr_callouts_total", "", &["result"]),
        ("meterr_unmetered_total", r#"reason="other_path""#, &["reason"]),
    ] {
        assert_eq!(label_set(metric, more), labels.iter().map(|name| (*name).to_owned()).collect(), "{metric}");
    }
    for rule in ["meterr:tokens:rate5m", "meterr:cost_usd_per_hour:rate15m", "meterr:unreported:ratio15m"] {
        prometheus.wait_for(rule);
    }

    let board: Value =
        serde_json::from_str(&fs::read_to_string(root().join("envoy/dashboard.json")).expect("it is there"))
            .expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let mut shown = 0;
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().expect("an expression");
            let query =
                ["$__rate_interval", "$__range"].iter().fold(expr.to_owned(), |text, name| text.replace(name, "1m"));
            let query = query.replace("$provider", ".*").replace("$tenant", ".*");
            assert!(!query.contains('$'), "{query}");
            // Nothing was faulty, and no VM died: these stay empty here, but are understood.
            if expr.contains("meterr_errors_total") {
                prometheus.query(&query);
                continue;
            }
            let samples = prometheus.wait_for(&query);
            println!("{}: {} series, such as {}", panel["title"], samples.len(), samples[0]["value"][1]);
            shown += 1;
        }
    }
    println!("{shown} queries of the dashboard have results");
    assert!(shown >= 24, "{shown}");
    let alerts = prometheus.get("/api/v1/alerts", &[]).expect("an answer");
    let firing = alerts["alerts"].as_array().expect("alerts").iter().filter(|alert| alert["state"] == "firing");
    assert_eq!(firing.count(), 0, "nothing is wrong: {alerts:#}");
    // It knows no list of models.
    stack.finish_expecting_provider_complaints();
}
