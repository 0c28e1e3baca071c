//! What is made later is billed once, however often its usage is told.

use serde_json::{Value, json};

use super::{World, view};
use crate::exchange::Exchange;

/// One exchange; its event's data.
fn ask(world: &mut World, host: &str, asked: &str, request: &Value, reply: &str) -> Value {
    let (method, path) = asked.split_once(' ').expect("method and path");
    let mut exchange = Exchange::default();
    let body = if request.is_null() { String::new() } else { request.to_string() };
    let headers =
        view(&[(":method", method), (":authority", host), (":path", path), ("content-type", "application/json")]);
    let _held = world.step(|service, host| exchange.on_request_headers(&headers, body.is_empty(), service, host));
    if !body.is_empty() {
        let _held = world.step(|service, host| exchange.on_request_body(body.as_bytes(), true, service, host));
    }
    world.response(&mut exchange, &[(":status", "200"), ("content-type", "application/json")]);
    world.body(&mut exchange, reply, true);
    world.events().pop().expect("an event")["data"].take()
}

fn get(world: &mut World, host: &str, path: &str, reply: &Value) -> Value {
    ask(world, host, &format!("GET {path}"), &Value::Null, &reply.to_string())
}

#[track_caller]
fn assert_data(data: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("fields") {
        assert_eq!(&data[name], value, "{name}: {data:#}");
    }
}

const OPENAI: &str = "api.openai.com";

fn response(status: &str, usage: Value) -> Value {
    json!({ "id": "resp_1", "object": "response", "background": true, "model": "gpt-5", "status": status, "usage": usage, "output": [] })
}

fn counts() -> Value {
    json!({ "input_tokens": 8, "output_tokens": 9, "total_tokens": 17 })
}

#[test]
fn ok_a_background_response_is_billed_by_the_first_reading_that_tells() {
    let mut world = World::new(&json!([]));
    let request = json!({ "model": "gpt-5", "input": "Hi.", "background": true });
    let queued = response("queued", Value::Null).to_string();
    let started = ask(&mut world, OPENAI, "POST /v1/responses", &request, &queued);
    assert_data(
        &started,
        &json!({ "usage_status": "missing", "input_tokens": null, "cost_status": "unpriced", "billable": true }),
    );
    let polled = get(&mut world, OPENAI, "/v1/responses/resp_1", &response("in_progress", Value::Null));
    assert_data(&polled, &json!({ "usage_status": "none", "billable": false, "cost_status": "free" }));
    let done = response("completed", counts());
    let first = get(&mut world, OPENAI, "/v1/responses/resp_1", &done);
    assert_data(
        &first,
        &json!({ "usage_status": "reported", "input_tokens": 8, "output_tokens": 9, "billable": true, "cost_status": "priced" }),
    );
    for _ in 0..2 {
        let again = get(&mut world, OPENAI, "/v1/responses/resp_1", &done);
        assert_data(&again, &json!({ "input_tokens": 8, "billable": false, "cost_status": "free", "cost_usd": null }));
    }
}

#[test]
fn ok_a_response_that_was_billed_at_once_is_not_billed_by_a_reading() {
    let mut world = World::new(&json!([]));
    let done = response("completed", counts());
    let request = json!({ "model": "gpt-5", "input": "Hi." });
    let made = ask(&mut world, OPENAI, "POST /v1/responses", &request, &done.to_string());
    assert_data(&made, &json!({ "usage_status": "reported", "billable": true }));
    assert_data(
        &get(&mut world, OPENAI, "/v1/responses/resp_1", &done),
        &json!({ "billable": false, "cost_status": "free" }),
    );
}

#[test]
fn ok_what_is_cancelled_before_it_starts_is_never_billed() {
    let mut world = World::new(&json!([]));
    let request = json!({ "model": "gpt-5", "input": "Hi.", "background": true });
    let _started =
        ask(&mut world, OPENAI, "POST /v1/responses", &request, &response("queued", Value::Null).to_string());
    let cancelled = response("cancelled", Value::Null);
    let reply = cancelled.to_string();
    let told = ask(&mut world, OPENAI, "POST /v1/responses/resp_1/cancel", &Value::Null, &reply);
    assert_data(
        &told,
        &json!({ "operation": "cancel", "usage_status": "none", "billable": false, "cost_status": "free" }),
    );
    let read = get(&mut world, OPENAI, "/v1/responses/resp_1", &cancelled);
    assert_data(&read, &json!({ "usage_status": "none", "billable": false }));
}

#[test]
fn ok_what_a_failed_response_has_used_is_billed_once() {
    let mut world = World::new(&json!([]));
    let request = json!({ "model": "gpt-5", "input": "Hi.", "background": true });
    let _started =
        ask(&mut world, OPENAI, "POST /v1/responses", &request, &response("queued", Value::Null).to_string());
    let mut failed = response("failed", counts());
    failed["error"] = json!({ "code": "server_error", "message": "no" });
    let first = get(&mut world, OPENAI, "/v1/responses/resp_1", &failed);
    assert_data(
        &first,
        &json!({ "outcome": "provider_error", "input_tokens": 8, "usage_status": "reported", "billable": true }),
    );
    let again = get(&mut world, OPENAI, "/v1/responses/resp_1", &failed);
    assert_data(
        &again,
        &json!({ "outcome": "provider_error", "input_tokens": 8, "billable": false, "cost_status": "free" }),
    );
}

fn batch(status: &str, usage: Value) -> Value {
    json!({ "id": "batch_1", "object": "batch", "model": "gpt-5-2025-08-07", "status": status, "usage": usage })
}

#[test]
fn ok_a_batch_is_billed_once_and_its_files_never() {
    let mut world = World::new(&json!([]));
    let request = json!({ "input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h" });
    let started = ask(&mut world, OPENAI, "POST /v1/batches", &request, &batch("validating", Value::Null).to_string());
    assert_data(
        &started,
        &json!({ "operation": "batch", "usage_status": "none", "billable": false, "cost_status": "free" }),
    );
    // A batch that is not done may tell a usage of zeros.
    let zeros = json!({ "input_tokens": 0, "output_tokens": 0, "total_tokens": 0 });
    let polled = get(&mut world, OPENAI, "/v1/batches/batch_1", &batch("in_progress", zeros));
    assert_data(&polled, &json!({ "billable": false }));
    let done = batch(
        "completed",
        json!({ "input_tokens": 800, "output_tokens": 90, "total_tokens": 890,
        "input_tokens_details": { "cached_tokens": 100 }, "output_tokens_details": { "reasoning_tokens": 50 } }),
    );
    let first = get(&mut world, OPENAI, "/v1/batches/batch_1", &done);
    assert_data(
        &first,
        &json!({ "dialect": "openai.batches", "endpoint": "/v1/batches/{id}", "input_tokens": 800, "cache_read_tokens": 100,
        "output_tokens": 90, "reasoning_tokens": 50, "service_tier": "batch", "billable": true, "finish_reason": "completed" }),
    );
    assert_data(
        &get(&mut world, OPENAI, "/v1/batches/batch_1", &done),
        &json!({ "input_tokens": 800, "billable": false }),
    );
    let events = world.events().len();
    let mut exchange = Exchange::default();
    let file = view(&[(":method", "GET"), (":authority", OPENAI), (":path", "/v1/files/file-2/content")]);
    let _passes = world.step(|service, host| exchange.on_request_headers(&file, true, service, host));
    world.body(&mut exchange, r#"{"custom_id":"a","response":{"body":{"usage":{"prompt_tokens":800}}}}"#, true);
    assert_eq!(world.events().len(), events, "files are not metered");
    // Started elsewhere, or before a restart.
    let mut other = batch("completed", counts());
    other["id"] = json!("batch_2");
    assert_data(
        &get(&mut world, OPENAI, "/v1/batches/batch_2", &other),
        &json!({ "input_tokens": 8, "billable": false }),
    );
}

fn line(id: &str, model: &str, output: u64) -> String {
    json!({ "custom_id": id, "result": { "type": "succeeded", "message": { "id": "msg", "model": model, "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "\"usage\"" }], "usage": { "input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": output,
        "service_tier": "batch" } } } })
    .to_string()
}

const CLAUDE: &str = "api.anthropic.com";

#[test]
fn ok_the_lines_of_a_message_batch_are_summed_and_billed_once() {
    let mut world = World::new(&json!([]));
    for (id, models, flags) in [
        ("msgbatch_1", ["claude-sonnet-4-5"; 2], Value::Null),
        ("msgbatch_2", ["claude-sonnet-4-5", "claude-opus-4-1"], json!("mixed_models")),
    ] {
        let begun = json!({ "id": id, "type": "message_batch", "processing_status": "in_progress" }).to_string();
        let started = ask(&mut world, CLAUDE, "POST /v1/messages/batches", &json!({ "requests": [] }), &begun);
        assert_data(&started, &json!({ "operation": "batch", "usage_status": "none", "billable": false }));
        let failed =
            json!({ "custom_id": "c", "result": { "type": "errored", "error": { "type": "error" } } }).to_string();
        let lines = format!("{}\n{failed}\n{}\n", line("a", models[0], 7), line("b", models[1], 5));
        let path = format!("/v1/messages/batches/{id}/results");
        let cut = ask(&mut world, CLAUDE, &format!("GET {path}"), &Value::Null, lines.split_at(lines.len() - 20).0);
        assert_data(&cut, &json!({ "billable": false, "outcome": "upstream_reset" }));
        let told = ask(&mut world, CLAUDE, &format!("GET {path}"), &Value::Null, &lines);
        assert_data(
            &told,
            &json!({ "input_tokens": 220, "input_uncached_tokens": 20, "cache_read_tokens": 200, "output_tokens": 12,
            "service_tier": "batch", "billable": true, "outcome": "completed", "usage_status": "reported", "usage_flags": flags }),
        );
        assert_eq!(told["cost_usd"].is_string(), flags.is_null(), "several models have no one price");
        let again = ask(&mut world, CLAUDE, &format!("GET {path}"), &Value::Null, &lines);
        assert_data(&again, &json!({ "input_tokens": 220, "billable": false, "cost_status": "free" }));
    }
}

#[test]
fn ok_a_gemini_batch_tells_everything_twice_and_is_counted_once() {
    let mut world = World::new(&json!([]));
    let host = "generativelanguage.googleapis.com";
    let state = |state: &str| json!({ "name": "batches/x1", "metadata": { "model": "models/gemini-2.5-flash", "state": state } });
    let started = ask(
        &mut world,
        host,
        "POST /v1beta/models/gemini-2.5-flash:batchGenerateContent",
        &json!({ "batch": {} }),
        &state("BATCH_STATE_PENDING").to_string(),
    );
    assert_data(&started, &json!({ "usage_status": "none", "billable": false, "request_model": "gemini-2.5-flash" }));
    let polled = get(&mut world, host, "/v1beta/batches/x1", &state("BATCH_STATE_RUNNING"));
    assert_data(&polled, &json!({ "usage_status": "none", "billable": false }));
    let reply = |thoughts: u64| {
        json!({ "response": { "modelVersion": "gemini-2.5-flash", "usageMetadata": { "promptTokenCount": 13,
        "candidatesTokenCount": 1, "thoughtsTokenCount": thoughts, "totalTokenCount": 14 + thoughts } } })
    };
    let inlined = json!({ "inlinedResponses": { "inlinedResponses": [reply(43), reply(53)] } });
    let mut done = state("BATCH_STATE_SUCCEEDED");
    done["metadata"]["output"] = inlined.clone();
    done["done"] = json!(true);
    done["response"] = inlined;
    let first = get(&mut world, host, "/v1beta/batches/x1", &done);
    assert_data(
        &first,
        &json!({ "input_tokens": 26, "output_tokens": 98, "reasoning_tokens": 96, "total_tokens": 124, "billable": true, "usage_flags": null }),
    );
    assert_data(&get(&mut world, host, "/v1beta/batches/x1", &done), &json!({ "input_tokens": 26, "billable": false }));
}

fn run(status: &str, usage: Value) -> Value {
    json!({ "id": "run_1", "object": "thread.run", "model": "gpt-4o", "status": status, "usage": usage, "last_error": null })
}

#[test]
fn ok_a_run_is_billed_once_whether_its_tools_or_a_reading_end_it() {
    let usage = json!({ "prompt_tokens": 381, "completion_tokens": 89, "total_tokens": 470, "prompt_token_details": { "cached_tokens": 0 } });
    let done = run("completed", usage);
    let path = "/v1/threads/thread_1/runs";
    for ends_by_tools in [false, true] {
        let mut world = World::new(&json!([]));
        let request = json!({ "assistant_id": "asst_1" });
        let started =
            ask(&mut world, OPENAI, &format!("POST {path}"), &request, &run("queued", Value::Null).to_string());
        assert_data(&started, &json!({ "dialect": "openai.assistants", "usage_status": "missing", "billable": true }));
        let waits = get(&mut world, OPENAI, &format!("{path}/run_1"), &run("requires_action", Value::Null));
        assert_data(&waits, &json!({ "usage_status": "none", "billable": false }));
        let first = if ends_by_tools {
            let outputs = format!("POST {path}/run_1/submit_tool_outputs");
            ask(&mut world, OPENAI, &outputs, &json!({ "tool_outputs": [] }), &done.to_string())
        } else {
            get(&mut world, OPENAI, &format!("{path}/run_1"), &done)
        };
        assert_data(
            &first,
            &json!({ "input_tokens": 381, "output_tokens": 89, "billable": true, "usage_status": "reported" }),
        );
        let again = get(&mut world, OPENAI, &format!("{path}/run_1"), &done);
        assert_data(&again, &json!({ "input_tokens": 381, "billable": false, "cost_status": "free" }));
    }
}

#[test]
fn ok_a_task_that_makes_images_is_billed_once() {
    let mut world = World::new(&json!([]));
    let host = "dashscope.aliyuncs.com";
    let task = |status: &str| json!({ "request_id": "r", "output": { "task_id": "t-1", "task_status": status } });
    let request = json!({ "model": "wanx-v1", "input": { "prompt": "A forest" } });
    let asked = "POST /api/v1/services/aigc/text2image/image-synthesis";
    let started = ask(&mut world, host, asked, &request, &task("PENDING").to_string());
    assert_data(
        &started,
        &json!({ "operation": "image_generation", "usage_status": "missing", "request_model": "wanx-v1" }),
    );
    assert_data(
        &get(&mut world, host, "/api/v1/tasks/t-1", &task("RUNNING")),
        &json!({ "usage_status": "none", "billable": false }),
    );
    let mut done = task("SUCCEEDED");
    done["usage"] = json!({ "image_count": 4 });
    assert_data(
        &get(&mut world, host, "/api/v1/tasks/t-1", &done),
        &json!({ "images": 4, "usage_status": "reported", "billable": true }),
    );
    assert_data(&get(&mut world, host, "/api/v1/tasks/t-1", &done), &json!({ "images": 4, "billable": false }));
}
