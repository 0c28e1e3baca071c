"""The official `anthropic` client against aimock."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from both import INPUT, OUTPUT, Answer, Both, Where
from conftest import KEY, PROMPT, check

MODEL = "claude-sonnet-4-6"
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": PROMPT}]}
MESSAGES = {"dialect": "anthropic.messages", "operation": "chat", "endpoint": "/v1/messages", "request_model": MODEL, "response_model": MODEL}
TOLD = {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
TOOL: Any = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def client(where: Where) -> Anthropic:
    return Anthropic(base_url=where.url, api_key=KEY, default_headers=where.headers)


def asking(words: str) -> dict[str, Any]:
    return {**ASK, "messages": [{"role": "user", "content": words}]}


@pytest.mark.parametrize(
    ("words", "options", "finish", "counts"),
    [(PROMPT, {}, "end_turn", (INPUT, OUTPUT)), ("think", {}, "end_turn", (77, 88)), ("the weather?", {"tools": [TOOL]}, "tool_use", (310, 41))],
    ids=["text", "thinking", "tool"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_messages(both: Both, stream: bool, words: str, options: dict[str, Any], finish: str, counts: tuple[int, int]) -> None:
    def call(where: Where) -> Answer:
        if not stream:
            reply = client(where).messages.create(**asking(words), **options)
            return Answer(reply, reply.usage.input_tokens, reply.usage.output_tokens)
        with client(where).messages.stream(**asking(words), **options) as events:
            seen = list(events)
            final = events.get_final_message()
        return Answer([seen, final], final.usage.input_tokens, final.usage.output_tokens)

    both.same("anthropic", call, **MESSAGES, stream=stream, finish_reason=finish, input_tokens=counts[0], output_tokens=counts[1])


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        ("be strict", 400, anthropic.BadRequestError), ("be busy", 429, anthropic.RateLimitError),
        ("be unwell", 500, anthropic.InternalServerError),
    ],
)
def test_error(both: Both, words: str, status: int, kind: type[anthropic.APIStatusError]) -> None:
    both.same_error("anthropic", lambda where: client(where).messages.create(**asking(words)), kind, status)
    assert len(both.case.events_so_far()) == (1 if status == 400 else 3)


def test_budget_per_day(both: Both) -> None:
    error, refusals = both.refused("anthropic", lambda where: client(where).messages.create(**ASK), anthropic.RateLimitError)
    assert error.type == "rate_limit_error" and len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    both.retried("anthropic", lambda where: client(where).messages.create(**ASK))
