"""What becomes of an answer that is fetched for the cache?

It goes to its caller at once, and, where admission allows, into the store and to everybody who waits for
the same. What was changed while it was on its way is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from proxy.core.allowance import Allowance
from proxy.core.caching import events, ranges, status, validation, variation
from proxy.core.caching.admission import Admit, Moment, Skip, admit
from proxy.core.caching.entry import Entry, storable_fields
from proxy.core.caching.key import Key
from proxy.core.caching.outage import instead, spares
from proxy.core.caching.reuse import Miss, Revalidate, with_content
from proxy.core.caching.serving import annotate, serve
from proxy.core.exchange import Exchange, Verdict
from proxy.core.failure import APIError, InternalError
from proxy.core.forwarding import hops
from proxy.core.message import Body, Headers, Request, Response, lower_name
from proxy.core.ports import Clock, Store, Turns
from proxy.core.reason import Reason
from proxy.core.resilience import deadline
from proxy.core.routing import Route
from proxy.core.value import dataclass
from proxy.gateway.content import Spliced
from proxy.gateway.fill import Fill, Reader
from proxy.gateway.flight import Flight, Flights
from proxy.gateway.passing import never_kept
from proxy.gateway.refresh import Refresh
from proxy.gateway.standing import stands
from proxy.gateway.turn import elsewhere
from proxy.gateway.verdicts import Verdicts

# Sends a request upstream and writes into this record what became of it.
Fetch = Callable[[Request, Exchange], Awaitable[Response]]

_NO_CONTENT, _NOT_MODIFIED = 204, 304
_UNSATISFIABLE, _FIRST_SERVER_FAILURE = 416, 500
# Statuses that say nothing about the next answer: no verdict is drawn from them.
_PASSING = frozenset({408, 425, 429})
# A verdict about this one answer or this one caller, not about the resource.
_PERSONAL = frozenset({Reason.REQUEST_NO_STORE, Reason.NOT_MODIFIED, Reason.PARTIAL, Reason.FAILURE_IN_BODY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way through."""

    request: Request
    route: Route
    key: Key
    exchange: Exchange
    fetch: Fetch

    def flight(self, selection: bytes = b"") -> bytes:
        """The flight to look for. One that goes round in a circle must not wait for itself."""
        passed = hops(self.request.headers)
        # Who asks for the content must not wait for an answer without.
        headed = b"HEAD:" if self.request.method == "HEAD" else b""
        return headed + (b"%d:" % passed if passed > 1 else b"") + self.key.primary + selection

    def send(self, request: Request) -> Awaitable[Response]:
        return self.fetch(request, self.exchange)

    def note(self, verdict: Verdict, reason: Reason) -> None:
        self.exchange.verdict, self.exchange.reason = verdict, reason


class Fetching:
    """Leads flights. `max_filling` bounds, in bytes, what is held of all answers on their way in.

    `turns` are taken with other processes that share the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        refresh: Refresh,
        secret: bytes,
        flights: Flights,
        verdicts: Verdicts,
        max_filling: int,
        turns: Turns | None = None,
    ) -> None:
        self._turns = turns
        self._store = store
        self._clock = clock
        self._refresh = refresh
        self._secret = secret
        self._flights = flights
        self._verdicts = verdicts
        self._allowance = Allowance(max_filling)

    async def lead(self, call: Call, flight: Flight, decision: Miss | Revalidate) -> Response:
        """Fetches for a flight. Whatever comes of it, nobody is left waiting."""
        try:
            turns, store, clock, secret = self._turns, self._store, self._clock, self._secret
            if turns is not None and flight.shared:
                found = await elsewhere(call, flight, turns=turns, store=store, clock=clock, secret=secret)
                if found is not None:
                    return self._found(call, flight, decision, found)
            return await self._fly(call, flight, decision)
        except APIError as error:
            flight.pass_on(error)
            raise
        except asyncio.CancelledError:
            flight.pass_on(None)
            raise
        except BaseException:
            flight.pass_on(InternalError())
            raise

    def _found(self, call: Call, flight: Flight, decision: Miss | Revalidate, entry: Entry) -> Response:
        """Another process has fetched it; who waits here may have it too."""
        flight.confirm(entry)
        self._flights.close(flight)
        call.note(Verdict.COALESCED, decision.reason)
        now = self._clock.now()
        line = status.forwarded(decision.reason, status=entry.status, ttl=entry.ttl(now), collapsed=True)
        return serve(call.request, entry, line, now=now, wall=self._clock.wall())

    async def _fly(self, call: Call, flight: Flight, decision: Miss | Revalidate) -> Response:
        began, request = self._clock.now(), call.request
        request = deadline.unhurried(request) if flight.shared else request
        call.exchange.patient &= not spares(request, decision.stored, began)
        if isinstance(decision, Revalidate) and request.method != "HEAD":
            response = await call.send(validation.conditional(request, decision.entry))
            if response.status == _NOT_MODIFIED:
                response.body.close()
                if validation.confirms(decision.entry, response.headers):
                    moment = self._moment(call.exchange, began)
                    return await self._confirm(call, flight, decision, response, moment)
                began = self._clock.now()
                response = await call.send(_unconditional(request))
        elif isinstance(decision, Miss) and decision.missing is not None and decision.stored is not None:
            response = await self._complete(call, decision.stored, decision.missing)
        else:
            # What others share is not asked for under one caller's conditions.
            response = await call.send(_unconditional(request) if flight.shared else request)
        now, wall = self._clock.now(), self._clock.wall()
        failure = instead(request, decision.stored, response, call.exchange, now=now, wall=wall)
        if failure is not None:
            # The cache's loop answers failures; there is one way for all of them.
            response.body.close()
            raise failure
        if request.method == "HEAD" and response.status == ranges.OK and decision.stored is not None:
            try:
                await self._told(call, flight, decision.stored, response, self._moment(call.exchange, began))
            except BaseException:
                response.body.close()
                raise
        return self.take(call, flight, decision, response, began=began)

    def take(
        self,
        call: Call,
        flight: Flight,
        decision: Miss | Revalidate,
        response: Response,
        *,
        began: float | None = None,
    ) -> Response:
        """Makes of an upstream's answer a caller's, and of both, where it may be, an entry.

        `began` is when it was asked for, where no attempt is on record.
        """
        try:
            now = self._clock.now() if began is None else began
            return self._receive(call, flight, decision, response, self._moment(call.exchange, now))
        except BaseException:
            response.body.close()
            raise

    async def _complete(self, call: Call, part: Entry, missing: tuple[int, int]) -> Response:
        """The whole of which a part is stored: of the rest and that part, or all anew."""
        response = await call.send(ranges.completing(call.request, part, missing))
        if response.status == ranges.PARTIAL and part.span is not None:
            if ranges.completes(part, missing, response.headers):
                headers = ranges.described(validation.merged(part.headers, response.headers), part.span[2])
                before, after = (b"", part.body) if missing[0] == 0 else (part.body, b"")
                body = Spliced(before, response.body, after, length=part.span[2])
                return replace(response, status=ranges.OK, reason="OK", headers=headers, body=body)
        elif response.status != _UNSATISFIABLE:
            return response
        response.body.close()
        return await call.send(_unconditional(call.request))

    def _moment(self, exchange: Exchange, began: float) -> Moment:
        # An answer is as old as the attempt that brought it, not as all the tries before.
        sent = exchange.attempts[-1].started if exchange.attempts else began
        return Moment(sent=sent, received=self._clock.now(), wall=self._clock.wall())

    def _receive(
        self, call: Call, flight: Flight, decision: Miss | Revalidate, response: Response, moment: Moment
    ) -> Response:
        """An answer with content: into the store and to all who wait, or to its caller alone."""
        policy = call.route.cache
        admitted = admit(call.request, response, moment, policy=policy, secret=self._secret)
        length = 0 if call.request.method == "HEAD" else _length(response)
        room = 0
        if isinstance(admitted, Admit):
            room = policy.max_entry_bytes - admitted.entry.size
            outgrown = self._verdicts.recall(flight.id, moment.received) is Reason.TOO_LARGE
            if (outgrown if length is None else length > room) or room < 0:
                admitted = Skip(reason=Reason.TOO_LARGE)
        if isinstance(admitted, Skip):
            flight.free()
            fleeting = response.status >= _FIRST_SERVER_FAILURE or response.status in _PASSING
            if not fleeting and admitted.reason not in _PERSONAL:
                self._verdicts.remember(flight.id, admitted.reason, moment.received)
            call.note(Verdict.MISS, admitted.reason)
            call.exchange.passing = never_kept(call, flight, self._verdicts, self._clock, secret=self._secret)
            line = status.forwarded(decision.reason, status=response.status, detail=admitted.reason)
            return annotate(response, line)
        entry = admitted.entry
        self._verdicts.forget(flight.id)
        if events.is_stream(entry.headers):
            # It may go on for long, and other processes cannot read along.
            flight.end_turn(shared=False)
        body = self._fill(call, flight, entry, response, decision.stored, length=length, room=room)
        if flight.doomed():
            call.note(Verdict.MISS, Reason.CHANGED_MEANWHILE)
        line = status.forwarded(
            decision.reason,
            status=response.status,
            ttl=entry.ttl(moment.received),
            stored=not flight.doomed(),
            detail=Reason.CHANGED_MEANWHILE if flight.doomed() else None,
        )
        unchanged = validation.asks(call.request) and validation.unchanged(call.request, entry, moment.wall)
        if flight.shared and unchanged:
            # Its caller needs no content, the store does.
            reading = self._refresh.start(_read_out(body), name="read out")
            # Also where the task is cancelled before its first step.
            reading.add_done_callback(lambda _task: body.close())
            served = serve(call.request, entry, line, now=moment.received, wall=moment.wall)
            return _with_cookies(served, response)
        return annotate(response.with_body(body), line)

    def _fill(
        self,
        call: Call,
        flight: Flight,
        entry: Entry,
        response: Response,
        stored: Entry | None,
        *,
        length: int | None,
        room: int,
    ) -> Reader:
        async def kept(content: bytes) -> None:
            if not events.replayable(entry.headers, content):
                return
            keepable = ranges.joined(stored, entry.holding(content))
            # Bytes of what was purged meanwhile may be in it.
            if keepable is not None and (stored is None or flight.keeps(stored)):
                await self._keep(call.key, flight, keepable)

        def ended() -> None:
            if fill.outgrown:
                flight.end_turn(shared=False)
            self._flights.close(flight)
            if fill.outgrown:
                self._verdicts.remember(flight.id, Reason.TOO_LARGE, self._clock.now())

        fill = Fill(
            response.body, limit=room, length=length, allowance=self._allowance, kept=kept, ended=ended
        )
        reader = fill.reader()
        flight.land(entry, fill)
        fill.start(self._refresh)
        return reader

    async def _keep(self, key: Key, flight: Flight, entry: Entry) -> None:
        if flight.keeps(entry):
            await self._store.keep(key, entry, asked=flight.opened)
            if not flight.keeps(entry):  # since it began to be stored
                await self._store.drop(key)

    async def _told(
        self, call: Call, flight: Flight, stored: Entry, response: Response, moment: Moment
    ) -> None:
        """A HEAD said how a GET would be answered: what is stored is that, or is stale (RFC 9111 §4.3.5)."""
        content: Entry | None = stored
        if stored.head_only:
            others = with_content(await self._store.load(call.key))
            content = variation.matching(call.request.headers, others, secret=self._secret)
        if content is None or content.status != ranges.OK or content.span is not None:
            return
        # What came after the HEAD was asked for is newer than what the HEAD says.
        if content.received > moment.sent:
            return
        kept = replace(content, lifetime=0.0, stale_while_revalidate=0.0, strict=True)
        if validation.agrees(content, response.headers):
            as_got = replace(call.request, method="GET")
            news = replace(response, headers=validation.merged(content.headers, response.headers))
            admitted = admit(as_got, news, moment, policy=call.route.cache, secret=self._secret)
            if isinstance(admitted, Admit):
                kept = admitted.entry.holding(content.body)
        if await stands(call, flight, content, store=self._store, secret=self._secret):
            await self._keep(call.key, flight, kept)

    async def _confirm(
        self, call: Call, flight: Flight, decision: Revalidate, response: Response, moment: Moment
    ) -> Response:
        """A 304: what is stored is right, and fresh again with the fields that came."""
        stored = decision.entry
        news = replace(
            response,
            status=stored.status,
            reason=stored.reason,
            headers=validation.merged(stored.headers, response.headers),
        )
        admitted = admit(call.request, news, moment, policy=call.route.cache, secret=self._secret)
        detail: Reason | None = None
        if isinstance(admitted, Admit):
            entry = admitted.entry.holding(stored.body)
            flight.confirm(entry)
            if await stands(call, flight, stored, store=self._store, secret=self._secret):
                await self._keep(call.key, flight, entry)
            self._flights.close(flight)
        else:
            flight.free()
            await self._store.drop(call.key)
            detail = admitted.reason
            entry = replace(stored, headers=storable_fields(news.headers), received=moment.received)
            entry = replace(entry, initial_age=moment.received - moment.sent, lifetime=0.0)
        call.note(Verdict.REVALIDATED, detail or decision.reason)
        ttl = entry.ttl(moment.received) if detail is None else None
        line = status.forwarded(decision.reason, status=_NOT_MODIFIED, ttl=ttl, detail=detail)
        served = serve(call.request, entry, line, now=self._clock.now(), wall=self._clock.wall())
        return _with_cookies(served, response)

    def renew(self, call: Call, entry: Entry, id_: bytes) -> None:
        """Fetches behind the caller's back what it was just served stale, once for all."""
        if self._refresh.closed or self._flights.find(id_) is not None:
            return
        if call.request.method == "HEAD" and not entry.head_only:  # no HEAD brings its content
            return
        key, now = call.key, self._clock.now()
        flight = self._flights.open(id_, key.place, upstream=key.upstream, target=key.target, opened=now)
        reason = Reason.WHILE_REVALIDATE
        askable = entry.validators and entry.span is None
        decision = Revalidate(entry=entry, reason=reason) if askable else Miss(reason=reason, stored=entry)
        record = replace(call.exchange, attempts=[], held=[], patient=False, deadline=None, begun=None)
        apart = replace(call, request=_plain(call.request), exchange=record)
        task = self._refresh.start(self._renewed(apart, flight, decision), name="renew")
        # Also where the task is cancelled before its first step.
        task.add_done_callback(lambda _task: flight.pass_on(None))

    async def _renewed(self, call: Call, flight: Flight, decision: Miss | Revalidate) -> None:
        try:
            response = await self.lead(call, flight, decision)
        except APIError:
            return  # the stale answer serves on; the next one asks again
        await _read_out(response.body)


async def _read_out(body: Body) -> None:
    """To its end, for the store's sake."""
    try:
        while await body.read():
            pass
    except APIError:
        return
    finally:
        body.close()


def _with_cookies(served: Response, response: Response) -> Response:
    """The cookies of this very exchange are this caller's."""
    cookies = [f for f in response.headers.fields if lower_name(f[0]) in validation.COOKIES]
    return replace(served, headers=Headers((*served.headers.fields, *cookies))) if cookies else served


def _plain(request: Request) -> Request:
    """The request for the whole answer, of which nobody hears before it is here."""
    headers = request.headers.without(validation.CONDITIONS | {"range", "if-range"} | deadline.FIELDS)
    return replace(request, headers=headers, interim=None)


def _unconditional(request: Request) -> Request:
    return replace(request, headers=request.headers.without(validation.CONDITIONS))


def _length(response: Response) -> int | None:
    """The content's length as the head announces it."""
    if response.status == _NO_CONTENT:
        return 0
    text = response.headers.get("content-length")
    if text is not None and text.isascii() and text.isdigit():
        return int(text)
    return response.body.length
