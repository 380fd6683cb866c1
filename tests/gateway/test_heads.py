"""What a HEAD learns is stored for the next one, and holds for what is stored (RFC 9111 §4.3.5)."""

import asyncio
from math import inf

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.policy import CachePolicy
from proxy.core.caching.purge import Purge
from proxy.core.failure import InternalError
from tests.core.caching.samples import Pair, request, response, route
from tests.gateway.stage import FRESH, Pipe, Stage, callers, fresh, go, quiet, settle, told

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


@pytest.mark.parametrize("asked_first", [False, True])
@pytest.mark.parametrize("etag", ['"a"', '"b"'])
async def test_what_was_stored_meanwhile_is_newer_than_what_it_says(asked_first: bool, etag: str) -> None:
    stage = Stage()
    stage.script.append(fresh(TAGGED, body=b"" if asked_first else b"old"))
    await stage.get(HEAD if asked_first else request())
    stage.clock.time += 61
    stage.script += [response(FRESH, ("ETag", etag), status=200), fresh(("ETag", '"c"'), body=b"new")]
    (slow,) = await callers(stage, 1, HEAD)
    gate, stage.gate = stage.gate, None
    stage.clock.time += 1
    assert (await stage.get(request()))[1] == b"new"
    stage.gate = gate
    go(stage)
    await slow
    answer, body = await stage.get(request())
    assert (told(answer), body) == ("leeward; hit; ttl=60", b"new")


async def test_a_store_that_fails_meanwhile_closes_the_answer() -> None:
    stage = Stage()
    body = Pipe(None)
    stage.script += [fresh(), response(FRESH, body=body)]
    await stage.get(request())
    stage.clock.time += 61

    async def failing(key: Key, entry: Entry, *, asked: float = inf) -> bool:
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


LONG = ("Content-Length", "4")


async def test_a_heads_answer_serves_heads_and_no_get() -> None:
    stage = Stage()
    stage.script += [response(FRESH, TAGGED, LONG, ("Age", "3")), fresh(("Content-Length", "3"), body=b"new")]
    first, _ = await stage.get(HEAD)
    assert told(first) == "leeward; fwd=uri-miss; fwd-status=200; stored; ttl=57"
    stage.clock.time += 10
    answer, body = await stage.get(HEAD)
    assert (told(answer), body, answer.headers.get("age")) == ("leeward; hit; ttl=47", b"", "13")
    assert answer.headers.all("content-length") == ["4"]
    unchanged, _ = await stage.get(request(("If-None-Match", '"a"'), method="HEAD"))
    assert unchanged.status == 304
    got, body = await stage.get(request())
    assert (told(got), body) == ("leeward; fwd=uri-miss; fwd-status=200; stored; ttl=60", b"new")
    # From now on it is what GET brought.
    answer, _ = await stage.get(HEAD)
    assert (told(answer), answer.headers.get("content-length")) == ("leeward; hit; ttl=60", "3")
    assert [asked.method for asked in stage.asked] == ["HEAD", "GET"]
    assert stage.store.usage()[0] == 1


async def test_it_is_varied_like_any_answer() -> None:
    stage = Stage()
    stage.script += [response(FRESH, ("Vary", "Foo"), ("N", number)) for number in "12"]
    for value in "1212":
        answer, _ = await stage.get(request(("Foo", value), method="HEAD"))
        assert answer.headers.get("n") == value
    assert len(stage.asked) == 2


async def test_a_condition_of_its_own_is_the_origins_to_answer() -> None:
    stage = Stage()
    stage.script += [response(FRESH, TAGGED), fresh()]
    await stage.ask(request(("If-None-Match", '"b"'), method="HEAD"))
    assert stage.asked[0].headers.get("if-none-match") == '"b"'
    assert (await stage.get(request()))[1] == b"body"


async def test_a_change_or_a_purge_drops_it() -> None:
    stage = Stage()
    stage.script += [response(FRESH), response(status=204), response(FRESH), response(FRESH)]
    await stage.get(HEAD)
    await stage.get(request(method="DELETE"))
    await stage.get(HEAD)
    assert await stage.caching.purge(Purge()) == 1
    await stage.get(HEAD)
    assert [asked.method for asked in stage.asked] == ["HEAD", "DELETE", "HEAD", "HEAD"]


async def test_heads_share_one_flight_and_no_gets() -> None:
    stage = Stage()
    tasks = len(asyncio.all_tasks())
    stage.script += [response(FRESH, LONG), fresh(LONG)]
    waiting = await callers(stage, 6, HEAD, request())
    assert [asked.method for asked in stage.asked] == ["HEAD", "GET"]
    go(stage)
    bodies = [(await task)[1] for task in waiting]
    assert bodies == [b"", b"body"] * 3
    await quiet(stage, tasks)


async def test_what_cannot_be_stored_of_heads_hinders_no_get() -> None:
    stage = Stage()
    stage.script += [response(("Cache-Control", "no-store")), fresh()]
    await stage.get(HEAD)
    await stage.get(request())
    assert told((await stage.get(HEAD))[0]) == "leeward; hit; ttl=60"
    assert told((await stage.get(request()))[0]) == "leeward; hit; ttl=60"


async def test_heads_are_stored_while_gets_cannot_be() -> None:
    stage = Stage()
    stage.script += [response(("Cache-Control", "no-store")), response(FRESH)]
    await stage.get(request())
    await stage.get(HEAD)
    assert told((await stage.get(HEAD))[0]) == "leeward; hit; ttl=60"


async def test_one_that_disagrees_stands_beside_the_content_that_a_later_one_renews() -> None:
    stage = await told_by_head(TAGGED, answered=(FRESH, ("ETag", '"b"')))
    assert told((await stage.get(HEAD))[0]) == "leeward; hit; ttl=60"
    stage.clock.time += 61
    stage.script.append(response(FRESH, TAGGED))
    await stage.get(HEAD)
    answer, body = await stage.get(request())
    assert (told(answer), body) == ("leeward; hit; ttl=60", b"body")


async def test_a_stale_one_is_renewed_behind_the_callers_back() -> None:
    stage = Stage()
    patient = ("Cache-Control", "max-age=60, stale-while-revalidate=60")
    stage.script += [response(patient, ("N", "1")), response(patient, ("N", "2"))]
    await stage.get(HEAD)
    stage.clock.time += 61
    assert (await stage.get(HEAD))[0].headers.get("n") == "1"
    await settle()
    assert (await stage.get(HEAD))[0].headers.get("n") == "2"
    assert [asked.method for asked in stage.asked] == ["HEAD", "HEAD"]
