"""A caller that leaves in the very moment in which its answer comes is counted once, and leaves nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.origin import Gate, Origin
from tests.server.passing import ANSWERS, NEVER, Side, asking, said
from tests.server.test_shortcut import riding

CAME = {
    "whole": ANSWERS["plain"],
    "begun": said(NEVER, body=b"0123456789")[:-6],
    "not plain": ANSWERS["chunked"],
    "half a head": b"HTTP/1.1 2",
}


@pytest.mark.parametrize("name", CAME)
async def test_its_answer_comes_between_its_leaving_and_our_hearing_of_it(
    origin: Origin, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        origin.on("/x").raw(gate, ANSWERS["plain"])
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        assert made.app.shortcuts is not None
        [ride] = made.app.shortcuts.riding
        answered, requests = made.app.answered, _requests(made)
        assert ride._connection.transport is not None
        assert ride.express is not None
        ride._connection.transport.abort()
        ride.express.wire.data_received(CAME[name])
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await asked
        async with asyncio.timeout(10):
            await made.app.over()
        assert (made.app.running, len(made.app.shortcuts.riding)) == (0, 0)
        assert made.app.answered == answered + 1
        assert made.rows()[-1][-1] is True, "cut"
        assert _requests(made) == requests + 1
        assert made.runtime.session.counts()[0] == 0
        gate.open()
        assert not [record for record in caplog.records if record.name == "asyncio"]


def _requests(made: Side) -> float:
    return sum(value for name, value in made.figures().items() if name.startswith("leeward_requests_total"))
