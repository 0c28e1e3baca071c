"""npm's `openai`, `@anthropic-ai/sdk`, `@google/genai` and Vercel's `ai` against aimock: see `node.mjs`, which makes the calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from both import DIRECTORY, INPUT, OUTPUT, UNCOUNTED, Answer, Both, Where
from conftest import PATIENCE, PROMPT, check

Call = Callable[..., Callable[[Where], Answer]]


class Thrown(Exception):
    """What an SDK threw, with the name of its class."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.kind: str = error["class"]
        self.status: int | None = error.get("status")


@pytest.fixture(scope="module")
def node() -> Iterator[Call]:
    program = ["node", DIRECTORY / "node.mjs", os.environ["METERR_NODE_SDKS"]]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    stdin, stdout = process.stdin, process.stdout

    def named(name: str, words: str = PROMPT, retries: int = 2) -> Callable[[Where], Answer]:
        def call(where: Where) -> Answer:
            stdin.write(json.dumps({"call": name, "url": where.url, "headers": where.headers, "words": words, "retries": retries}) + "\n")
            stdin.flush()
            line = stdout.readline()
            assert line, "node ended: see standard error above"
            reply = json.loads(line)
            if "error" in reply:
                raise Thrown(reply["error"])
            return Answer(reply["seen"], reply.get("input"), reply.get("output"))

        return call

    yield named
    stdin.close()
    assert process.wait(PATIENCE) == 0


TOLD = {"input_tokens": INPUT, "output_tokens": OUTPUT}
CALLS = {
    "openai.chat": "openai", "openai.stream": "openai", "openai.stream_with_usage": "openai", "openai.responses": "openai",
    "openai.responses_stream": "openai", "anthropic.messages": "anthropic", "anthropic.stream": "anthropic",
    "google.generate": "google-ai-studio", "google.stream": "google-ai-studio",
    "vercel.openai.generate": "openai", "vercel.openai.stream": "openai", "vercel.responses.generate": "openai",
    "vercel.responses.stream": "openai", "vercel.anthropic.generate": "anthropic", "vercel.anthropic.stream": "anthropic",
    "vercel.google.generate": "google-ai-studio", "vercel.google.stream": "google-ai-studio",
}
ERRORS = {
    "openai.chat": ("BadRequestError", "InternalServerError"), "anthropic.messages": ("BadRequestError", "InternalServerError"),
    "google.generate": ("ApiError", "ApiError"), "vercel.openai.generate": ("APICallError", "APICallError"),
    "vercel.anthropic.generate": ("APICallError", "APICallError"),
}
REFUSED = {
    "openai.chat": "RateLimitError", "openai.stream": "RateLimitError", "openai.responses": "RateLimitError",
    "anthropic.messages": "RateLimitError", "anthropic.stream": "RateLimitError", "google.generate": "ApiError",
}
RETRIED = ["openai.chat", "anthropic.messages", "vercel.openai.generate", "vercel.anthropic.stream"]


@pytest.mark.parametrize("name", CALLS)
def test_answer(both: Both, node: Call, name: str) -> None:
    operation = "generate_content" if "google" in name else "chat"
    both.same(CALLS[name], node(name), **TOLD, stream="stream" in name, operation=operation)


def test_embeddings(both: Both, node: Call) -> None:
    both.same("openai", node("openai.embeddings"), operation="embeddings", **UNCOUNTED)


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize(("words", "status"), [("be strict", 400), ("be unwell", 500)])
def test_error(both: Both, node: Call, name: str, words: str, status: int) -> None:
    error = both.same_error(CALLS[name], node(name, words, 1), Thrown, status)
    assert (error.kind, error.status) == (ERRORS[name][status // 500], status)


@pytest.mark.parametrize("name", REFUSED)
def test_budget_per_day(both: Both, node: Call, name: str) -> None:
    """A budget is not waited for: left at its usual retries, the SDK asks once."""
    error, refusals = both.refused(CALLS[name], node(name), Thrown)
    assert error.kind == REFUSED[name] and "per-day" in str(error)
    assert len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


def test_budget_of_vercel_per_day(both: Both, node: Call) -> None:
    """Vercel's own retries know no header that ends them: it is for whoever uses it to say so."""
    error, refusals = both.refused("openai", node("vercel.openai.generate"), Thrown)
    assert (error.kind, error.status) == ("APICallError", 429) and "per-day" in str(error) and len(refusals) == 3


@pytest.mark.parametrize("name", RETRIED)
def test_retried_per_second(both: Both, node: Call, name: str) -> None:
    both.retried(CALLS[name], node(name))
