"""What is said before the answer reaches who can hear it, and nobody after the answer has begun."""

from typing import Any

import pytest

from proxy.core.message import Headers, Interim, Request, Response, Whole
from tests.server.serving import serving
from tests.server.test_app import asked

HINT = Interim(
    status=103, reason="Early Hints", headers=Headers.of(("Link", "</a.css>"), ("Link", "</b.js>"))
)


def hinting(*interim: Interim, late: list[Request] | None = None) -> Any:
    async def answer(request: Request, exchange: Any) -> Response:
        assert request.interim is not None
        for told in interim:
            request.interim(told)
        if late is not None:
            late.append(request)
        return Response(status=200, reason="OK", headers=Headers(), body=Whole(b"abc"))

    return answer


async def test_in_their_order_and_before_the_answer():
    other = Interim(status=102, reason="Processing", headers=Headers())
    async with serving(hinting(HINT, other)) as served:
        answer = await asked(served, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.body, answer.informational) == (200, b"abc", [103, 102])
    # What came before is no part of the answer.
    assert answer.headers("link") == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_an_old_caller_hears_nothing(method):
    async with serving(hinting(HINT)) as served:
        answer = await asked(
            served, method + b" / HTTP/1.0\r\n\r\n", then=lambda wire: wire.read(method.decode())
        )
    assert (answer.status, answer.informational) == (200, [])


async def test_nothing_is_said_once_the_answer_is_known():
    late: list[Request] = []
    async with serving(hinting(late=late)) as served:

        def twice(wire: Any) -> Any:
            first = wire.read()
            assert late[0].interim is not None
            late[0].interim(HINT)
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return first, wire.read()

        answers = await asked(served, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", then=twice)
    assert [answer.informational for answer in answers] == [[], []]
