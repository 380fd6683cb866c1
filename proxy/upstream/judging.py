"""What is this answer in truth, read before anything is decided about it?

The law: at most 64 KiB of a body are read, of a failure or of a success that its API's dialect doubts,
and nothing that was read is lost. A body that comes slowly is not waited for: what is here by then is
judged. Without a dialect an answer is what its status says, and is not touched. A credential that stood in
the URL goes no further in the links of an answer, to no caller and into no store.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from functools import lru_cache

from proxy.core.classify import classify
from proxy.core.dialect import MOST_READ, PLAIN, Dialect, heard
from proxy.core.expression import expression
from proxy.core.failure import APIError
from proxy.core.message import Body, Response, Whole
from proxy.core.ports import Echoed
from proxy.core.routing import Route

_FIRST_FAILURE = 400
_PATIENCE = 2.0  # seconds for an error's body; it mostly comes with its head
_JSON = expression(r"application/(?:[\w.+-]+\+)?json\b|text/json\b", re.IGNORECASE)


async def received(response: Response, route: Route, *, path: str, wall: float) -> Response:
    """What came, fit to be decided about and passed on."""
    injector = route.injector
    if _echoed(type(injector)) and isinstance(injector, Echoed):
        response = response.with_headers(injector.cleared(response.headers))
    return await judged(response, route.dialect, path=path, wall=wall)


@lru_cache
def _echoed(kind: type[object]) -> bool:
    return issubclass(kind, Echoed)


async def judged(response: Response, dialect: Dialect, *, path: str, wall: float) -> Response:
    """The response with its `fault`, where it has one. `path` is the request's; `wall` in seconds."""
    if dialect is PLAIN or response.duplex is not None or not _doubtful(response, dialect, path):
        return response
    data, body = await _begun(response.body)
    fault = classify(dialect, heard(response.status, response.headers, data, path), wall)
    return replace(response, body=body, fault=fault)


def _doubtful(response: Response, dialect: Dialect, path: str) -> bool:
    if response.status >= _FIRST_FAILURE:
        return True
    if not dialect.doubts(response.status, path):
        return False
    length = response.body.length
    small = length is None or 0 < length <= MOST_READ
    return small and _JSON.match(response.headers.get("content-type") or "") is not None


async def _begun(body: Body) -> tuple[bytes, Body]:
    """The first bytes, and the body with them still before it."""
    if isinstance(body, Whole):
        return body.data, body
    pieces: list[bytes] = []
    size = 0
    ended = False
    broken: APIError | None = None
    try:
        async with asyncio.timeout(_PATIENCE):
            while size <= MOST_READ:
                piece = await body.read()
                if not piece:
                    ended = True
                    break
                pieces.append(piece)
                size += len(piece)
    except TimeoutError:
        pass
    except APIError as failure:
        broken = failure
    except BaseException:
        body.close()
        raise
    data = b"".join(pieces)
    if ended:
        return data, Whole(data)
    return data, Continued(data, body, broken)


class Continued:
    """A body of which the beginning was read already; `broken` is how the rest ended, where it has."""

    __slots__ = ("_begun", "_broken", "_rest", "length")

    def __init__(self, begun: bytes, rest: Body, broken: APIError | None = None) -> None:
        self._begun = begun
        self._rest = rest
        self._broken = broken
        self.length = rest.length

    async def read(self) -> bytes:
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        if self._broken is not None:
            raise self._broken
        return await self._rest.read()

    def close(self) -> None:
        self._rest.close()
