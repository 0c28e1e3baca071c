"""LangChain's own packages for OpenAI and Anthropic, against aimock."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from both import INPUT, OUTPUT, UNCOUNTED, Answer, Both, Where
from conftest import KEY, PROMPT, check
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

GPT, CLAUDE = "gpt-4o-mini", "claude-sonnet-4-6"
TOLD = {"operation": "chat", "input_tokens": INPUT, "output_tokens": OUTPUT}


def gpt(where: Where, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model=GPT, base_url=f"{where.url}/v1", api_key=KEY, default_headers=where.headers, **options)


def claude(where: Where) -> ChatAnthropic:
    return ChatAnthropic(model_name=CLAUDE, base_url=where.url, api_key=KEY, default_headers=where.headers, max_tokens_to_sample=200)


MODELS = pytest.mark.parametrize(("provider", "model"), [("openai", gpt), ("anthropic", claude)], ids=["openai", "anthropic"])


@MODELS
def test_invoke(both: Both, provider: str, model: Any) -> None:
    def call(where: Where) -> Answer:
        reply = model(where).invoke(PROMPT)
        return Answer(reply, reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"])

    both.same(provider, call, **TOLD, stream=False)


@MODELS
def test_stream(both: Both, provider: str, model: Any) -> None:
    def call(where: Where) -> Answer:
        chunks = list(model(where).stream(PROMPT))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert len(chunks) > 3
        # At a base URL that is not OpenAI's it does not ask for the count. Of Anthropic's streams it reads the input in the last count,
        # where aimock has none.
        usage = whole.usage_metadata
        return Answer(chunks, None, usage["output_tokens"] if usage else None)

    both.same(provider, call, **TOLD, stream=True)


def test_stream_with_usage(both: Both) -> None:
    def call(where: Where) -> Answer:
        chunks = list(gpt(where, stream_usage=True).stream(PROMPT))
        (usage,) = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
        return Answer(chunks, usage["input_tokens"], usage["output_tokens"])

    both.same("openai", call, **TOLD, stream=True)


def test_responses(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = gpt(where, use_responses_api=True).invoke(PROMPT)
        return Answer(reply, reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"])

    both.same("openai", call, **TOLD, dialect="openai.responses")


def test_embeddings(both: Both) -> None:
    def call(where: Where) -> Answer:
        client = OpenAIEmbeddings(
            base_url=f"{where.url}/v1", api_key=KEY, default_headers=where.headers, check_embedding_ctx_length=False
        )
        return Answer(client.embed_query(PROMPT))

    both.same("openai", call, operation="embeddings", **UNCOUNTED)


@pytest.mark.parametrize(
    ("provider", "model", "kind"), [("openai", gpt, openai.RateLimitError), ("anthropic", claude, anthropic.RateLimitError)],
    ids=["openai", "anthropic"],
)
def test_budget_per_day(both: Both, provider: str, model: Any, kind: type[Exception]) -> None:
    _, refusals = both.refused(provider, lambda where: model(where).invoke(PROMPT), kind)
    assert len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


@MODELS
def test_retried_per_second(both: Both, provider: str, model: Any) -> None:
    both.retried(provider, lambda where: model(where).invoke(PROMPT))
