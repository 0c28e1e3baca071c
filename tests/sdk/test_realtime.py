"""The official `openai` client's WebSockets through Envoy and the filter: Realtime, and the WebSocket mode of Responses.

The library under it, `websockets`, offers compression with every connection; the stand-in complains if that offer reaches it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from conftest import KEY, PROMPT, Case, check
from openai import AsyncOpenAI, OpenAI

MODEL = "gpt-realtime"
DONE = {
    "provider": "openai", "dialect": "openai.realtime", "operation": "chat", "endpoint": "/v1/realtime", "request_model": MODEL,
    "response_model": MODEL, "status": 101, "stream": True, "outcome": "completed", "usage_status": "reported",
    "usage_flags": None, "billable": True,
}


def client(case: Case) -> OpenAI:
    return OpenAI(base_url=f"{case.stack.listener}/openai/v1", api_key=KEY)


def script(**behaviour: Any) -> dict[str, Any]:
    """The `response` of a `response.create`: its metadata tell the stand-in how to answer."""
    return {"instructions": PROMPT, "metadata": {"test": json.dumps(behaviour)}}


def respond(connection: Any, **behaviour: Any) -> Any:
    connection.response.create(response=script(**behaviour))
    for event in connection:
        if event.type == "response.done":
            return event.response
    raise AssertionError("no response came")


def test_responses(case: Case) -> None:
    with client(case).realtime.connect(model=MODEL, extra_headers=case.headers) as connection:
        first = respond(connection, input=1000, output=300, input_audio=800, cached=500, cached_audio=400, output_audio=200)
        second = respond(connection, input=1400, output=20, fragment=11)
    assert (first.usage.input_tokens, second.usage.output_tokens) == (1000, 20)
    one, two = case.events(2)
    assert (one["id"][36:], two["id"][36:]) == (".1", ".2") and one["id"][:36] == two["id"][:36]
    # 100 × 4 + 400 × 32 + 500 × 0.40 + 100 × 16 + 200 × 64 USD per million tokens
    check(one, **DONE, response_id=first.id, input_tokens=1000, output_tokens=300, cache_read_audio_tokens=400, cost_usd="0.0278")
    check(two, **DONE, response_id=second.id, input_tokens=1400, output_tokens=20, total_tokens=1420)


def test_transcription(case: Case) -> None:
    with client(case).realtime.connect(model=MODEL, extra_headers=case.headers) as connection:
        respond(connection, transcription=21)
    response, transcription = case.events(2)
    assert (response["id"][36:], transcription["id"][36:]) == (".1", ".t1")
    check(transcription, operation="transcription", request_model="gpt-4o-mini-transcribe", input_audio_tokens=21, output_tokens=5)


def test_async_client_that_leaves_mid_response(case: Case) -> None:
    async def leave() -> None:
        openai = AsyncOpenAI(base_url=f"{case.stack.listener}/openai/v1", api_key=KEY)
        async with openai.realtime.connect(model=MODEL, extra_headers=case.headers) as connection:
            await connection.response.create(response=script(deltas=5, stall=True))
            deltas = 0
            async for event in connection:
                deltas += event.type == "response.output_text.delta"
                if deltas == 5:
                    return

    asyncio.run(leave())
    case.event(outcome="client_aborted", reason="client_disconnect", usage_status="estimated", usage_flags="output_estimated")


def test_limit_at_the_upgrade_per_day(case: Case) -> None:
    with client(case).realtime.connect(model=MODEL, extra_headers=case.headers) as connection:
        respond(connection)
        with pytest.raises(Exception, match="429"), client(case).realtime.connect(model=MODEL, extra_headers=case.headers):
            pass
    admitted, refused = case.events(2)
    check(admitted, **DONE)
    check(refused, outcome="rejected", status=429, usage_status="none", billable=False)


def test_responses_websocket_mode(case: Case) -> None:
    with client(case).responses.connect(extra_headers=case.headers) as connection:
        told = {"test": json.dumps({"input": 100, "cached": 64, "output": 20})}
        connection.response.create(model="gpt-4o-mini", input=PROMPT, metadata=told)
        for event in connection:
            if event.type == "response.completed":
                break
    case.event(
        dialect="openai.responses", request_model="gpt-4o-mini", input_tokens=100, cache_read_tokens=64, output_tokens=20,
        outcome="completed", usage_status="reported", cost_usd="0.0000222",
    )
