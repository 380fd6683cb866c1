"""What happens to a request, step by step?

Route → what changes in passing → whether it was made before → the cache (which asks the upstream where it
must) → the failure told → what names us. Each step decides in `core`; the order stands here and nowhere else.
"""

from __future__ import annotations

from proxy.core import fence, native, problem
from proxy.core.caching import status
from proxy.core.caching.serving import annotate
from proxy.core.classify import classify
from proxy.core.dialect import Form, heard
from proxy.core.exchange import Exchange
from proxy.core.failure import APIError, UpstreamFacts, of_status
from proxy.core.forwarding import VIA, forward, refuse_circles
from proxy.core.message import Request, Response, Whole
from proxy.core.ports import Clock, Lasting, Upstream
from proxy.core.reason import Reason
from proxy.core.resilience import deadline
from proxy.core.resilience.retry import should_retry
from proxy.core.routing import ErrorMode, Route, Table
from proxy.gateway.caching import Caching
from proxy.gateway.hurried import Hurried
from proxy.gateway.last_word import LastWord, is_stream
from proxy.gateway.repeats import Repeats

# Said by us alone; an upstream that is such a proxy itself has said its own to us, not to the caller.
_OURS = frozenset({"x-request-id", "leeward-attempts", "leeward-error", "leeward-idempotency-key"})
_FIRST_FAILURE = 400
_ERROR = frozenset({"leeward-error"})


class Pipeline:
    """The path of one request, from its parsed head to a response whose body is still to be pulled."""

    def __init__(
        self, *, table: Table, repeats: Repeats, caching: Caching, upstream: Upstream, clock: Clock
    ) -> None:
        self._table = table
        self._repeats = repeats
        self._caching = caching
        self._upstream = upstream
        self._clock = clock

    async def answer(
        self, request: Request, exchange: Exchange, *, traceparent: str, caller: str = ""
    ) -> Response:
        """The response for the caller. Raises APIError for a failure of our own."""
        refuse_circles(request.headers)
        route, target = self._table.find(request)
        exchange.route = route.name
        exchange.priority = request.headers.get("leeward-priority")
        exchange.deadline = exchange.started + deadline.total(route.timeouts.total, request.headers)
        fence.check(request, route, target)
        onward = forward(
            request, route, target, request_id=exchange.id, traceparent=traceparent, caller=caller
        )

        async def fetch(wanted: Request, record: Exchange) -> Response:
            return await self._upstream.send(wanted, route, record)

        async def through(wanted: Request) -> Response:
            return await self._caching.answer(wanted, route, exchange, fetch)

        try:
            response = await self._repeats.answer(request, onward, route, exchange, through)
        except APIError as failure:
            form = None if _document(route, request) else native.form(route.dialect, request.headers)
            if route.errors is not ErrorMode.NATIVE or form is None:
                raise
            return _last(failed(failure, request.method, exchange, form), route)
        if response.fault is None and of_status(response.status) is None:
            response = self._streamed(_unmarked(response), route, request, exchange)
            if deadline.patience(request.headers) is not None:
                response = Hurried.after(response, exchange.deadline, self._clock)
        else:
            response = _last(await self._told(response, route, request, exchange, target), route)
        return signed(response, exchange)

    def _streamed(self, response: Response, route: Route, request: Request, exchange: Exchange) -> Response:
        """A stream of events that, should it break, says so in the API's own words."""
        if route.errors is not ErrorMode.NATIVE or not is_stream(response):
            return response
        form = native.form(route.dialect, request.headers)
        if form is None or form.event is None:
            return response
        return response.with_body(LastWord(response.body, form, request_id=exchange.id))

    async def _told(
        self, response: Response, route: Route, request: Request, exchange: Exchange, target: str
    ) -> Response:
        """An upstream's failure in the form that the route and the caller's Accept ask for."""
        translated = _document(route, request)
        body = b""
        if translated:
            body = await _at_most(response, problem.MOST_READ)
        elif isinstance(response.body, Whole):
            body = response.body.data
        fault = response.fault
        if fault is None:  # not from the upstream just now, but from the store
            path = target.partition("?")[0]
            answer = heard(response.status, response.headers, body, path)
            fault = classify(route.dialect, answer, self._clock.wall())
        if fault is None:
            return response
        exchange.code = fault.kind.code
        if not translated:
            facts = UpstreamFacts(name=route.name, status=response.status)
            failure = fault.kind(retry_after=fault.wait, upstream=facts)
            return response.with_headers(problem.annotated(response.headers, failure))
        failure, original = problem.upstream_failure(
            name=route.name,
            fault=fault,
            headers=response.headers,
            body=body,
            mask=route.injector.mask,
            repeatable=should_retry(response.headers),
            dialect=route.dialect,
        )
        exchange.error = failure
        return problem.response(
            failure,
            method=request.method,
            request_id=exchange.id,
            attempts=len(exchange.attempts),
            original=original,
            fields=response.headers.without(_OURS),
        )


def _document(route: Route, request: Request) -> bool:
    """Whether the caller gets the problem document, by the route's mode or its own Accept."""
    return route.errors is ErrorMode.TRANSLATE or problem.preferred(request.headers.joined("accept"))


def _last(response: Response, route: Route) -> Response:
    """The failure with what keeps the vendor's SDK from repeating what was repeated here."""
    stop = route.dialect.stop
    if not stop or route.retry.attempts <= 1:
        return response
    kept = response.headers.without(frozenset(name.lower() for name, _ in stop))
    return response.with_headers(kept.plus(*stop))


async def _at_most(response: Response, most: int) -> bytes:
    """The first bytes of an error body; fewer where it breaks off, for the status is known all the same."""
    body = response.body
    if isinstance(body, Whole):
        return body.data[:most]
    pieces: list[bytes] = []
    room = most
    try:
        while room > 0 and (piece := await body.read()):
            pieces.append(piece[:room])
            room -= len(piece)
        if room > 0:
            return b"".join(pieces)
        # One more look: a body that ends here leaves its connection usable.
        await body.read()
    except APIError:
        pass
    finally:
        body.close()
    return b"".join(pieces)


def failed(failure: APIError, request_method: str, exchange: Exchange, form: Form | None = None) -> Response:
    """A failure of our own as a response: in the vendor's form where one is given, else the document."""
    exchange.error = failure
    exchange.code = failure.code
    if failure.upstream is None and exchange.route:
        failure.upstream = UpstreamFacts(name=exchange.route)
    response = (
        problem.response(
            failure, method=request_method, request_id=exchange.id, attempts=len(exchange.attempts)
        )
        if form is None
        else native.response(failure, form, request_id=exchange.id)
    )
    if exchange.reason is not None:
        response = annotate(response, status.failed(exchange.reason))
    return signed(response, exchange)


def passed(response: Response, exchange: Exchange) -> Response:
    """What `answer` would give for an upstream's plain success, as the cache passes it on."""
    return signed(_unmarked(response), exchange)


def repeated(lasting: Lasting, exchange: Exchange, age: bytes, line: bytes) -> Response:
    """What `answer` would give for the same request, with this Age and Cache-Status.

    `exchange` is as that of the first hit was.
    """
    return signed(_unmarked(lasting.response(age, line)), exchange)


def _unmarked(response: Response) -> Response:
    headers = response.headers.without(_ERROR)
    return response if headers is response.headers else response.with_headers(headers)


def signed(response: Response, exchange: Exchange) -> Response:
    """The response with the fields that name us and the request."""
    headers = response.headers
    theirs = headers.get("x-request-id")
    added = [("X-Request-Id", exchange.id), ("Via", VIA)]
    if theirs is not None and theirs != exchange.id:
        # Ours finds the log line; the upstream's is what its support asks for.
        added.append(("Leeward-Upstream-Request-Id", theirs))
    if len(exchange.attempts) > 1:
        added.append(("Leeward-Attempts", str(len(exchange.attempts))))
    if exchange.idempotency_key is not None:
        # By it a caller that gets no more than this can ask for the rest without doing it twice.
        added.append(("Leeward-Idempotency-Key", exchange.idempotency_key))
    kept = headers.without(_SIGNATURE)
    if response.status >= _FIRST_FAILURE and given_up(exchange):
        # Whoever repeats what we have repeated multiplies: SDKs that know these fields obey them.
        added += ((name, "false") for name in _VERDICTS if name == _VERDICTS[0] or name in headers)
        kept = kept.without(frozenset(_VERDICTS))
    return response.with_headers(kept.plus(*added))


def given_up(exchange: Exchange) -> bool:
    """Whether this request was repeated as often as it should be, by all layers together."""
    if not exchange.attempts:
        return False
    reason = exchange.attempts[-1].reason
    return reason is Reason.BUDGET_SPENT or (len(exchange.attempts) > 1 and reason in _GIVEN_UP)


_GIVEN_UP = frozenset({Reason.ATTEMPTS_USED, Reason.NO_TIME_LEFT, Reason.CIRCUIT_OPEN})
_VERDICTS = ("x-should-retry", "stripe-should-retry")
_SIGNATURE = frozenset(
    {"x-request-id", "leeward-attempts", "leeward-idempotency-key", "leeward-upstream-request-id"}
)
