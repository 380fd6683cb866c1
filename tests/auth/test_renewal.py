"""Times are turned by hand; the provider answers when the test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from proxy.auth.renewal import Obtained, Renewal
from proxy.core.failure import APIError, CredentialError
from tests.auth.planted import Hands


class Source:
    """Gives token-1, token-2 and so on, or fails while it is down."""

    def __init__(self, lifetime: float | None = 3600.0) -> None:
        self.lifetime = lifetime
        self.asked: list[str | None] = []
        self.down: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def obtain(self, last: str | None) -> Obtained[str]:
        self.asked.append(last)
        await self.gate.wait()
        if self.down is not None:
            raise self.down
        return Obtained(value=f"token-{len(self.asked)}", lifetime=self.lifetime)


class Stage:
    def __init__(self, lifetime: float | None = 3600.0, chance: float = 0.0) -> None:
        self.clock = Hands()
        self.source = Source(lifetime)
        self.renewal: Renewal[str] = Renewal(self.source.obtain, self.clock, lambda: chance)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_500_callers_are_one_request(stage: Stage) -> None:
    stage.source.gate.clear()
    callers = [asyncio.create_task(stage.renewal.current()) for _ in range(500)]
    await stage.settle()
    stage.source.gate.set()
    assert set(await asyncio.gather(*callers)) == {"token-1"}
    stage.clock.time += 3601
    assert set(await asyncio.gather(*(stage.renewal.current() for _ in range(500)))) == {"token-2"}
    assert stage.source.asked == [None, "token-1"]


async def test_a_caller_that_leaves_takes_nobody_along(stage: Stage) -> None:
    stage.source.gate.clear()
    first, second = (asyncio.create_task(stage.renewal.current()) for _ in range(2))
    await stage.settle()
    first.cancel()
    await stage.settle()
    stage.source.gate.set()
    assert await second == "token-1"
    assert first.cancelled()


@pytest.mark.parametrize(
    ("lifetime", "chance", "at"),
    [(3600.0, 0.0, 3300.0), (3600.0, 1.0, 3450.0), (100.0, 0.0, 80.0), (100.0, 1.0, 90.0)],
)
async def test_it_is_renewed_before_its_end_at_a_moment_of_its_own(
    lifetime: float, chance: float, at: float
) -> None:
    stage = Stage(lifetime, chance)
    await stage.renewal.current()
    stage.clock.time = at - 0.1
    await stage.renewal.current()
    await stage.settle()
    assert len(stage.source.asked) == 1
    stage.clock.time = at
    assert await stage.renewal.current() == "token-1", "nobody waits"
    await stage.settle()
    assert await stage.renewal.current() == "token-2"
    assert len(stage.source.asked) == 2


async def test_a_provider_that_is_down_changes_nothing_until_the_end(stage: Stage) -> None:
    await stage.renewal.current()
    stage.source.down = CredentialError("The token endpoint of a answered 500.")
    stage.clock.time = 3400
    for second in range(200):
        stage.clock.time = 3400 + second
        assert await stage.renewal.current() == "token-1"
        await stage.settle()
    # 0, 1, 3, 7, 15, 31, 63, 123 and 183 seconds after it went down.
    assert len(stage.source.asked) == 1 + 9
    stage.clock.time = 3600
    with pytest.raises(CredentialError, match="answered 500") as told:
        await stage.renewal.current()
    assert told.value.retry_after is not None
    assert told.value.retry_after > 0


async def test_at_most_one_try_in_each_step_of_the_backoff(stage: Stage) -> None:
    stage.source.down = CredentialError("down")
    tries = []
    for second in range(130):
        stage.clock.time = float(second)
        got = await asyncio.gather(*(stage.renewal.current() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(one, CredentialError) for one in got)
        assert len({id(one) for one in got}) == 20, "each caller has a failure of its own"
        tries.append(len(stage.source.asked))
    assert [second for second in range(1, 130) if tries[second] > tries[second - 1]] == [
        1,
        3,
        7,
        15,
        31,
        63,
        123,
    ]
    stage.source.down = None
    stage.clock.time = 500
    assert await stage.renewal.current() == f"token-{len(stage.source.asked)}"


async def test_the_provider_s_own_word_on_when_to_come_back_is_kept(stage: Stage) -> None:
    stage.source.down = CredentialError("busy", retry_after=40.0)
    with pytest.raises(CredentialError):
        await stage.renewal.current()
    stage.clock.time = 39.0
    with pytest.raises(CredentialError) as told:
        await stage.renewal.current()
    assert told.value.retry_after == pytest.approx(1.0)
    assert len(stage.source.asked) == 1
    stage.clock.time = 40.0
    with pytest.raises(CredentialError):
        await stage.renewal.current()
    assert len(stage.source.asked) == 2


async def test_what_nobody_foresaw_is_a_typed_failure_without_its_words(stage: Stage) -> None:
    stage.source.down = RuntimeError("c4nary")
    with pytest.raises(CredentialError, match=r"could not be obtained: RuntimeError\.$"):
        await stage.renewal.current()


async def test_a_refused_one_is_renewed_once_for_all_who_met_with_that(stage: Stage) -> None:
    assert await stage.renewal.current() == "token-1"
    got = await asyncio.gather(*(stage.renewal.after("token-1") for _ in range(100)))
    assert set(got) == {"token-2"}
    assert await stage.renewal.after("token-1") == "token-2", "who comes late gets what is there"
    assert stage.source.asked == [None, "token-1"]


async def test_one_that_is_refused_again_is_not_renewed_again_and_again(stage: Stage) -> None:
    await stage.renewal.current()
    assert await stage.renewal.after("token-1") == "token-2"
    for second in range(29):
        stage.clock.time = float(second)
        assert await stage.renewal.after("token-2") is None
    assert await stage.renewal.current() == "token-2", "it may be good for something else"
    stage.clock.time = 30.0
    assert await stage.renewal.after("token-2") == "token-3"
    assert len(stage.source.asked) == 3


async def test_a_refused_one_stays_where_there_is_no_other(stage: Stage) -> None:
    await stage.renewal.current()
    stage.source.down = CredentialError("down")
    assert await stage.renewal.after("token-1") is None
    assert await stage.renewal.after("token-1") is None
    assert len(stage.source.asked) == 2
    assert await stage.renewal.current() == "token-1"


@pytest.mark.parametrize(("lifetime", "left"), [(3600.0, 3590.0), (None, None)])
async def test_what_is_left_of_it(lifetime: float | None, left: float | None) -> None:
    stage = Stage(lifetime)
    assert stage.renewal.expires() is None
    await stage.renewal.current()
    stage.clock.time += 10
    assert stage.renewal.expires() == left


async def test_one_that_is_of_no_use_when_it_comes_is_a_failure(stage: Stage) -> None:
    async def late(last: str | None) -> Obtained[str]:
        stage.clock.time += 0  # its life is over at once
        return Obtained(value="t", lifetime=0.0)

    renewal: Renewal[str] = Renewal(late, stage.clock, lambda: 0.0)
    with pytest.raises(CredentialError, match="of no use"):
        await renewal.current()


async def test_at_the_end_what_is_under_way_may_finish(stage: Stage) -> None:
    await stage.renewal.close()
    stage.source.gate.clear()
    waiting = asyncio.create_task(stage.renewal.current())
    await stage.settle()
    closing = asyncio.create_task(stage.renewal.close())
    await stage.settle()
    assert not closing.done()
    stage.source.gate.set()
    await closing
    assert await waiting == "token-1"
    assert repr(stage.renewal) == "Renewal()"


async def test_any_failure_of_the_way_there_is_told_as_a_credential_s(stage: Stage) -> None:
    raised: Callable[[str], APIError] = APIError
    stage.source.down = raised("no way")
    with pytest.raises(CredentialError, match="no way"):
        await stage.renewal.current()
