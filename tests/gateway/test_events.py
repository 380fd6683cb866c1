"""Is a stream of events kept only where it may be replayed?"""

import pytest

from tests.core.caching.samples import request
from tests.gateway.stage import Pipe, Stage, fresh, quiet


@pytest.mark.parametrize(
    ("last", "asked"), [(b"data: 2\n\n", 1), (b"data: 2", 2), (b"event: error\ndata: 2\n\n", 2)]
)
async def test_a_stream_is_replayed_whole_or_not_at_all(last: bytes, asked: int) -> None:
    stage = Stage()
    for _ in range(asked):
        body = Pipe(b"data: 1\n\n", last, None)
        stage.script.append(fresh(("Content-Type", "text/event-stream"), body=body))
    for _ in range(2):
        assert (await stage.get(request()))[1] == b"data: 1\n\n" + last
    assert len(stage.asked) == asked
    await quiet(stage, 1)
