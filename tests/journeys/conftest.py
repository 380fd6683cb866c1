"""What do the journeys share: a guarded proxy, what counts as a refusal, and several workers?"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest

from tests.conftest import Start
from tests.origin import Origin
from tests.running import Leeward
from tests.websocket import Upstream, hang_up
from tests.wire import Answer, BadAnswerError

TOKEN = "guarded-token-93"


@pytest.fixture
def guarded(leeward: Start, origin: Origin) -> Leeward:
    """One upstream at `/` with an injected credential, one attempt, short patience with callers."""
    return leeward(
        {
            "server": {"header_timeout": "1s"},
            "upstreams": {
                "api": {
                    "base_url": origin.url,
                    "prefix": "/",
                    "auth": {"type": "bearer", "token": {"env": "GUARDED_TOKEN"}},
                    "retry": {"attempts": 1},
                    "timeout": {"idle": "1s", "total": "10s"},
                }
            },
        },
        env={"GUARDED_TOKEN": TOKEN},
    )


@pytest.fixture
def crew(leeward: Start, origin: Origin) -> Start:
    """Starts several workers, four unless told otherwise, in front of the origin at `/`."""

    def started(workers: int = 4, **upstream: Any) -> Leeward:
        whole = {"base_url": origin.url, "prefix": "/", "concurrency": None, **upstream}
        return leeward({"server": {"workers": workers}, "upstreams": {"api": whole}}, fresh=True)

    return started


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """A server of WebSockets."""
    with Upstream() as upstream:
        yield upstream
    hang_up()


@pytest.fixture
def start(leeward: Start, upstream: Upstream) -> Iterator[Start]:
    """Starts a proxy in front of that server at `/`, with a credential."""

    def started(*, fresh: bool = False, server: dict[str, Any] | None = None, **api: Any) -> Leeward:
        whole = {
            "base_url": upstream.url,
            "prefix": "/",
            "auth": {"type": "bearer", "token": TOKEN},
            "headers": {"set": {"X-Set": "here"}},
            **api,
        }
        return leeward({"server": server or {}, "upstreams": {"api": whole}}, fresh=fresh)

    yield started
    hang_up()


def refused(proxy: Leeward, raw: bytes, statuses: Collection[int] = (400,)) -> Answer:
    """Sends these bytes at once: a typed refusal has to come back, and then the end."""
    with proxy.send(raw) as wire:
        answer = wire.read()
        assert answer.status in statuses, (answer.status, answer.body)
        assert answer.problem["status"] == answer.status
        assert wire.end() in ("closed", "reset")
    return answer


def answers(proxy: Leeward, raw: bytes, most: int = 4) -> list[Answer]:
    """All that comes back for these bytes until the connection ends or falls silent."""
    found: list[Answer] = []
    with proxy.send(raw) as wire:
        for _ in range(most):
            try:
                found.append(wire.read())
            except (BadAnswerError, TimeoutError):
                break
            wire.sock.settimeout(1)
    return found
