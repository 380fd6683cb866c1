"""How does a request get its answer through the cache?

This is the loop that turns core's decisions into store and upstream calls. It decides nothing about
HTTP: `key`, `reuse`, `admission`, `validation` and `invalidation` do. What it guards is order: nothing is
stored before it is whole, nobody waits for what cannot be shared, and what was changed meanwhile is not
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import assert_never

from proxy.core.allowance import Allowance
from proxy.core.caching import directives, invalidation, lasting, status, validation, variation
from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Bypass, identify
from proxy.core.caching.outage import stand_in
from proxy.core.caching.purge import Purge
from proxy.core.caching.reuse import Decision, Hit, Miss, Refuse, Revalidate, Stale, reuse
from proxy.core.caching.serving import annotate, serve
from proxy.core.exchange import Exchange, Verdict
from proxy.core.failure import APIError, DeadlineExceededError, NotCachedError
from proxy.core.message import Request, Response, Whole
from proxy.core.ports import Changes, Clock, Lasting, Store, Turns
from proxy.core.reason import Reason
from proxy.core.routing import Route
from proxy.gateway.content import MOST, gathered
from proxy.gateway.fetching import Call, Fetch, Fetching
from proxy.gateway.flight import Confirmed, Failed, Flight, Flights, Freed, Joined, Lead, Outcome
from proxy.gateway.lasting import LastingHit, Peek
from proxy.gateway.passing import past_the_cache
from proxy.gateway.refresh import Refresh
from proxy.gateway.verdicts import Verdicts

_NOT_MODIFIED = 304
# The caller wants an answer that was asked for after it spoke: nobody else's will do.
_OWN = frozenset({Reason.REQUEST_NO_CACHE, Reason.REQUEST_MAX_AGE, Reason.REQUEST_MIN_FRESH})
_REROUTES = 3


class Caching:
    """The cache's side of the path. `secret_key` is random, 16 to 64 bytes, and as long-lived as the store.

    `max_filling` bounds, in bytes, what is held of all answers on their way into the store, `room` what is
    held of requests whose body is part of their key. Where other processes share the store, `turns` says
    who fetches, and `changes` what they have changed. `flights` are those of the one that it replaces,
    while requests of that still run. `peek` is the store's, where it can be asked without waiting: then hits
    on it can last.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        refresh: Refresh,
        secret_key: bytes,
        verdicts: Verdicts | None = None,
        max_filling: int = 64 * 1024 * 1024,
        turns: Turns | None = None,
        changes: Changes | None = None,
        flights: Flights | None = None,
        peek: Peek | None = None,
        room: Allowance | None = None,
    ) -> None:
        self._store = store
        self._peek = peek
        self._clock = clock
        self._secret = secret_key
        self._room = room or Allowance(max_filling)
        self._flights = Flights(changes) if flights is None else flights
        self._verdicts = verdicts or Verdicts()
        self._fetching = Fetching(
            store=store,
            clock=clock,
            refresh=refresh,
            secret=secret_key,
            flights=self._flights,
            verdicts=self._verdicts,
            max_filling=max_filling,
            turns=turns,
        )

    @property
    def flights(self) -> Flights:
        """What is on its way."""
        return self._flights

    async def answer(self, request: Request, route: Route, exchange: Exchange, fetch: Fetch) -> Response:
        """The answer to a request as it goes upstream, its credential not yet injected.

        Its body has to be read to the end or closed. `fetch` may be called after this returns, for an
        answer that is refreshed behind the caller's back. Raises NotCachedError, and what `fetch` raises.
        """
        method = request.method
        if method in {"GET", "HEAD"} or not route.cache.enabled or method not in route.cache.methods:
            return await self._answer(request, route, exchange, fetch)
        length = request.body.length
        held = MOST if length is None else min(length, MOST)
        if not self._room.take(held):
            # There is no key for it then, and it is streamed past the cache.
            return await self._answer(request, route, exchange, fetch)
        try:
            request, content = await gathered(request)
            return await self._answer(request, route, exchange, fetch, content)
        finally:
            self._room.give(held)

    async def _answer(
        self,
        request: Request,
        route: Route,
        exchange: Exchange,
        fetch: Fetch,
        content: bytes | None = None,
    ) -> Response:
        method = request.method
        key = identify(request, route, secret=self._secret, content=content)
        if isinstance(key, Bypass):
            return await self._pass(request, route, exchange, fetch, key.reason)
        call = Call(request=request, route=route, key=key, exchange=exchange, fetch=fetch)
        # What is known of this key's answers to GET says nothing of those to HEAD.
        if method == "HEAD" or self._verdicts.recall(key.primary, self._clock.now()) is None:
            decision, id_, entries = await self._look(call)
        else:
            decision = reuse(request, (), self._clock.now(), secret=self._secret)
            id_, entries = key.primary, ()
        match decision:
            case Hit(entry=entry, reason=reason):
                call.note(Verdict.HIT, reason)
                exchange.lasting = self._lasting(call, entries, entry)
                return self._serve(call, entry, status.hit(entry.ttl(self._clock.now()), reason))
            case Stale(entry=entry, reason=reason, refresh=refresh):
                call.note(Verdict.STALE, reason)
                if refresh:
                    self._fetching.renew(call, entry, id_)
                return self._serve(call, entry, status.hit(entry.ttl(self._clock.now()), reason))
            case Refuse(reason=reason):
                call.note(Verdict.MISS, reason)
                raise NotCachedError
            case Bypass(reason=reason):
                return await self._pass(request, route, exchange, fetch, reason)
            case Miss() | Revalidate():
                return await self._ask(call, decision, id_)
            case _:
                assert_never(decision)

    async def invalidate(self, place: bytes) -> int:
        """Drops what is kept or on its way for a resource; how many entries went."""
        self._flights.changed = self._clock.now()
        self._flights.doom(place)
        return await self._store.drop_place(place)

    async def purge(self, what: Purge) -> int:
        """Drops what is kept or on its way and meant by it; how many entries went."""
        self._flights.changed = self._clock.now()
        self._flights.purge(what)
        return await self._store.purge(what)

    async def _pass(
        self, request: Request, route: Route, exchange: Exchange, fetch: Fetch, reason: Reason
    ) -> Response:
        """Past the cache, but for what the request makes untrue in it."""
        exchange.verdict, exchange.reason = Verdict.BYPASS, reason
        if route.cache.enabled and "only-if-cached" in directives.of_request(request.headers):
            exchange.reason = Reason.ONLY_IF_CACHED
            raise NotCachedError
        response = await fetch(request, exchange)
        if request.method == "GET":
            exchange.passing = past_the_cache(request, route, reason)
        if invalidation.invalidates(request.method, response.status):
            try:
                for place in invalidation.places(request, response, route, secret=self._secret):
                    await self.invalidate(place)
                if invalidation.restates(request, response, route, self._clock.wall()):
                    return self._restated(request, route, exchange, fetch, response=response, reason=reason)
            except BaseException:
                response.body.close()
                raise
        return annotate(response, status.forwarded(reason, status=response.status))

    def _restated(
        self,
        request: Request,
        route: Route,
        exchange: Exchange,
        fetch: Fetch,
        *,
        response: Response,
        reason: Reason,
    ) -> Response:
        """The answer to a change, kept for those who will ask what has become of its target."""
        later = replace(request, method="GET", body=Whole())
        key = identify(later, route, secret=self._secret)
        if isinstance(key, Bypass):
            return annotate(response, status.forwarded(reason, status=response.status))
        call = Call(request=later, route=route, key=key, exchange=exchange, fetch=fetch)
        flight = self._open(call, key.primary, shared=False)
        answer = self._fetching.take(call, flight, Miss(reason=reason), response)
        exchange.verdict, exchange.reason = Verdict.BYPASS, reason
        return answer

    async def _look(self, call: Call) -> tuple[Decision, bytes, Sequence[Entry]]:
        """What to do, the flight to look for where the store has not enough, and what it has."""
        key, request = call.key, call.request
        while True:
            landings = self._flights.landings
            entries = await self._store.load(key)
            decision = reuse(request, entries, self._clock.now(), secret=self._secret)
            chosen = b""
            if entries:
                chosen = variation.select(entries[0].vary, request.headers, secret=self._secret)
            id_ = call.flight(chosen)
            # What landed while the store was being asked may be what it said it had not.
            landed = landings != self._flights.landings and self._flights.find(id_) is None
            if not landed or not isinstance(decision, Miss | Revalidate):
                return decision, id_, entries

    async def _ask(self, call: Call, decision: Miss | Revalidate, id_: bytes) -> Response:
        """The origin's answer, or what may stand in for it."""
        call.note(Verdict.MISS, decision.reason)
        try:
            return await self._share(call, decision, id_)
        except APIError as error:
            return self._stand_in(call, decision, error)

    async def _share(self, call: Call, decision: Miss | Revalidate, id_: bytes) -> Response:
        """The answer of a flight that is under way, or of one that begins here."""
        alone = decision.reason in _OWN or "range" in call.request.headers
        # The answer to a caller's own condition may be a 304 that is good for nobody else.
        conditional = isinstance(decision, Miss) and validation.asks(call.request)
        for _ in range(_REROUTES):
            if alone or self._verdicts.recall(id_, self._clock.now()) is not None:
                break
            flight = self._flights.find(id_)
            if flight is None and conditional:
                break
            if flight is None:
                return await self._fetching.lead(call, self._open(call, id_), decision)
            outcome = await self._joined(flight, call.exchange)
            match outcome:
                case Lead():
                    return await self._fetching.lead(call, flight, decision)
                case Failed(error=error):
                    call.note(Verdict.COALESCED, Reason.COALESCED)
                    raise copy(error)
                case Freed():
                    break
                case Joined() | Confirmed():
                    chosen = variation.select(outcome.entry.vary, call.request.headers, secret=self._secret)
                    if chosen == outcome.entry.selection:
                        return self._follow(call, decision, outcome)
                    outcome.release()
                    id_ = call.flight(chosen)
                case _:
                    assert_never(outcome)
        flight = self._open(call, id_, shared=False)
        return await self._fetching.lead(call, flight, decision)

    async def _joined(self, flight: Flight, exchange: Exchange) -> Outcome:
        """What becomes of the flight, while its follower has time."""
        left = None if exchange.deadline is None else exchange.deadline - self._clock.now()
        if exchange.begun is not None:
            exchange.begun.drop()  # the leader may be waiting for its place
        try:
            async with asyncio.timeout(left):
                return await flight.join()
        except TimeoutError:
            raise DeadlineExceededError("What others have asked for already did not come in time.") from None

    def _open(self, call: Call, id_: bytes, *, shared: bool = True) -> Flight:
        key, begun = call.key, call.exchange.begun
        opened = self._clock.now() if begun is None else begun.since
        flight = self._flights.open(
            id_, key.place, upstream=key.upstream, target=key.target, shared=shared, opened=opened
        )
        if begun is not None and self._flights.changed >= begun.since:
            flight.doom()  # it went out before that
        return flight

    def _stand_in(self, call: Call, decision: Miss | Revalidate, error: APIError) -> Response:
        """What is stored instead of a failure. Raises the failure where it may not."""
        now = self._clock.now()
        stale = stand_in(call.request, decision.stored, now, failed=error)
        if stale is None:
            raise error
        call.note(Verdict.STALE, stale.reason)
        line = status.forwarded(decision.reason, ttl=stale.entry.ttl(now), detail=stale.reason)
        return self._serve(call, stale.entry, line)

    def _lasting(self, call: Call, entries: Sequence[Entry], entry: Entry) -> Lasting | None:
        """The hit as it can be repeated; None where it has to be decided each time."""
        if self._peek is None or not lasting.lasts(call.request, call.route, entries, entry):
            return None
        return LastingHit(
            call.request,
            call.route,
            call.key,
            entries=entries,
            entry=entry,
            peek=self._peek,
            verdicts=self._verdicts,
        )

    def _follow(self, call: Call, decision: Miss | Revalidate, outcome: Joined | Confirmed) -> Response:
        call.note(Verdict.COALESCED, decision.reason)
        entry, now = outcome.entry, self._clock.now()
        line = status.forwarded(
            decision.reason,
            status=_NOT_MODIFIED if isinstance(outcome, Confirmed) else entry.status,
            ttl=entry.ttl(now),
            collapsed=True,
        )
        body = outcome.reader if isinstance(outcome, Joined) else None
        return serve(call.request, entry, line, now=now, wall=self._clock.wall(), body=body)

    def _serve(self, call: Call, entry: Entry, line: str) -> Response:
        return serve(call.request, entry, line, now=self._clock.now(), wall=self._clock.wall())
