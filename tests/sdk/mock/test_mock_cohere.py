"""The official `cohere` client against aimock."""

from __future__ import annotations

from typing import Any

import cohere
import cohere.core
import cohere.errors
import httpx
import pytest
from both import INPUT, OUTPUT, UNCOUNTED, Answer, Both, Where
from conftest import KEY, PROMPT, check

MODEL = "command-r-08-2024"
ASK: Any = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
CHAT = {"dialect": "cohere.v2", "operation": "chat", "endpoint": "/v2/chat", "request_model": MODEL}


def client(where: Where) -> cohere.ClientV2:
    return cohere.ClientV2(KEY, base_url=where.url, httpx_client=httpx.Client(headers=where.headers))


def test_chat(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).chat(**ASK)
        assert reply.usage and reply.usage.billed_units
        units = reply.usage.billed_units
        return Answer(reply, int(units.input_tokens or 0), int(units.output_tokens or 0))

    both.same("cohere", call, **CHAT, stream=False, input_tokens=INPUT, output_tokens=OUTPUT)


def test_chat_stream(both: Both) -> None:
    def call(where: Where) -> Answer:
        events = list(client(where).chat_stream(**ASK))
        (end,) = [event for event in events if event.type == "message-end"]
        units = end.delta.usage.billed_units
        return Answer(events, int(units.input_tokens), int(units.output_tokens))

    both.same("cohere", call, **CHAT, stream=True, input_tokens=INPUT, output_tokens=OUTPUT)


def test_embed(both: Both) -> None:
    """aimock tells no units here: what goes in can be estimated, and nothing comes out."""

    def call(where: Where) -> Answer:
        return Answer(client(where).embed(model="embed-v4.0", texts=[PROMPT], input_type="search_query", embedding_types=["float"]))

    both.same("cohere", call, operation="embeddings", stream=False, usage_status="estimated", usage_flags="input_estimated", output_tokens=None)


def test_rerank(both: Both) -> None:
    def call(where: Where) -> Answer:
        return Answer(client(where).rerank(model="rerank-v3.5", query=PROMPT, documents=["a pelican", "a heron"]))

    both.same("cohere", call, endpoint="/v2/rerank", stream=False, **UNCOUNTED)


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [("be strict", 400, cohere.errors.BadRequestError), ("be unwell", 500, cohere.errors.InternalServerError)],
)
def test_error(both: Both, words: str, status: int, kind: type[cohere.core.ApiError]) -> None:
    ask = {**ASK, "messages": [{"role": "user", "content": words}]}
    # What it says of itself begins with all headers.
    both.same_error("cohere", lambda where: client(where).chat(**ask), kind, status, seen=lambda error: [error.status_code, error.body])


def test_budget_per_day(both: Both) -> None:
    """This client knows no header that says that a 429 is not to be tried again: it is for whoever uses it to say so."""
    error, refusals = both.refused("cohere", lambda where: client(where).chat(**ASK), cohere.errors.TooManyRequestsError)
    assert error.status_code == 429 and "per-day" in error.body["message"] and len(refusals) == 3
    for event in refusals:
        check(event, reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    both.retried("cohere", lambda where: client(where).chat(**ASK))
