"""What goes out for a request that has gone out before, and may it go at once?

The law: a template is what the long way has written once, with marks where the names of one request go; a
request of which anything else is its own has none. Only what can begin at once begins: on an idle
connection, to an upstream that may be asked now.
"""

from __future__ import annotations

import asyncio

from proxy.core.failure import CredentialError
from proxy.core.message import Field, Headers, Request, Whole, lower_name
from proxy.core.ports import Echoed, Steady
from proxy.core.resilience import deadline
from proxy.core.resilience.budget import tried_before
from proxy.core.routing import Route
from proxy.upstream import head
from proxy.upstream.attempts import Attempts
from proxy.upstream.express import Express, Rider, Row, Template

# Stand where the names of one request go; no caller knows them.
_ID, _TRACE = "express-request-id-mark", "00-express-trace-mark-00"
_OWN = deadline.FIELDS | {"idempotency-key"}


class Expresses:
    """What goes out so over the sessions of these attempts."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._rows: dict[float, Row] = {}

    async def template(
        self, request: Request, route: Route, *, request_id: str, traceparent: str
    ) -> Template | None:
        """How such a request goes out; None where each has to be sent in its own way.

        `request` is one that went out, with these names; without a traceparent of its own it got one of ours.
        """
        if not _regular(request, route):
            return None
        origin = route.origins[0]
        marked, pooled = (
            _marked(request, request_id, traceparent),
            self._attempts.session.pooled(origin, route.name),
        )
        if marked is None or pooled is None:
            return None
        try:
            credited = await route.injector.inject(marked, origin)
        except CredentialError:
            return None  # gone since; whoever sends the next one is told so
        start = head.written(credited, 0, path=origin.path, authority=origin.authority)
        first, second = _ID.encode(), _TRACE.encode()
        if start.count(first) != 1 or start.count(second) != 1:
            return None
        traced_first = start.index(second) < start.index(first)
        if traced_first:
            first, second = second, first
        before, _, rest = start.partition(first)
        between, _, after = rest.partition(second)
        return Template(
            request=request,
            route=route,
            connector=pooled[0],
            dial=pooled[1],
            row=self._row(min(route.timeouts.attempt, route.timeouts.total)),
            pieces=(before, between, after),
            traced_first=traced_first,
            again=bool(tried_before(request.headers)),
        )

    def send(
        self, template: Template, name: bytes, traceparent: bytes, since: float, rider: Rider
    ) -> Express | None:
        """Sends it now; None where it cannot be sent at once, and nothing was begun."""
        attempts, connector = self._attempts, template.connector
        permit = None
        if attempts.restraint is not None:
            permit = attempts.restraint.at_once(template.request, template.route)
            if permit is None:
                return None
        wire = connector.take(template.dial)  # last: given back unused it would look as if just used
        if wire is None:
            if permit is not None:
                permit.failed(None)
            return None
        try:
            express = Express(template, wire, permit, name, traceparent, since, rider)
        except ConnectionError:
            wire.settle(b"")  # of its end nobody is to be told: nothing has begun
            connector.owned(template.dial, wire).close()
            if permit is not None:
                permit.failed(None)
            return None
        attempts.budgets.counted(template.route, since, again=template.again)
        return express

    def _row(self, seconds: float) -> Row:
        return self._rows.setdefault(seconds, Row(seconds, asyncio.get_running_loop()))


def _regular(request: Request, route: Route) -> bool:
    """Whether nothing about it is for one request only."""
    injector = route.injector
    if not isinstance(injector, Steady) or not injector.steady() or isinstance(injector, Echoed):
        return False
    names = request.headers.names()
    return (
        request.method == "GET"
        and request.body.length == 0
        and not request.switches
        and len(route.origins) == 1
        and route.retry.hedge is None
        and not route.forwarded
        and names.isdisjoint(_OWN)
    )


def _marked(request: Request, request_id: str, traceparent: str) -> Request | None:
    """The request with marks for its names; None where one of them is not where it is expected."""
    marks = {"x-request-id": _ID.encode(), "traceparent": _TRACE.encode()}
    fields: list[Field] = []
    for name, value in request.headers.fields:
        mark = marks.pop(lower_name(name), None)
        fields.append((name, value if mark is None else mark))
    headers = request.headers
    if marks or headers.get("x-request-id") != request_id:
        return None
    if traceparent and headers.get("traceparent") != traceparent:
        return None
    return Request(
        method=request.method,
        target=request.target,
        headers=Headers(fields),
        body=Whole(),
        host=request.host,
        scheme=request.scheme,
    )
