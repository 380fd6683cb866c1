"""How far is a body read before it is judged, and is anything of it lost?"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from proxy.core.dialect import MOST_READ, PLAIN, Dialect, Place, Row
from proxy.core.failure import APIError, RateLimitError, ServerError, UpstreamProtocolError
from proxy.core.message import Body, Headers, Response, Whole
from proxy.upstream import judging
from proxy.upstream.judging import judged, received
from tests.core.test_routing import NoCredential, route

ROWS = (Row(kind=RateLimitError, statuses=frozenset({200, 403}), codes=("limited",)),)
DIALECT = Dialect(code=(Place.of("error"),), rows=ROWS)
LIMITED = b'{"ok": false, "error": "limited"}'
JSON = ("Content-Type", "application/json; charset=utf-8")


class Comes:
    """A body in pieces; None is a silence that lasts, an APIError breaks it."""

    def __init__(self, *pieces: bytes | APIError | None, length: int | None = None) -> None:
        self.pieces = list(pieces)
        self.length = length
        self.read_bytes = 0
        self.closed = False

    async def read(self) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        if isinstance(piece, APIError):
            raise piece
        assert piece is not None
        self.read_bytes += len(piece)
        return piece

    def close(self) -> None:
        self.closed = True


def response(status: int, body: Body, *fields: tuple[str, str]) -> Response:
    return Response(status=status, headers=Headers.of(*(fields or (JSON,))), body=body)


async def rest(body: Body) -> bytes:
    data = b""
    while piece := await body.read():
        data += piece
    return data


async def judge(said: Response, dialect: Dialect = DIALECT, path: str = "/") -> Response:
    return await judged(said, dialect, path=path, wall=0.0)


@pytest.mark.parametrize("status", [200, 403])
async def test_a_body_is_judged_and_passes_whole(status: int) -> None:
    answer = await judge(response(status, Comes(LIMITED[:9], LIMITED[9:])))
    assert answer.fault is not None
    assert answer.fault.kind is RateLimitError
    assert await rest(answer.body) == LIMITED
    assert isinstance(answer.body, Whole)


async def test_a_failure_that_no_row_knows_is_what_its_status_says() -> None:
    answer = await judge(response(500, Comes(b"<html>")))
    assert answer.fault is not None
    assert answer.fault.kind is ServerError


async def test_a_success_stays_one() -> None:
    answer = await judge(response(200, Comes(b'{"ok": true}')))
    assert answer.fault is None
    assert await rest(answer.body) == b'{"ok": true}'


@pytest.mark.parametrize(
    ("said", "dialect"),
    [
        (response(403, Comes(LIMITED)), PLAIN),
        (response(200, Comes(LIMITED), ("Content-Type", "text/event-stream")), DIALECT),
        (response(200, Comes(LIMITED, length=MOST_READ + 1)), DIALECT),
        (response(200, Comes(length=0)), DIALECT),
        (response(201, Comes(LIMITED)), DIALECT),
    ],
)
async def test_what_nobody_doubts_is_not_touched(said: Response, dialect: Dialect) -> None:
    assert await judge(said, dialect) is said


async def test_no_more_than_its_bound_is_read_and_the_rest_follows() -> None:
    body = Comes(*[b"x" * 1024] * 200)
    answer = await judge(response(500, body))
    assert MOST_READ < body.read_bytes <= MOST_READ + 1024
    assert len(await rest(answer.body)) == 200 * 1024


async def test_a_code_beyond_the_bound_is_not_found() -> None:
    large = json.dumps({"pad": "x" * MOST_READ, "error": "limited"}).encode()
    answer = await judge(response(403, Comes(large)))
    assert answer.fault is not None
    assert answer.fault.kind is not RateLimitError
    assert await rest(answer.body) == large


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_PATIENCE", 0.01)
    body = Comes(b'{"error": ', None, b'"limited"}')
    answer = await judge(response(403, body))
    assert answer.fault is not None
    assert answer.fault.kind is not RateLimitError
    # What comes later follows what was read.
    assert await rest(answer.body) == b'{"error": "limited"}'
    assert answer.body.length is None


async def test_a_body_that_breaks_is_judged_by_what_came_and_breaks_for_its_reader_too() -> None:
    answer = await judge(response(403, Comes(LIMITED, UpstreamProtocolError("cut"))))
    assert answer.fault is not None
    assert answer.fault.kind is RateLimitError
    assert await answer.body.read() == LIMITED
    with pytest.raises(UpstreamProtocolError):
        await answer.body.read()


async def test_who_leaves_meanwhile_stops_the_source() -> None:
    body = Comes(b"{", None)
    waiting = asyncio.create_task(judge(response(403, body)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert body.closed


async def test_closing_what_is_left_closes_the_source() -> None:
    body = Comes(*[b"x" * 40_000] * 3)
    answer = await judge(response(403, body))
    answer.body.close()
    assert body.closed


async def test_a_credential_that_stands_in_the_url_goes_no_further_in_an_answer_s_links() -> None:
    class InQuery(NoCredential):
        def cleared(self, fields: Headers) -> Headers:
            return fields.replacing("Location", "/cleared")

    said = response(302, Whole(), ("Location", "/a?key=secret"))
    for injector, location in ((InQuery(), "/cleared"), (NoCredential(), "/a?key=secret")):
        asked = replace(route("up", "/up"), injector=injector)
        passed = await received(said, asked, path="/", wall=0.0)
        assert passed.headers.all("location") == [location]
