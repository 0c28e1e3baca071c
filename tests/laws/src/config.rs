//! The plugin's configuration.

use meterr_core::{config::Config, service::Service};
use serde_json::{Map, Value, json};

/// Longest text of all problems together, in bytes: a log record stays readable.
const MAX_TEXT: usize = 256 * 1024;
/// What must never be shown.
const SECRET: &str = "planted-9f2c";

fn parse(text: &[u8]) -> Option<Config> {
    let result = Config::parse(text, &|name| (name == "SECRET").then(|| SECRET.to_owned()));
    let serves = Service::configure(text, Some("node"), 1, &|name| (name == "SECRET").then(|| SECRET.to_owned()));
    assert_eq!(serves.is_ok(), result.is_ok());
    match result {
        Ok(config) => Some(config),
        Err(problems) => {
            assert!(problems.count() > 0, "refused, and nothing is wrong");
            for problem in problems.iter() {
                assert!(!problem.path.is_empty() && !problem.found.is_empty() && !problem.allowed.is_empty());
            }
            let text = problems.to_string();
            assert!(text.len() <= MAX_TEXT && !text.contains(SECRET));
            None
        }
    }
}

fn tagged(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push((len & 0x7f).to_le_bytes()[0] | 0x80);
        len >>= 7;
    }
    out.push(len.to_le_bytes()[0]);
    [&out, bytes].concat()
}

/// The members of a `google.protobuf.Struct` in binary, as Envoy hands over a configuration that is written as one.
pub(crate) fn protobuf(map: &Map<String, Value>) -> Vec<u8> {
    fn value(of: &Value) -> Vec<u8> {
        match of {
            Value::Null => vec![8, 0],
            Value::Bool(truth) => vec![32, u8::from(*truth)],
            Value::Number(number) => [&[17][..], &number.as_f64().expect("a number").to_le_bytes()].concat(),
            Value::String(text) => tagged(3, text.as_bytes()),
            Value::Array(items) => {
                tagged(6, &items.iter().flat_map(|item| tagged(1, &value(item))).collect::<Vec<_>>())
            }
            Value::Object(map) => tagged(5, &protobuf(map)),
        }
    }
    map.iter()
        .flat_map(|(name, member)| tagged(1, &[tagged(1, name.as_bytes()), tagged(2, &value(member))].concat()))
        .collect()
}

/// Whether a double says each number of it exactly, and the nesting is what both forms take.
fn fits_protobuf(value: &Value, depth: u8) -> bool {
    match value {
        Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
        Value::Array(items) => depth < 16 && items.iter().all(|item| fits_protobuf(item, depth + 1)),
        Value::Object(map) => depth < 16 && map.values().all(|member| fits_protobuf(member, depth + 1)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Any bytes as a configuration: one, or at least one problem that has a path. Both of its forms mean the same, and a key that nobody
/// knows is refused wherever all the rest is right.
pub fn config(data: &[u8]) {
    let config = parse(data);
    let Ok(Value::Object(mut map)) = serde_json::from_slice(data) else { return };
    let again = parse(Value::Object(map.clone()).to_string().as_bytes());
    assert_eq!(again, config, "written again");
    let is_empty = map.is_empty();
    if !is_empty && fits_protobuf(&Value::Object(map.clone()), 0) {
        assert_eq!(parse(&protobuf(&map)), config, "in binary");
    }
    map.insert("no_such_key".to_owned(), json!(1));
    assert_eq!(parse(Value::Object(map).to_string().as_bytes()), None, "an unknown key");
}
