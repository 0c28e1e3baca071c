"""An LLM server that is not ours, and the same call made of it twice: at once, and through Envoy with the filter.

An application developer must not notice us, so the SDK's own object has to be the same both times. The one event that the second call
leaves has to say what that object says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conftest import PATIENCE, Case, Event, Launch, check

E = TypeVar("E", bound=BaseException)

DIRECTORY = Path(__file__).parent / "mock"
INPUT, OUTPUT = 1234, 56
"""What aimock counts when it is asked of the pelican: see `mock/aimock.mjs`."""

UNCOUNTED: Any = {"usage_status": "missing", "usage_flags": "zero_usage", "input_tokens": None, "output_tokens": None}
"""What the event says where aimock counts nothing and says 0, which no request that was answered can be: unknown is not zero."""


@dataclass(frozen=True)
class Where:
    """Where a call goes, and the headers that it has."""

    url: str
    headers: dict[str, str]
    proxy: str | None = None
    """Where it goes really, for clients whose signature covers the host: there `url` is the provider's own."""


@dataclass(frozen=True)
class Answer:
    """What an SDK made of a reply: everything that an application sees, and the tokens among that, if it is told any."""

    seen: Any
    input: int | None = None
    output: int | None = None


class Mock:
    """A running aimock. It ends with this process at the latest: its standard input does."""

    def __init__(self) -> None:
        program = ["node", DIRECTORY / "aimock.mjs", os.environ["METERR_AIMOCK"]]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"aimock did not start, status {self._process.wait(PATIENCE)}: see standard error above"
        self.url: str = json.loads(line)["url"]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)


@dataclass(frozen=True)
class Both:
    """One test: the two ways to the same server."""

    mock: str
    case: Case

    def direct(self, host: str | None = None) -> Where:
        """Without us."""
        return Where(self.mock, {}) if host is None else Where(f"http://{host}", {}, self.mock)

    def metered(self, provider: str, host: str | None = None) -> Where:
        """Through Envoy: in the prefix form, or in the host form if a host is given."""
        listener = self.case.stack.listener
        return Where(f"{listener}/{provider}", self.case.headers) if host is None else Where(f"http://{host}", self.case.headers, listener)

    def same(self, provider: str, call: Callable[[Where], Answer], host: str | None = None, **expected: Any) -> Event:
        """Makes the call both ways, compares what came, and gives back the one event, which has the SDK's counts and these fields."""
        direct, metered = call(self.direct(host)), call(self.metered(provider, host))
        assert plain(metered.seen) == plain(direct.seen)
        assert (metered.input, metered.output) == (direct.input, direct.output)
        (event,) = self.case.events_so_far()
        if metered.input is not None:
            check(event, input_tokens=metered.input)
        if metered.output is not None:
            check(event, output_tokens=metered.output)
        done = {"provider": provider, "status": 200, "outcome": "completed", "usage_status": "reported", "usage_flags": None, "billable": True}
        check(event, **{**done, **expected})
        return event

    def same_error(
        self, provider: str, call: Callable[[Where], Any], kind: type[E], status: int, host: str | None = None, seen: Callable[[E], Any] = str
    ) -> E:
        """The provider's own error is raised as without us; each try has its event."""
        direct = raised(lambda: call(self.direct(host)), kind)
        metered = raised(lambda: call(self.metered(provider, host)), kind)
        assert type(metered) is type(direct) and plain(seen(metered)) == plain(seen(direct))
        for event in self.case.events_so_far():
            check(event, provider=provider, status=status, outcome="provider_error", usage_status="none")
        return metered

    def refused(self, provider: str, call: Callable[[Where], Any], kind: type[E], host: str | None = None) -> tuple[E, list[Event]]:
        """Calls until we refuse. Gives back what the SDK raised, and the events of the refusals: more than one if it tried again."""
        where = self.metered(provider, host)
        for _ in range(20):
            try:
                call(where)
            except kind as error:
                return error, [event for event in self.case.events_so_far() if event["data"]["outcome"] == "rejected"]
        raise AssertionError("the limit never bit")

    def retried(self, provider: str, call: Callable[[Where], Any], host: str | None = None) -> None:
        """Calls, always with success, until the SDK had to try again for it."""
        where = self.metered(provider, host)
        for calls in range(1, 21):
            call(where)
            events = self.case.events_so_far()
            assert len(events) >= calls
            if len(events) > calls:
                break
        else:
            raise AssertionError("the limit never bit")
        outcomes = [event["data"]["outcome"] for event in events]
        assert outcomes[-1] == "completed" and outcomes.count("completed") == calls and set(outcomes) == {"completed", "rejected"}


def raised(call: Callable[[], Any], kind: type[E]) -> E:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("the SDK raised nothing")


# What aimock makes up anew for every reply: ids, and times of creation.
_MADE_UP = re.compile(r"\b(chatcmpl|msg|resp|call|toolu|gen|rs|req|tooluse|c14n|event|item|sess)[-_][A-Za-z0-9_-]+")
_ID_KEYS = {"id", "created", "created_at", "completed_at", "response_id", "generation_id", "request_id", "requestid", "date", "x-request-id",
            "x-meterr-id", "httpheaders", "sdk_http_response", "item_id", "total_duration", "load_duration", "eval_duration", "prompt_eval_duration",
            "run_id", "lc_run_id", "response_ms", "timestamp"}


def erased(text: str) -> str:
    return _MADE_UP.sub(r"\1-", text)


def plain(seen: Any) -> Any:
    """As JSON would show it, without what is made up anew for every reply."""
    if hasattr(seen, "model_dump"):
        seen = seen.model_dump(mode="json", warnings=False)
    if isinstance(seen, dict):
        return {key: plain(value) for key, value in seen.items() if str(key).lower() not in _ID_KEYS}
    if isinstance(seen, (list, tuple)):
        return [plain(value) for value in seen]
    if isinstance(seen, (str, bytes)):
        return erased(seen if isinstance(seen, str) else seen.hex())
    if seen is None or isinstance(seen, (bool, int, float)):
        return seen
    raise TypeError(f"{type(seen)} cannot be compared")


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    """An LLM server that is not ours."""
    mock = Mock()
    yield mock
    mock.kill()


@pytest.fixture
def both(launch: Launch, mock: Mock, tenant: str) -> Both:
    """On a stack whose every provider is that server."""
    stack = launch(upstream=mock.url)
    return Both(mock.url, Case(stack, tenant, stack.requests()))
