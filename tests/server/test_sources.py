import pytest

from proxy.admin.asked import UnknownUpstreamError
from proxy.config.loading import load
from proxy.core.caching.purge import Purge
from proxy.server.serving import Serving
from proxy.server.sources import Told
from proxy.wiring import build


async def test_what_runs_is_asked_each_time(told_by: tuple[Serving, Told]):
    serving, told = told_by
    assert await told.readiness() == (True, {"draining": False})
    assert [row["name"] for row in (await told.status())["upstreams"]] == ["one"]
    with pytest.raises(UnknownUpstreamError):
        await told.purge(Purge(upstream="two"))
    await serving.change(settings("two"))
    assert "two" in [row["name"] for row in (await told.status())["upstreams"]]
    assert await told.purge(Purge(upstream="two")) == 0
    assert await told.cache(Purge(), 10) == []
    assert await told.requests(10) == []
    assert (await told.explain("GET", "/two/x"))["upstream"]["url"] == "http://127.0.0.1:1/x"


def settings(name: str):
    return load(
        None, {"log": {"level": "error"}, "upstreams": {name: {"base_url": "http://127.0.0.1:1"}}}, {}
    ).settings


@pytest.fixture
async def told_by():
    import asyncio

    serving = Serving(settings("one"), await build(settings("one")), asyncio.get_running_loop())
    yield serving, Told(serving, draining=lambda: False)
    await serving.close()
