"""The official `mistralai` client against aimock."""

from __future__ import annotations

from typing import Any

import pytest
from both import INPUT, OUTPUT, Answer, Both, Where
from conftest import KEY, PROMPT, check
from mistralai.client import Mistral
from mistralai.client import errors
from mistralai.client.utils import BackoffStrategy, RetryConfig

MODEL = "mistral-small-latest"
ASK: Any = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
CHAT = {"operation": "chat", "endpoint": "/v1/chat/completions", "request_model": MODEL}


def chat(where: Where, **options: Any) -> Any:
    return Mistral(KEY, server_url=where.url).chat.complete(**{**ASK, **options}, http_headers=where.headers)


def test_chat(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = chat(where)
        return Answer(reply, reply.usage.prompt_tokens, reply.usage.completion_tokens)

    both.same("mistral", call, **CHAT, stream=False, input_tokens=INPUT, output_tokens=OUTPUT)


def test_chat_stream(both: Both) -> None:
    """Mistral counts unasked in the last chunk. aimock does not: then the filter can only estimate, and says so."""

    def call(where: Where) -> Answer:
        events = list(Mistral(KEY, server_url=where.url).chat.stream(**ASK, http_headers=where.headers))
        assert len(events) > 3
        return Answer(events)

    both.same("mistral", call, **CHAT, stream=True, usage_status="estimated", usage_flags="output_estimated,input_estimated")


@pytest.mark.parametrize(("words", "status"), [("be strict", 400), ("be unwell", 500)])
def test_error(both: Both, words: str, status: int) -> None:
    ask = [{"role": "user", "content": words}]
    error = both.same_error("mistral", lambda where: chat(where, messages=ask), errors.SDKError, status)
    assert error.status_code == status


def test_budget_per_day(both: Both) -> None:
    """As it is, this client tries nothing twice."""
    error, refusals = both.refused("mistral", chat, errors.SDKError)
    assert error.status_code == 429 and "per-day" in error.body and len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    retries = RetryConfig("backoff", BackoffStrategy(100, 2_000, 1.5, 20_000), retry_connection_errors=False)
    both.retried("mistral", lambda where: chat(where, retries=retries))
