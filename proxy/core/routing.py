"""Which route does a request belong to?

The law: nothing in a request chooses a host. A route is found by the request's Host where it names
one, then by whole path segments, the longest prefix first; the authority, scheme and port that are
dialled come from configuration alone. A target that could mean two things to two readers is refused
rather than normalised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import field
from enum import StrEnum
from functools import lru_cache

from proxy.core.caching.policy import CachePolicy
from proxy.core.dialect import PLAIN, Dialect
from proxy.core.expression import expression
from proxy.core.failure import BadRequestError, NoRouteError
from proxy.core.message import Request
from proxy.core.ports import Injector
from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.endpoints import Balance, CheckPolicy
from proxy.core.resilience.limit import RatePolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.quota import PacePolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.value import dataclass


class ErrorMode(StrEnum):
    """What a caller gets for an upstream's failure."""

    TRANSLATE = "translate"  # the problem document
    ANNOTATE = "annotate"  # the upstream's body, our headers added
    NATIVE = "native"  # as annotate; our own failures in the API's dialect as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One configured base URL, taken apart once. `path` has no trailing slash."""

    scheme: str
    host: str
    port: int
    path: str = ""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked for several times in each request: what is kept of an endpoint is found by it.
        object.__setattr__(self, "_hash", hash((self.scheme, self.host, self.port, self.path)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def authority(self) -> str:
        """What the Host field says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. `idle` is between two pieces of a body; `total` spans all attempts."""

    connect: float = 5.0
    attempt: float = 30.0
    idle: float = 60.0
    total: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Of a rule: a missing part matches all. `path` is a glob: `*` in a segment, `**` across."""

    method: str | None = None
    path: str | None = None

    def admits(self, method: str, path: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        return self.path is None or glob(self.path).fullmatch(path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """All that a request to one upstream needs to know; immutable, shared by requests."""

    name: str
    origins: tuple[Origin, ...]
    injector: Injector
    certificate: bytes = b""  # a digest of the one that we show in TLS; b"" = none
    prefix: str = ""  # "" = every path; else "/segment", no trailing slash
    host: str | None = None  # lower-case, without port
    allow: tuple[Match, ...] | None = None  # what the credential is for; None = everything
    set_headers: tuple[tuple[str, str], ...] = ()
    default_headers: tuple[tuple[str, str], ...] = ()  # where the caller sends none
    remove_headers: frozenset[str] = frozenset()  # lower-case
    forwarded: bool = False
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    balance: Balance = Balance.IN_ORDER
    check: CheckPolicy | None = None
    breaker: BreakerPolicy | None = None
    rate: RatePolicy | None = None
    pacing: PacePolicy | None = None
    concurrency: QueuePolicy | None = None
    cache: CachePolicy = CachePolicy()
    # Query parameters that some rule ignores: what differs in them alone is dropped together.
    ignored_query: tuple[str, ...] = ()
    errors: ErrorMode = ErrorMode.TRANSLATE
    dialect: Dialect = PLAIN
    idempotency: float | None = None  # seconds for which a keyed request's first answer is kept; None = off
    rules: tuple[tuple[Match, Route], ...] = field(default=(), repr=False)

    def ruled(self, method: str, path: str) -> Route:
        """This route as the first matching rule changes it."""
        for match, changed in self.rules:
            if match.admits(method, path):
                return changed
        return self


@lru_cache(maxsize=1024)
def glob(pattern: str) -> re.Pattern[str]:
    """`*` stands for anything within a segment, `**` for anything at all, `?` for itself."""
    parts = re.split(r"(\*\*|\*)", pattern)
    table = {"**": ".*", "*": "[^/]*"}
    return expression("".join(table.get(p, re.escape(p)) for p in parts), re.DOTALL)


class Table:
    """The routes in the order in which they are tried."""

    __slots__ = ("_anywhere", "_hosted", "routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._hosted: dict[str, dict[str, Route]] = {}
        self._anywhere: dict[str, Route] = {}
        for route in self.routes:
            named = route.host is not None
            place = self._hosted.setdefault(route.host or "", {}) if named else self._anywhere
            place[route.prefix] = route

    def find(self, request: Request) -> tuple[Route, str]:
        """The route with its rule applied, and the target with the prefix stripped.

        Raises NoRouteError; BadRequestError for a target that is unsafe to forward.
        """
        check_target(request.target)
        path, mark, query = request.target.partition("?")
        host = _without_port(request.host)
        for place in (self._hosted.get(host), self._anywhere):
            found = place and _longest(place, path)
            if found:
                stripped = path[len(found.prefix) :] or "/"
                return found.ruled(request.method, stripped), stripped + mark + query
        raise NoRouteError(f"No upstream is configured for this path or Host. {self._known()}")

    def _known(self) -> str:
        prefixes = sorted(self._anywhere)[:_MOST_NAMED]
        if not prefixes:
            return "Upstreams are found by Host here."
        more = " and others" if len(self._anywhere) > len(prefixes) else ""
        return f"Paths begin with {', '.join(prefixes)}{more}."


def _longest(place: dict[str, Route], path: str) -> Route | None:
    # Cost grows with the path's segments, not with the number of routes.
    candidate = path.rstrip("/") if path != "/" else ""
    while True:
        if candidate in place:
            return place[candidate]
        if not candidate:
            return None
        candidate = candidate[: candidate.rfind("/")]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


_MOST_NAMED = 10  # prefixes in an error's words

# Anything outside what RFC 3986 §3.3 and 3.4 allow is refused, but for bytes above 0x7f, which some
# clients send raw and which pass through unchanged.
_TARGET = expression(r"/[^\x00-\x20\x7f#?\\]*(?:\?[^\x00-\x20\x7f#]*)?")
# A segment that reads as `.` or `..`, however spelled; `;` starts path parameters in some servers.
_DOT = r"(?:\.|%2e)"
_SLASH = r"(?:/|\\|%2f|%5c)"
_DOTS = expression(rf"(?:^|{_SLASH}){_DOT}{{1,2}}(?:;[^/]*)?(?={_SLASH}|$)", re.IGNORECASE)
_PLAIN = expression(r"/[A-Za-z0-9/_~+,:@=&$!'()*-]*(?:\?[A-Za-z0-9/_~+,:@=&$!'()*.%;?-]*)?")


def dotted(path: str) -> bool:
    """Whether it has a segment that reads as `.` or `..`."""
    return _DOTS.search(path) is not None


def check_target(target: str) -> None:
    """Raises BadRequestError where the target's meaning is in the eye of the reader."""
    if _PLAIN.fullmatch(target) and not target.startswith("//"):
        return
    if _TARGET.fullmatch(target) is None:
        raise BadRequestError("The request target is not a plain path with an optional query.")
    path = target.partition("?")[0]
    if path.startswith("//"):
        raise BadRequestError("The path begins with two slashes: some servers read a host there.")
    if dotted(path):
        raise BadRequestError("The path holds dot segments, plain or encoded.")
