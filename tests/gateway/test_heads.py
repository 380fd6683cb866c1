"""What a HEAD learns of a resource holds for what is stored of it (RFC 9111 §4.3.5)."""

import pytest

from tests.core.caching.samples import Pair, request, response
from tests.gateway.stage import FRESH, Stage, fresh, told

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


async def test_a_head_that_fails_says_nothing() -> None:
    stage = await told_by_head(TAGGED, answered=(FRESH,), status=404)
    assert told((await stage.get(request(("Cache-Control", "max-stale"))))[0]).startswith("leeward; hit")
