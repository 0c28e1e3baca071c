"""The official `anthropic` client through Envoy and the filter, unmodified but for its base URL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, RawMessageStreamEvent
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

MODEL = "claude-sonnet-4-6"
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": PROMPT}]}
MESSAGES = {
    "provider": "anthropic", "dialect": "anthropic.messages", "operation": "chat", "endpoint": "/v1/messages",
    "request_model": MODEL,
}
DONE = {
    **MESSAGES, "status": 200, "outcome": "completed", "reason": None, "usage_status": "reported", "usage_flags": None,
    "response_model": MODEL, "response_id": "msg_stand_in", "finish_reason": "end_turn", "billable": True,
}
REFUSED = {
    **MESSAGES, "status": 429, "outcome": "rejected", "usage_status": "none", "billable": False, "cost_usd": None,
    "input_tokens": None, "output_tokens": None,
}
ABORTED = {**MESSAGES, "stream": True, "status": 200, "outcome": "client_aborted", "reason": "client_disconnect"}
# Input as the provider says it leaves out the cache; the event's includes it.
CACHED = {"input": 100, "output": 50, "cached": 2000, "cache_write": 300, "cache_5m": 100, "cache_1h": 200}
CACHED_COUNTS = {
    "input_tokens": 2400, "input_uncached_tokens": 100, "cache_read_tokens": 2000, "cache_write_tokens": 300,
    "cache_write_5m_tokens": 100, "cache_write_1h_tokens": 200, "output_tokens": 50, "total_tokens": 2450,
    # 100 × 3 + 2000 × 0.30 + 100 × 3.75 + 200 × 6 + 50 × 15 USD per million tokens
    "cost_usd": "0.003225", "cost_status": "priced",
}


def sync(case: Case, **options: Any) -> Anthropic:
    return Anthropic(base_url=f"{case.stack.listener}/anthropic", api_key=KEY, default_headers=case.headers, **options)


def asynchronous(case: Case, **options: Any) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=f"{case.stack.listener}/anthropic", api_key=KEY, default_headers=case.headers, **options)


def text_of(events: Iterable[RawMessageStreamEvent]) -> str:
    return "".join(event.delta.text for event in events if is_text(event))


def is_text(event: Any) -> bool:
    return event.type == "content_block_delta" and event.delta.type == "text_delta"


def test_create(case: Case) -> None:
    reply = sync(case).messages.create(**ASK, extra_headers=told(**CACHED))
    assert reply.content[0].type == "text" and reply.content[0].text == "Hello there, the"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (100, 50)
    case.event(**DONE, stream=False, **CACHED_COUNTS)


@pytest.mark.parametrize("held", [True, False], ids=["held", "unheld"])
def test_stream(case: Case, unheld: Case, held: bool) -> None:
    """This dialect always says its usage: first with a placeholder, and at last with what is true."""
    case = case if held else unheld
    events = list(sync(case).messages.create(**ASK, stream=True, extra_headers=told(**CACHED)))
    assert text_of(events) == "Hello there, the"
    assert [event.type for event in (events[0], events[-1])] == ["message_start", "message_stop"]
    assert [event.usage.output_tokens for event in events if event.type == "message_delta"] == [50]
    case.event(**DONE, stream=True, **CACHED_COUNTS)


def test_stream_helper(case: Case) -> None:
    with sync(case).messages.stream(**ASK, extra_headers=told(input=5, output=6)) as stream:
        assert "".join(stream.text_stream) == "Hello there, the"
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (5, 6, "end_turn")
    case.event(**DONE, stream=True, input_tokens=5, output_tokens=6)


def test_async(case: Case) -> None:
    """Both at once on one client, whose connections are the SDK's to share."""

    async def run() -> tuple[Message, Message]:
        async def stream() -> Message:
            async with client.messages.stream(**ASK, extra_headers=told(input=33, output=34)) as stream:
                return await stream.get_final_message()

        async with asynchronous(case) as client:
            create = client.messages.create(**ASK, extra_headers=told(input=31, output=32))
            return await asyncio.gather(create, stream())

    for message, counts in zip(asyncio.run(run()), [(31, 32), (33, 34)], strict=True):
        assert (message.usage.input_tokens, message.usage.output_tokens) == counts
    whole, streamed = sorted(case.events(2), key=lambda event: event["data"]["stream"])
    check(whole, **DONE, stream=False, input_tokens=31, output_tokens=32)
    check(streamed, **DONE, stream=True, input_tokens=33, output_tokens=34)


def test_close_early(case: Case) -> None:
    behaviour = told(input=50, output=5000, chunks=5000, delay_ms=2)
    with sync(case).messages.stream(**ASK, extra_headers=behaviour) as stream:
        next(stream.text_stream)
    event = case.event(**ABORTED, usage_status="partial", input_tokens=50)
    # What the provider said of its output was a placeholder: it was replaced, and that is told.
    assert "output_estimated" in event["data"]["usage_flags"]
    assert 0 < event["data"]["output_tokens"] < 5000


def test_close_early_async(case: Case) -> None:
    async def run() -> None:
        behaviour = told(input=50, output=5000, chunks=5000, delay_ms=2)
        async with asynchronous(case) as client:
            async with await client.messages.create(**ASK, stream=True, extra_headers=behaviour) as stream:
                async for event in stream:
                    if is_text(event):
                        break

    asyncio.run(run())
    event = case.event(**ABORTED, usage_status="partial", input_tokens=50)
    assert 0 < event["data"]["output_tokens"] < 5000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_raw_response(case: Case, stream: bool) -> None:
    raw = sync(case).messages.with_raw_response.create(**ASK, stream=stream, extra_headers=told(input=7, output=8))
    parsed = raw.parse()
    if stream:
        assert text_of(parsed) == "Hello there, the"
    check_limit_headers(raw.headers, case.event(**DONE, stream=stream, input_tokens=7, output_tokens=8))


def test_usage_headers(strict: Case) -> None:
    raw = sync(strict).messages.with_raw_response.create(**ASK, extra_headers=told(input=1000, output=10))
    event = strict.event(**DONE, stream=False, input_tokens=1000, output_tokens=10, cost_usd="0.00315")
    names = ("x-meterr-id", "x-meterr-input-tokens", "x-meterr-output-tokens", "x-meterr-cost-usd")
    assert [raw.headers.get(name) for name in names] == [event["id"], "1000", "10", "0.00315"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refused_per_hour(case: Case, stream: bool) -> None:
    """A stream is refused as a whole reply is: before it begins."""
    client = sync(case, max_retries=0)

    def call() -> None:
        reply = client.messages.create(**ASK, stream=stream)
        if stream:
            list(reply)

    error, admitted = until_refused(call, anthropic.RateLimitError)
    assert error.type == "rate_limit_error"
    assert error.api_message and "per-hour" in error.api_message and "1 requests" in error.api_message
    headers, event = error.response.headers, case.events(admitted + 1)[-1]
    check(event, **REFUSED, stream=stream, reason="rate_limit_exceeded")
    assert headers["x-meterr-id"] == event["id"]
    wait_ms = int(headers["retry-after-ms"])
    assert 0 < wait_ms <= 3_600_000
    assert headers["retry-after"] == str(math.ceil(wait_ms / 1000))
    # This SDK waits for as long as it is told, hours too: only a short wait may be sat out.
    assert headers["x-should-retry"] == ("true" if wait_ms <= 60_000 else "false")


def test_retried_per_second(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK waits as long as it is told, and that is enough."""
    recorder = Recorder()
    http_client = anthropic.DefaultHttpxClient(event_hooks=recorder.hooks)
    with caplog.at_level("INFO", "anthropic"), sync(case, max_retries=1, http_client=http_client) as client:
        secs, single = until_retried(lambda: client.messages.create(**ASK), recorder)
    assert f"Retrying request to /v1/messages in {secs:f} seconds" in caplog.messages
    *before, refused, retried = case.events(single + 2)
    check(refused, **REFUSED, stream=False, reason="rate_limit_exceeded")
    for event in [*before, retried]:
        check(event, **DONE, stream=False)


def test_budget_per_day(case: Case) -> None:
    """A budget is not waited for: the SDK, left at its usual two retries, asks once."""
    client = sync(case)
    error, admitted = until_refused(lambda: client.messages.create(**ASK), anthropic.RateLimitError)
    assert error.type == "rate_limit_error"
    assert error.api_message and "per-day" in error.api_message and "budget_exceeded" in error.api_message
    headers = error.response.headers
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers and "retry-after-ms" not in headers
    *before, refused = case.events(admitted + 1)
    check(refused, **REFUSED, stream=False, reason="budget_exceeded")
    for event in before:
        check(event, **DONE, stream=False)


def test_identity_missing(strict: Case) -> None:
    client = Anthropic(base_url=f"{strict.stack.listener}/anthropic", api_key=KEY)
    with pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(**ASK)
    assert caught.value.type == "authentication_error" and "tenant" in (caught.value.api_message or "")
    event = strict.stack.next_event("unknown")
    # It is refused from its headers alone: what its body asked for, nobody has read.
    check(event, **{**REFUSED, "status": 401, "request_model": None}, stream=None, reason="identity_missing")
    assert caught.value.response.headers["x-meterr-id"] == event["id"]
    # The same client that says who it is, is served.
    client.messages.create(**ASK, extra_headers=strict.headers)
    strict.event(**DONE, stream=False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError), (401, anthropic.AuthenticationError), (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError), (409, anthropic.ConflictError), (413, anthropic.APIStatusError),
        (422, anthropic.UnprocessableEntityError), (429, anthropic.RateLimitError), (500, anthropic.InternalServerError),
        (503, anthropic.InternalServerError), (529, anthropic.InternalServerError),
    ],
)
def test_provider_status(case: Case, status: int, kind: type[anthropic.APIStatusError]) -> None:
    with pytest.raises(kind) as caught:
        sync(case, max_retries=0).messages.create(**ASK, extra_headers=told(status=status))
    assert (caught.value.status_code, caught.value.api_message) == (status, "as told")
    event = case.event(
        **MESSAGES, stream=False, status=status, outcome="provider_error", usage_status="none", cost_usd=None,
        reason={4: "client_error", 5: "server_error"}[status // 100] if status != 429 else "rate_limited",
    )
    assert caught.value.response.headers["x-meterr-id"] == event["id"]


def test_provider_error_is_retried(case: Case) -> None:
    """Each try of the SDK is an exchange, and has an event of its own."""
    with pytest.raises(anthropic.InternalServerError):
        sync(case, max_retries=1).messages.create(**ASK, extra_headers=told(status=529))
    for event in case.events(2):
        check(event, **MESSAGES, status=529, outcome="provider_error", reason="server_error")


def test_error_mid_stream(case: Case) -> None:
    stream = sync(case).messages.create(**ASK, stream=True, extra_headers=told(error_mid_stream=True))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(stream)
    case.event(**MESSAGES, stream=True, status=200, outcome="provider_error", reason="error_in_body")
