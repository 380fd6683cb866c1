"""How often is a request sent, and what is done between two attempts?

The loop is aiohttp-retry's, the decisions are `core.resilience.retry`'s. The library is given nothing to
decide by itself: no status, no method, one exception of ours. Each attempt: the credential goes on last,
the session sends, the outcome is recorded and judged; an answer that is not used lets go of its
connection before the wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from aiohttp import ClientSession
from aiohttp_retry import RetryClient, RetryOptionsBase

from proxy.core.exchange import Attempt, Exchange
from proxy.core.failure import (
    APIError,
    ConnectError,
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.ports import Chance, Clock, Expiring, Observer, Permit, Renewable, Restraint
from proxy.core.reason import Reason
from proxy.core.resilience import deadline as callers
from proxy.core.resilience.repetition import known_by
from proxy.core.resilience.retry import Again, Stop, decide
from proxy.core.routing import Origin, Route
from proxy.core.tracing import within
from proxy.upstream.budgets import Budgets
from proxy.upstream.express import Express
from proxy.upstream.hedge import Hedges
from proxy.upstream.judging import received
from proxy.upstream.replay import Replay, Rooms, keeping, replayable
from proxy.upstream.session import Call, CallerFault, Session

# RFC 9110 §9.2.2: what may go out once more, free, where an idle connection proves dead.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_NONE = Headers()
# As what a WebSocket handshake is judged: what it opens may have done something.
_TUNNEL = "CONNECT"
_FIRST_FAILURE = 400
_OF_CREDENTIALS = frozenset({400, 401, 402, 403, 429})  # may be about the credential, and had nothing done
_TRACE = frozenset({"traceparent"})

# The metrics' words. Other failures are no outcome of an attempt.
_OUTCOMES: dict[type[APIError], str] = {
    ConnectError: "connect",
    UpstreamTimeoutError: "timeout",
    DeadlineExceededError: "timeout",
    UpstreamProtocolError: "protocol",
}


class _AgainError(Exception):
    """The policy says once more; the only exception that the library's loop may swallow."""


# What the library's loop would log stands in the exchange, without the secrets.
_SILENT = logging.getLogger("leeward.silent")
_SILENT.disabled = True


class _Answer:
    """A response in the two words in which the library's loop looks at one."""

    __slots__ = ("method", "response", "status")

    def __init__(self, method: str, response: Response) -> None:
        self.method = method
        self.response = response
        self.status = response.status


class Attempts:
    """The way out: credentials, attempts and waits. Satisfies the port `Upstream`."""

    def __init__(
        self,
        *,
        session: Session,
        clock: Clock,
        chance: Chance,
        observers: Sequence[Observer] = (),
        restraint: Restraint | None = None,
        rooms: Rooms | None = None,
    ) -> None:
        self.session = session
        self.rooms = Rooms() if rooms is None else rooms
        self.clock = clock
        self.chance = chance
        self.observers = tuple(observers)
        self.restraint = restraint
        self.budgets = Budgets(clock)
        self._hedges = Hedges()

    async def send(self, request: Request, route: Route, exchange: Exchange) -> Response:
        """The final answer's head, its body still to be pulled. Raises APIError."""
        begun = exchange.begun if isinstance(exchange.begun, Express) and not exchange.begun.taken else None
        if begun is None:
            self.budgets.requested(request, route)
        request, exchange.idempotency_key = _keyed(request, route.retry.idempotency_key)
        keyed = exchange.idempotency_key is not None
        async with keeping(request, route.retry, self.rooms, exchange) as (sent, body):
            deadline = exchange.deadline
            if deadline is None:
                deadline = self.clock.now() + callers.total(route.timeouts.total, request.headers)
            trial = _Trial(self, sent, body, route, exchange, deadline=deadline, keyed=keyed, begun=begun)
            alone = route.retry.hedge is None or request.switches
            return await (trial.run() if alone else self._hedges.answer(trial, route))


def _keyed(request: Request, name: str | None) -> tuple[Request, str | None]:
    """The request with an idempotency key where it goes with one, and that key."""
    key = known_by(request.headers, name, request.method)
    if key is None or key or name is None:
        return request, key
    made = str(uuid.uuid4())
    return replace(request, headers=request.headers.replacing(name, made)), made


@lru_cache
def _waits(kind: type[object]) -> bool:
    """Whether such an injector may have to ask somebody first."""
    return issubclass(kind, Expiring)


def _untraced(request: Request) -> tuple[str, Headers]:
    return request.target, request.headers.without(_TRACE)


class _Trial(RetryOptionsBase):
    """One request on its way: to the library its options and its session in one."""

    def __init__(
        self,
        owner: Attempts,
        request: Request,
        body: Whole | Replay,
        route: Route,
        exchange: Exchange,
        *,
        deadline: float,
        keyed: bool,
        begun: Express | None = None,
    ) -> None:
        super().__init__(
            attempts=max(1, route.retry.attempts),
            statuses=(),
            exceptions=(_AgainError,),
            methods=(request.method,),
            retry_all_server_errors=False,
        )
        del self.evaluate_response_callback  # it is the class's own: one kept here would leave all as garbage
        self._owner = owner
        self._request = request
        self._body = body
        self._route = route
        self.exchange = exchange
        self._began = owner.clock.now()
        self._deadline = deadline
        self._keyed = keyed
        self._decision: Again | Stop | None = None
        self._begun = begun
        self._permit: Permit | None = None if begun is None else begun.permit
        self._others = 0  # attempts beside this one
        self._upcoming: tuple[Attempt, Request] | None = None
        self._carried: list[tuple[str, Headers]] = []  # what was refused, so that it is not sent again

    async def run(self) -> Response:
        """All attempts. Raises APIError."""
        client = RetryClient(cast("ClientSession", self), _SILENT, self)
        answer = await client.request(self._request.method, self._route.origins[0].url)
        return cast("_Answer", answer).response

    def beside(self) -> _Trial | None:
        """One more attempt while this one is under way; None where it may not be."""
        owner, route, attempts = self._owner, self._route, self.exchange.attempts
        method, body = self._request.method, self._body
        if method not in _IDEMPOTENT or method not in route.retry.methods or not isinstance(body, Whole):
            return None
        if len(attempts) >= route.retry.attempts or not attempts or attempts[-1].outcome:
            return None
        copied, record = Whole(body.data), replace(self.exchange, attempts=[*attempts])
        request = replace(self._request, body=copied, interim=None)
        permit = None if owner.restraint is None else owner.restraint.spare(request, route, record)
        if owner.restraint is not None and permit is None:
            return None
        if not owner.budgets.pay(route):
            if permit is not None:
                permit.failed(None)
            return None
        attempts[-1].reason = Reason.HEDGED
        self._others += 1
        once = replace(route, retry=replace(route.retry, attempts=1, hedge=None))
        side = _Trial(owner, request, copied, once, record, deadline=self._deadline, keyed=self._keyed)
        side._permit = permit
        return side

    async def evaluate_response_callback(self, _: object) -> bool:
        """True means stop; the library asks it for every attempt but the last."""
        return not isinstance(self._decision, Again)

    def get_timeout(self, attempt: int, response: object = None) -> float:  # noqa: ARG002 - the library's
        return self._decision.after if isinstance(self._decision, Again) else 0.0

    async def close(self) -> None:
        """The session outlives its requests."""

    async def request(
        self,
        method: str,
        url: str,  # noqa: ARG002 - the origin is the route's, whatever is passed through the library
        *,
        headers: object = None,  # noqa: ARG002 - as above
        trace_request_ctx: dict[str, Any],
    ) -> _Answer:
        """One attempt. Raises _AgainError where another is to follow, else the failure."""
        number: int = trace_request_ctx["current_attempt"]
        if number > 1:
            self._body.rewind()
        permit, self._permit = self._permit, None
        if permit is None:
            if self._owner.restraint is None:
                return await self._attempt(method, number, None)
            permit = await self._owner.restraint.admit(
                self._request, self._route, self.exchange, deadline=self._deadline
            )
        try:
            return await self._attempt(method, number, permit)
        except BaseException:
            permit.failed(None)  # where nothing else ended it
            raise

    async def _attempt(self, method: str, number: int, permit: Permit | None) -> _Answer:
        route, clock = self._route, self._owner.clock
        origin = route.origins[0] if permit is None else permit.origin
        attempt, request = await self._credited(origin)
        begun, self._begun = self._begun, None
        now = clock.now()
        attempt.started = now if begun is None else begun.since
        if now >= self._deadline:
            raise DeadlineExceededError("The time for the whole request is spent.", sent=begun is not None)
        call = Call(
            request=request,
            body=self._body,
            origin=origin,
            timeouts=route.timeouts,
            remaining=self._deadline - now,
            grace=callers.grace(route.timeouts.total, request.headers, self._deadline - self._began),
            tls=route.name,
            resend=method in _IDEMPOTENT and method in route.retry.methods,
            begun=begun,
        )
        self.exchange.attempts.append(attempt)
        response = await self._sent(call, number, attempt, permit)
        attempt.status = status = response.status
        outcome = f"{status // 100}xx"
        if status in _OF_CREDENTIALS and await self._replaced(number, attempt, call, response):
            response.body.close()
            if permit is not None:
                permit.failed(None)  # it is not the upstream that wants a rest
            return _Answer(method, response)
        if permit is not None:
            response = permit.answered(response)
        if status < _FIRST_FAILURE and response.fault is None:  # most answers: nothing is to be decided
            attempt.outcome = outcome
            attempt.seconds = clock.now() - attempt.started
            self._decision = None
            self.tell(attempt)
        elif self._again(number, attempt, outcome, response):
            response.body.close()
        return _Answer(method, response)

    async def _sent(self, call: Call, number: int, attempt: Attempt, permit: Permit | None) -> Response:
        """What came. Raises _AgainError where another attempt is to follow, else the failure."""
        try:
            response = await self._owner.session.send(call)
            path, wall = call.request.path, self._owner.clock.wall()
            return await received(response, self._route, path=path, wall=wall)
        except CallerFault as fault:
            raise fault.failure from None
        except APIError as failure:
            outcome = _OUTCOMES.get(type(failure))
            if outcome is None:  # refused before anything was sent
                self.exchange.attempts.pop()
                raise
            if permit is not None:
                permit.failed(failure)
            if self._again(number, attempt, outcome, failure):
                raise _AgainError from failure
            raise
        finally:
            attempt.seconds = self._owner.clock.now() - attempt.started

    async def _credited(self, origin: Origin) -> tuple[Attempt, Request]:
        """The next attempt, and its request with the credential on it. Raises CredentialError."""
        upcoming, self._upcoming = self._upcoming, None
        if upcoming is not None and upcoming[0].endpoint == origin.url:
            return upcoming
        attempt = Attempt(started=0.0, endpoint=origin.url)
        request, injector = self._traced(attempt), self._route.injector
        if not _waits(type(injector)):
            request = await injector.inject(request, origin)
        else:
            try:
                async with asyncio.timeout(self._deadline - self._owner.clock.now()):
                    request = await injector.inject(request, origin)
            except TimeoutError:
                raise DeadlineExceededError("The credential did not come in the time left.") from None
        self._body.rewind()  # a signature may have read it
        return attempt, request

    async def _replaced(self, number: int, attempt: Attempt, call: Call, answer: Response) -> bool:
        """Whether the credential was refused and there is another, with which the request goes out again.

        That is no retry in the sense of the policy: a credential that is refused had nothing done.
        """
        injector, route, sent = self._route.injector, self._route, call.request
        if not isinstance(injector, Renewable):
            return False
        self._carried.append(_untraced(sent))
        self._body.rewind()
        upcoming = Attempt(started=0.0, endpoint=call.origin.url)
        try:
            async with asyncio.timeout(self._deadline - self._owner.clock.now()):
                other = await injector.another(sent, answer, self._traced(upcoming), call.origin)
        except TimeoutError:
            return False
        except BaseException:
            answer.body.close()
            raise
        last = number >= route.retry.attempts or not replayable(self._body, route.retry.most_kept)
        if other is None or last or _untraced(other) in self._carried:
            return False
        self._upcoming = upcoming, other
        self._decision = Again(after=0.0, reason=Reason.ANOTHER_CREDENTIAL)
        attempt.outcome, attempt.reason, attempt.wait = "4xx", Reason.ANOTHER_CREDENTIAL, 0.0
        self.tell(attempt)
        return True

    def _traced(self, attempt: Attempt) -> Request:
        """The request as it goes upstream in this attempt: what is done there belongs below this span."""
        trace, request = self.exchange.trace, self._request
        if trace is None:
            return request
        attempt.span = int.from_bytes(os.urandom(8)) or 1
        attempt.url = attempt.endpoint + request.path
        return replace(request, headers=within(request.headers, trace, attempt.span))

    def _again(self, number: int, attempt: Attempt, outcome: str, ended: APIError | Response) -> bool:
        owner, route = self._owner, self._route
        now = owner.clock.now()
        attempt.seconds = now - attempt.started
        attempt.outcome = outcome
        decision = self._decision = decide(
            route.retry,
            method=_TUNNEL if self._request.switches else self._request.method,
            attempt=number + self._others,
            cause=ended.status if isinstance(ended, Response) else ended,
            headers=ended.headers if isinstance(ended, Response) else _NONE,
            replayable=replayable(self._body, route.retry.most_kept),
            keyed=self._keyed,
            remaining=self._deadline - now,
            chance=owner.chance(),
            wall=owner.clock.wall(),
            elsewhere=owner.restraint is not None and owner.restraint.elsewhere(route, self.exchange),
            fault=ended.fault if isinstance(ended, Response) else None,
        )
        if isinstance(decision, Again):
            # Who has something stored does not wait for the upstream's leave.
            refusal = self._refusal(self._deadline - now if self.exchange.patient else 0.0)
            if refusal is not None:
                decision = self._decision = Stop(reason=refusal)
        attempt.reason = decision.reason
        attempt.wait = decision.after if isinstance(decision, Again) else None
        self.tell(attempt)
        return isinstance(decision, Again)

    def _refusal(self, remaining: float) -> Reason | None:
        """Why there is no further attempt although the request could bear it."""
        restraint = self._owner.restraint
        if restraint is not None:
            refusal = restraint.refusal(self._request, self._route, remaining=remaining)
            if refusal is not None:
                return refusal
        return None if self._owner.budgets.pay(self._route) else Reason.BUDGET_SPENT

    def tell(self, attempt: Attempt) -> None:
        for observer in self._owner.observers:
            observer.attempted(self.exchange, attempt)
