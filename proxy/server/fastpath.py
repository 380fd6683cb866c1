"""How is a hit answered whose bytes were seen before?

The law: this file decides nothing and writes nothing of its own. Bytes that were answered by a hit are
remembered together with that hit, which says itself whether it still holds; what is sent is what the long
way would write now (`pipeline.repeated`, `streaming.head_bytes`), made anew whenever a field of it changes.
Of the bytes only two lines may differ, both of which are nothing but names: a W3C traceparent, and an
X-Request-Id, which the answer repeats. Every doubt leads to the long way, which asks everything again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence

from proxy.core.exchange import Exchange, Repeat, Verdict
from proxy.core.expression import expression
from proxy.core.ports import Clock, Lasting, Observer, Secret
from proxy.gateway.pipeline import repeated
from proxy.server.identifiers import Bits, Identifiers
from proxy.server.streaming import head_bytes, without_body

# A line goes only whole: what follows it must be a line of its own, not its continuation. Who spells the
# names in still other ways goes the long way; a pattern for any case takes twice as long.
_PASSING = expression(
    rb"\r\n(?:[Tt]raceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
    rb"|[Xx]-[Rr]equest-[Ii][Dd]: ([\x21-\x7e]{1,128}))(?=\r\n[^ \t])"
)
_MOST_ANSWERS = 16384
_MOST_BYTES = 2048  # of one request's head; longer ones are rare and would fill the table
_LARGE = 64 * 1024  # bytes of a body that is not worth copying behind its head
_SOON = 0.02  # seconds until what was answered is told to the observers
_MARK = b"\0"  # stands for what differs from answer to answer; no field can hold it
_PARTS = 4  # of a head, between its marks


class Answer:
    """One remembered answer, with the bytes that it has now."""

    __slots__ = ("after", "before", "body", "exchange", "head", "lasting", "since", "token", "until")

    def __init__(self, lasting: Lasting, exchange: Exchange, token: str | None) -> None:
        self.lasting = lasting
        self.exchange = exchange
        self.token = token  # the callers' token by which it was asked for
        self.until = 0.0  # monotonic: until then these bytes are right
        self.since = 0.0  # wall-clock time at which the monotonic clock began
        self.before = self.after = b""
        # As the long way writes it, with marks in place of Age, Cache-Status and the id. Where there is one
        # in place of Date as well, because the stored answer has none, it is not remembered.
        response = repeated(lasting, exchange, _MARK, _MARK)
        bodyless = without_body(exchange.method, response.status)
        head = head_bytes(response, _MARK.decode(), bodyless=bodyless, chunked=False, close=False, old=False)
        self.head = head.split(_MARK)
        self.body = b"" if bodyless else response.body.data  # type: ignore[attr-defined]  # a stored one is Whole

    def renew(self, now: float, wall: float) -> None:
        """Puts in place of the marks what the long way would write at this moment."""
        to_age, to_line, to_id, self.after = self.head
        age, line, turns = self.lasting.values(now)
        self.before = b"".join((to_age, age, to_line, line, to_id))
        self.until = now + turns
        self.since = wall - now


class FastPath:
    """The remembered answers of one listening socket."""

    def __init__(
        self,
        *,
        clock: Clock,
        observers: Sequence[Observer],
        bits: Bits,
        client_token: Secret | None,
        passed: Container[bytes] = (),
    ) -> None:
        """`passed` are requests without a name that are passed on: nothing of them is looked for."""
        self._now = clock.now
        self._wall = clock.wall
        self._observers = observers
        self._token = client_token
        self._passed = passed
        self._identifiers = Identifiers(bits)
        self._ids: list[bytes] = []
        self._answers: dict[bytes, Answer] = {}
        self._untold: list[Repeat] = []
        self._told = 0
        self._telling: asyncio.TimerHandle | None = None

    def answer(self, data: bytes, transport: asyncio.Transport) -> float | None:
        """Answers a whole request, and says at which monotonic second.

        None where it has to go the long way, of which nothing has begun.
        """
        clock = self._now
        now = clock()
        found = self._answers.get(data)
        request_id = None
        if found is None:
            if data in self._passed:
                return None
            found, request_id = self._find(data)
            if found is None:
                return None
        if not found.lasting.holds(now) or (self._token is not None and found.token != self._token.reveal()):
            return None
        if now >= found.until:
            found.renew(now, self._wall())
        if request_id is None:
            request_id = (self._ids or self._more_ids()).pop()
        elif request_id in found.before or request_id in found.after:
            # The long way tells apart whether an upstream's id is this very one.
            return None
        if len(found.body) < _LARGE:
            transport.write(b"".join((found.before, request_id, found.after, found.body)))
        else:
            transport.write(b"".join((found.before, request_id, found.after)))
            transport.write(found.body)
        self._untold.append((found.exchange, request_id, found.since + now, clock() - now))
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_SOON, self.tell)
        return now

    def learn(self, data: bytes, exchange: Exchange, token: str | None) -> None:
        """Remembers how these bytes, one whole request and nothing else, were answered.

        `token` is the callers' one by which they were let in; there may be another by now.
        """
        lasting = exchange.lasting
        if lasting is None or exchange.cut or exchange.verdict is not Verdict.HIT or len(data) > _MOST_BYTES:
            return
        shape, ids = _shape(data)
        if len(ids) > 1 or b"x-request-id:" in shape.lower() or data.startswith(b"\r\n"):
            # The last: a line that stands above the request itself must not pass for one of its fields.
            return
        self._answers.pop(shape, None)
        if len(self._answers) >= _MOST_ANSWERS:
            # The one that was learned first; if it is still asked for, it is learned again.
            del self._answers[next(iter(self._answers))]
        pattern = Exchange(
            id=_MARK.decode(),
            method=exchange.method,
            target=exchange.target,
            started=0.0,
            at=0.0,
            route=exchange.route,
            verdict=exchange.verdict,
            reason=exchange.reason,
            status=exchange.status,
            bytes_out=exchange.bytes_out,
        )
        answer = Answer(lasting, pattern, token)
        if len(answer.head) == _PARTS:
            self._answers[shape] = answer

    def tell(self) -> None:
        """Tells the observers what they have not been told yet."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._ids.clear()  # an id tells when it was made
        hits, self._untold = self._untold, []
        self._told += len(hits)
        if hits:
            for observer in self._observers:
                observer.repeated(hits)

    @property
    def answered(self) -> int:
        """Requests, since the start."""
        return self._told + len(self._untold)

    def _find(self, data: bytes) -> tuple[Answer | None, bytes | None]:
        """What answers a request that has lines of its own, and the id that it was given."""
        if len(data) > _MOST_BYTES:  # the beginning of an upload, mostly: nothing as long was remembered
            return None, None
        shape, ids = _shape(data)
        if len(ids) > 1:
            return None, None
        return self._answers.get(shape), ids[0] if ids else None

    def _more_ids(self) -> list[bytes]:
        self._ids = self._identifiers.several(self._wall())
        return self._ids


def _shape(data: bytes) -> tuple[bytes, list[bytes]]:
    """A request without the lines that only name it, and the ids that it was given."""
    match _PASSING.split(data):
        case [_]:
            return data, []
        case [before, given, after]:  # one line, as nearly always
            return before + after, [given] if given else []
        case parts:
            return b"".join(parts[::2]), [given for given in parts[1::2] if given]
