"""The fast path and the long way give the same bytes, whatever is asked in whatever order.

What is asked of both is the same, and so are their answers, but for the ids that they make up, and what
reached the origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.caching.purge import Purge
from proxy.core.routing import Route
from tests.core.caching.samples import route
from tests.gateway.stage import Hands
from tests.server.sides import ANSWERS, FIELDS, HEAD_END, OWN_ID, Caller, Changing, Side, Token, get, side

paths = st.sampled_from(sorted(ANSWERS))
asking = st.tuples(
    st.just("ask"),
    paths,
    st.one_of(st.just([]), st.just([]), st.lists(st.sampled_from(FIELDS), max_size=2)),
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
        st.tuples(
            st.just("pipelined"),
            st.lists(st.sampled_from(["last", *sorted(ANSWERS)]), min_size=2, max_size=4),
        ),
        st.tuples(st.just("purge")),
        st.tuples(st.just("credential"), st.sampled_from(["one", "two", None])),
        st.tuples(st.just("token"), st.sampled_from(["open", "shut"])),
        st.tuples(st.just("drain"), st.booleans()),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(steps=steps, guarded=st.sampled_from([False, False, False, True]))
@example(steps=[("ask", "/aged", [], "HEAD"), ("again", 1), ("pieces", 1)], guarded=False)
@example(
    steps=[("ask", "/theirs", ["X-Request-Id: theirs"], "GET"), ("again", 3), ("wait", 1.0), ("again", 2)],
    guarded=False,
)
@example(
    steps=[
        *(
            ("ask", "/plain", ["Leeward-Token: open"], "GET"),
            ("again", 2),
            ("credential", "two"),
            ("again", 3),
        ),
        *(
            ("credential", None),
            ("again", 1),
            ("credential", "one"),
            ("again", 2),
            ("token", "shut"),
            ("again", 1),
        ),
        *(("token", "open"), ("again", 2), ("pipelined", ["last", "/etag", "last"]), ("again", 1)),
        *(("drain", True), ("again", 2), ("drain", False), ("again", 2)),
    ],
    guarded=True,
)
@example(steps=[("ask", "/plain", [], "GET"), ("again", 3), ("purge",), ("again", 3)], guarded=False)
@example(
    steps=[
        ("ask", "/short", [], "GET"),
        *[("again", 2), ("wait", 0.5)] * 3,
        ("again", 1),
        ("wait", 0.5),
        ("again", 2),
    ],
    guarded=False,
)
@example(
    steps=[
        ("ask", "/dated", [], "HEAD"),
        ("again", 2),
        ("wait", 0.999),
        ("again", 1),
        ("wait", 0.1),
        ("again", 1),
    ],
    guarded=False,
)
@example(
    steps=[("wait", 0.5), ("ask", "/plain", [], "GET"), ("again", 2), ("wait", 0.5), ("again", 1)],
    guarded=False,
)
def test_both_ways_give_the_same_bytes(steps: list[tuple[Any, ...]], guarded: bool) -> None:
    asyncio.run(compare(steps, guarded=guarded))


async def compare(steps: list[tuple[Any, ...]], *, guarded: bool) -> None:
    clock, changing, token = Hands(), Changing(), Token()
    on = replace(route(), prefix="", injector=changing)  # type: ignore[arg-type]  # nothing is injected here
    given = token if guarded else None
    async with (
        side(clock, fast=True, on=on, token=given) as fast,
        side(clock, fast=False, on=on, token=given) as long,
    ):
        callers = fast.caller(), long.caller()
        last = get("/plain")
        for kind, *said in steps:
            match kind:
                case "credential":
                    changing.name = said[0]
                case "token":
                    token.value = said[0]
                case "wait":
                    clock.time += said[0]
                case "drain":
                    fast.app.draining = long.app.draining = said[0]
                case "purge":
                    for one in (fast, long):
                        await one.caching.purge(Purge())
                case _:
                    if kind == "ask":
                        allowed = ["Leeward-Token: open"] if guarded and "Token" not in str(said[1]) else []
                        last = get(said[0], *said[1], *allowed, method=said[2])
                    theirs, ours = [await asked(caller, kind, said, last) for caller in callers]
                    assert OWN_ID.sub(b"id", theirs) == OWN_ID.sub(b"id", ours)
        fast.app.tell()
        assert fast.asked == long.asked
        assert fast.app.answered == long.app.answered
        assert sorted(fast.kept.done) == sorted(long.kept.done)


async def asked(caller: Caller, kind: str, said: list[Any], last: bytes) -> bytes:
    """What one of the two answers."""
    match kind:
        case "pieces":
            return await caller.ask(last[: said[0]], last[said[0] :])
        case "pipelined":
            return await caller.pipelined([last if one == "last" else get(one) for one in said[0]])
        case "again":
            return b"".join([await caller.ask(last) for _ in range(said[0])])
        case _:
            return await caller.ask(last)


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
            found = OWN_ID.search(await caller.ask(PLAIN))
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


async def test_a_line_above_the_request_is_no_field_of_it():
    async with fast_side() as (made, _):
        caller = made.caller()
        for _ in range(3):
            assert (await caller.ask(b"\r\n" + PLAIN)).startswith(b"HTTP/1.1 200")
        above = b"\r\n" + TRACES[0].encode() + b"\r\n" + PLAIN
        assert (await caller.ask(above)).startswith(b"HTTP/1.1 400")
    assert made.at_once == 0


async def test_a_connection_that_was_closed_answers_nothing():
    async with fast_side() as (made, _):
        caller = made.caller()
        for _ in range(3):
            await caller.ask(PLAIN)
        (connection,) = made.connections.open
        connection.force_close()
        # The transport of a TLS connection may have read more than it has handed on.
        connection.data_received(PLAIN)
        made.app.tell()
    assert made.at_once == 1
    assert len(made.kept.done) == 3


async def test_hits_keep_a_connection_from_being_idle():
    async with fast_side() as (made, clock):
        caller = made.caller()
        for _ in range(3):
            await caller.ask(PLAIN)
        (connection,) = made.connections.open
        seen = []
        for seconds in (4, 2):
            clock.time += seconds
            connection._deadline = 0.0
            connection._reap()
            seen.append(connection.connected)
    assert seen == [True, False]
    assert made.at_once == 1
