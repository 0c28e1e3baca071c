"""The official `ollama` client against aimock, which always counts 0 and 0 here."""

from __future__ import annotations

from typing import Any

import ollama
import pytest
from both import UNCOUNTED, Answer, Both, Where
from conftest import PROMPT, check
from ollama import Client

MODEL = "llama3.2"
ASK: Any = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
TOLD = {"dialect": "ollama", "request_model": MODEL}


def client(where: Where) -> Client:
    return Client(where.url, headers=where.headers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_chat(both: Both, stream: bool) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).chat(**ASK, stream=stream)
        replies = list(reply) if stream else [reply]
        return Answer(replies)

    both.same("ollama", call, **TOLD, stream=stream, endpoint="/api/chat", operation="chat", **UNCOUNTED)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_generate(both: Both, stream: bool) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).generate(MODEL, PROMPT, stream=stream)
        replies = list(reply) if stream else [reply]
        return Answer(replies)

    both.same("ollama", call, **TOLD, stream=stream, endpoint="/api/generate", **UNCOUNTED)


@pytest.mark.parametrize(("words", "status"), [("be strict", 400), ("be unwell", 500)])
def test_error(both: Both, words: str, status: int) -> None:
    ask = [{"role": "user", "content": words}]
    error = both.same_error("ollama", lambda where: client(where).chat(MODEL, ask), ollama.ResponseError, status)
    assert error.status_code == status


def test_budget_per_day(both: Both) -> None:
    """This client tries nothing twice."""
    error, refusals = both.refused("ollama", lambda where: client(where).chat(**ASK), ollama.ResponseError)
    assert error.status_code == 429 and "per-day" in error.error and len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)
