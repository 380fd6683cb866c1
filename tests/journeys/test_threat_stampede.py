"""A thousand callers want the same at once, and who leads dies in the middle: what do they get?"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.origin import Gate
from tests.running import Leeward, many_files

CALLERS = 1000
FIRST, REST = b"f" * 30_000, b"r" * 30_000
FRESH = ("Cache-Control", "max-age=60")


@pytest.fixture
def proxy(leeward, origin):
    many_files()
    upstream = {"base_url": origin.url, "prefix": "/", "retry": {"attempts": 1}}
    return leeward({"upstreams": {"api": upstream}}, fresh=True)


@dataclass
class Caller:
    """One connection, one request. `complete` is whether the framing says that the body is whole."""

    status: int = 0
    body: bytes = b""
    complete: bool = False

    async def ask(self, proxy: Leeward, path: str, *, begun: asyncio.Event | None = None):
        assert isinstance(proxy.address, tuple)
        reader, writer = await asyncio.open_connection(*proxy.address)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            self.status = int(head.split(b" ")[1])
            await self._read(reader, b"chunked" in head.lower(), _length(head), begun)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # cut, and to be seen as such
        finally:
            writer.transport.abort()

    async def _read(self, reader, chunked: bool, length: int, begun) -> None:
        while chunked or len(self.body) < length:
            if chunked:
                size = int(await reader.readuntil(b"\r\n"), 16)
                piece = await reader.readexactly(size + 2)
                self.body += piece[:size]
                if not size:
                    break
            else:
                piece = await reader.read(65536)
                if not piece:
                    raise ConnectionError
                self.body += piece
            if begun is not None:
                begun.set()
        self.complete = True


def _length(head: bytes) -> int:
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].partition(b":")[2]) if lines else 0


@pytest.mark.parametrize(
    ("killed", "framing"), [("caller", "chunked"), ("origin", "chunked"), ("origin", "length")]
)
async def test_a_thousand_callers_and_a_leader_who_dies(proxy, origin, killed, framing):
    gate = Gate()
    script = origin.on("/x")
    length = b"Content-Length: 60000" if framing == "length" else b"Transfer-Encoding: chunked"
    begin, end = FIRST, REST
    if framing == "chunked":
        begin, end = b"%x\r\n%b\r\n" % (len(FIRST), FIRST), b"%x\r\n%b\r\n0\r\n\r\n" % (len(REST), REST)
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + length + b"\r\n\r\n"
    if killed == "origin":
        script.raw(head + begin, gate, then="reset").reply(200, FIRST + REST, [FRESH])
    else:
        script.raw(head + begin, gate, end)

    callers = [Caller() for _ in range(CALLERS)]
    begun = [asyncio.Event() for _ in callers]
    leaving = killed == "caller"
    lead = asyncio.create_task(callers[0].ask(proxy, "/x", begun=begun[0]))
    await asyncio.wait_for(begun[0].wait(), 20)
    half = CALLERS // 2
    tasks = [asyncio.create_task(callers[n].ask(proxy, "/x", begun=begun[n])) for n in range(1, half)]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in begun[1:half])), 30)
    # Now half of all are in the middle of the body; the others come while it happens.
    tasks += [asyncio.create_task(callers[n].ask(proxy, "/x")) for n in range(half, CALLERS)]
    if leaving:
        lead.cancel()
    gate.open()
    await asyncio.wait_for(asyncio.gather(lead, *tasks, return_exceptions=True), 60)

    assert origin.count("/x") <= 2
    assert [c.status for c in callers if c.complete and c.status == 200 and c.body != FIRST + REST] == []
    assert Counter(c.status for c in callers) == {200: CALLERS}
    others = callers[1:] if leaving else callers[half:]
    if leaving:
        assert origin.count("/x") == 1
        assert all(caller.complete for caller in others)
    else:
        assert not any(caller.complete for caller in callers[:half])
        assert {caller.body for caller in callers[:half]} == {FIRST}
    after = Caller()
    await after.ask(proxy, "/x")
    assert (after.complete, after.body == FIRST + REST) == (True, True)
    assert origin.count("/x") <= 2
