//! What a fuzzer begins with: the bodies of the golden fixtures, in the form that each target takes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    eventstream::message,
    exchange::{self},
    json::operations,
};

/// A body of a fixture and what it is.
struct Fixture {
    dialect: String,
    request: Vec<u8>,
    response: Vec<u8>,
    is_sse: bool,
    head: String,
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap_or_else(|error| panic!("{}: {error}", of.display()));
    let mut folders: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/dialects");
    let cases: Vec<PathBuf> = folders(&root).iter().flat_map(|dialect| folders(dialect)).collect();
    let read = |case: &PathBuf| -> Option<Fixture> {
        let exchange: Value = serde_json::from_slice(&fs::read(case.join("exchange.json")).ok()?).ok()?;
        let files = fs::read_dir(case).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        let body = files.into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == "response"))?;
        let is_sse = body.extension().is_some_and(|extension| extension == "sse");
        let response = fs::read(&body).ok()?;
        let text = |name: &str| exchange[name].as_str().unwrap_or_default().to_owned();
        let mut head = format!(
            ":method:POST\n:authority:{}\n:path:{}\nauthorization:Bearer e30.e30.x\ntraceparent:00-{}-{}-01\n\n:status:{}\n",
            text("host"),
            text("path"),
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "00f067aa0ba902b7",
            exchange["status"]
        );
        for (name, value) in exchange["headers"].as_object()? {
            head.push_str(&format!("{name}:{}\n", value.as_str()?));
        }
        head.push_str("Sun, 06 Nov 1994 08:49:37 GMT");
        let dialect = case.parent()?.file_name()?.to_string_lossy().into_owned();
        Some(Fixture { dialect, request: exchange["request"].to_string().into(), response, is_sse, head })
    };
    cases.iter().filter_map(read).chain(BODIES.iter().map(plain)).collect()
}

/// Replies of dialects whose counters have a convention of their own.
const BODIES: [(&str, &str); 6] = [
    (
        "gemini.generate",
        r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"cachedContentTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":3,"toolUsePromptTokenCount":2,"totalTokenCount":19}}"#,
    ),
    (
        "bedrock.converse",
        r#"{"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":4,"cacheReadInputTokens":5,"totalTokens":12}}"#,
    ),
    (
        "bedrock.invoke",
        r#"{"prompt_token_count":3,"generation_token_count":4,"stop_reason":"stop","inputTextTokenCount":5}"#,
    ),
    (
        "cohere.v2",
        r#"{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":8,"output_tokens":4},"tokens":{"input_tokens":1394,"output_tokens":4},"cached_tokens":1360}}"#,
    ),
    ("openai.embeddings", r#"{"data":[{"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#),
    (
        "openai.responses",
        r#"{"id":"r","status":"completed","usage":{"input_tokens":8,"input_tokens_details":{"cached_tokens":3},"output_tokens":4,"total_tokens":12}}"#,
    ),
];

fn plain((dialect, response): &(&str, &str)) -> Fixture {
    let (dialect, response) = ((*dialect).to_owned(), response.as_bytes().to_vec());
    let request = br#"{"model":"m","stream":false,"input":"hi"}"#.to_vec();
    Fixture { dialect, request, response, is_sse: false, head: ":method:GET\n\n:status:200\n7".to_owned() }
}

/// The exchange of a fixture in the form of that target, whole and cut off.
fn exchanges(fixture: &Fixture) -> Vec<Vec<u8>> {
    let pick = operations().position(|operation| operation.dialect_name() == fixture.dialect && operation.is_billed());
    let pick = pick.and_then(|pick| u8::try_from(pick).ok()).unwrap_or(0);
    let len = u16::try_from(fixture.request.len()).unwrap_or(u16::MAX).to_le_bytes();
    let plan = |what: u8| {
        let kind = u8::from(fixture.is_sse);
        let plan: [u8; exchange::PLAN] = [pick, kind, 0, what, len[0], len[1]];
        [&[3, 0], &plan[..], &fixture.request, &fixture.response].concat()
    };
    vec![plan(0), plan(8), plan(12)]
}

fn configurations() -> Vec<Vec<u8>> {
    let sink = r#""sink":{"cluster":"collector"}"#;
    let texts = [
        format!("{{{sink}}}"),
        format!(
            r#"{{{sink},"identity":{{"tenant":[{{"from":"header","name":"x-tenant"}},{{"from":"credential"}},{{"from":"constant","value":"u"}}],"on_missing":"reject","credential_key_env":"SECRET"}}}}"#
        ),
        format!(
            r#"{{{sink},"limits":[{{"id":"tpm","per":["tenant","model"],"match":{{"provider":["openai"],"model":["gpt-4o*"]}},"unit":"tokens","amount":2e5,"window":{{"kind":"fixed","per":"minute"}},"reserve":"worst_case","on_exceed":"reject"}}]}}"#
        ),
        format!(
            r#"{{{sink},"providers":{{"unknown":"reject","prefix_authorities":["[::1]","a:80"],"extra":[{{"id":"v","hosts":["*.corp"],"dialects":["openai.chat"],"tls":false,"authority":"v.corp:8000"}}]}}}}"#
        ),
        format!(
            r#"{{{sink},"prices":{{"overrides":[{{"provider":"v","model":"l-*","input_usd_per_mtok":"0.10","output_usd_per_mtok":"0.40"}}],"discounts":[{{"provider":"openai","factor":"0.85"}}]}},"tags":{{"response_headers":"usage","metrics":{{"tenant":true,"max_series":7}}}},"header_hold":true,"max_hold_bytes":0}}"#
        ),
        r#"{"sink":{"cluster":"c","authority":"a.b:1","path":"/x?y","headers":{"authorization":{"env":"SECRET"},"x":{"value":"1"}},"timeout_ms":5000,"batch":{"max_events":1,"max_bytes":1024,"max_delay_ms":0},"retry":{"base_ms":1,"max_ms":2,"give_up_after_secs":3},"queue":{"max_bytes":65536},"heartbeat_secs":1}}"#.to_owned(),
    ];
    let binary =
        texts.iter().filter_map(|text| serde_json::from_str(text).ok()).map(|map| crate::config::protobuf(&map));
    binary.chain(texts.iter().map(|text| text.as_bytes().to_vec())).collect()
}

/// Inputs of that target that make sense.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let fixtures = fixtures();
    let bodies = |wanted: &dyn Fn(&Fixture) -> bool, head: &[u8]| -> Vec<Vec<u8>> {
        fixtures.iter().filter(|fixture| wanted(fixture)).map(|fixture| [head, &fixture.response].concat()).collect()
    };
    match target {
        "sse" | "hide" => bodies(&|fixture| fixture.is_sse, &[2, 0]),
        "json" => {
            let everything = br#"{"a":[1,-2.5e3,"\u00e9\ud83d\ude00",{"b":null,"a":true,"c":[[]]}],"b":"a\"b\\"}"#;
            let mut seeds = bodies(&|fixture| !fixture.is_sse, &[2, 0, 2]);
            seeds.push([&[1, 0, 0], &everything[..]].concat());
            seeds
        }
        "gzip" | "deflate" | "base64_member" => bodies(&|_| true, &[2, 0, 6]),
        "ndjson" => {
            let lines: &[u8] = b"{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n\
                {\"model\":\"llama3.2\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":26,\
                \"eval_count\":298}\n";
            let mut seeds = bodies(&|fixture| !fixture.is_sse, &[2, 0, 1]);
            seeds.push([&[2, 0, 0], lines].concat());
            seeds
        }
        "eventstream" => {
            let headers: [(&[u8], &[u8]); 2] = [(b":message-type", b"event"), (b":event-type", b"metadata")];
            let one = message(&headers, br#"{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}"#);
            let plan =
                [&[2, 0][..], &[2, 1, 5], b"{\"a\"}", &[1, 2, 6, 1, b'x', 0, 0, 0, 0], &[0x40, 0, 1, b'{']].concat();
            vec![[&[2, 0], &one[..], &one].concat(), plan]
        }
        "websocket" => {
            let frames: &[u8] = b"\x81\x05hello\x01\x03{\"a\x89\x00\x80\x05\":1}!\x88\x02\x03\xe8";
            let masked: &[u8] = b"\x81\x83\x01\x02\x03\x04ijk\xc1\x83\x01\x02\x03\x04ijk";
            vec![
                [&[2, 0, 0], frames].concat(),
                [&[2, 0, 3], masked].concat(),
                [&[2, 0, 1, 7, 4], &b"text\x02\x03abc"[..]].concat(),
            ]
        }
        "config" => configurations(),
        "headers" => fixtures.iter().map(|fixture| [&[2, 0], fixture.head.as_bytes()].concat()).collect(),
        "exchange" => fixtures.iter().flat_map(exchanges).collect(),
        _ => Vec::new(),
    }
}
