"""Who gets the cookie of an answer that is kept?"""

from proxy.core.caching.policy import CachePolicy
from tests.core.caching.samples import request, route
from tests.gateway.stage import Stage, callers, fresh, go, settle, told


async def test_a_cookie_is_for_who_fetched_it() -> None:
    stage = Stage(route(CachePolicy(store_set_cookie=True)))
    stage.script.append(fresh(("Set-Cookie", "a=b"), ("X-Other", "kept")))
    both = await callers(stage, 2)
    go(stage)
    answers = [(await caller)[0] for caller in both] + [(await stage.get(request()))[0]]
    assert [answer.headers.all("set-cookie") for answer in answers] == [["a=b"], [], []]
    assert [answer.headers.get("x-other") for answer in answers] == ["kept"] * 3
    assert len(stage.asked) == 1


async def test_so_it_is_where_what_the_caller_has_is_still_right() -> None:
    stage = Stage(route(CachePolicy(store_set_cookie=True)))
    stage.script.append(fresh(("Set-Cookie", "a=b"), ("ETag", '"1"')))
    await stage.get(request())
    stage.clock.time += 61
    stage.script.append(fresh(("Set-Cookie", "c=d"), ("ETag", '"2"')))
    answer, _ = await stage.get(request(("If-None-Match", '"2"')))
    assert (answer.status, answer.headers.all("set-cookie")) == (304, ["c=d"])
    # And what was fetched is kept, although its caller had no need of it.
    await settle()
    again, body = await stage.get(request())
    assert (told(again), body, again.headers.all("set-cookie")) == ("leeward; hit; ttl=60", b"body", [])
