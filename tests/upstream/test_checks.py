"""Are endpoints asked by their checks as they should be, and is what they answer read rightly?"""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.resilience.endpoints import CheckPolicy
from proxy.core.routing import Origin as Base
from proxy.core.routing import Route
from proxy.upstream.checks import Checks
from tests.origin import Gate, closed_port
from tests.upstream.conftest import OK, Way

POLICY = CheckPolicy(path="/healthz", interval=0.01, timeout=0.2)


def nobody(_route: Route, _origin: Base, _well: bool) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("status", "well"), [(200, True), (204, True), (302, True), (404, False), (500, False)]
)
async def test_below_400_is_well(way: Way, status: int, well: bool) -> None:
    way.origin.on("/healthz").reply(status)
    checks = Checks(way.session, (), nobody)
    assert await checks.well(way.route, way.route.origins[0], POLICY) is well
    hit = way.origin.hit("/healthz")
    assert hit.method == "GET"
    assert hit.header("x-stamp") is None, "no credential is injected"
    assert hit.header("user-agent") == "leeward-health-check"


async def test_silence_and_a_closed_port_are_ill(way: Way) -> None:
    way.origin.on("/healthz").raw(Gate())
    checks = Checks(way.session, (), nobody)
    assert not await checks.well(way.route, way.route.origins[0], POLICY)
    dead = Base(scheme="http", host="127.0.0.1", port=closed_port())
    assert not await checks.well(way.route, dead, POLICY)


async def test_a_large_answer_is_not_read(way: Way) -> None:
    way.origin.on("/healthz").raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", b"x" * 9000, Gate())
    checks = Checks(way.session, (), nobody)
    assert await checks.well(way.route, way.route.origins[0], POLICY)
    assert way.counts[0] == 0


async def test_each_endpoint_is_asked_again_and_again_until_the_end(way: Way) -> None:
    way.origin.on("/healthz").raw(OK)
    heard: list[tuple[str, str, bool]] = []
    enough = asyncio.Event()

    def told(route: Route, origin: Base, well: bool) -> None:
        heard.append((route.name, origin.url, well))
        if len(heard) >= 6:
            enough.set()

    dead = Base(scheme="http", host="127.0.0.1", port=closed_port())
    route = way.changed(check=POLICY, origins=(way.route.origins[0], dead))
    checks = Checks(way.session, [route, way.route], told)
    checks.start()
    await asyncio.wait_for(enough.wait(), 10)
    await checks.close()
    assert set(heard) == {("api", way.origin.url, True), ("api", dead.url, False)}
    count = way.origin.count("/healthz")
    assert count >= 2
    await asyncio.sleep(0.05)
    assert way.origin.count("/healthz") <= count + 1, "one may have been under way"


async def test_a_field_that_is_set_for_the_upstream_goes_along(way: Way) -> None:
    way.origin.on("/healthz").raw(OK)
    route = way.changed(set_headers=(("User-Agent", "mine"), ("Host", "api.example")))
    assert await Checks(way.session, (), nobody).well(route, route.origins[0], POLICY)
    hit = way.origin.hit("/healthz")
    assert (hit.headers("user-agent"), hit.headers("host")) == (["mine"], ["api.example"])
