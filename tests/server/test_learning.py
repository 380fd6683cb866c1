"""Is nothing learned from an answer that it does not say?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.gateway.passing import NeverKept
from tests.origin import Gate, Origin
from tests.server.passing import ANSWERS, NEVER, Caller, Side, asking, said, side
from tests.server.sides import Token

OPEN = "Leeward-Token: open"


async def answered(made: Side, *requests: bytes) -> list[bytes]:
    """The statuses, over one connection."""
    caller = Caller(made.port)
    statuses = [(await caller.ask(request))[9:12] for request in requests]
    await caller.close()
    return statuses


class Meanwhile:
    """A store during whose look-up the token is revoked."""

    def __init__(self, store: Any, token: Token) -> None:
        self._store = store
        self._token = token

    def __getattr__(self, name: str) -> Any:
        if name == "load":
            self._token.value = "shut"
        return getattr(self._store, name)


def guarded(made: Side) -> Token:
    """The token that its callers have to give from now on."""
    token = Token()
    app = made.app
    assert app.fast is not None
    assert app.shortcuts is not None
    for asking_for_it in (app.fast, app.shortcuts):
        asking_for_it._token = token
    app._client_token = token
    return token


@pytest.mark.parametrize("fast", [True, False])
async def test_a_post_whose_answer_restates_its_resource_stays_a_post(origin: Origin, fast: bool) -> None:
    """What the cache makes of that answer is the answer to a GET."""
    restated = said("Cache-Control: max-age=60", "Content-Location: /x", "Set-Cookie: a=1")
    async with side(origin, fast=fast) as made:
        origin.on("/x").raw(restated)
        post = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        assert await answered(made, *[post] * 6) == [b"200"] * 6
        assert [hit.method for hit in origin.hits()] == ["POST"] * 6
        assert [row[0] for row in made.rows()] == ["POST"] * 6
        assert made.rides == 0


async def test_a_token_that_was_revoked_while_an_answer_came_opens_nothing(origin: Origin) -> None:
    async with side(origin, fast=True) as made:
        token, gate = guarded(made), Gate()
        origin.on("/x").raw(ANSWERS["plain"]).raw(gate, ANSWERS["plain"]).raw(ANSWERS["plain"])
        caller = Caller(made.port)
        await caller.ask(asking("/x", OPEN))
        asked = asyncio.create_task(caller.ask(asking("/x", OPEN)))
        await asyncio.to_thread(gate.reached.wait, 10)
        token.value = "shut"
        gate.open()
        assert (await asked)[9:12] == b"200"
        await caller.close()
        assert await answered(made, *[asking("/x", OPEN)] * 3) == [b"407"] * 3
        assert made.rides == 0


async def test_a_token_that_was_revoked_while_a_hit_was_looked_up_opens_nothing(origin: Origin) -> None:
    async with side(origin, fast=True) as made:
        token = guarded(made)
        origin.on("/x").raw(ANSWERS["storable"])
        assert await answered(made, asking("/x", OPEN)) == [b"200"]
        made.runtime.caching._store = Meanwhile(made.runtime.opened.store, token)
        assert await answered(made, *[asking("/x", OPEN)] * 3) == [b"200", b"407", b"407"]


async def test_what_goes_wrong_while_learning_costs_nobody_anything(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with side(origin, fast=True) as made:
        bugs: list[str] = []
        made.app._bug = lambda request, error: bugs.append(str(error))

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(NeverKept, "__init__", broken)
        origin.on("/x").raw(ANSWERS["plain"])
        assert await answered(made, *[asking("/x")] * 4) == [b"200"] * 4
        assert bugs == ["a bug"] * 2, "at the second of two, and of the next two"
        assert (made.rides, made.connections.busy()) == (0, 0)


async def test_what_was_passed_on_and_is_kept_now_is_answered_at_once(origin: Origin) -> None:
    async with side(origin, fast=True) as made:
        origin.on("/x").raw(said(NEVER)).raw(said(NEVER)).raw(said(NEVER)).raw(ANSWERS["storable"])
        assert await answered(made, *[asking("/x")] * 8) == [b"200"] * 8
        assert (origin.count("/x"), made.rides) == (4, 2)
        assert made.app.fast is not None
        assert made.app.fast.answered == 3
