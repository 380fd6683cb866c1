"""The admin port as its tests reach it: served on loopback or a Unix socket, asked in raw bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from proxy.admin.api import application
from proxy.admin.asked import Sources, UnknownUpstreamError
from proxy.core.caching.purge import Purge
from proxy.core.failure import BadRequestError, NoRouteError, PermissionDeniedError


@dataclass(slots=True)
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Behind:
    """What the endpoints were asked to do; its fields are what they answer."""

    ready: bool = True
    purged: list[Purge] = field(default_factory=list)
    listed: list[tuple[Purge, int]] = field(default_factory=list)
    drained: int = 0
    accepts: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    fail: bool = False
    nobody: bool = False
    reloaded: int = 0
    problems: list[str] = field(default_factory=list)

    def sources(self) -> Sources:
        return Sources(
            exposition=self.exposition,
            readiness=self.readiness,
            status=self.status,
            requests=self.requests,
            cache=self.cache,
            purge=self.purge,
            explain=self.explain,
            drain=self.drain,
            reload=self.reload,
        )

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        self.accepts.append(accept)
        return b"leeward_up 1\n", "text/plain; version=0.0.4; charset=utf-8"

    async def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        return self.ready, {"draining": not self.ready}

    async def status(self) -> Mapping[str, Any]:
        if self.nobody:
            raise web.HTTPServiceUnavailable(reason="nobody")
        if self.fail:
            raise RuntimeError("c4nary")
        return {"version": "0", "upstreams": []}

    async def requests(self, limit: int) -> list[dict[str, Any]]:
        self.limits.append(limit)
        return [{"id": "2", "path": "/\ud800</script>"}, {"id": "1"}][:limit]

    async def cache(self, what: Purge, limit: int) -> list[dict[str, Any]]:
        if what.upstream == "nobody":
            raise UnknownUpstreamError(what.upstream)
        self.listed.append((what, limit))
        return [{"upstream": "api", "target": "/a"}]

    async def purge(self, what: Purge) -> int:
        if what.upstream == "nobody":
            raise UnknownUpstreamError(what.upstream)
        self.purged.append(what)
        return 7

    async def explain(self, method: str, path: str) -> Mapping[str, Any]:
        if not path.startswith("/"):
            raise BadRequestError("no path")
        if path == "/nowhere":
            raise NoRouteError("no upstream")
        if path == "/fenced":
            raise PermissionDeniedError("not allowed")
        return {"method": method, "path": path}

    def drain(self) -> None:
        self.drained += 1

    async def reload(self) -> list[str]:
        self.reloaded += 1
        return self.problems


@dataclass(slots=True)
class Port:
    """An admin port. `host` is what an honest client's Host says."""

    behind: Behind
    host: str
    address: tuple[str, int] | str

    @property
    def number(self) -> int:
        assert isinstance(self.address, tuple)
        return self.address[1]

    async def raw(self, data: bytes) -> Answer:
        """Sends bytes and reads one answer, to the end of the connection."""
        if isinstance(self.address, str):
            reader, writer = await asyncio.open_unix_connection(self.address)
        else:
            reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(data)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        start, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Answer(int(start.split(" ")[1]), {n.lower(): v.strip() for n, _, v in pairs}, body)

    async def ask(
        self,
        method: str,
        path: str,
        *fields: str,
        body: bytes = b"",
        host: str | None = None,
    ) -> Answer:
        """One request; `host` "" = no Host line."""
        named = self.host if host is None else host
        lines = [
            f"{method} {path} HTTP/1.1",
            *([f"Host: {named}"] if named else []),
            "Connection: close",
            *fields,
        ]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def post(self, path: str, asked: Any, *fields: str) -> Answer:
        body = json.dumps(asked).encode()
        return await self.ask("POST", path, "Content-Type: application/json", *fields, body=body)


@asynccontextmanager
async def served(
    *, unix: str | None = None, hosts: Iterable[str] = (), listen: str = "127.0.0.1"
) -> AsyncIterator[Port]:
    behind = Behind()
    runner = web.AppRunner(application(behind.sources(), hosts=hosts), access_log=None)
    await runner.setup()
    try:
        site: web.BaseSite = web.TCPSite(runner, listen, 0) if unix is None else web.UnixSite(runner, unix)
        await site.start()
        if unix is not None:
            yield Port(behind, "anything", unix)
        else:
            number = runner.addresses[0][1]
            yield Port(behind, f"localhost:{number}", ("127.0.0.1", number))
    finally:
        await runner.cleanup()
