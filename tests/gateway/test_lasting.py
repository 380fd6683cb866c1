"""A hit is repeated only while everything that it rests on is the same."""

from dataclasses import replace

import pytest

from proxy.core.caching.purge import Purge
from proxy.core.failure import CredentialError
from proxy.core.ports import Lasting
from proxy.core.reason import Reason
from proxy.core.routing import Route
from tests.core.caching.samples import request, route
from tests.gateway.stage import Stage, fresh, told, whole


class Changing:
    """An injector whose credential a test changes; None = it cannot be had."""

    replaced = frozenset({"authorization"})

    def __init__(self) -> None:
        self.name: str | None = "one"

    def describe(self) -> str:
        return "changing"

    def identity(self) -> str:
        if self.name is None:
            raise CredentialError("none")
        return self.name

    async def inject(self, request: object) -> None: ...

    def mask(self, text: str) -> str:
        return text


async def hit(stage: Stage) -> Lasting:
    """What lasts of a hit, after a miss that stored it."""
    stage.script.append(fresh(("ETag", '"1"')))
    await stage.get(request())
    answer, exchange = await stage.ask(request())
    assert told(answer).startswith("leeward; hit")
    assert exchange.lasting is not None
    return exchange.lasting


@pytest.fixture
def changing() -> Changing:
    return Changing()


@pytest.fixture
def stage(changing: Changing) -> Stage:
    on: Route = replace(route(), injector=changing)  # type: ignore[arg-type]  # nothing is injected here
    return Stage(on)


async def test_a_settled_credential_is_not_asked_again() -> None:
    class Settled(Changing):
        settled = True

    injector = Settled()
    lasting = await hit(Stage(replace(route(), injector=injector)))  # type: ignore[arg-type]  # as above
    injector.name = None
    assert lasting.holds(0.0)


async def test_it_is_what_the_long_way_answers(stage: Stage) -> None:
    lasting = await hit(stage)
    for _ in range(3):
        stage.clock.time += 7.5
        answer, exchange = await stage.ask(request())
        age, line, _ = lasting.values(stage.clock.now())
        again = lasting.response(age, line)
        assert (again.status, again.headers.fields) == (answer.status, answer.headers.fields)
        assert await whole(again.body) == await whole(answer.body) == b"body"
        assert lasting.holds(stage.clock.now())
        assert exchange.reason is Reason.FRESH


async def test_it_ends_with_its_freshness(stage: Stage) -> None:
    lasting = await hit(stage)
    stage.clock.time += 59.9
    assert lasting.holds(stage.clock.now())
    stage.clock.time += 0.1
    assert not lasting.holds(stage.clock.now())


async def test_it_ends_with_a_purge(stage: Stage) -> None:
    lasting = await hit(stage)
    await stage.caching.purge(Purge())
    assert not lasting.holds(stage.clock.now())


async def test_it_ends_when_another_answer_takes_its_place(stage: Stage) -> None:
    lasting = await hit(stage)
    stage.script.append(fresh(body=b"newer"))
    await stage.get(request(("Cache-Control", "no-cache")))
    assert not lasting.holds(stage.clock.now())


async def test_it_ends_with_its_credential(stage: Stage, changing: Changing) -> None:
    lasting = await hit(stage)
    changing.name = "two"
    assert not lasting.holds(stage.clock.now())
    changing.name = None
    assert not lasting.holds(stage.clock.now())


async def test_it_ends_when_the_key_turns_out_uncacheable(stage: Stage) -> None:
    lasting = await hit(stage)
    stage.script.append(fresh(("Cache-Control", "no-store")))
    await stage.get(request(("Cache-Control", "no-cache")))
    assert not lasting.holds(stage.clock.now())


async def test_nothing_else_lasts(stage: Stage) -> None:
    await hit(stage)
    _, exchange = await stage.ask(request(("If-None-Match", '"1"')))
    assert exchange.lasting is None
    stage.script.append(fresh())
    _, exchange = await stage.ask(request(target="/other"))
    assert exchange.lasting is None
