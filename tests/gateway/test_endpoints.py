"""Do attempts go to the endpoints that are well, and what becomes of one that is not?"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.exchange import Exchange
from proxy.core.failure import CircuitOpenError, ConnectError
from proxy.core.message import Response
from proxy.core.resilience.breaker import BreakerPolicy, Closed
from proxy.core.resilience.endpoints import Balance, CheckPolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import Origin, Route
from proxy.gateway.endpoints import Endpoints
from proxy.upstream.session import Call
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived
from tests.gateway.stage import Hands

A, B, C = (Origin(scheme="http", host=f"{name}.example", port=80) for name in "abc")
ONCE = RetryPolicy(attempts=1, budget=None)
THRICE = RetryPolicy(attempts=3, budget=None, initial=0.2)


class Hosts(Upstream):
    """Each host as it is scripted: a status, or 0 for one that cannot be reached. `went` is who was asked."""

    def __init__(self, **statuses: int) -> None:
        super().__init__(lambda _: answer())
        self.statuses = statuses
        self.went: list[str] = []

    async def send(self, call: Call) -> Response:
        name = call.origin.host[0]
        self.went.append(name)
        self.asked.append(asyncio.get_running_loop().time())
        status = self.statuses.get(name, 200)
        if not status:
            raise ConnectError
        return answer(status, ("Retry-After", "9")) if status in {429, 503} else answer(status)


def several(**changed: object) -> Route:
    settings: dict[str, object] = {"retry": THRICE, "breaker": BreakerPolicy(), **changed}
    return replace(route(**settings), origins=(A, B, C))


def test_the_first_that_is_well_is_asked() -> None:
    async def life() -> None:
        upstream = Hosts()
        crowd = Crowd(upstream, several())
        assert {(await crowd.ask()).what for _ in range(5)} == {200}
        assert upstream.went == list("aaaaa")

    lived(life())


def test_one_that_cannot_be_reached_is_left_at_once_and_for_a_while() -> None:
    async def life() -> None:
        upstream = Hosts(a=0)
        crowd = Crowd(upstream, several(breaker=BreakerPolicy(open_for=10.0)))
        told = await crowd.ask(method="POST")
        assert (told.what, told.seconds) == (200, upstream.asked[1] - upstream.asked[0])
        assert told.seconds == 0.0, "nothing was sent, so nothing is waited for"
        for _ in range(3):
            await crowd.ask()
        assert upstream.went == list("abbbb")
        await asyncio.sleep(10)
        # One call tries it, and is none the worse.
        assert (await crowd.ask()).what == 200
        upstream.statuses = {}
        await asyncio.sleep(10)
        await crowd.ask()
        await crowd.ask()
        assert upstream.went[5:] == list("abaa")

    lived(life())


def test_a_retry_goes_to_another_without_the_first_ones_retry_after() -> None:
    async def life() -> None:
        upstream = Hosts(a=503)
        crowd = Crowd(upstream, several())
        told = await crowd.ask()
        assert (told.what, upstream.went) == (200, ["a", "b"])
        assert upstream.asked[1] - upstream.asked[0] <= 0.2, "not after 9 s: those were said of another"

    lived(life())


def test_a_limit_holds_for_all_of_them() -> None:
    async def life() -> None:
        upstream = Hosts(a=429)
        crowd = Crowd(upstream, several())
        first = asyncio.create_task(crowd.ask())
        await asyncio.sleep(1)
        assert upstream.went == ["a"]
        first.cancel()
        await asyncio.wait([first])

    lived(life())


def test_a_failing_one_is_left_by_its_own_circuit() -> None:
    async def life() -> None:
        upstream = Hosts(a=500)
        policy = BreakerPolicy(min_requests=4, open_for=60.0)
        crowd = Crowd(upstream, several(retry=ONCE, breaker=policy))
        assert [(await crowd.ask()).what for _ in range(6)] == [500, 500, 500, 500, 200, 200]
        assert upstream.went == list("aaaabb")
        assert crowd.resilience.endpoints.circuits() == {"api": 0}
        assert crowd.resilience.endpoints.up() == {
            ("api", "a.example"): False,
            ("api", "b.example"): True,
            ("api", "c.example"): True,
        }

    lived(life())


def test_the_last_one_standing_is_not_given_up_for_one_failure() -> None:
    async def life() -> None:
        upstream = Hosts(a=0, b=0, c=0)
        crowd = Crowd(upstream, several(breaker=BreakerPolicy(min_requests=4, open_for=10.0)))
        told = await crowd.ask()
        assert (told.what, upstream.went) == ("connect_failed", ["a", "b", "c"])
        for _ in range(3):
            await crowd.ask()
        assert set(upstream.went[3:]) == {"c"}
        assert (await crowd.ask()).what == "circuit_open"
        assert crowd.resilience.endpoints.circuits() == {"api": 2}
        failure = (await crowd.ask()).failure
        assert isinstance(failure, CircuitOpenError)
        assert 0 < (failure.retry_after or 0) <= 10

    lived(life())


def test_each_has_its_turn() -> None:
    async def life() -> None:
        upstream = Hosts()
        crowd = Crowd(upstream, several(balance=Balance.ROUND_ROBIN))
        for _ in range(6):
            await crowd.ask()
        assert upstream.went == list("abcabc")
        upstream.statuses = {"b": 0}
        for _ in range(7):
            assert (await crowd.ask()).what == 200
        counted = Counter(upstream.went[6:])
        assert counted["b"] == 1
        assert abs(counted["a"] - counted["c"]) <= 1

    lived(life())


def test_what_its_check_found_ill_is_asked_only_where_all_are() -> None:
    async def life() -> None:
        check = CheckPolicy(path="/", unhealthy_after=2, healthy_after=1)
        crowd = Crowd(upstream := Hosts(), several(check=check))
        endpoints = crowd.resilience.endpoints
        told = [endpoints.checked(crowd.route, A, well=well) for well in (True, False, False, False)]
        assert told == [False, False, True, False]
        await crowd.ask()
        assert endpoints.up()["api", "a.example"] is False
        for origin in (B, C):
            for _ in range(2):
                endpoints.checked(crowd.route, origin, well=False)
        await crowd.ask()
        assert endpoints.checked(crowd.route, C, well=True)
        await crowd.ask()
        assert upstream.went == ["b", "a", "c"]

    lived(life())


def test_without_a_breaker_a_retry_goes_elsewhere_all_the_same() -> None:
    async def life() -> None:
        upstream = Hosts(a=0)
        crowd = Crowd(upstream, several(breaker=None))
        assert [(await crowd.ask()).what for _ in range(2)] == [200, 200]
        assert upstream.went == list("abab")

    lived(life())


# Without a task


_TOLD = st.lists(
    st.tuples(st.sampled_from(["well", "fault", "left", "enter", "only"]), st.integers(0, 6)), max_size=40
)


@settings(deadline=None)
@given(told=_TOLD)
def test_a_success_is_the_same_news_however_it_is_told(told: list[tuple[str, int]]) -> None:
    """Two of them hear the same, one of them of successes by `well`: their circuits stay equal."""
    on = replace(route(breaker=BreakerPolicy(min_requests=3, window=10.0, open_for=5.0)))
    origin, clock = on.origins[0], Hands()
    short, long = Endpoints(clock), Endpoints(clock)
    record = Exchange(id="1", method="GET", target="/", started=0.0, at=0.0)
    era, eras = 0, [0]
    for word, seconds in told:
        clock.time += seconds
        era = eras[seconds % len(eras)]  # also old ones
        match word:
            case "well":
                short.well(on, origin, era, clock.now())
                long.told(on, origin, era, 200)
            case "fault":
                for one in (short, long):
                    one.told(on, origin, era, 500)
            case "left":
                for one in (short, long):
                    one.told(on, origin, era, None)
            case "enter" if short.rest(on) is None:
                entered = {one.enter(on, record) for one in (short, long)}
                [(_, now_era)] = entered
                eras.append(now_era)
            case _:
                before = dict(short._circuits)
                only = short.enter_only(on)
                assert short._circuits == before, "it changes nothing"
                closed = short.circuits()["api"] == 0
                assert (only is not None) is closed
                if only is not None:
                    assert only == long.enter(on, record)[1]
                    long._circuits = dict(short._circuits)
        assert short._circuits.get(("api", origin), Closed()) == long._circuits.get(("api", origin), Closed())


def test_without_a_breaker_anybody_may_go() -> None:
    endpoints = Endpoints(Hands())
    on = route(breaker=None)
    assert endpoints.enter_only(on) == 0
    endpoints.well(on, on.origins[0], 0, 1.0)
    assert endpoints.circuits() == {"api": 0}
