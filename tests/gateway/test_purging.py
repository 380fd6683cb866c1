"""What is purged while it is on its way reaches those who wait, and is not stored."""

import asyncio

import pytest

from proxy.core.caching.policy import CachePolicy
from proxy.core.caching.purge import Purge
from proxy.core.message import Request, Response
from proxy.core.reason import Reason
from tests.core.caching.samples import request, response, route
from tests.gateway.stage import FRESH, Pipe, Stage, callers, fresh, go, quiet, settle, told, whole

RED = ("Cache-Tag", "red")
MEANT = [
    Purge(),
    Purge(upstream="api"),
    Purge(path="/*"),
    Purge(upstream="api", path="/a"),
    Purge(tag="red"),
    Purge(upstream="api", tag="red"),
    Purge(path="/**", tag="red"),
]
ELSE = [
    Purge(upstream="another"),
    Purge(path="/b"),
    Purge(tag="blue"),
    Purge(upstream="another", tag="red"),
    Purge(path="/b", tag="red"),
]
ASKED = request(target="/a?b=c")


@pytest.mark.parametrize("what", MEANT)
async def test_before_the_head(what: Purge) -> None:
    stage, before = Stage(), len(asyncio.all_tasks())
    stage.script += [fresh(RED, body=b"old"), fresh(RED, body=b"new")]
    tasks = await callers(stage, 3, ASKED)
    assert await stage.caching.purge(what) == 0
    go(stage)
    got = await asyncio.gather(*tasks)
    assert {body for _, body in got} == {b"old"}
    assert told(got[0][0]).endswith("detail=changed-meanwhile")
    assert stage.exchanges[0].reason is Reason.CHANGED_MEANWHILE
    answer, body = await stage.get(ASKED)
    assert (told(answer).partition(";")[2].strip()[:3], body) == ("fwd", b"new")
    assert told((await stage.get(ASKED))[0]).startswith("leeward; hit")
    await quiet(stage, before)


@pytest.mark.parametrize("what", MEANT)
async def test_in_the_body(what: Purge) -> None:
    stage, before = Stage(), len(asyncio.all_tasks())
    source = Pipe(b"ol")
    stage.script += [fresh(RED, body=source), fresh(RED, body=b"new")]
    first, _ = await stage.ask(ASKED)
    second, _ = await stage.ask(ASKED)
    assert await stage.caching.purge(what) == 0
    assert (await stage.get(ASKED))[1] == b"new"
    source.put(b"d", None)
    bodies = await asyncio.gather(whole(first.body), whole(second.body))
    assert set(bodies) == {b"old"}
    assert (await stage.get(ASKED))[1] == b"new"
    assert len(stage.asked) == 2
    await quiet(stage, before)


@pytest.mark.parametrize("what", MEANT)
async def test_while_what_is_stored_is_confirmed(what: Purge) -> None:
    stage = Stage()
    tagged = ("ETag", '"a"')
    stage.script += [fresh(RED, tagged, body=b"old"), response(tagged, FRESH, status=304), fresh(body=b"new")]
    await stage.get(ASKED)
    stage.clock.time += 70
    (task,) = await callers(stage, 1, ASKED)
    assert await stage.caching.purge(what) == 1
    go(stage)
    assert (await task)[1] == b"old"
    assert stage.store.usage()[0] == 0
    assert (await stage.get(ASKED))[1] == b"new"


@pytest.mark.parametrize("what", MEANT)
async def test_a_304_with_other_tags_does_not_bring_it_back(what: Purge) -> None:
    stage = Stage()
    tagged, blue = ("ETag", '"a"'), ("Cache-Tag", "blue")
    confirmed = response(tagged, FRESH, blue, status=304)
    stage.script += [fresh(RED, tagged, body=b"old"), confirmed, fresh(body=b"new")]
    await stage.get(ASKED)
    stage.clock.time += 70
    (task,) = await callers(stage, 1, ASKED)
    assert await stage.caching.purge(what) == 1
    go(stage)
    assert (await task)[1] == b"old"
    assert (await stage.get(ASKED))[1] == b"new"


@pytest.mark.parametrize("what", ELSE)
async def test_what_is_not_meant_is_stored(what: Purge) -> None:
    stage = Stage()
    stage.script.append(fresh(RED))
    (task,) = await callers(stage, 1, ASKED)
    assert await stage.caching.purge(what) == 0
    go(stage)
    assert told((await task)[0]) == "leeward; fwd=uri-miss; fwd-status=200; stored; ttl=60"
    assert await stage.caching.purge(what) == 0
    assert told((await stage.get(ASKED))[0]) == "leeward; hit; ttl=60"
    assert await stage.caching.purge(Purge(tag="red", path="/a")) == 1


async def test_behind_the_callers_back() -> None:
    stage = Stage(route(CachePolicy(stale_while_revalidate=600.0)))
    stage.script += [fresh(RED, body=b"old"), fresh(RED, body=b"older than the purge"), fresh(body=b"new")]
    await stage.get(ASKED)
    stage.clock.time += 70
    stage.gate = asyncio.Event()
    assert (await stage.get(ASKED))[1] == b"old"
    await settle()
    assert await stage.caching.purge(Purge(tag="red")) == 1
    go(stage)
    await settle()
    assert stage.store.usage()[0] == 0
    assert (await stage.get(ASKED))[1] == b"new"


async def test_the_fields_go_on_to_the_caller() -> None:
    stage = Stage()
    fields = (RED, ("Surrogate-Key", "a b"), ("xkey", "c"))
    stage.script.append(fresh(*fields))
    for _ in range(2):
        answer, _ = await stage.get(ASKED)
        assert [answer.headers.get(name) for name in ("cache-tag", "surrogate-key", "xkey")] == [
            *("red", "a b", "c")
        ]
    for tag in ("a", "b", "c"):
        assert len(await stage.store.kept(Purge(tag=tag), 9)) == 1


async def test_configuration_names_the_fields() -> None:
    stage = Stage(route(CachePolicy(tag_headers=("edge-tag",))))
    stage.script.append(fresh(RED, ("Edge-Tag", "blue")))
    await stage.get(ASKED)
    assert await stage.caching.purge(Purge(tag="red")) == 0
    assert await stage.caching.purge(Purge(tag="blue")) == 1


@pytest.mark.parametrize("asked", [request(), request(("Range", "bytes=2-3"))], ids=["whole", "part"])
async def test_a_purged_part_is_in_nothing_that_is_stored(asked: Request) -> None:
    def part(data: bytes, place: str, tag: str) -> Response:
        fields = (("Content-Range", f"bytes {place}/4"), ("ETag", '"a"'), ("Cache-Tag", tag))
        return fresh(*fields, status=206, body=data)

    stage = Stage()
    stage.script += [part(b"ol", "0-1", "red"), part(b"d.", "2-3", "blue"), fresh(body=b"new.")]
    await stage.get(request(("Range", "bytes=0-1")))
    (task,) = await callers(stage, 1, asked)
    assert await stage.caching.purge(Purge(tag="red")) == 1
    go(stage)
    assert (await task)[1] == (b"d." if "range" in asked.headers else b"old.")
    assert (await stage.get(request()))[1] == b"new."
