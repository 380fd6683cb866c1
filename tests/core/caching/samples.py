"""Requests, answers and entries to decide about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proxy.core.caching.admission import Admit, Moment, Skip, admit
from proxy.core.caching.entry import Entry
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.message import Body, Headers, Request, Response, Whole
from proxy.core.routing import Origin, Route

SECRET = b"0123456789abcdef"
WALL = 1_784_119_800.0  # Wed, 15 Jul 2026 12:50:00 GMT
TODAY = "Wed, 15 Jul 2026 12:50:00 GMT"
NOW = 5000.0

PRIVATE = CachePolicy()
SHARED = CachePolicy(scope=Scope.SHARED)

Pair = tuple[str, str]


class Named:
    """An injector that is only asked for its name."""

    replaced: frozenset[str] = frozenset()

    def __init__(self, name: str = "none") -> None:
        self.name = name

    def describe(self) -> str:
        return self.name

    def identity(self) -> str:
        return self.name

    async def inject(self, request: Request, origin: Origin) -> Request:
        return request

    def mask(self, text: str) -> str:
        return text


def route(cache: CachePolicy = PRIVATE, *, name: str = "api", identity: str = "none", **more: Any) -> Route:
    origin = Origin(scheme="https", host="api.example", port=443, path=more.pop("path", ""))
    return Route(name=name, origins=(origin,), injector=Named(identity), cache=cache, **more)


def request(*fields: Pair, method: str = "GET", target: str = "/a", body: Body | None = None) -> Request:
    return Request(method=method, target=target, headers=Headers.of(*fields), body=body or Whole())


def response(*fields: Pair, status: int = 200, body: Body | None = None) -> Response:
    return Response(status=status, reason="", headers=Headers.of(*fields), body=body or Whole())


def decided(
    *fields: Pair,
    asked: tuple[Pair, ...] = (),
    status: int = 200,
    policy: CachePolicy = PRIVATE,
    method: str = "GET",
    sent: float = NOW,
) -> Admit | Skip:
    """What admission says of an answer that arrives at NOW."""
    moment = Moment(sent=sent, received=NOW, wall=WALL)
    return admit(
        request(*asked, method=method), response(*fields, status=status), moment, policy=policy, secret=SECRET
    )


def entry(*fields: Pair, asked: tuple[Pair, ...] = (), body: bytes = b"", **more: Any) -> Entry:
    """The entry of an answer that is admitted; keyword arguments replace what was worked out."""
    changed = {name: more.pop(name) for name in tuple(more) if name in Entry.__dataclass_fields__}
    status = changed.get("status", 200)
    outcome = decided(*fields, asked=asked, status=status, **more)
    assert isinstance(outcome, Admit), outcome
    return replace(outcome.entry.holding(body), **changed)
