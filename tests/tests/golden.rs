//! Golden exchanges: what each dialect's bodies must be counted as, in `tests/fixtures/dialects/<dialect>/<case>/`.
//!
//! | file | what it holds |
//! |---|---|
//! | `exchange.json` | what is shown, `method` (POST), host, path, the `request` (or a `form`: names and values, `@name` for a file), status and headers of the reply; `gzip` compresses the body |
//! | `response.json`, `.sse`, `.ndjson`, `.txt` | the body of the reply, to the byte |
//! | `expected.json` | fields of the event's `data`, exactly; `present` names those that must be there with any value, `absent` those that must not be there, `pending` those that are known to come out wrong, and what is right |
//! | `SOURCE` | where the shape and the numbers come from |
//!
//! Each is fed whole, cut at every byte, and in random pieces: all give one and the same event. `METERR_BLESS=1` writes what comes out
//! into `expected.json`; what is right is still for a person to say.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use meterr_core::random::Random;
use meterr_tests::recorded::Recorded;
use serde_json::{Map, Value};

/// Random partitions of each body.
const PARTITIONS: u64 = 40;

/// What differs from one run to the next.
const VOLATILE: [&str; 5] = ["writer", "seq", "duration_ms", "upstream_ms", "ttft_ms"];

/// Fields that must be told if they are there, besides all that count tokens.
const TELLING: [&str; 11] = [
    "usage_flags",
    "web_searches",
    "images",
    "pages",
    "audio_seconds",
    "characters",
    "reason",
    "finish_reason",
    "service_tier",
    "cost_reported_usd",
    "limits",
];

struct Case {
    folder: PathBuf,
    name: String,
    recorded: Recorded,
    expected: Map<String, Value>,
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap_or_else(|error| panic!("{}: {error}", of.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

/// The type and the bytes of the request.
fn request_body(exchange: &Value) -> (&'static str, Vec<u8>) {
    let Some(form) = exchange["form"].as_array() else {
        let request = &exchange["request"];
        return ("application/json", if request.is_null() { Vec::new() } else { request.to_string().into() });
    };
    let mut body = String::new();
    for field in form {
        let (name, value) = (field[0].as_str().expect("a name"), field[1].as_str().expect("a value"));
        let (name, file) = name.strip_prefix('@').map_or((name, ""), |name| (name, "; filename=\"a.bin\""));
        body += &format!("--golden\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n");
    }
    ("multipart/form-data; boundary=golden", (body + "--golden--\r\n").into_bytes())
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let exchange = json(&folder.join("exchange.json"));
        let text = |name: &str| exchange[name].as_str().unwrap_or_else(|| panic!("{}: {name}", folder.display()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (content_type, request_body) = request_body(&exchange);
        let request = vec![
            pair(":method", exchange["method"].as_str().unwrap_or("POST")),
            pair(":authority", text("host")),
            pair(":path", text("path")),
            pair("content-type", content_type),
        ];
        let status = exchange["status"].as_u64().expect("a status").to_string();
        let mut response = vec![pair(":status", &status)];
        for (name, value) in exchange["headers"].as_object().expect("headers") {
            response.push(pair(name, value.as_str().expect("a text")));
        }
        let bodies = ["response.json", "response.sse", "response.ndjson", "response.txt"].map(|name| folder.join(name));
        let body = bodies.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{}: no body", folder.display()));
        let mut response_body = fs::read(body).expect("a file");
        if exchange["gzip"] == true {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&response_body).expect("memory");
            response_body = encoder.finish().expect("memory");
            response.push(pair("content-encoding", "gzip"));
        }
        let source = fs::read_to_string(folder.join("SOURCE")).unwrap_or_default();
        assert!(source.lines().count() > 1, "{}: a fixture says where it comes from", folder.display());
        let parts: Vec<_> = folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        Self {
            name: format!("{}/{}", parts[1], parts[0]),
            expected: json(&folder.join("expected.json")).as_object().expect("an object").clone(),
            recorded: Recorded { request, request_body, response, response_body },
            folder,
        }
    }

    /// The event's data for a body that comes in pieces of these sizes, over and over.
    fn replay(&self, sizes: &[usize]) -> Map<String, Value> {
        let data = self.recorded.replay_in_pieces(sizes).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let Some(Value::Object(mut data)) = data else { panic!("{} is not metered", self.name) };
        data.retain(|name, _| !VOLATILE.contains(&name.as_str()));
        data
    }

    fn names(&self, list: &str) -> Vec<&str> {
        let names = self.expected.get(list).and_then(Value::as_array);
        names.into_iter().flatten().map(|name| name.as_str().expect("a name")).collect()
    }

    /// What is wrong with what came out.
    fn faults(&self, data: &Map<String, Value>) -> Vec<String> {
        let (present, absent) = (self.names("present"), self.names("absent"));
        let pending = self.expected.get("pending").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut faults = Vec::new();
        for (name, value) in fields(&self.expected) {
            if data.get(name) != Some(value) {
                faults.push(format!("{name} is {:?} and must be {value}", data.get(name)));
            }
        }
        for name in present.iter().filter(|name| !data.contains_key(**name)) {
            faults.push(format!("{name} must be there"));
        }
        for name in absent.iter().filter(|name| data.contains_key(**name)) {
            faults.push(format!("{name} must not be there, and is {}", data[*name]));
        }
        for (name, value) in &pending {
            if data.get(name) == Some(value) {
                faults.push(format!("{name} has become right: move it out of `pending`"));
            }
        }
        for name in data.keys().filter(|name| is_telling(name)) {
            let is_told = self.expected.contains_key(name)
                || present.contains(&name.as_str())
                || absent.contains(&name.as_str())
                || pending.contains_key(name);
            if !is_told {
                faults.push(format!("{name} is {} and nobody expects it", data[name]));
            }
        }
        faults
    }

    /// Writes what came out into the fixture.
    fn bless(&self, data: &Map<String, Value>) {
        let mut expected = self.expected.clone();
        let told: Vec<String> = fields(&self.expected).map(|(name, _)| name.clone()).collect();
        expected.retain(|name, _| !told.contains(name) || data.contains_key(name));
        let named = [self.names("present"), self.names("absent")].concat();
        for (name, value) in data {
            if told.contains(name) || (is_telling(name) && !named.contains(&name.as_str())) {
                expected.insert(name.clone(), value.clone());
            }
        }
        let text = serde_json::to_string_pretty(&expected).expect("JSON") + "\n";
        fs::write(self.folder.join("expected.json"), text).expect("a file to write");
    }
}

fn fields(expected: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    expected.iter().filter(|(name, _)| !["present", "absent", "pending"].contains(&name.as_str()))
}

fn is_telling(name: &str) -> bool {
    name.ends_with("_tokens") || TELLING.contains(&name)
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dialects");
    folders(&root).iter().flat_map(|dialect| folders(dialect)).map(Case::read).collect()
}

#[test]
fn ok_every_fixture_is_counted_right() {
    let blesses = std::env::var_os("METERR_BLESS").is_some();
    let (mut all, mut wrong) = (0, Vec::new());
    for case in cases() {
        let data = case.replay(&[]);
        if blesses {
            case.bless(&data);
        }
        let faults = if blesses { Vec::new() } else { case.faults(&data) };
        let pending = case.expected.get("pending").map(|pending| format!(", pending {pending}")).unwrap_or_default();
        println!("{} {}{pending}", if faults.is_empty() { "ok  " } else { "FAIL" }, case.name);
        all += 1;
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", case.name)));
    }
    println!("{all} fixtures");
    assert!(all > 0, "no fixture was found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn ok_how_the_bytes_come_changes_nothing() {
    let mut all = 0;
    for case in cases() {
        let whole = case.replay(&[]);
        for cut in 1..case.recorded.response_body.len() {
            assert_eq!(case.replay(&[cut, usize::MAX]), whole, "{} cut at byte {cut}", case.name);
        }
        assert_eq!(case.replay(&[1]), whole, "{} byte by byte", case.name);
        for seed in 0..PARTITIONS {
            let mut random = Random::new(seed);
            let most = [4, 40, 400][usize::try_from(seed % 3).expect("small")];
            let sizes: Vec<usize> = (0..64).map(|_| 1 + usize::try_from(random.up_to(most)).expect("small")).collect();
            assert_eq!(case.replay(&sizes), whole, "{} in pieces of {sizes:?}", case.name);
        }
        all += 1;
    }
    println!("{all} fixtures, each cut at every byte and in {PARTITIONS} random ways");
    assert!(all > 0, "no fixture was found");
}
