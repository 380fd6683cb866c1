"""The fast path and the long way give the same bytes, whatever is asked in whatever order.

Two servers stand on one clock in front of one origin; only one of them has a fast path. What is asked of
both is the same, and so are their answers, but for the ids that they make up, and what reached the origin.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.caching.purge import Purge
from proxy.core.exchange import Exchange, Pass, Repeat
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Route, Table
from proxy.gateway.caching import Caching
from proxy.gateway.pipeline import Pipeline
from proxy.gateway.refresh import Refresh
from proxy.gateway.repeats import Repeats
from proxy.server.app import ProxyApp
from proxy.server.connections import Connections
from proxy.stores.memory import MemoryStore
from proxy.stores.receipts import MemoryReceipts
from tests.core.caching.samples import SECRET, route
from tests.gateway.stage import Hands

HEAD_END = b"\r\n\r\n"
_OWN_ID = re.compile(rb"\b[0-9A-HJKMNP-TV-Z]{26}\b")

ANSWERS: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {
    "/plain": (200, [("Cache-Control", "max-age=60")], b"plain"),
    "/short": (200, [("Cache-Control", "max-age=2, stale-while-revalidate=0")], b"short"),
    "/aged": (200, [("Cache-Control", "max-age=9"), ("Age", "3")], b"aged"),
    "/dated": (200, [("Cache-Control", "max-age=60"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")], b""),
    "/etag": (200, [("Cache-Control", "max-age=5"), ("ETag", '"1"')], b"tagged"),
    "/language": (200, [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")], b"hello"),
    "/traced": (200, [("Cache-Control", "max-age=60"), ("Vary", "traceparent")], b"traced"),
    "/named": (200, [("Cache-Control", "max-age=60"), ("Vary", "X-Request-Id")], b"named"),
    "/theirs": (200, [("Cache-Control", "max-age=60"), ("X-Request-Id", "theirs")], b"theirs"),
    "/none": (204, [("Cache-Control", "max-age=60")], b""),
    "/missing": (404, [("Cache-Control", "max-age=60")], b'{"message": "no"}'),
    "/never": (200, [("Cache-Control", "no-store")], b"never"),
    "/large": (200, [("Cache-Control", "max-age=60")], b"l" * 150_000),
}
FIELDS = [
    "Accept-Language: de", "Accept-Language: en", "Authorization: Bearer a", "Authorization: Bearer b",
    "Cache-Control: no-cache", "Cache-Control: max-age=1", "Range: bytes=1-2", 'If-None-Match: "1"',
    "Connection: close", "X-Request-Id: mine", "x-request-id: theirs", "X-Request-Id:odd",
    "X-Request-Id: a b",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "traceparent: nonsense",
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00", "Cookie: a=1", "User-Agent: x",
]  # fmt: skip


class Kept:
    """An observer that counts what it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, int, str, int]] = []

    def opened(self, exchange: Exchange) -> None: ...

    def attempted(self, exchange: Exchange, attempt: Any) -> None: ...

    def closed(self, exchange: Exchange) -> None:
        self._keep(exchange)

    def repeated(self, hits: Sequence[Repeat]) -> None:
        for exchange, *_ in hits:
            self._keep(exchange)

    def passed(self, passes: Sequence[Pass]) -> None:
        for exchange, *_ in passes:
            self._keep(exchange)

    def _keep(self, exchange: Exchange) -> None:
        told = (exchange.method, exchange.target, exchange.status, exchange.verdict.value, exchange.bytes_out)
        self.done.append(told)


@dataclass
class Side:
    """One of the two."""

    app: ProxyApp
    caching: Caching
    kept: Kept
    port: int
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    callers: list[Caller] = field(default_factory=list)

    def caller(self) -> Caller:
        self.callers.append(Caller(self.port))
        return self.callers[-1]


class Token:
    """A secret that a test changes."""

    def __init__(self) -> None:
        self.value = "open"

    def reveal(self) -> str:
        return self.value

    def describe(self) -> str:
        return "a test"


@asynccontextmanager
async def side(clock: Hands, *, fast: bool, on: Route, token: Token | None = None) -> AsyncIterator[Side]:
    store = MemoryStore(max_bytes=1 << 24, max_entry_bytes=1 << 20)
    refresh = Refresh(on_error=lambda error: None)
    caching = Caching(store=store, clock=clock, refresh=refresh, secret_key=SECRET, peek=store.peek)
    asked: list[str] = []

    class Origin:
        async def send(self, request: Request, on: Route, exchange: Exchange) -> Response:
            asked.append(request.target)
            status, fields, body = ANSWERS[request.target]
            headers = Headers.of(*fields, ("Content-Length", str(len(body))))
            return Response(status=status, reason="OK", headers=headers, body=Whole(body))

    receipts = MemoryReceipts(max_bytes=1 << 20, clock=clock)
    repeats = Repeats(receipts=receipts, clock=clock, refresh=refresh, secret=SECRET, max_answer=1 << 20)
    pipeline = Pipeline(table=Table([on]), repeats=repeats, caching=caching, upstream=Origin(), clock=clock)
    kept = Kept()
    app = ProxyApp(
        pipeline=pipeline, observers=[kept], clock=clock, bug=lambda _, error: None, max_request_body=1000,
        header_timeout=5, idle_timeout=5, fast_path=fast, client_token=token,
    )  # fmt: skip
    connections = Connections(app, asyncio.get_running_loop())
    server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    made = Side(app, caching, kept, server.sockets[0].getsockname()[1], asked)
    if app.fast is not None:
        answer = app.fast.answer

        def counting(data: bytes, transport: Any) -> float | None:
            answered = answer(data, transport)
            made.at_once += answered is not None
            return answered

        app.fast.answer = counting  # type: ignore[method-assign]
    try:
        yield made
    finally:
        for caller in made.callers:
            await caller.close()
        server.close()
        connections.close(idle_only=False)
        await refresh.drain(0)
        await asyncio.sleep(0)


class Caller:
    """One connection, opened again whenever it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, *pieces: bytes) -> bytes:
        """One request in so many pieces, and its whole answer."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        for piece in pieces:
            self._writer.write(piece)
            await asyncio.sleep(0.001 if len(pieces) > 1 else 0)
        head = await asyncio.wait_for(self._reader.readuntil(HEAD_END), 10)
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        status = int(head.split(b" ")[1])
        bodyless = b"".join(pieces).startswith(b"HEAD") or status in {204, 304} or length is None
        assert length is not None or bodyless
        body = b"" if length is None or bodyless else await self._reader.readexactly(int(length[1]))
        if b"\r\nConnection: close" in head:
            await self.close()
        return head + body

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reader = self._writer = None


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: a", *fields, "", "")).encode()


paths = st.sampled_from(sorted(ANSWERS))
asking = st.tuples(
    st.just("ask"),
    paths,
    st.lists(st.sampled_from(FIELDS), max_size=2),
    st.sampled_from(["GET", "GET", "GET", "GET", "HEAD", "DELETE"]),
)
steps = st.lists(
    st.one_of(
        asking,
        asking,
        st.tuples(st.just("again"), st.integers(1, 4)),
        st.tuples(st.just("again"), st.integers(1, 4)),
        st.tuples(st.just("pieces"), st.integers(1, 60)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, 0.999, 1.0, 1.7, 3.0, 60.0])),
        st.tuples(st.just("purge")),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(steps=steps)
@example(steps=[("ask", "/aged", [], "HEAD"), ("again", 1), ("pieces", 1)])
@example(
    steps=[("ask", "/theirs", ["X-Request-Id: theirs"], "GET"), ("again", 3), ("wait", 1.0), ("again", 2)]
)
def test_both_ways_give_the_same_bytes(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(compare(steps))


async def compare(steps: list[tuple[Any, ...]]) -> None:
    clock = Hands()
    on = replace(route(), prefix="")
    async with side(clock, fast=True, on=on) as fast, side(clock, fast=False, on=on) as long:
        callers = fast.caller(), long.caller()

        async def ask(*pieces: bytes) -> None:
            one, other = [await caller.ask(*pieces) for caller in callers]
            assert _OWN_ID.sub(b"id", one) == _OWN_ID.sub(b"id", other)

        last = get("/plain")
        for kind, *said in steps:
            if kind == "ask":
                path, fields, method = said
                last = get(path, *fields, method=method)
                await ask(last)
            elif kind == "again":
                for _ in range(said[0]):
                    await ask(last)
            elif kind == "pieces":
                await ask(last[: said[0]], last[said[0] :])
            elif kind == "wait":
                clock.time += said[0]
            else:
                for one in (fast, long):
                    await one.caching.purge(Purge())
        fast.app.tell()
        assert fast.asked == long.asked
        assert fast.app.answered == long.app.answered
        assert sorted(fast.kept.done) == sorted(long.kept.done)


PLAIN = get("/plain")
TRACES = [f"traceparent: 00-{n:032x}-{n:016x}-01" for n in range(1, 6)]


@asynccontextmanager
async def fast_side(
    *, token: Token | None = None, on: Route | None = None
) -> AsyncIterator[tuple[Side, Hands]]:
    clock = Hands()
    async with side(clock, fast=True, on=replace(on or route(), prefix=""), token=token) as made:
        yield made, clock


async def test_the_third_time_is_at_once():
    async with fast_side() as (made, _):
        caller = made.caller()
        seen = []
        for _ in range(4):
            await caller.ask(PLAIN)
            seen.append(made.at_once)
    assert seen == [0, 0, 1, 2]


async def test_another_connection_may_have_taught_it():
    async with fast_side() as (made, _):
        for _ in range(3):
            await made.caller().ask(PLAIN)
        assert made.at_once == 1


async def test_a_trace_and_an_id_of_ones_own_do_not_make_it_another_request():
    async with fast_side() as (made, _):
        caller = made.caller()
        answers = [await caller.ask(get("/plain", line, f"X-Request-Id: id-{line[-5:]}")) for line in TRACES]
    assert made.at_once == len(TRACES) - 2
    assert all(
        f"\r\nX-Request-Id: id-{line[-5:]}\r\n".encode() in one
        for line, one in zip(TRACES, answers, strict=True)
    )


async def test_ids_are_never_the_same():
    async with fast_side() as (made, clock):
        caller = made.caller()
        ids = set()
        for _ in range(300):
            clock.time += 0.001
            found = _OWN_ID.search(await caller.ask(PLAIN))
            assert found is not None
            ids.add(found[0])
    assert (len(ids), made.at_once) == (300, 298)


async def test_requests_in_one_piece_are_answered_in_order():
    async with fast_side() as (made, _):
        caller = made.caller()
        for _ in range(3):
            await caller.ask(PLAIN)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(PLAIN + get("/none") + PLAIN)
        await asyncio.sleep(0)
        writer.write(PLAIN)
        statuses = []
        for _ in range(4):
            head = await asyncio.wait_for(reader.readuntil(HEAD_END), 10)
            statuses.append(head.split(b" ")[1])
            if statuses[-1] == b"200":
                await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()
    assert statuses == [b"200", b"204", b"200", b"200"]


async def test_a_callers_token_that_changed_is_asked_for_again():
    token = Token()
    async with fast_side(token=token) as (made, _):
        caller = made.caller()
        with_token = get("/plain", "Leeward-Token: open")
        statuses = [(await caller.ask(with_token)).split(b" ")[1] for _ in range(3)]
        token.value = "shut"
        statuses.append((await caller.ask(with_token)).split(b" ")[1])
        statuses.append((await made.caller().ask(PLAIN)).split(b" ")[1])
    assert (statuses, made.at_once) == ([b"200"] * 3 + [b"407"] * 2, 1)


async def test_a_draining_process_tells_each_caller_to_leave():
    async with fast_side() as (made, _):
        caller = made.caller()
        for _ in range(3):
            await caller.ask(PLAIN)
        made.app.draining = True
        assert b"\r\nConnection: close\r\n" in await caller.ask(PLAIN)


async def test_after_a_reload_nothing_is_known():
    async with fast_side() as (made, _):
        caller = made.caller()
        for _ in range(3):
            await caller.ask(PLAIN)
        assert made.app.fast is not None
        made.app.fast.forget()
        await caller.ask(PLAIN)
        await caller.ask(PLAIN)
    assert made.at_once == 2


async def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("proxy.server.fastpath._MOST_ANSWERS", 3)
    async with fast_side() as (made, _):
        caller = made.caller()
        for n in range(10):
            for _ in range(2):
                await caller.ask(get("/plain", f"User-Agent: {n}"))
        assert made.app.fast is not None
        assert len(made.app.fast._answers) == 3
        await caller.ask(get("/plain", "User-Agent: " + "x" * 4000))
        assert len(made.app.fast._answers) == 3
