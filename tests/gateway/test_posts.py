"""Is a POST that only reads cached, and does one that changes something still count as a change?"""

import pytest

from proxy.core.allowance import Allowance
from proxy.core.caching.policy import CachePolicy
from proxy.core.failure import ConnectError
from proxy.core.message import Whole
from tests.core.caching.samples import request, response, route
from tests.gateway.stage import Pipe, Stage, told


async def test_a_cached_post_invalidates_nothing_and_a_mutation_does() -> None:
    stage = Stage(route(CachePolicy(methods=frozenset({"GET", "POST"}), override_ttl=60)))
    stage.script += [response(body=Whole(word)) for word in (b"got", b"read", b"changed", b"anew", b"again")]
    query, mutation = b'{"query":"{ a }"}', b'{"query":"mutation { b }"}'

    async def post(content: bytes) -> tuple[bytes, str]:
        answer, body = await stage.get(request(method="POST", body=Pipe(content, None)))
        return body, told(answer)

    assert (await stage.get(request()))[1] == b"got"
    assert (await post(query))[0] == b"read"
    assert (await stage.get(request()))[1] == b"got"
    assert await post(b'{ "query": "{ a }" }') == (b"read", "leeward; hit; ttl=60")
    assert await post(mutation) == (b"changed", "leeward; fwd=bypass; fwd-status=200; detail=mutation")
    assert (await post(query))[0] == b"anew"
    assert (await stage.get(request()))[1] == b"again"


async def test_bodies_of_which_there_are_too_many_pass_uncached() -> None:
    """What is held to be a key is bounded over all requests, and given back with the answer."""
    stage = Stage(route(CachePolicy(methods=frozenset({"POST"}), override_ttl=60)))
    room = stage.caching._room = Allowance(300_000)
    stage.script += [response(body=Whole(word)) for word in (b"kept", b"passed", b"known", b"failed")]

    async def post(*pieces: bytes, length: int | None = None) -> str:
        answer, _ = await stage.get(request(method="POST", body=Pipe(*pieces, None, length=length)))
        return told(answer)

    assert "stored" in await post(b"a", length=1)
    assert room.held == 0
    assert room.take(299_000)
    assert await post(b"b") == "leeward; fwd=bypass; fwd-status=200; detail=request-body"
    assert "stored" in await post(b"c", length=1)
    assert room.held == 299_000
    stage.script[0] = ConnectError("no")
    with pytest.raises(ConnectError):
        await post(b"d", length=1)
    assert room.held == 299_000
