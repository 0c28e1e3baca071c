"""AWS's own `boto3` for bedrock-runtime. Its signature covers host and path, so it takes the host form: Envoy is its proxy."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError
from both import INPUT, OUTPUT, Answer, Both, Where
from conftest import PROMPT, check

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
MODEL = "anthropic.claude-3-5-haiku-20241022-v1:0"
FRAMED = "anthropic.claude-framed"
"""For which aimock is told what to frame: see `mock/aimock.mjs`."""

CONVERSE = {"dialect": "bedrock.converse", "operation": "chat"}
BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "messages": [{"role": "user", "content": PROMPT}]}


def client(where: Where, mode: str = "standard", attempts: int = 3) -> Any:
    config = Config(proxies={"http": where.proxy}, retries={"mode": mode, "total_max_attempts": attempts})
    session = boto3.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    made = session.client("bedrock-runtime", endpoint_url=where.url, config=config)

    def add(request: Any, **_: Any) -> None:
        for name, value in where.headers.items():
            request.headers[name] = value

    made.meta.events.register("before-sign.bedrock-runtime", add)
    return made


def converse(where: Where, words: str = PROMPT, model: str = MODEL, **options: Any) -> Any:
    return client(where, **options).converse(modelId=model, messages=[{"role": "user", "content": [{"text": words}]}])


def invoke(where: Where) -> Any:
    return json.loads(client(where).invoke_model(modelId=MODEL, body=json.dumps(BODY))["body"].read())


def test_converse(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = converse(where)
        del reply["ResponseMetadata"]
        return Answer(reply, reply["usage"]["inputTokens"], reply["usage"]["outputTokens"])

    both.same("bedrock", call, HOST, **CONVERSE, request_model=MODEL, input_tokens=INPUT, output_tokens=OUTPUT, endpoint="/model/{model}/converse")


def test_converse_stream(both: Both) -> None:
    """Input as the provider says it leaves out the cache; the event's includes it."""

    def call(where: Where) -> Answer:
        messages = [{"role": "user", "content": [{"text": PROMPT}]}]
        events = list(client(where).converse_stream(modelId=FRAMED, messages=messages)["stream"])
        usage = events[-1]["metadata"]["usage"]
        return Answer(events, usage["inputTokens"] + usage["cacheReadInputTokens"], usage["outputTokens"])

    told = {"input_tokens": 1200, "input_uncached_tokens": 200, "cache_read_tokens": 1000, "output_tokens": 30, "finish_reason": "end_turn"}
    both.same("bedrock", call, HOST, **CONVERSE, **told, request_model=FRAMED, stream=True, endpoint="/model/{model}/converse-stream")


def test_invoke(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = invoke(where)
        return Answer(reply, reply["usage"]["input_tokens"], reply["usage"]["output_tokens"])

    both.same("bedrock", call, HOST, dialect="bedrock.invoke", request_model=MODEL, input_tokens=INPUT, output_tokens=OUTPUT)


def test_invoke_stream(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).invoke_model_with_response_stream(modelId=FRAMED, body=json.dumps(BODY))
        chunks = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
        usage = chunks[0]["message"]["usage"]
        return Answer(chunks, usage["input_tokens"] + usage["cache_read_input_tokens"], chunks[-2]["usage"]["output_tokens"])

    told = {"input_tokens": 1200, "cache_read_tokens": 1000, "output_tokens": 30}
    both.same("bedrock", call, HOST, dialect="bedrock.invoke", **told, request_model=FRAMED, stream=True)


@pytest.mark.parametrize(("words", "status", "tries"), [("be strict", 400, 1), ("be unwell", 500, 3)])
def test_error(both: Both, words: str, status: int, tries: int) -> None:
    both.same_error("bedrock", lambda where: converse(where, words), ClientError, status, HOST)
    assert len(both.case.events_so_far()) == tries


@pytest.mark.parametrize(("call", "tries"), [(invoke, 1), (converse, 3)], ids=["invoke", "converse"])
def test_budget_per_day(both: Both, call: Any, tries: int) -> None:
    """Converse's model does not have the kind that InvokeModel's has, and boto3 tries any 429 again that the operation's model has not."""
    error, refusals = both.refused("bedrock", call, ClientError, HOST)
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429 and "per-day" in error.response["Error"]["Message"]
    assert error.response["Error"]["Code"] == "ServiceQuotaExceededException" and len(refusals) == tries
    for event in refusals:
        check(event, reason="budget_exceeded", status=429)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_retried_per_second(both: Both, mode: str) -> None:
    both.retried("bedrock", lambda where: converse(where, mode=mode, attempts=8), HOST)


def test_throttled_per_hour(both: Both) -> None:
    error, refusals = both.refused("bedrock", lambda where: converse(where, attempts=1), ClientError, HOST)
    assert error.response["Error"]["Code"] == "ThrottlingException" and len(refusals) == 1
