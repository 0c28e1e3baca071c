"""The LiteLLM SDK against aimock."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from both import INPUT, OUTPUT, Answer, Both, Where
from conftest import KEY, PROMPT, check

MESSAGES = [{"role": "user", "content": PROMPT}]
TOLD = {"input_tokens": INPUT, "output_tokens": OUTPUT}
# Not its Groq: that wants a `service_tier`, which aimock does not tell. The provider, the model as LiteLLM wants it, and what it adds to our URL.
ROUTES = pytest.mark.parametrize(
    ("provider", "model", "path"),
    [
        ("openai", "openai/gpt-4o-mini", "/v1"), ("anthropic", "anthropic/claude-sonnet-4-6", ""),
        ("google-ai-studio", "gemini/gemini-2.5-flash", "/v1beta"),
    ],
    ids=["openai", "anthropic", "gemini"],
)


def completion(where: Where, model: str, path: str, **options: Any) -> Any:
    options = {"max_retries": 0, "messages": MESSAGES, **options}
    return litellm.completion(model=model, api_base=where.url + path, api_key=KEY, extra_headers=where.headers, **options)


@ROUTES
def test_completion(both: Both, provider: str, model: str, path: str) -> None:
    def call(where: Where) -> Answer:
        reply = completion(where, model, path)
        return Answer(reply, reply.usage.prompt_tokens, reply.usage.completion_tokens)

    both.same(provider, call, **TOLD, stream=False)


@ROUTES
def test_stream(both: Both, provider: str, model: str, path: str) -> None:
    def call(where: Where) -> Answer:
        chunks = list(completion(where, model, path, stream=True))
        assert len(chunks) > 3
        return Answer(chunks)

    both.same(provider, call, **TOLD, stream=True)


@ROUTES
def test_budget_per_day(both: Both, provider: str, model: str, path: str) -> None:
    _, refusals = both.refused(provider, lambda where: completion(where, model, path), litellm.RateLimitError)
    assert len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    both.retried("openai", lambda where: completion(where, "openai/gpt-4o-mini", "/v1", max_retries=2))
