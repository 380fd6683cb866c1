"""A process's start, life and end, in this process: the real worker on free ports."""

import asyncio
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.config.loading import load
from proxy.server.listening import ListenError
from proxy.server.worker import Worker
from tests.origin import Origin, closed_port

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def settings(origin_url: str, **server: Any) -> Any:
    given = {
        "server": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", **server},
        "log": {"level": "error"},
        "upstreams": {"up": {"base_url": origin_url, "prefix": "/"}},
    }
    return load(None, given, {})


class Running:
    def __init__(self, worker: Worker, task: asyncio.Task[None], proxy: str, admin: str) -> None:
        self.worker, self.task, self.proxy, self.admin = worker, task, proxy, admin

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, 10)

    async def fetch(self, url: str, **rest: Any) -> tuple[int, Any]:
        return await asyncio.to_thread(fetch, url, **rest)


def fetch(url: str, *, context: ssl.SSLContext | None = None, data: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@asynccontextmanager
async def working(whole: Any) -> AsyncIterator[Running]:
    told: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
    worker = Worker(whole, ready=lambda proxy, admin: told.set_result((proxy, admin)))
    task = asyncio.create_task(worker.run())
    await asyncio.wait((told, task), timeout=10, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    running = Running(worker, task, *told.result())
    try:
        yield running
    finally:
        worker.drain()
        worker.drain()
        await running.ended()


async def test_both_ports_answer_once_ready(origin: Origin):
    origin.on("/x").reply(200, body=b"hello")
    async with working(settings(origin.url)) as running:
        assert await running.fetch(f"{running.proxy}/x") == (200, b"hello")
        assert await running.fetch(f"{running.admin}/readyz") == (200, b'{"ready":true,"draining":false}')
        status, page = await running.fetch(f"{running.admin}/api/v1/status")
    [upstream] = json.loads(page)["upstreams"]
    assert (status, upstream["name"], upstream["requests"]) == (200, "up", 1)
    assert running.task.done()


async def test_purging_says_how_many_went(origin: Origin):
    origin.on("/x").reply(200, body=b"hello", headers=[("Cache-Control", "max-age=60")])
    async with working(settings(origin.url)) as running:
        for asked, gone in (({"upstream": "up"}, 1), ({"all": True}, 1), ({"all": True}, 0)):
            if gone:
                await running.fetch(f"{running.proxy}/x")
            body = json.dumps(asked).encode()
            answer = await running.fetch(f"{running.admin}/api/v1/cache/purge", data=body)
            assert answer == (200, b'{"purged":%d}' % gone)
        strange = json.dumps({"upstream": "none"}).encode()
        assert (await running.fetch(f"{running.admin}/api/v1/cache/purge", data=strange))[0] == 404


async def test_drain_ends_an_idle_process(origin: Origin):
    async with working(settings(origin.url)) as running:
        assert not running.worker.draining()
        assert (await running.fetch(f"{running.admin}/api/v1/drain", data=b"{}"))[0] == 202
        assert running.worker.draining()
        await running.ended()


async def test_what_runs_is_finished_and_readiness_fails_meanwhile(origin: Origin):
    from tests.script import Gate

    gate = Gate()
    origin.on("/x").chunked(b"first", gate, b"second")
    async with working(settings(origin.url)) as running:
        asking = asyncio.create_task(running.fetch(f"{running.proxy}/x"))
        await asyncio.to_thread(origin.wait_for, "/x")
        running.worker.drain()
        assert (await running.fetch(f"{running.admin}/readyz"))[0] == 503
        gate.open()
        assert await asking == (200, b"firstsecond")
        await running.ended()


async def test_a_second_drain_means_now(origin: Origin):
    origin.on("/x").never()
    async with working(settings(origin.url)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.proxy.rpartition(":")[2]))
        writer.write(GET)
        await asyncio.to_thread(origin.wait_for, "/x")
        running.worker.drain()
        running.worker.drain()
        await running.ended()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_a_taken_port_is_told(origin: Origin):
    host, port = origin.url.removeprefix("http://").split(":")
    with pytest.raises(ListenError, match=port):
        async with working(settings("http://127.0.0.1:1", listen=f"{host}:{port}")):
            pass
    with pytest.raises(ListenError, match=port):
        async with working(settings("http://127.0.0.1:1", admin=f"{host}:{port}")):
            pass


@pytest.fixture
def certificates(folder: Path) -> Any:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(folder / "key.pem")
    server.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return authority


async def test_tls_with_and_without_client_certificates(origin: Origin, folder: Path, certificates: Any):
    origin.on("/x").reply(200, body=b"hello")
    trusting = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    tls = {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    async with working(settings(origin.url, tls=tls)) as running:
        assert running.proxy.startswith("https://")
        assert await running.fetch(f"{running.proxy}/x", context=trusting) == (200, b"hello")
    async with working(settings(origin.url, tls={**tls, "client_ca": str(folder / "ca.pem")})) as running:
        with pytest.raises(OSError, match=r"CERTIFICATE_REQUIRED|certificate required|reset|closed"):
            await running.fetch(f"{running.proxy}/x", context=trusting)
        certificates.issue_cert("me@example.com").configure_cert(trusting)
        assert await running.fetch(f"{running.proxy}/x", context=trusting) == (200, b"hello")


async def test_an_upstream_that_is_gone_does_not_stop_the_start():
    async with working(settings(f"http://127.0.0.1:{closed_port()}")) as running:
        status, body = await running.fetch(f"{running.proxy}/x")
        assert (status, json.loads(body)["code"]) == (502, "connect_failed")
