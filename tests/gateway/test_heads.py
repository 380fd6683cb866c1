"""What a HEAD learns of a resource holds for what is stored of it (RFC 9111 §4.3.5)."""

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.policy import CachePolicy
from proxy.core.failure import InternalError
from tests.core.caching.samples import Pair, request, response, route
from tests.gateway.stage import FRESH, Pipe, Stage, fresh, told

TAGGED = ("ETag", '"a"')
HEAD = request(method="HEAD")


async def told_by_head(*stored: Pair, answered: tuple[Pair, ...], status: int = 200) -> Stage:
    """Something was stored, became stale, and a HEAD was answered so."""
    stage = Stage()
    stage.script += [fresh(("A", "1"), ("B", "1"), *stored), response(*answered, status=status)]
    await stage.get(request())
    stage.clock.time += 61
    answer, _ = await stage.get(HEAD)
    assert (answer.status, stage.asked[-1].method) == (status, "HEAD")
    return stage


@pytest.mark.parametrize("stored", [[], [TAGGED]])
async def test_what_is_stored_is_fresh_again_with_the_newer_fields(stored: list[Pair]) -> None:
    stage = await told_by_head(*stored, answered=(FRESH, ("Content-Length", "4"), ("A", "2"), *stored))
    answer, body = await stage.get(request())
    assert (told(answer), body) == ("leeward; hit; ttl=60", b"body")
    assert (answer.headers.all("a"), answer.headers.all("b")) == (["2"], ["1"])


@pytest.mark.parametrize(
    "answered",
    [[FRESH, ("ETag", '"b"')], [FRESH, ("Content-Length", "5")], [("Cache-Control", "no-store")]],
    ids=["another tag", "another length", "not to be stored"],
)
async def test_otherwise_it_is_stale_and_stands_in_for_nothing(answered: list[Pair]) -> None:
    stage = await told_by_head(TAGGED, answered=tuple(answered))
    stage.script.append(fresh(body=b"new"))
    _, body = await stage.get(request(("Cache-Control", "max-stale")))
    assert body == b"new"
    assert stage.asked[-1].headers.get("if-none-match") == '"a"'


async def test_a_store_that_fails_meanwhile_closes_the_answer() -> None:
    stage = Stage()
    body = Pipe(None)
    stage.script += [fresh(), response(FRESH, body=body)]
    await stage.get(request())
    stage.clock.time += 61

    async def failing(key: Key, entry: Entry) -> bool:
        raise InternalError

    stage.store.keep = failing  # type: ignore[method-assign] # the stage's store is made for that
    with pytest.raises(InternalError):
        await stage.ask(HEAD)
    assert body.closed


async def test_a_head_says_nothing_of_a_stored_failure_or_part() -> None:
    stage = Stage(route(CachePolicy(negative_ttl={404: 5})))
    stage.script += [response(TAGGED, status=404), response(FRESH, TAGGED)]
    await stage.get(request())
    stage.clock.time += 6
    await stage.get(HEAD)
    stage.script.append(fresh(body=b"found"))
    assert (await stage.get(request()))[1] == b"found"


async def test_a_head_that_fails_says_nothing() -> None:
    stage = await told_by_head(TAGGED, answered=(FRESH,), status=404)
    assert told((await stage.get(request(("Cache-Control", "max-stale"))))[0]).startswith("leeward; hit")
