"""The official `openai` client through Envoy and the filter, unmodified but for its base URL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Any

import openai
import pytest
from conftest import (
    KEY,
    PROMPT,
    Case,
    Recorder,
    check,
    check_limit_headers,
    told,
    until_refused,
    until_retried,
)
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk

MODEL = "gpt-4o-mini"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
CHAT = {
    "provider": "openai", "dialect": "openai.chat", "operation": "chat", "endpoint": "/v1/chat/completions",
    "request_model": MODEL,
}
DONE = {
    **CHAT, "status": 200, "outcome": "completed", "reason": None, "usage_status": "reported", "usage_flags": None,
    "response_model": MODEL, "response_id": "chatcmpl-stand-in", "finish_reason": "stop", "billable": True,
}
REFUSED = {
    **CHAT, "status": 429, "outcome": "rejected", "usage_status": "none", "billable": False, "cost_usd": None,
    "input_tokens": None, "output_tokens": None,
}
ABORTED = {**CHAT, "stream": True, "status": 200, "outcome": "client_aborted", "reason": "client_disconnect"}


def sync(case: Case, **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{case.stack.listener}/openai/v1", api_key=KEY, default_headers=case.headers, **options)


def asynchronous(case: Case, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{case.stack.listener}/openai/v1", api_key=KEY, default_headers=case.headers, **options)


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_create(case: Case) -> None:
    behaviour = told(input=1200, output=300, cached=1000, reasoning=100)
    reply = sync(case).chat.completions.create(**ASK, extra_headers=behaviour)
    assert reply.choices[0].message.content == "Hello there, the"
    assert reply.usage and (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1200, 300)
    case.event(
        **DONE, stream=False, input_tokens=1200, output_tokens=300, total_tokens=1500, cache_read_tokens=1000,
        input_uncached_tokens=200, reasoning_tokens=100,
        # 200 × 0.15 + 1000 × 0.075 + 300 × 0.60 USD per million tokens
        cost_usd="0.000285", cost_status="priced",
    )


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}], ids=["unasked", "declined"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "unheld"])
def test_stream_without_usage(case: Case, unheld: Case, held: bool, options: dict[str, Any]) -> None:
    """Nobody asked for the usage chunk, so nobody sees it; the event has the exact counts all the same."""
    case = case if held else unheld
    chunks = list(sync(case).chat.completions.create(**ASK, **options, stream=True, extra_headers=told(input=71, output=23)))
    assert text_of(chunks) == "Hello there, the"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    case.event(**DONE, stream=True, input_tokens=71, output_tokens=23, total_tokens=94)


@pytest.mark.parametrize("held", [True, False], ids=["held", "unheld"])
def test_stream_with_usage(case: Case, unheld: Case, held: bool) -> None:
    case = case if held else unheld
    asked = {"stream_options": {"include_usage": True}}
    chunks = list(sync(case).chat.completions.create(**ASK, **asked, stream=True, extra_headers=told(input=72, output=24)))
    *others, last = chunks
    assert text_of(others) == "Hello there, the"
    assert last.choices == [] and last.usage
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (72, 24, 96)
    assert all(chunk.choices and chunk.usage is None for chunk in others)
    case.event(**DONE, stream=True, input_tokens=72, output_tokens=24, total_tokens=96)


def test_stream_helper(case: Case) -> None:
    """The accumulating helper, which is strict about what a chunk looks like."""
    with sync(case).chat.completions.stream(**ASK, extra_headers=told(input=5, output=6)) as stream:
        kinds = {event.type for event in stream}
    final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == "Hello there, the" and final.usage is None
    case.event(**DONE, stream=True, input_tokens=5, output_tokens=6)


def test_async(case: Case) -> None:
    """Both at once on one client, whose connections are the SDK's to share."""

    async def run() -> tuple[Any, list[ChatCompletionChunk]]:
        async def stream() -> list[ChatCompletionChunk]:
            chunks = await client.chat.completions.create(**ASK, stream=True, extra_headers=told(input=33, output=34))
            return [chunk async for chunk in chunks]

        async with asynchronous(case) as client:
            create = client.chat.completions.create(**ASK, extra_headers=told(input=31, output=32))
            return await asyncio.gather(create, stream())

    reply, chunks = asyncio.run(run())
    assert reply.usage.total_tokens == 63
    assert text_of(chunks) == "Hello there, the" and all(chunk.usage is None for chunk in chunks)
    whole, streamed = sorted(case.events(2), key=lambda event: event["data"]["stream"])
    check(whole, **DONE, stream=False, input_tokens=31, output_tokens=32)
    check(streamed, **DONE, stream=True, input_tokens=33, output_tokens=34)


def test_close_early(case: Case) -> None:
    behaviour = told(input=50, output=5000, chunks=5000, delay_ms=2)
    with sync(case).chat.completions.create(**ASK, stream=True, extra_headers=behaviour) as stream:
        next(chunk for chunk in stream if chunk.choices[0].delta.content)
    event = case.event(**ABORTED)
    assert event["data"]["usage_status"] in ("estimated", "partial")
    assert 0 < event["data"]["output_tokens"] < 5000


def test_close_early_async(case: Case) -> None:
    async def run() -> None:
        behaviour = told(input=50, output=5000, chunks=5000, delay_ms=2)
        async with asynchronous(case) as client:
            async with await client.chat.completions.create(**ASK, stream=True, extra_headers=behaviour) as stream:
                async for chunk in stream:
                    if chunk.choices[0].delta.content:
                        break

    asyncio.run(run())
    event = case.event(**ABORTED)
    assert event["data"]["usage_status"] in ("estimated", "partial")
    assert 0 < event["data"]["output_tokens"] < 5000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_raw_response(case: Case, stream: bool) -> None:
    raw = sync(case).chat.completions.with_raw_response.create(**ASK, stream=stream, extra_headers=told(input=7, output=8))
    parsed = raw.parse()
    if stream:
        assert text_of(parsed) == "Hello there, the"
    check_limit_headers(raw.headers, case.event(**DONE, stream=stream, input_tokens=7, output_tokens=8))


def test_usage_headers(strict: Case) -> None:
    raw = sync(strict).chat.completions.with_raw_response.create(**ASK, extra_headers=told(input=1000, output=10))
    event = strict.event(**DONE, stream=False, input_tokens=1000, output_tokens=10, cost_usd="0.000156")
    names = ("x-meterr-id", "x-meterr-input-tokens", "x-meterr-output-tokens", "x-meterr-cost-usd")
    assert [raw.headers.get(name) for name in names] == [event["id"], "1000", "10", "0.000156"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refused_per_hour(case: Case, stream: bool) -> None:
    """A stream is refused as a whole reply is: before it begins."""
    client = sync(case, max_retries=0)

    def call() -> None:
        reply = client.chat.completions.create(**ASK, stream=stream)
        if stream:
            list(reply)

    error, admitted = until_refused(call, openai.RateLimitError)
    assert (error.code, error.type, error.param) == ("rate_limit_exceeded", "requests", None)
    assert "per-hour" in error.message and "1 requests" in error.message
    headers, event = error.response.headers, case.events(admitted + 1)[-1]
    check(event, **REFUSED, stream=stream, reason="rate_limit_exceeded")
    assert headers["x-meterr-id"] == event["id"]
    wait_ms = int(headers["retry-after-ms"])
    assert 0 < wait_ms <= 3_600_000
    assert headers["retry-after"] == str(math.ceil(wait_ms / 1000))
    assert headers["x-should-retry"] == ("true" if wait_ms <= 60_000 else "false")


def test_retried_per_second(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK waits as long as it is told, and that is enough."""
    recorder = Recorder()
    http_client = openai.DefaultHttpxClient(event_hooks=recorder.hooks)
    with caplog.at_level("INFO", "openai"), sync(case, max_retries=1, http_client=http_client) as client:
        secs, single = until_retried(lambda: client.chat.completions.create(**ASK), recorder)
    assert f"Retrying request to /chat/completions in {secs:f} seconds" in caplog.messages
    *before, refused, retried = case.events(single + 2)
    check(refused, **REFUSED, stream=False, reason="rate_limit_exceeded")
    for event in [*before, retried]:
        check(event, **DONE, stream=False)


def test_budget_per_day(case: Case) -> None:
    """A budget is not waited for: the SDK, left at its usual two retries, asks once."""
    client = sync(case)
    error, admitted = until_refused(lambda: client.chat.completions.create(**ASK), openai.RateLimitError)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert "per-day" in error.message
    headers = error.response.headers
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers and "retry-after-ms" not in headers
    *before, refused = case.events(admitted + 1)
    check(refused, **REFUSED, stream=False, reason="budget_exceeded")
    for event in before:
        check(event, **DONE, stream=False)


def test_identity_missing(strict: Case) -> None:
    client = OpenAI(base_url=f"{strict.stack.listener}/openai/v1", api_key=KEY)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(**ASK)
    assert caught.value.code == "identity_missing" and "tenant" in caught.value.message
    event = strict.stack.next_event("unknown")
    # It is refused from its headers alone: what its body asked for, nobody has read.
    check(event, **{**REFUSED, "status": 401, "request_model": None}, stream=None, reason="identity_missing")
    assert caught.value.response.headers["x-meterr-id"] == event["id"]
    # The same client that says who it is, is served.
    client.chat.completions.create(**ASK, extra_headers=strict.headers)
    strict.event(**DONE, stream=False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError), (409, openai.ConflictError), (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError), (500, openai.InternalServerError), (503, openai.InternalServerError),
    ],
)
def test_provider_status(case: Case, status: int, kind: type[openai.APIStatusError]) -> None:
    with pytest.raises(kind) as caught:
        sync(case, max_retries=0).chat.completions.create(**ASK, extra_headers=told(status=status))
    assert "as told" in caught.value.message and caught.value.type == "invalid_request_error"
    event = case.event(
        **CHAT, stream=False, status=status, outcome="provider_error", usage_status="none", cost_usd=None,
        reason={4: "client_error", 5: "server_error"}[status // 100] if status != 429 else "rate_limited",
    )
    assert caught.value.response.headers["x-meterr-id"] == event["id"]


def test_provider_error_is_retried(case: Case) -> None:
    """Each try of the SDK is an exchange, and has an event of its own."""
    with pytest.raises(openai.InternalServerError):
        sync(case, max_retries=1).chat.completions.create(**ASK, extra_headers=told(status=500))
    for event in case.events(2):
        check(event, **CHAT, status=500, outcome="provider_error", reason="server_error")


def test_error_mid_stream(case: Case) -> None:
    stream = sync(case).chat.completions.create(**ASK, stream=True, extra_headers=told(error_mid_stream=True))
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(stream)
    case.event(**CHAT, stream=True, status=200, outcome="provider_error", reason="error_in_body")
