"""How is the answer to a request had without a task?

The law: an answer that is a plain success goes to whoever asked, as it comes. Everything else, a failure, a
silence or the end of the connection included, is held as it happened until the long way takes the sending
over: as its first attempt, of which it hears all from the beginning. So nothing is sent twice, and nothing
is lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import Protocol

from aiohttp.connector import Connection

from proxy.core.dialect import PLAIN
from proxy.core.message import Request, Response
from proxy.core.ports import Permit
from proxy.core.routing import Route
from proxy.core.value import dataclass
from proxy.upstream.arriving import Arriving
from proxy.upstream.connector import Connector, Dial
from proxy.upstream.judging import Continued
from proxy.upstream.patience import Patience
from proxy.upstream.plain import Plain, plain
from proxy.upstream.wire import Wire

_EARLY = 0.001  # loops may run a timer so much too soon, seconds
_MOST_HELD = 128 * 1024  # bytes of an answer before its upstream is made to wait for who takes over


class Rider(Protocol):
    """Whose request it is."""

    def wants(self, answer: Plain) -> bool:
        """Whether its caller gets this as it is; else the long way is needed."""

    def gets(self, answer: Plain, body: bytes) -> None:
        """The answer, whole."""

    def reads(self, answer: Plain, response: Response) -> None:
        """The answer, whose body is still to be pulled."""

    def missed(self) -> None:
        """The long way is needed."""


class Row:
    """Sendings that all wait equally long for their answers: one timer serves them all."""

    __slots__ = ("_loop", "_timer", "_waiting", "seconds")

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = seconds
        self._loop = loop  # to ask for the running one is a call of the system
        self._waiting: dict[Express, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, one: Express) -> float:
        """The time of the loop until which it waits."""
        due = self._waiting[one] = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)
        return due

    def leave(self, one: Express) -> None:
        """It waits no more."""
        self._waiting.pop(one, None)

    def _look(self) -> None:
        self._timer = None
        while self._waiting:
            one, due = next(iter(self._waiting.items()))
            if due > self._loop.time() + _EARLY:
                self._timer = self._loop.call_at(due, self._look)
                return
            del self._waiting[one]
            one.expired()


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The bytes of a request's head but for its id and its traceparent, and where they go."""

    request: Request
    route: Route
    connector: Connector
    dial: Dial
    row: Row
    pieces: tuple[bytes, bytes, bytes] = field(repr=False)  # with the credential
    traced_first: bool  # the traceparent stands before the id
    again: bool  # the layer above says that it sent the request before

    def written(self, request_id: bytes, traceparent: bytes) -> bytes:
        one, two, three = self.pieces
        if self.traced_first:
            return b"".join((one, traceparent, two, request_id, three))
        return b"".join((one, request_id, two, traceparent, three))


class Express:
    """One such sending. A core.ports.Begun. Raises ConnectionError where nothing can be sent."""

    __slots__ = (
        *("_due", "_held", "_lost", "_rider", "_size", "_template", "_trace"),
        *("permit", "sent", "since", "taken", "wire"),
    )

    def __init__(  # noqa: PLR0917 - as in `server.shortcut`
        self,
        template: Template,
        wire: Wire,
        permit: Permit | None,
        name: bytes,
        traceparent: bytes,
        since: float,
        rider: Rider,
    ) -> None:
        self._template = template
        self._rider = rider
        self._held: list[bytes] | None = None
        self._size = 0  # bytes of them
        self._lost: tuple[BaseException | None] | None = None
        self.wire = wire
        self.permit = permit
        self.taken = False
        self.since = since
        self._trace = traceparent
        self.sent = template.written(name, traceparent)
        wire.ask(self.sent, self)
        self._due = template.row.join(self)

    @property
    def traceparent(self) -> str:
        return self._trace.decode()

    @property
    def connection(self) -> Connection:
        """The wire, as the library's own callers hold one; to be asked for once."""
        return self._template.connector.owned(self._template.dial, self.wire)

    # As the wire's First

    def took(self, data: bytes) -> None:
        found = plain(data) if self._held is None else None
        if found is None or not self._taken(*found):
            self._hold(data)

    def lost(self, exc: BaseException | None) -> None:
        self._lost = (exc,)
        self._hold()

    def expired(self) -> None:
        self._hold()

    def _hold(self, data: bytes = b"") -> None:
        """From now on what happens is kept for who takes over."""
        first = self._held is None
        self._held = self._held or []
        if data:
            self._held.append(data)
            self._size += len(data)
            if self._size > _MOST_HELD and self.wire.transport is not None:
                self.wire.transport.pause_reading()
        if first:
            self._rider.missed()

    # Of an answer that is plain

    def _taken(self, answer: Plain, begun: bytes) -> bool:
        """Hands it on where everybody agrees that there is nothing more to it."""
        template, rider = self._template, self._rider
        dialect = template.route.dialect
        if dialect is not PLAIN and dialect.doubts(answer.status, template.request.path):
            return False
        if not rider.wants(answer):
            return False
        self.taken = True
        self._rider = _NOBODY
        template.row.leave(self)
        if len(begun) < answer.length:
            self._streamed(answer, begun, rider)
            return True
        self.wire.settle(answer.keep_alive)
        template.connector.give(template.dial, self.wire)
        if self.permit is not None:
            self.permit.well(answer.status, answer.headers if answer.telling or dialect.quota else None)
        rider.gets(answer, begun)
        return True

    def _streamed(self, answer: Plain, begun: bytes, rider: Rider) -> None:
        body = self._rest(answer, begun)
        response = Response(status=answer.status, reason=answer.reason, headers=answer.headers(), body=body)
        rider.reads(answer, response if self.permit is None else self.permit.answered(response))

    def _rest(self, answer: Plain, begun: bytes) -> Continued:
        payload = self.wire.adopt(answer.length - len(begun))
        self.wire.note_keepalive(answer.keep_alive.decode("latin-1") or None)
        rest = Arriving(
            self.connection,
            self.wire,
            payload,
            length=answer.length,
            idle=self._template.route.timeouts.idle,
            total=self._total(),
            upload=None,
            place=self._template.dial.place,
        )
        return Continued(begun, rest)

    # Of everything else

    def _total(self) -> float:
        """The loop's time at which all the time for the request is over."""
        return self._due - self._template.row.seconds + self._template.route.timeouts.total

    def resume(self) -> Patience:
        """What has happened happens to the wire again, which knows whom to tell; the wait goes on."""
        self.taken = True
        self._template.row.leave(self)
        held, self._held = self._held or [], []
        if self._size > _MOST_HELD and self.wire.transport is not None:
            self.wire.transport.resume_reading()
        for data in held:
            self.wire.data_received(data)
        if self._lost is not None:
            self.wire.connection_lost(self._lost[0])
        left = max(0.0, self._due - asyncio.get_running_loop().time())
        return Patience(self.wire, attempt=left, total=self._total())

    def drop(self) -> None:
        """Nobody wants it any more; does nothing where somebody has taken it."""
        if self.taken:
            return
        self.abandon()
        if self.permit is not None:
            self.permit.failed(None)

    def abandon(self) -> None:
        """As `drop`, but its permit goes on: the same request is sent anew."""
        self.taken = True
        self._rider = _NOBODY
        self._template.row.leave(self)
        connection, wire = self.connection, self.wire
        wire.settle(b"")  # whoever waits for its end hears of it from the wire itself
        if self._lost is not None:
            wire.connection_lost(self._lost[0])
        wire.abort()
        connection.close()


class _Nobody:
    """Who is told what has no consequence any more."""

    def wants(self, answer: Plain) -> bool:  # noqa: ARG002 - the rider's
        return False

    def gets(self, answer: Plain, body: bytes) -> None: ...

    def reads(self, answer: Plain, response: Response) -> None: ...

    def missed(self) -> None: ...


_NOBODY = _Nobody()
