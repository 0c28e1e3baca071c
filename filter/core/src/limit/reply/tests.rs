use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::{
    dialect::DialectId,
    limit::{LimitState, Unit},
    provider::table,
};

const NOW: Timestamp = Timestamp::from_secs(1_787_150_022);
const ID: &str = "01a20fb0-90a7-7000-8000-000000000000";

fn refusal(kind: RefusalKind) -> Refusal {
    let limit = LimitState {
        id: Rc::from("tpm"),
        unit: Unit::Tokens,
        amount: 1_000,
        held: 0,
        settled: 0,
        remaining: 0,
        reset_at: NOW.secs() + 30,
        decision: "rejected",
        would_reject: None,
        window_secs: Some(60),
    };
    Refusal { kind, states: vec![limit.clone()], limit, wait_ms: 30_000, queue: None, unsettled: None }
}

fn told(kind: RefusalKind, shape: ErrorShape) -> (LocalReply, Value) {
    let reply = reply(&refusal(kind), shape, ID, NOW);
    let body = serde_json::from_slice(&reply.body).expect("JSON");
    (reply, body)
}

fn header<'r>(reply: &'r LocalReply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

const RATE: &str = "Limit tpm of 1000 tokens is reached. It resets at 2026-08-19T14:34:12.000Z.";

/// The body of a refusal in every shape.
fn rate_limited(shape: ErrorShape) -> Value {
    match shape {
        ErrorShape::OpenAi => {
            json!({ "error": { "message": RATE, "type": "tokens", "param": null, "code": "rate_limit_exceeded" } })
        }
        ErrorShape::Azure => json!({ "error": { "code": "RateLimitReached", "message": RATE } }),
        ErrorShape::Anthropic => json!({ "type": "error", "error": { "type": "rate_limit_error", "message": RATE,
            "details": { "error_code": "rate_limit_exceeded" } }, "request_id": ID }),
        ErrorShape::Google => json!({ "error": { "code": 429, "message": RATE, "status": "RESOURCE_EXHAUSTED",
            "details": [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30.000s" }] } }),
        ErrorShape::Aws => json!({ "message": RATE }),
        ErrorShape::Cohere => json!({ "id": ID, "message": RATE }),
        ErrorShape::Mistral => {
            json!({ "object": "error", "message": RATE, "type": "rate_limited", "param": null, "code": "1300" })
        }
        ErrorShape::Xai => json!({ "code": "rate_limit_exceeded", "error": RATE }),
        ErrorShape::Perplexity => json!({ "error": { "message": RATE, "type": "rate_limit_exceeded", "code": 429 } }),
        ErrorShape::OpenRouter => {
            json!({ "error": { "code": 429, "message": RATE, "metadata": { "error_code": "rate_limit_exceeded" } } })
        }
        ErrorShape::Cerebras => {
            json!({ "message": RATE, "type": "tokens", "param": null, "code": "rate_limit_exceeded" })
        }
        ErrorShape::Detail => json!({ "detail": RATE }),
        ErrorShape::Nvidia => json!({ "status": 429, "title": "Too Many Requests", "detail": RATE }),
        ErrorShape::Cloudflare => {
            json!({ "success": false, "errors": [{ "code": 429, "message": RATE }], "messages": [], "result": null })
        }
        ErrorShape::Tgi => json!({ "error": RATE, "error_type": "overloaded" }),
        ErrorShape::Text => json!({ "error": RATE }),
        ErrorShape::DashScope => json!({ "code": "Throttling.RateQuota", "message": RATE, "request_id": ID }),
        ErrorShape::Watsonx => {
            json!({ "errors": [{ "code": "rate_limit_reached_requests", "message": RATE }], "trace": ID,
            "status_code": 429 })
        }
    }
}

#[test]
fn ok_each_shape_is_written_as_its_provider_writes_it() {
    for shape in ErrorShape::ALL {
        let (reply, body) = told(RefusalKind::RateLimit, *shape);
        assert_eq!((reply.status, body), (429, rate_limited(*shape)), "{shape:?}");
        assert_eq!(header(&reply, "content-type"), Some("application/json"));
        let waits = ["retry-after", "retry-after-ms", "x-should-retry"].map(|name| header(&reply, name));
        assert_eq!(waits, [Some("30"), Some("30000"), Some("true")], "{shape:?}");
        let aws = [header(&reply, "x-amzn-errortype"), header(&reply, "x-amz-retry-after")];
        let expected = [Some("ThrottlingException"), Some("30000")];
        assert_eq!(aws, if *shape == ErrorShape::Aws { expected } else { [None; 2] });
        assert_eq!(ErrorShape::from_name(shape.name()), Some(*shape));
    }
    let distinct: std::collections::HashSet<&&str> = ErrorShape::NAMES.iter().collect();
    assert_eq!(distinct.len(), ErrorShape::ALL.len());
}

#[test]
fn ok_each_dialect_has_its_shape() {
    let expected = |name: &str| match name {
        "anthropic.messages" => ErrorShape::Anthropic,
        "gemini.generate" | "gemini.interactions" => ErrorShape::Google,
        "bedrock.converse" | "bedrock.invoke" => ErrorShape::Aws,
        "cohere.v1" | "cohere.v2" => ErrorShape::Cohere,
        "ollama" => ErrorShape::Text,
        "dashscope" => ErrorShape::DashScope,
        "watsonx" => ErrorShape::Watsonx,
        "tgi" => ErrorShape::Tgi,
        // Rows of these say what theirs are.
        "llamacpp" | "cloudflare" | "mistral" => ErrorShape::OpenAi,
        name if name.starts_with("openai.") || name == "rerank" => ErrorShape::OpenAi,
        name => panic!("{name} has no shape in this test"),
    };
    for dialect in DialectId::ALL {
        for operation in dialect.operations() {
            assert_eq!(operation.errors, expected(dialect.name()), "{operation:?}");
        }
    }
}

#[test]
fn ok_a_row_brings_its_own_shape_only_where_the_dialects_is_openais() {
    let row = |id: &str| table::rows().iter().find(|row| row.id == id).expect("a row");
    for (id, dialect, shape) in [
        ("openai", ErrorShape::OpenAi, ErrorShape::OpenAi),
        ("azure-openai", ErrorShape::OpenAi, ErrorShape::Azure),
        ("azure-foundry", ErrorShape::Anthropic, ErrorShape::Anthropic),
        ("xai", ErrorShape::OpenAi, ErrorShape::Xai),
        ("xai", ErrorShape::Anthropic, ErrorShape::Anthropic),
        ("mistral", ErrorShape::OpenAi, ErrorShape::Mistral),
        ("voyage", ErrorShape::OpenAi, ErrorShape::Detail),
        ("bedrock", ErrorShape::Aws, ErrorShape::Aws),
    ] {
        assert_eq!(row(id).errors_in(dialect), shape, "{id}");
    }
}

#[test]
fn ok_every_refusal_names_the_limit_in_every_shape() {
    let kinds = [
        (RefusalKind::RateLimit, 429),
        (RefusalKind::Budget, 429),
        (RefusalKind::RequestExceedsLimit, 429),
        (RefusalKind::Unbounded, 429),
        (RefusalKind::Store, 503),
    ];
    for shape in ErrorShape::ALL {
        for (kind, status) in kinds {
            let (reply, body) = told(kind, *shape);
            assert_eq!(reply.status, status);
            let text = body.to_string();
            assert!(text.contains("tpm") && text.contains("1000 tokens"), "{shape:?} {kind:?}: {text}");
            assert_eq!(
                header(&reply, "retry-after").is_some(),
                matches!(kind, RefusalKind::RateLimit | RefusalKind::Store)
            );
        }
        let unauthorized = unauthorized(*shape, "No tenant.", ID);
        let body: Value = serde_json::from_slice(&unauthorized.body).expect("JSON");
        assert!(unauthorized.status == 401 && body.to_string().contains("No tenant."), "{shape:?}: {body}");
    }
    let code = |shape| told(RefusalKind::Budget, shape).1["error"]["code"].clone();
    assert_eq!(
        [code(ErrorShape::OpenAi), code(ErrorShape::Azure)],
        [json!("insufficient_quota"), json!("insufficient_quota")]
    );
    let (_, anthropic) = told(RefusalKind::Budget, ErrorShape::Anthropic);
    assert_eq!(anthropic["error"]["details"]["error_code"], "budget_exceeded");
    let aws = |kind| header(&told(kind, ErrorShape::Aws).0, "x-amzn-errortype").map(str::to_owned);
    for kind in [RefusalKind::Budget, RefusalKind::RequestExceedsLimit, RefusalKind::Unbounded, RefusalKind::Unpriced] {
        assert_eq!(aws(kind).as_deref(), Some("ServiceQuotaExceededException"), "no wait helps");
    }
    assert_eq!(aws(RefusalKind::Store).as_deref(), Some("ServiceUnavailableException"));
    let google = told(RefusalKind::Budget, ErrorShape::Google).1;
    assert_eq!(google["error"].get("details"), None, "no wait helps");
}

#[test]
fn ok_back_pressure_tells_the_time_that_is_left() {
    for (until_ms, secs, ms, retries) in [
        (1, "1", "1", "true"),
        (1_500, "2", "1500", "true"),
        (60_000, "60", "60000", "true"),
        (60_001, "61", "60001", "false"),
    ] {
        for shape in ErrorShape::ALL {
            let reply = backpressure("openai", NOW.plus_millis(until_ms), *shape, ID, NOW);
            let waits = ["retry-after", "retry-after-ms", "x-should-retry"].map(|name| header(&reply, name));
            assert_eq!((reply.status, waits), (429, [Some(secs), Some(ms), Some(retries)]), "{shape:?}");
            let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert!(body.to_string().contains("Provider openai"), "{body}");
        }
    }
    let reply = backpressure("vertex-ai", NOW.plus_millis(1_500), ErrorShape::Google, ID, NOW);
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(body["error"]["details"][0]["retryDelay"], "1.500s");
}
