"""How is a request passed on whose bytes were passed on before?

The law: as `fastpath`, this decides nothing. Bytes of which nothing was kept are remembered together with
what says whether that still holds (`gateway.passing`) and with what went upstream for them
(`upstream.templates`). What is sent, told and counted is what the long way would; an answer that is anything
but a plain success goes the long way, which takes over what has begun.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from proxy.core.caching.serving import annotate
from proxy.core.exchange import Attempt, Exchange, Pass
from proxy.core.expression import expression
from proxy.core.forwarding import VIA
from proxy.core.message import Response
from proxy.core.ports import Clock, Observer, Secret, Told
from proxy.gateway.pipeline import passed
from proxy.server.identifiers import Bits, Identifiers
from proxy.server.streaming import write

if TYPE_CHECKING:
    from proxy.core.ports import Passing
    from proxy.server.connection import Connection
    from proxy.server.connections import App
    from proxy.upstream.express import Express, Template
    from proxy.upstream.plain import Plain
    from proxy.upstream.templates import Expresses

# The values of two lines, where what follows is a line of its own and not their continuation.
_NAMES = expression(
    rb"(?<=\r\n)(?:(traceparent: )(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"
    rb"|(x-request-id: )([\x21-\x7e]{1,128}))(?=\r\n[^ \t])",
    re.IGNORECASE,
)
_MOST_WAYS = 2048
_MOST_SEEN = 8192
_MOST_BYTES = 2048  # of one request's head
_SOON = 0.02  # seconds until what was answered is told to the observers
_MOST_UNTOLD = 2000
_VIA = f"Via: {VIA}".encode()
_MOST_WRITTEN = 512  # heads that are remembered as they go to the caller
CLIENT_LEFT = 499  # in the record only: nobody is there to read it


# The bytes but for the names in them, and which those are: nothing that a caller writes is equal to a gap.
Shape = tuple[bytes, bool, bool]


class Way:
    """What is remembered of one request: what it rests on, what goes out, and what its answers are like."""

    __slots__ = ("_last", "_patterns", "passing", "target", "template", "token")

    def __init__(self, passing: Passing, template: Template, target: str, token: str | None) -> None:
        self.passing = passing
        self.template = template
        self.target = target
        self.token = token  # the callers' token by which it was asked for
        self._patterns: dict[tuple[int, Told], Exchange] = {}
        self._last: tuple[int, Told | None, Exchange | None] = (0, None, None)

    def pattern(self, status: int, told: Told) -> Exchange:
        """The record of such an answer, but for what is each one's own."""
        as_before, told_before, last = self._last
        if last is not None and told is told_before and status == as_before:
            return last
        known = self._patterns.get((status, told))
        if known is None:
            route = self.template.route
            outcome = f"{status // 100}xx"
            attempt = Attempt(started=0.0, status=status, outcome=outcome, endpoint=route.origins[0].url)
            known = self._patterns[status, told] = Exchange(
                id="",
                method="GET",
                target=self.target,
                started=0.0,
                at=0.0,
                route=route.name,
                verdict=told.verdict,
                reason=told.reason,
                status=status,
                attempts=[attempt],
            )
        self._last = status, told, known
        return known


class Shortcuts:
    """Those of one listening socket."""

    def __init__(
        self,
        app: App,
        expresses: Expresses,
        *,
        clock: Clock,
        observers: Sequence[Observer],
        bits: Bits,
        client_token: Secret | None,
    ) -> None:
        self.app = app
        self.clock = clock
        self.observers = observers
        self._expresses = expresses
        self._bits = bits
        self._token = client_token
        self._identifiers = Identifiers(bits)
        self._ids: list[bytes] = []
        self._traces: list[bytes] = []
        self._ways: dict[Shape, Way] = {}
        self.unnamed: dict[bytes, Way] = {}  # those of them without a name, by the whole request
        self._seen: dict[int, bool] = {}  # by the hash of their shape, requests that came once
        self.riding: dict[Ride, None] = {}
        self.answered = 0
        self._untold: list[Pass] = []
        self._telling: asyncio.TimerHandle | None = None

    def take(self, data: bytes, connection: Connection) -> bool:
        """Passes a whole request on; False where it has to go the long way, of which nothing has begun."""
        if not self._ways:
            return False
        way = self.unnamed.get(data)
        if way is not None:
            return self._passed(data, connection, way, b"", b"")
        if len(data) > _MOST_BYTES:  # the beginning of an upload, mostly: nothing as long was remembered
            return False
        shape, trace, name = _read(data)
        way = self._ways.get(shape)
        return way is not None and self._passed(data, connection, way, trace, name)

    def _passed(self, data: bytes, connection: Connection, way: Way, trace: bytes, name: bytes) -> bool:
        now = self.clock.now()
        if not way.passing.holds(now) or (self._token is not None and way.token != self._token.reveal()):
            return False
        wall = self.clock.wall()
        named = name or (self._ids or self._more_ids()).pop()
        ride = Ride(self, connection, data, way, named, now, wall)
        traced = trace or (self._traces or self._more_traces()).pop()
        express = self._expresses.send(way.template, named, traced, now, ride)
        if express is None:
            return False
        ride.express = express
        self.riding[ride] = None
        self.app.running += 1
        connection.carries(ride)
        return True

    async def learn(self, data: bytes, exchange: Exchange, token: str | None) -> None:
        """Remembers how these bytes, one whole request and nothing else, were passed on a second time.

        `token` is as in `FastPath.learn`.
        """
        if exchange.passing is None or not _plain(exchange) or len(data) > _MOST_BYTES:
            return
        shape, trace, name = _read(data)
        if not self._seen_before(shape):
            return
        lowered = data.lower()
        if lowered.count(b"traceparent") != bool(trace) or lowered.count(b"x-request-id") != bool(name):
            return  # one, or one more, that is written in another way
        passing = exchange.passing()
        if passing is None:
            return
        template = await self._expresses.template(
            passing.request, passing.route, request_id=exchange.id, traceparent=trace.decode()
        )
        self._forget(shape)
        if template is None or not passing.holds(self.clock.now()):
            return  # the credential on it may be another than the one that is asked for
        if len(self._ways) >= _MOST_WAYS:
            self._forget(next(iter(self._ways)))
        way = self._ways[shape] = Way(passing, template, exchange.target, token)
        if not trace and not name:
            self.unnamed[data] = way

    def _seen_before(self, shape: Shape) -> bool:
        """Whether it came already: most requests never come again, and are not worth remembering."""
        mark = hash(shape)
        if self._seen.pop(mark, False):
            return True
        if len(self._seen) >= _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[mark] = True
        return False

    def _forget(self, shape: Shape) -> None:
        self._ways.pop(shape, None)
        self.unnamed.pop(shape[0], None)

    def tell(self) -> None:
        """Tells the observers what they have not been told yet."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._ids.clear()  # an id tells when it was made
        passes, self._untold = self._untold, []
        if passes:
            for observer in self.observers:
                observer.passed(passes)

    def under_way(self) -> Counter[str]:
        """Requests on their way by route, those with a record of their own left out."""
        return Counter(ride.route for ride in self.riding)

    def ended(self, ride: Ride, passed: Pass | None) -> None:
        """A ride is over; what is to be told of it, unless it has a record of its own."""
        del self.riding[ride]
        app = self.app
        app.running -= 1
        if not app.running:
            app.rests()
        if passed is None:
            self.tell()  # in the order in which things happened
            return
        self.answered += 1
        self._untold.append(passed)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_SOON, self.tell)
        elif len(self._untold) >= _MOST_UNTOLD:
            self.tell()

    def _more_ids(self) -> list[bytes]:
        self._ids = self._identifiers.several(self.clock.wall())
        return self._ids

    def _more_traces(self) -> list[bytes]:
        self._traces = self._identifiers.traces()
        return self._traces


class Ride:
    """One request on its way. An upstream.express.Rider."""

    __slots__ = (
        *("_at", "_connection", "_data", "_owner", "_started", "_task", "_told", "_way"),
        *("express", "name"),
    )

    def __init__(  # noqa: PLR0917 - made for each request: names would cost as much as what they name
        self,
        owner: Shortcuts,
        connection: Connection,
        data: bytes,
        way: Way,
        name: bytes,
        started: float,
        at: float,
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._data = data
        self._way = way
        self._started = started
        self._at = at
        self._told: Told | None = None
        self._task: asyncio.Task[bool] | None = None
        self.name = name
        self.express: Express | None = None

    @property
    def route(self) -> str:
        return self._way.template.route.name

    # As the express's Rider

    def wants(self, answer: Plain) -> bool:
        if self._owner.app.draining:
            return False
        self._told = self._way.passing.told(answer, self._started)
        return self._told is not None

    def gets(self, answer: Plain, body: bytes) -> None:
        owner, told, way, started = self._owner, self._told, self._way, self._started
        if told is None:
            raise AssertionError("who gets an answer has wanted it")
        now = owner.clock.now
        first = now() - started
        try:
            self._connection.write(b"".join((*head_parts(answer, told.line, self.name, owner.app), body)))
        except ConnectionError:
            self._connection.ride = None  # which would say so once more
            self.left()
            return
        self.express = None
        pattern = way.pattern(answer.status, told)
        owner.ended(self, (pattern, self.name, self._at, now() - started, first, answer.length))
        self._connection.arrived(again=True)

    def reads(self, answer: Plain, response: Response) -> None:
        if self._told is None:
            raise AssertionError("who gets an answer has wanted it")
        exchange = self._recorded()
        attempt = replace(self._way.pattern(answer.status, self._told).attempts[0], started=self._started)
        attempt.seconds = exchange.first_byte = self._owner.clock.now() - self._started
        exchange.attempts.append(attempt)
        exchange.verdict, exchange.reason = self._told.verdict, self._told.reason
        for observer in self._owner.observers:
            observer.attempted(exchange, attempt)
        response = passed(annotate(response, self._told.line.decode()), exchange)
        app, connection = self._owner.app, self._connection
        writing = write(connection, response, None, exchange, date=app.date(), last=False)
        self._task = asyncio.get_running_loop().create_task(writing)
        # Also where the task is cancelled before its first step.
        self._task.add_done_callback(partial(self._read, response, exchange))

    def missed(self) -> None:
        exchange = self._recorded()
        exchange.begun = self.express
        self._connection.ride = None
        self._connection.go_on(self._data, self._owner.app, exchange)

    def _read(self, response: Response, exchange: Exchange, task: asyncio.Task[bool]) -> None:
        """The rest of a body that did not come with its head was written, or was not."""
        error = None if task.cancelled() else task.exception()
        again = not task.cancelled() and error is None and task.result()
        exchange.cut = exchange.cut or task.cancelled() or error is not None
        response.body.close()
        self._owner.app.closed(exchange)
        self._connection.arrived(again=again)
        if error is not None and not isinstance(error, ConnectionError):
            raise error

    # Its end

    def left(self) -> None:
        """The caller has gone."""
        if self._task is not None:
            self._task.cancel()
            return
        if self.express is not None:
            self.express.drop()
        exchange = self._recorded()
        exchange.cut = True
        exchange.status = CLIENT_LEFT
        self._owner.app.closed(exchange)

    def _recorded(self) -> Exchange:
        """A record as the long way makes one, where it is needed."""
        way, app = self._way, self._owner.app
        self._owner.ended(self, None)
        exchange = app.record(method="GET", name=self.name.decode())
        exchange.started, exchange.at = self._started, self._at
        exchange.target = way.target
        exchange.route = way.template.route.name
        exchange.deadline = self._started + way.template.route.timeouts.total
        app.opened(exchange)
        return exchange


def _plain(exchange: Exchange) -> bool:
    """Whether nothing happened to it but that it went upstream once and was answered."""
    once = len(exchange.attempts) == 1 and exchange.error is None and not exchange.held
    # Of another method, what the cache learned from it says nothing of itself.
    return exchange.method == "GET" and once and not exchange.cut and exchange.priority is None


def head_parts(answer: Plain, line: bytes, name: bytes, app: App) -> tuple[bytes, ...]:
    """What `streaming.head_bytes` would write of it; `name` is the request's id."""
    before, after, theirs, end = _written(answer, line)
    if theirs and theirs != name:
        after += b"\r\nLeeward-Upstream-Request-Id: " + theirs
    if answer.dated:
        return before, name, after, end
    return before, name, after, b"\r\nDate: " + app.date().encode(), end


@lru_cache(maxsize=_MOST_WRITTEN)
def _written(answer: Plain, line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before the id, what behind it, the upstream's own one, and what ends the head."""
    before = b"\r\n".join((answer.start, *answer.lines, b"Cache-Status: " + line, b"X-Request-Id: "))
    theirs = answer.theirs.partition(b": ")[2]
    return before, b"\r\n" + _VIA, theirs, b"\r\nContent-Length: %d\r\n\r\n" % answer.length


def _read(data: bytes) -> tuple[Shape, bytes, bytes]:
    """A request without its names; its traceparent and its id, where it has them."""
    parts = _NAMES.split(data)
    if len(parts) == 1:
        return (data, False, False), b"", b""
    trace = [value for value in parts[2::5] if value]
    name = [value for value in parts[4::5] if value]
    if len(trace) > 1 or len(name) > 1:
        return (data, False, False), b"", b""
    shape = b"".join([part for place, part in enumerate(parts) if place % 5 in _STAYS and part])
    return (
        (shape, bool(trace), bool(name)),
        trace[0] if trace else b"",
        name[0] if name else b"",
    )


_STAYS = frozenset({0, 1, 3})
