use serde_json::{Value, json};

use super::*;

/// As the encoder writes it, with all that is awkward.
const EVENT: &str = concat!(
    r#"{"specversion":"1.0","id":"0190-1","source":"urn:meterr:n\"1","type":"ai.meterr.usage.v1","subject":"a,}{b","#,
    r#""time":"2027-01-15T08:00:00.123Z","datacontenttype":"application/json","data":{"tenant":"a,}{b","#,
    r#""labels":{"te\"am":"x\\","b":"ü"},"provider":"google-ai-studio","operation":"chat","request_model":"g:1","#,
    r#""stream":true,"finish_reason":"stop","status":200,"input_tokens":18446744073709551615,"output_tokens":7,"#,
    r#""audio_seconds":1.250000000000000000001,"cost_usd":"0.000000000001","billable":true,"#,
    r#""limits":[{"id":"a","remaining":-5},{"id":"b","would_reject":false}],"trace_id":"0af7","span_id":"b7ad","seq":3}}"#,
);

fn events() -> Vec<Vec<u8>> {
    vec![EVENT.as_bytes().to_vec(), EVENT.replace("0190-1", "0190-2").into_bytes()]
}

#[test]
fn ok_cloudevents_are_an_array() {
    let body: Value = serde_json::from_slice(&Format::CloudEvents.body(&events())).expect("JSON");
    assert_eq!([&body[0]["id"], &body[1]["id"]], ["0190-1", "0190-2"]);
    assert_eq!(Format::CloudEvents.body(&[]), b"[]");
}

#[test]
fn ok_a_line_is_data_with_the_envelope_merged_in() {
    let body = String::from_utf8(Format::Ndjson.body(&events())).expect("text");
    assert!(body.ends_with("}\n") && body.lines().count() == 2, "{body}");
    let event: Value = serde_json::from_str(EVENT).expect("JSON");
    let mut expected = event["data"].clone();
    for name in ["id", "time", "source", "type", "subject"] {
        expected[name] = event[name].clone();
    }
    let line = body.lines().next().expect("a line");
    assert_eq!(serde_json::from_str::<Value>(line).expect("JSON"), expected);
    assert!(line.contains("\"audio_seconds\":1.250000000000000000001,"), "decimals stay exact: {line}");
}

#[test]
fn ok_a_log_record_says_all_that_the_event_says() {
    let body: Value = serde_json::from_slice(&Format::OtlpLogs.body(&events())).expect("JSON");
    let logs = &body["resourceLogs"][0];
    let instance = json!({ "key": "service.instance.id", "value": { "stringValue": "urn:meterr:n\"1" } });
    assert_eq!(logs["resource"]["attributes"][1], instance);
    let records = logs["scopeLogs"][0]["logRecords"].as_array().expect("an array");
    assert_eq!(records.len(), 2);
    let record = &records[0];
    assert_eq!(record["timeUnixNano"], "1800000000123000000");
    assert_eq!([&record["eventName"], &record["traceId"], &record["spanId"]], ["ai.meterr.usage", "0af7", "b7ad"]);
    assert_eq!(record["severityNumber"], 9);
    let attributes = record["attributes"].as_array().expect("an array");
    let limits = json!({ "arrayValue": { "values": [
        { "kvlistValue": { "values": [
            { "key": "id", "value": { "stringValue": "a" } }, { "key": "remaining", "value": { "intValue": "-5" } },
        ] } },
        { "kvlistValue": { "values": [
            { "key": "id", "value": { "stringValue": "b" } }, { "key": "would_reject", "value": { "boolValue": false } },
        ] } },
    ] } });
    let expected = [
        ("meterr.id", json!({ "stringValue": "0190-1" })),
        ("meterr.source", json!({ "stringValue": "urn:meterr:n\"1" })),
        ("meterr.subject", json!({ "stringValue": "a,}{b" })),
        ("meterr.tenant", json!({ "stringValue": "a,}{b" })),
        ("meterr.labels.te\"am", json!({ "stringValue": "x\\" })),
        ("meterr.labels.b", json!({ "stringValue": "ü" })),
        ("gen_ai.provider.name", json!({ "stringValue": "gcp.gemini" })),
        ("meterr.provider", json!({ "stringValue": "google-ai-studio" })),
        ("gen_ai.operation.name", json!({ "stringValue": "chat" })),
        ("gen_ai.request.model", json!({ "stringValue": "g:1" })),
        ("gen_ai.request.stream", json!({ "boolValue": true })),
        ("gen_ai.response.finish_reasons", json!({ "arrayValue": { "values": [{ "stringValue": "stop" }] } })),
        ("meterr.status", json!({ "intValue": "200" })),
        ("gen_ai.usage.input_tokens", json!({ "stringValue": "18446744073709551615" })),
        ("gen_ai.usage.output_tokens", json!({ "intValue": "7" })),
        ("meterr.audio_seconds", json!({ "doubleValue": 1.25 })),
        ("meterr.cost_usd", json!({ "stringValue": "0.000000000001" })),
        ("meterr.billable", json!({ "boolValue": true })),
        ("meterr.limits", limits),
        ("meterr.seq", json!({ "intValue": "3" })),
    ];
    let expected: Vec<Value> = expected.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    assert_eq!(attributes, &expected);
}

#[test]
fn err_what_is_no_event_harms_nothing() {
    for bytes in ["", "{", "{}", "[]", "null", r#"{"data":{"#, r#"{"data":[1}"#, r#"{"id":"\"#, r#"{"a":}"#, "\u{fffd}"]
    {
        for format in [Format::CloudEvents, Format::OtlpLogs, Format::Ndjson] {
            let body = format.body(&[bytes.as_bytes().to_vec()]);
            if format != Format::CloudEvents {
                serde_json::from_slice::<Value>(&body).expect("JSON all the same");
            }
        }
    }
    let deep = format!(r#"{{"data":{{"x":{}1{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    serde_json::from_slice::<Value>(&Format::OtlpLogs.body(&[deep.into_bytes()])).expect("JSON");
}

#[test]
fn ok_partial_success() {
    for (answer, rejected) in [
        (r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too\nold"}}"#, Some((3, "tooold"))),
        (r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, Some((2, ""))),
        (r#"{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"a warning"}}"#, None),
        (r#"{"partialSuccess":null}"#, None),
        ("{}", None),
        ("", None),
        (r#"{"partialSuccess":{"rejectedLogRecords":-1}}"#, None),
    ] {
        assert_eq!(rejected_records(answer.as_bytes()), rejected.map(|(count, text)| (count, text.to_owned())));
    }
}

#[test]
fn ok_gzip() {
    use std::io::Read as _;
    let body = Format::CloudEvents.body(&vec![EVENT.as_bytes().to_vec(); 100]);
    let small = gzip(&body).expect("memory never fails");
    assert!(small.len() * 10 < body.len(), "{} of {}", small.len(), body.len());
    let mut again = Vec::new();
    flate2::read::GzDecoder::new(&*small).read_to_end(&mut again).expect("gzip");
    assert_eq!(again, body);
}
