"""The official `google-genai` client against aimock."""

from __future__ import annotations

import pytest
from both import INPUT, OUTPUT, Answer, Both, Where
from conftest import KEY, PROMPT, check
from google import genai
from google.genai import errors, types

PROVIDER = "google-ai-studio"
MODEL = "gemini-2.5-flash"
TOLD = {"dialect": "gemini.generate", "operation": "generate_content", "request_model": MODEL, "input_tokens": INPUT, "output_tokens": OUTPUT}


def client(where: Where, retry: types.HttpRetryOptions | None = None) -> genai.Client:
    options = types.HttpOptions(base_url=where.url, api_version="v1beta", headers=where.headers, retry_options=retry)
    return genai.Client(api_key=KEY, http_options=options)


def generate(where: Where, words: str = PROMPT, retry: types.HttpRetryOptions | None = None) -> types.GenerateContentResponse:
    # A client that nobody holds any more closes its connections at once.
    with client(where, retry) as open_client:
        return open_client.models.generate_content(model=MODEL, contents=words)


def test_generate(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = generate(where)
        usage = reply.usage_metadata
        assert usage and reply.text
        return Answer(reply, usage.prompt_token_count, usage.candidates_token_count)

    both.same(PROVIDER, call, **TOLD, stream=False, endpoint="/v1beta/models/{model}:generateContent")


def test_generate_stream(both: Both) -> None:
    def call(where: Where) -> Answer:
        with client(where) as open_client:
            chunks = list(open_client.models.generate_content_stream(model=MODEL, contents=PROMPT))
        usage = chunks[-1].usage_metadata
        assert usage and len(chunks) > 3
        return Answer(chunks, usage.prompt_token_count, usage.candidates_token_count)

    both.same(PROVIDER, call, **TOLD, stream=True, endpoint="/v1beta/models/{model}:streamGenerateContent")


@pytest.mark.parametrize(("words", "status", "kind"), [("be strict", 400, errors.ClientError), ("be unwell", 500, errors.ServerError)])
def test_error(both: Both, words: str, status: int, kind: type[errors.APIError]) -> None:
    both.same_error(PROVIDER, lambda where: generate(where, words), kind, status)


def test_budget_per_day(both: Both) -> None:
    """As it is, this client tries nothing twice."""
    error, refusals = both.refused(PROVIDER, generate, errors.ClientError)
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED") and "per-day" in (error.message or "")
    assert len(refusals) == 1
    check(refusals[0], reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    retry = types.HttpRetryOptions(attempts=5)
    both.retried(PROVIDER, lambda where: generate(where, retry=retry))
