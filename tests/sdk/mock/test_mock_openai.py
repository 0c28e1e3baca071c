"""The official `openai` client against aimock."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from both import INPUT, OUTPUT, UNCOUNTED, Answer, Both, Where
from conftest import KEY, PROMPT, check
from openai import AsyncOpenAI, OpenAI

MODEL = "gpt-4o-mini"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
CHAT = {"dialect": "openai.chat", "operation": "chat", "endpoint": "/v1/chat/completions", "request_model": MODEL, "response_model": MODEL}
TOLD = {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}


def client(where: Where, **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{where.url}/v1", api_key=KEY, default_headers=where.headers, **options)


def asking(words: str) -> dict[str, Any]:
    return {**ASK, "messages": [{"role": "user", "content": words}]}


def test_chat(both: Both) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).chat.completions.create(**ASK)
        assert reply.usage
        return Answer(reply, reply.usage.prompt_tokens, reply.usage.completion_tokens)

    both.same("openai", call, **CHAT, **TOLD, stream=False, finish_reason="stop")


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "unasked"])
def test_chat_stream(both: Both, asked: bool) -> None:
    """aimock counts in a stream only where it is asked to, as OpenAI does: what the filter asks for itself, nobody sees."""

    def call(where: Where) -> Answer:
        options: Any = {"stream_options": {"include_usage": True}} if asked else {}
        chunks = list(client(where).chat.completions.create(**ASK, **options, stream=True))
        usage = chunks[-1].usage
        assert len(chunks) > 3 and bool(usage) is asked
        return Answer(chunks, usage.prompt_tokens, usage.completion_tokens) if usage else Answer(chunks)

    both.same("openai", call, **CHAT, **TOLD, stream=True, finish_reason="stop")


def test_chat_async(both: Both) -> None:
    def call(where: Where) -> Answer:
        async def run() -> Any:
            async with AsyncOpenAI(base_url=f"{where.url}/v1", api_key=KEY, default_headers=where.headers) as client:
                return [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]

        return Answer(asyncio.run(run()))

    both.same("openai", call, **CHAT, **TOLD, stream=True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tool(both: Both, stream: bool) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).chat.completions.create(**asking("the weather?"), tools=[TOOL], stream=stream)
        return Answer(list(reply) if stream else reply)

    both.same("openai", call, **CHAT, stream=stream, finish_reason="tool_calls", input_tokens=310, output_tokens=41)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_responses(both: Both, stream: bool) -> None:
    def call(where: Where) -> Answer:
        reply = client(where).responses.create(model=MODEL, input=PROMPT, stream=stream)
        events = list(reply) if stream else [reply]
        final = events[-1].response if stream else reply
        return Answer(events, final.usage.input_tokens, final.usage.output_tokens)

    both.same("openai", call, **TOLD, dialect="openai.responses", stream=stream, endpoint="/v1/responses")


def test_embeddings(both: Both) -> None:
    def call(where: Where) -> Answer:
        return Answer(client(where).embeddings.create(model="text-embedding-3-small", input=PROMPT))

    both.same("openai", call, dialect="openai.embeddings", operation="embeddings", stream=False, **UNCOUNTED)


def test_image(both: Both) -> None:
    def call(where: Where) -> Answer:
        return Answer(client(where).images.generate(model="gpt-image-1", prompt=PROMPT))

    both.same("openai", call, dialect="openai.images", stream=False, images=1)


def test_speech(both: Both) -> None:
    """The reply is bytes: what it costs is in the request."""

    def call(where: Where) -> Answer:
        return Answer(client(where).audio.speech.create(model="tts-1", voice="alloy", input=PROMPT).content)

    both.same("openai", call, dialect="openai.audio", characters=len(PROMPT))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_transcription(both: Both, stream: bool) -> None:
    """The request is a form, not JSON."""

    def call(where: Where) -> Answer:
        reply = client(where).audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"RIFF" * 20), stream=stream)
        replies = list(reply) if stream else [reply]
        usage = replies[-1].usage
        return Answer(replies, usage.input_tokens, usage.output_tokens)

    both.same("openai", call, dialect="openai.audio", operation="transcription", input_tokens=14, output_tokens=45)


def test_moderation_is_free(both: Both) -> None:
    def call(where: Where) -> Answer:
        return Answer(client(where).moderations.create(input=PROMPT))

    both.same("openai", call, dialect="openai.moderations", usage_status="none", billable=False)


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [("be strict", 400, openai.BadRequestError), ("be busy", 429, openai.RateLimitError), ("be unwell", 500, openai.InternalServerError)],
)
def test_error(both: Both, words: str, status: int, kind: type[openai.APIStatusError]) -> None:
    both.same_error("openai", lambda where: client(where).chat.completions.create(**asking(words)), kind, status)
    assert len(both.case.events_so_far()) == (1 if status == 400 else 3)


def test_budget_per_day(both: Both) -> None:
    error, refusals = both.refused("openai", lambda where: client(where).responses.create(model=MODEL, input=PROMPT), openai.RateLimitError)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota") and len(refusals) == 1
    check(refusals[0], dialect="openai.responses", reason="budget_exceeded", status=429)


def test_retried_per_second(both: Both) -> None:
    both.retried("openai", lambda where: client(where).chat.completions.create(**ASK))
