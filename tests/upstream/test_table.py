"""Is every cell of README's table of repetition what really reaches an origin? Hits are counted."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.core.dialect import PLAIN, Dialect, Row
from proxy.core.routing import Origin as Base
from proxy.upstream.session import Session
from tests.house import text
from tests.origin import Gate, Origin, closed_port
from tests.upstream.conftest import HEAD, OK, Got, Way

METHODS, KEYED, OTHER = "`methods`", "with the `idempotency_key`", "any other"
COLUMNS = (METHODS, KEYED, OTHER)


def rows() -> dict[str, tuple[str, ...]]:
    """As README.md has them."""
    table = text("README.md").partition("Whether a request may be sent again")[2].partition("\n\n##")[0]
    lines = re.findall(r"^\|.*", table, re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert tuple(cells[0][1:]) == COLUMNS
    return {first: tuple(others) for first, *others in cells[2:]}


class Nowhere(AbstractResolver):
    """A resolver that knows no name."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        raise OSError(f"{host}:{port} of {family} is unknown")

    async def close(self) -> None: ...


async def ask(way: Way, column: str, **changed: Any) -> Got:
    """Two attempts, of a request as the column has it."""
    retry = {"attempts": 2, "initial": 0, "max_wait": 0, **changed.pop("retry", {})}
    if column == METHODS:
        return await way.ask("PUT", "/x", body=b"body", retry=retry, **changed)
    if column == KEYED:
        retry["idempotency_key"] = "Idempotency-Key"
    return await way.ask("POST", "/x", body=b"body", retry=retry, **changed)


Sent = Callable[[Way, str], Awaitable[int]]
SAYS = Dialect(rows=(Row(statuses=frozenset({409}), again=True), Row(statuses=frozenset({500}), again=False)))


def first(
    *steps: bytes | Gate,
    then: str = "keep",
    timeouts: dict[str, Any] | None = None,
    dialect: Dialect = PLAIN,
    **retry: Any,
) -> Sent:
    """The first answer so, the next one well; how many requests came."""

    async def sent(way: Way, column: str) -> int:
        way.origin.on("/x").raw(*steps, then=then).raw(OK)  # type: ignore[arg-type]  # a word of End
        got = await ask(way, column, retry=retry, timeouts=timeouts or {}, dialect=dialect)
        hits = way.origin.hits("/x")
        assert len(hits) == len(got.exchange.attempts)
        assert {hit.body for hit in hits} == {b"body"}
        if len(hits) > 1:
            assert got.status == 200
        return len(hits)

    return sent


def status(code: int, *fields: str, **retry: Any) -> Sent:
    lines = "".join(f"{field}\r\n" for field in fields)
    return first(f"HTTP/1.1 {code} Said\r\n{lines}Content-Length: 2\r\n\r\nno".encode(), **retry)


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A port whose queue is full: loopback's nearest thing to a host that does not answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def tried(way: Way, column: str, base: Base, **timeouts: float) -> int:
    """Attempts at a place where nothing can be sent, so that no hit can be counted."""
    got = await ask(way, column, origins=(base,), timeouts=timeouts)
    assert got.failure is not None
    assert not got.failure.sent
    assert way.origin.count() == 0
    return len(got.exchange.attempts)


async def unknown_name(way: Way, column: str) -> int:
    session = Session(resolver=Nowhere())
    there = Way(way.origin, session)
    base = Base(scheme="http", host="nowhere.example", port=80)
    count = await tried(there, column, base)
    await session.close()
    return count


async def refused(way: Way, column: str) -> int:
    return await tried(way, column, Base(scheme="http", host="127.0.0.1", port=closed_port()))


async def unanswered(way: Way, column: str) -> int:
    with full() as port:
        return await tried(way, column, Base(scheme="http", host="127.0.0.1", port=port), connect=0.05)


async def no_tls(way: Way, column: str) -> int:
    way.origin.hang_up = 9
    got = await ask(way, column, origins=(replace(way.route.origins[0], scheme="https"),))
    assert got.failure is not None
    assert not got.failure.sent
    return len(got.exchange.attempts)


async def closed_while_kept(way: Way, column: str) -> int:
    """The one that goes out on the closed connection's successor is the first that comes."""
    way.origin.on("/before").raw(OK, then="close")
    way.origin.on("/x").raw(OK)
    await way.ask("GET", "/before")
    # It is closed on the other side; a look at the socket tells our side.
    await asyncio.to_thread(way.origin.wait_closed, way.origin.hit("/before"))
    await asyncio.sleep(0.02)
    got = await ask(way, column)
    assert (got.status, len(got.exchange.attempts)) == (200, 1)
    return 1 + way.origin.count("/x")


async def broken_while_kept(way: Way, column: str) -> int:
    way.origin.on("/before").raw(OK)
    way.origin.on("/x").raw(b"", then="close").raw(OK)
    await way.ask("GET", "/before")
    got = await ask(way, column)
    if way.origin.count("/x") > 1:
        assert got.status == 200
    return way.origin.count("/x")


ROWS: dict[str, Sent] = {
    "nothing was sent: no such name": unknown_name,
    "nothing was sent: connection refused": refused,
    "nothing was sent: no connection within `timeout.connect`": unanswered,
    "nothing was sent: TLS failed": no_tls,
    "a kept connection was closed before anything was written": closed_while_kept,
    "a kept connection broke before a byte of answer": broken_while_kept,
    "no answer within `timeout.attempt`": first(Gate(), timeouts={"attempt": 0.5}),
    "the connection broke before the answer": first(b"", then="close"),
    "the answer's head broke off or makes no sense": first(HEAD + b"X-A", then="close"),
    "the answer had begun, then broke": first(HEAD + b"Content-Length: 9\r\n\r\nbro", then="close"),
    "429": status(429),
    "503 with Retry-After": status(503, "Retry-After: 0"),
    "425, where `statuses` lists it": status(425, statuses=frozenset({425})),
    "408": status(408),
    "500": status(500),
    "502": status(502),
    "503 without Retry-After": status(503),
    "504": status(504),
    "a failure that `statuses` does not list": status(422),
    "a failure with `x-should-retry: true`": status(409, "X-Should-Retry: true"),
    "a failure with `Stripe-Should-Retry: true`": status(500, "Stripe-Should-Retry: true"),
    "a failure that the preset says to repeat": status(409, dialect=SAYS),
    "a failure that the preset says not to repeat": status(500, dialect=SAYS),
    "429 with `x-should-retry: false`": status(429, "X-Should-Retry: false"),
    "500 with `Stripe-Should-Retry: false`": status(500, "Stripe-Should-Retry: false"),
    "a success": status(201, "X-Should-Retry: true"),
}


@pytest.fixture
async def quiet(origin: Origin) -> AsyncIterator[Way]:
    session = Session()
    yield Way(origin, session)
    await session.close()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
async def test_a_cell(quiet: Way, row: str, column: str) -> None:
    said = rows()[row][COLUMNS.index(column)]
    assert await ROWS[row](quiet, column) == {"again": 2, "no": 1}[said]


def test_every_row_has_its_test() -> None:
    assert list(rows()) == list(ROWS)
