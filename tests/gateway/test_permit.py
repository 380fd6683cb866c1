"""Does each attempt end once, with its place free, whatever its end?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.core.failure import APIError, CredentialError, UpstreamTimeoutError
from proxy.core.message import Headers, Response
from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.quota import DEFAULT
from proxy.core.routing import Route
from proxy.gateway.permit import Permit
from proxy.gateway.resilience import Resilience
from tests.core.caching.samples import Named, request
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived
from tests.gateway.stage import Pipe, whole

POLICY = BreakerPolicy(min_requests=2, open_for=10.0)


def several(**changed: object) -> Route:
    return route(breaker=POLICY, concurrency=QueuePolicy(most=2), **changed)


async def let_go(on: Route) -> tuple[Resilience, Permit]:
    """One attempt that goes at once, after another has gone the long way."""
    crowd = Crowd(Upstream(lambda _: answer()), on)
    assert (await crowd.ask()).what == 200
    permit = crowd.resilience.at_once(request(), on)
    assert permit is not None
    assert crowd.resilience._places["api"].line.under_way == 1
    return crowd.resilience, permit


ENDS: dict[str, Callable[[Permit], object]] = {
    "well": lambda permit: permit.well(200, None),
    "well, with figures": lambda permit: permit.well(200, Headers),
    "answered": lambda permit: permit.answered(answer()),
    "failed": lambda permit: permit.failed(UpstreamTimeoutError(sent=True)),
    "left": lambda permit: permit.failed(None),
}


@pytest.mark.parametrize("name", ENDS)
def test_its_place_is_free_once(name: str) -> None:
    async def life() -> None:
        resilience, permit = await let_go(several())
        other = resilience.at_once(request(), permit.route)
        assert other is not None
        ENDS[name](permit)
        for late in (permit.failed, permit.failed):
            late(None)
        permit.answered(answer())
        assert resilience._places["api"].line.under_way == 1, "the other's is its own"

    lived(life())


def test_a_body_that_is_still_to_come_keeps_the_place() -> None:
    async def life() -> None:
        resilience, permit = await let_go(several())
        pipe = Pipe(b"a", None)
        response = permit.answered(Response(status=200, headers=Headers(), body=pipe))
        assert resilience._places["api"].line.under_way == 1
        assert await whole(response.body) == b"a"
        assert resilience._places["api"].line.under_way == 0

    lived(life())


@pytest.mark.parametrize(
    ("end", "state"),
    [("well", 0), ("left", 0), ("answered", 0), ("failed", 2)],
)
def test_its_end_is_told_to_the_circuit(end: str, state: int) -> None:
    async def life() -> None:
        resilience, permit = await let_go(several())
        ENDS[end](permit)
        assert resilience.endpoints.circuits() == {"api": state}

    lived(life())


class Vanishing(Named):
    """An injector whose credential goes away."""

    gone = False

    def identity(self) -> str:
        if self.gone:
            raise CredentialError("gone")
        return self.name


@pytest.mark.parametrize("name", [*ENDS, "limited"])
def test_a_credential_that_is_gone_by_then_changes_nothing(name: str) -> None:
    async def life() -> None:
        injector = Vanishing("me")
        on = route(concurrency=QueuePolicy(most=2))
        object.__setattr__(on, "injector", injector)
        resilience, permit = await let_go(on)
        injector.gone = True
        if name == "limited":
            # Who is limited now is nobody's neighbour.
            permit.answered(answer(429, ("Retry-After", "9")))
            assert permit.scope == ("api", None, DEFAULT)
        else:
            ENDS[name](permit)
        assert resilience._places["api"].line.under_way == 0
        injector.gone = False
        assert resilience.at_once(request(), on) is not None

    lived(life())


def test_what_it_speaks_for_is_found_out_when_somebody_asks() -> None:
    async def life() -> None:
        resilience, permit = await let_go(several())
        assert permit._scope is None
        assert permit.scope == resilience.scope(request(), permit.route) == permit._scope

    lived(life())


def test_figures_of_a_quota_are_learned_from_a_whole_success() -> None:
    async def life() -> None:
        resilience, permit = await let_go(several())
        told = Headers.of(
            ("X-RateLimit-Remaining", "7"), ("X-RateLimit-Limit", "10"), ("X-RateLimit-Reset", "60")
        )
        permit.well(200, lambda: told)
        assert list(resilience.quotas().values()) == [7]

    lived(life())


def test_a_failure_while_it_is_told_frees_the_place() -> None:
    async def life() -> None:
        resilience, permit = await let_go(several())

        def broken() -> Headers:
            raise APIError

        with pytest.raises(APIError):
            permit.well(200, broken)
        assert resilience._places["api"].line.under_way == 0

    lived(life())
