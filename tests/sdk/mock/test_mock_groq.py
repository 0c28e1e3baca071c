"""The official `groq` client against aimock. It is of the family of `openai`, with paths of its own."""

from __future__ import annotations

from typing import Any

import groq
import pytest
from both import INPUT, OUTPUT, Answer, Both, Where
from conftest import KEY, PROMPT, check
from groq import Groq

MODEL = "llama-3.3-70b-versatile"
ASK: Any = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
CHAT = {"dialect": "openai.chat", "operation": "chat", "endpoint": "/v1/chat/completions", "request_model": MODEL}


def client(where: Where) -> Groq:
    return Groq(base_url=where.url, api_key=KEY, default_headers=where.headers)


def test_chat(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).chat.completions.create(**ASK)
        return Answer(reply, reply.usage.prompt_tokens, reply.usage.completion_tokens)

    both.same("groq", call, **CHAT, stream=False, input_tokens=INPUT, output_tokens=OUTPUT)


def test_chat_stream(both: Both) -> None:
    def call(where: Where) -> Answer:
        chunks = list(client(where).chat.completions.create(**ASK, stream=True))
        assert len(chunks) > 3
        return Answer(chunks)

    both.same("groq", call, **CHAT, stream=True, input_tokens=INPUT, output_tokens=OUTPUT)


@pytest.mark.parametrize(
    ("words", "status", "kind"), [("be strict", 400, groq.BadRequestError), ("be unwell", 500, groq.InternalServerError)]
)
def test_error(both: Both, words: str, status: int, kind: type[groq.APIStatusError]) -> None:
    ask = {**ASK, "messages": [{"role": "user", "content": words}]}
    both.same_error("groq", lambda where: client(where).chat.completions.create(**ask), kind, status)


def test_budget_per_day(both: Both) -> None:
    error, refusals = both.refused("groq", lambda where: client(where).chat.completions.create(**ASK), groq.RateLimitError)
    assert error.body["error"]["code"] == "insufficient_quota" and len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    both.retried("groq", lambda where: client(where).chat.completions.create(**ASK))
