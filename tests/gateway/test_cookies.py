"""Who gets the cookie of an answer that is kept?"""

from proxy.core.caching.policy import CachePolicy
from tests.core.caching.samples import request, route
from tests.gateway.stage import Stage, callers, fresh, go


async def test_a_cookie_is_for_who_fetched_it() -> None:
    stage = Stage(route(CachePolicy(store_set_cookie=True)))
    stage.script.append(fresh(("Set-Cookie", "a=b"), ("X-Other", "kept")))
    both = await callers(stage, 2)
    go(stage)
    answers = [(await caller)[0] for caller in both] + [(await stage.get(request()))[0]]
    assert [answer.headers.all("set-cookie") for answer in answers] == [["a=b"], [], []]
    assert [answer.headers.get("x-other") for answer in answers] == ["kept"] * 3
    assert len(stage.asked) == 1
