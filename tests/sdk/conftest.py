"""What both suites share: stacks of Envoy, filter, provider stand-in and collector, and a tenant of its own for every test.

The clients under test are the vendors' own, told a base URL and one header. All traffic stays on 127.0.0.1.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest_plugins = ["both"]

Event = dict[str, Any]
Launch = Callable[..., "Stack"]
E = TypeVar("E", bound=Exception)

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
"""Seconds that anything that must happen may take, however busy the machine is."""

KEY = "sk-secret-0123456789"
PROMPT = "Say hello to the pelican."

LIMITS = [
    {"id": "roomy", "per": ["tenant"], "unit": "tokens", "amount": 1_000_000,
     "window": {"kind": "fixed", "per": "hour"}},
    # A window of one request, for the tests that say so in their name.
    *(
        {"id": f"per-{window}", "per": ["tenant"], "match": {"tenant": [f"*per_{window}*"]}, "unit": "requests", "amount": 1,
         "window": {"kind": "fixed", "per": window}}
        for window in ("second", "hour", "day")
    ),
]

# Loopback is never reached through a proxy, whatever the environment says.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Stack:
    """A running `stack` program. It ends with this process at the latest: its standard input does."""

    def __init__(self, limits: list[Any], more: dict[str, Any], upstream: str | None = None) -> None:
        program = [ROOT / "target/debug/stack", "--limits", json.dumps(limits), "--more", json.dumps(more)]
        if upstream:
            program += ["--upstream", upstream.removeprefix("http://")]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin and self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the stack did not start, status {self._process.wait(PATIENCE)}: see standard error above"
        urls = json.loads(line)
        self.listener: str = urls["listener"]
        self._admin: str = urls["admin"]
        self._collector: str = urls["collector"]
        self._expected: dict[str, int] = {}

    def events(self, tenant: str, count: int) -> list[Event]:
        """Waits until the tenant has that many events, in the order of their ids, which is that of their requests.

        That not one more comes is looked at now, and again when the stack ends: a late one has had time by then.
        """
        self._expected[tenant] = count
        end = time.monotonic() + PATIENCE
        while len(found := [event for event in self._all() if event["subject"] == tenant]) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} events of {tenant} came"
            time.sleep(0.01)
        assert len(found) == count, f"more events than exchanges: {found}"
        for event in found:
            text = json.dumps(event)
            assert "pelican" not in text and "secret" not in text, f"a prompt or a credential in {text}"
            # Of a realtime connection each response has an event, with its number after a point.
            assert uuid.UUID(event["id"].partition(".")[0]).version == 7
            assert event["data"]["tenant"] == tenant and event["data"]["schema"] == 1
        return sorted(found, key=lambda event: event["id"])

    def requests(self) -> int:
        """How many requests have reached Envoy's listener."""
        with _open(f"{self._admin}/stats?format=json&filter=^http\\.llm\\.downstream_rq_total$", timeout=PATIENCE) as reply:
            (counter,) = json.load(reply)["stats"]
        return int(counter["value"])

    def next_event(self, tenant: str) -> Event:
        """The one event that came after those already asked for: for a tenant that tests share."""
        return self.events(tenant, self._expected.get(tenant, 0) + 1)[-1]

    def finish(self) -> None:
        """Ends it; fails on an event that no test accounts for, a lost one, and anything that one of its parts complains of."""
        counts: dict[str, int] = {}
        for event in self._all():
            counts[event["subject"]] = counts.get(event["subject"], 0) + 1
        gaps = self._collect("/v1/gaps")
        assert self._process.stdin
        self._process.stdin.close()
        status = self._process.wait(PATIENCE)
        assert counts == self._expected, "events and exchanges differ"
        assert gaps == [], f"events are missing: {gaps}"
        assert status == 0, "provider, collector or Envoy complained: see standard error above"

    def kill(self) -> None:
        """Ends it without questions."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def _all(self) -> list[Event]:
        return self._collect("/v1/events")

    def _collect(self, path: str) -> Any:
        with _open(self._collector + path, timeout=PATIENCE) as reply:
            return json.load(reply)


@dataclass(frozen=True)
class Case:
    """One test: its stack, and the tenant that nobody else uses."""

    stack: Stack
    tenant: str
    requests_before: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"x-tenant": self.tenant}

    def events(self, count: int) -> list[Event]:
        return self.stack.events(self.tenant, count)

    def events_so_far(self) -> list[Event]:
        """An event for each request that this test has made up to now: as many as Envoy has seen, retries that nobody was told of too."""
        return self.events(self.stack.requests() - self.requests_before)

    def event(self, **expected: Any) -> Event:
        """The one event of this test, which has these fields."""
        (event,) = self.events(1)
        check(event, **expected)
        return event


@dataclass
class Recorder:
    """Sees the requests and replies of a client, as the SDKs' `event_hooks` show them, and changes nothing."""

    requests: list[float] = field(default_factory=list)
    replies: list[tuple[float, int, Mapping[str, str]]] = field(default_factory=list)

    @property
    def hooks(self) -> dict[str, list[Callable[[Any], None]]]:
        return {"request": [self._request], "response": [self._reply]}

    def _request(self, _request: Any) -> None:
        self.requests.append(time.monotonic())

    def _reply(self, reply: Any) -> None:
        self.replies.append((time.monotonic(), reply.status_code, reply.headers))


def told(**behaviour: Any) -> dict[str, str]:
    """The stand-in's own header that says how to answer; see `tests/src/provider/behaviour.rs`."""
    return {"x-test": json.dumps(behaviour)}


def check(event: Event, **expected: Any) -> None:
    """Fields of the event's data; None stands for one that must be absent."""
    data = event["data"]
    assert {name: data.get(name) for name in expected} == expected, event


def until_refused(call: Callable[[], Any], refusal: type[E]) -> tuple[E, int]:
    """The first refusal, and how many calls were admitted before: a window may end between any two calls."""
    for admitted in range(20):
        try:
            call()
        except refusal as error:
            return error, admitted
    raise AssertionError("the limit never bit")


def until_retried(call: Callable[[], Any], recorder: Recorder) -> tuple[float, int]:
    """Calls, always with success, until the SDK had to try twice for it. Checks that it waited as told.

    Returns the seconds told and how many calls needed one try only.
    """
    for single in range(20):
        recorder.requests.clear()
        recorder.replies.clear()
        call()
        if len(recorder.replies) > 1:
            break
    else:
        raise AssertionError("the limit never bit")
    (refused_at, status, headers), (_, then, _) = recorder.replies
    assert (status, then) == (429, 200)
    told_ms = int(headers["retry-after-ms"])
    assert 0 < told_ms <= 1000
    assert (headers["retry-after"], headers["x-should-retry"]) == ("1", "true")
    assert recorder.requests[1] - refused_at >= told_ms / 1000
    return told_ms / 1000, single


def check_limit_headers(headers: Mapping[str, str], event: Event) -> None:
    """The reply's own view of the limit is the event's, before the hold was replaced by the truth."""
    assert headers["x-meterr-id"] == event["id"]
    (limit,) = event["data"]["limits"]
    total = event["data"]["total_tokens"]
    assert headers["ratelimit-policy"] == '"roomy";q=1000000;w=3600'
    left, resets = headers["ratelimit"].removeprefix('"roomy";r=').split(";t=")
    assert int(left) == 1_000_000 - limit["held"] and 0 <= int(resets) <= 3600
    assert (limit["decision"], limit["settled"], limit["remaining"]) == ("admitted", total, 1_000_000 - total)


@pytest.fixture(scope="session")
def launch() -> Iterator[Launch]:
    """Starts stacks, one for each distinct configuration, and looks at all of them in the end."""
    stacks: dict[str, Stack] = {}

    def start(limits: list[Any] | None = None, upstream: str | None = None, **more: Any) -> Stack:
        name = json.dumps([limits, upstream, more], sort_keys=True)
        if name not in stacks:
            stacks[name] = Stack(LIMITS if limits is None else limits, more, upstream)
        return stacks[name]

    yield start
    try:
        for stack in stacks.values():
            stack.finish()
    finally:
        for stack in stacks.values():
            stack.kill()


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    return f"{request.module.__name__}.{request.node.name}"


@pytest.fixture
def case(launch: Launch, tenant: str) -> Case:
    """On the stack that most tests share."""
    return Case(launch(), tenant)


@pytest.fixture
def strict(launch: Launch, tenant: str) -> Case:
    """Where a request must name its tenant, and replies that are no streams say what they cost."""
    identity = {"tenant": [{"from": "header", "name": "x-tenant"}], "on_missing": "reject"}
    return Case(launch(identity=identity, tags={"response_headers": "usage"}), tenant)


@pytest.fixture
def unheld(launch: Launch, tenant: str) -> Case:
    """Where headers are never held: what is counted and hidden must be the same."""
    return Case(launch(header_hold=False), tenant)
