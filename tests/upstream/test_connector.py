"""Is an idle connection used again only where nothing stirs on it, and is every address one to dial?"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.core.failure import ConnectError, UpstreamProtocolError
from proxy.core.routing import Origin as Base
from proxy.upstream.attempts import Attempts
from proxy.upstream.connector import denied
from proxy.upstream.session import Session
from tests.origin import Gate
from tests.upstream.certificates import client_side, server_side
from tests.upstream.conftest import EVIL, OK, ONCE, Steady, Way

# The pool


async def test_an_unsolicited_answer_reaches_nobody(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(OK, gate, EVIL)
    way.origin.on("/next").reply(200, b"mine")
    await way.ask()
    assert way.counts == (0, 1)
    await asyncio.to_thread(gate.reached.wait)
    gate.open()
    time.sleep(0.1)  # noqa: ASYNC251 - the loop gets no chance to see the bytes before the next request
    got = await way.ask("GET", "/next")
    assert got.body == b"mine"
    assert way.origin.hits()[0].connection != way.origin.hits()[1].connection


async def test_connections_are_used_again_the_freshest_first(way: Way) -> None:
    gate = Gate()
    way.origin.on("/slow").raw(gate, OK)
    way.origin.on("/x").raw(OK)
    slow = asyncio.ensure_future(way.ask("GET", "/slow"))
    await asyncio.to_thread(way.origin.wait_for, "/slow")
    await way.ask()
    gate.open()
    await slow
    assert way.counts == (0, 2)
    await way.ask()
    slow_hit, _, last = way.origin.hits()
    assert last.connection == slow_hit.connection
    assert way.origin.accepted() >= 2


async def test_an_idle_connection_is_not_kept_longer_than_the_upstream_keeps_it(way: Way) -> None:
    way.origin.on("/x").raw(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"))
    await way.ask()
    await way.ask()
    first, second = way.origin.hits()
    assert first.connection != second.connection


@pytest.mark.parametrize("version", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
async def test_a_connection_that_is_to_be_closed_is_closed(way: Way, version: bytes) -> None:
    way.origin.on("/x").raw(version + b"Content-Length: 2\r\n\r\nok", then="hold")
    assert (await way.ask()).body == b"ok"
    assert way.counts == (0, 0)


async def test_a_post_finds_a_closed_idle_connection_before_it_writes(way: Way) -> None:
    way.origin.on("/x").raw(OK, then="close").raw(OK)
    for _ in range(3):
        got = await way.ask("POST", body=b"pay")
        time.sleep(0.05)  # noqa: ASYNC251 - the end arrives, but the loop has no chance to see it
        assert (got.body, len(got.exchange.attempts)) == (b"ok", 1)
    assert way.origin.count() == 3


async def test_an_end_on_an_idle_connection_takes_it_out_of_the_pool(way: Way) -> None:
    way.origin.on("/x").raw(OK, then="close").raw(OK)
    await way.ask()
    await asyncio.to_thread(time.sleep, 0.05)
    got = await way.ask("POST", body=b"pay")
    assert (got.body, len(got.exchange.attempts), way.origin.count()) == (b"ok", 1, 2)


async def test_many_at_once_each_have_a_connection(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(gate, OK)
    tasks = [asyncio.ensure_future(way.ask()) for _ in range(150)]
    await asyncio.to_thread(way.origin.wait_for, "/x", 150)
    assert way.counts == (150, 0)
    gate.open()
    assert {got.body for got in await asyncio.gather(*tasks)} == {b"ok"}
    assert way.counts == (0, 150)


# Addresses


@pytest.mark.parametrize(
    ("address", "is_denied"),
    [
        ("169.254.169.254", True),
        ("169.254.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("febf::1", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("10.0.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("fd00::1", False),
        ("169.253.255.255", False),
        ("93.184.216.34", False),
        ("2606:2800:220:1::1", False),
    ],
)
def test_which_addresses_are_never_dialled(address: str, is_denied: bool) -> None:
    assert denied(address) is is_denied


class Names(AbstractResolver):
    """A resolver with one name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        if host != "api.test":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            ResolveResult(hostname=host, host=a, port=port, family=socket.AF_INET, proto=0, flags=0)
            for a in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def through(way: Way, session: Session) -> AsyncIterator[Way]:
    """The same way with another session."""
    attempts, way.attempts = way.attempts, Attempts(session=session, clock=Steady(), chance=lambda: 0.0)
    try:
        yield way
        assert session.counts()[0] == 0
    finally:
        way.attempts = attempts
        await session.close()


async def test_a_name_is_resolved_and_stays_the_host(way: Way) -> None:
    names = Names("127.0.0.1")
    way.origin.on("/x").raw(OK)
    base = Base(scheme="http", host="api.test", port=way.origin.port)
    async with through(way, Session(resolver=names)):
        assert (await way.ask(origins=(base,))).body == b"ok"
    assert way.origin.hit().header("host") == f"api.test:{way.origin.port}"
    assert (names.asked, names.closed) == (1, True)


async def test_a_name_that_leads_to_metadata_is_not_dialled(way: Way) -> None:
    base = Base(scheme="http", host="api.test", port=80)
    async with through(way, Session(resolver=Names("169.254.169.254", "::ffff:169.254.169.254"))):
        got = await way.ask(origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)
    assert got.failure.detail == "api.test:80 resolves to a link-local or metadata address only."
    assert not got.failure.sent


async def test_of_several_addresses_only_the_denied_are_left_out(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    base = Base(scheme="http", host="api.test", port=way.origin.port)
    async with through(way, Session(resolver=Names("169.254.169.254", "127.0.0.1"))):
        assert (await way.ask(origins=(base,))).body == b"ok"


async def test_a_name_that_does_not_exist(way: Way) -> None:
    base = Base(scheme="http", host="gone.test", port=80)
    async with through(way, Session(resolver=Names())):
        got = await way.ask(origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)
    assert got.failure.detail == "The name of gone.test:80 cannot be resolved."


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001"])
async def test_an_odd_spelling_of_an_address_is_not_dialled(way: Way, host: str) -> None:
    base = Base(scheme="http", host=host, port=way.origin.port)
    async with through(way, Session(resolver=Names())):
        got = await way.ask(origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)


# TLS


@asynccontextmanager
async def served(context: ssl.SSLContext) -> AsyncIterator[Base]:
    """A TLS server that answers ok."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield Base(scheme="https", host="localhost", port=server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def test_a_certificate_that_nobody_vouches_for(way: Way, tmp_path: Path) -> None:
    async with served(server_side(tmp_path)) as base:
        got = await way.ask(origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)
    assert got.failure.detail.startswith(f"The certificate of localhost:{base.port} is not accepted: ")
    assert (got.failure.sent, got.told) == (False, [("connect", "attempts-used")])


async def test_a_certificate_for_somebody_else(way: Way, tmp_path: Path) -> None:
    async with served(server_side(tmp_path)) as base, through(way, Session(contexts={"api": client_side()})):
        other = Base(scheme="https", host="127.0.0.2", port=base.port)
        got = await way.ask(origins=(other,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)


async def test_a_routes_own_authority_and_certificate(way: Way, tmp_path: Path) -> None:
    context = client_side(tmp_path)
    async with (
        served(server_side(tmp_path, clients=True)) as base,
        through(way, Session(contexts={"api": context})) as tls,
    ):
        for _ in range(2):
            assert (await tls.ask(origins=(base,), retry=ONCE)).body == b"ok"
        assert tls.attempts.session.counts() == (0, 1)


async def test_a_missing_client_certificate_is_a_refused_connection(way: Way, tmp_path: Path) -> None:
    async with (
        served(server_side(tmp_path, clients=True)) as base,
        through(way, Session(contexts={"api": client_side()})) as tls,
    ):
        got = await tls.ask("POST", body=b"pay", origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError | UpstreamProtocolError)
    assert got.failure.detail.startswith(f"localhost:{base.port} ")


async def test_plain_http_where_tls_is_expected(way: Way) -> None:
    way.origin.on("*").raw(OK)
    base = Base(scheme="https", host="127.0.0.1", port=way.origin.port)
    got = await way.ask(origins=(base,), retry=ONCE, timeouts={"connect": 1})
    assert isinstance(got.failure, ConnectError)
    assert not got.failure.sent


# Without a task


async def test_what_is_taken_is_given_back_or_owned(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    await way.ask()
    found = way.session.pooled(way.route.origins[0], way.route.name)
    assert found is not None
    connector, dial = found
    wire = connector.take(dial)
    assert wire is not None
    assert (way.counts, connector.take(dial), connector.reuse(dial)) == ((1, 0), None, None)
    connector.give(dial, wire)
    assert way.counts == (0, 1)
    assert connector.take(dial) is wire
    connector.owned(dial, wire).release()
    assert way.counts == (0, 1)
    reused = connector.reuse(dial)
    assert reused is not None
    assert reused.protocol is wire
    reused.close()
    assert way.counts == (0, 0)
    assert connector.take(dial) is None


async def test_what_is_given_back_unfit_is_closed(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    await way.ask()
    found = way.session.pooled(way.route.origins[0], way.route.name)
    assert found is not None
    connector, dial = found
    wire = connector.take(dial)
    assert wire is not None
    wire.force_close()
    connector.give(dial, wire)
    assert (way.counts, wire.transport) == ((0, 0), None)
    await asyncio.to_thread(way.origin.wait_closed, way.origin.hit("/x"))


async def test_what_is_given_back_too_late_is_not_kept(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    await way.ask()
    found = way.session.pooled(way.route.origins[0], way.route.name)
    assert found is not None
    connector, dial = found
    wire = connector.take(dial)
    assert wire is not None
    await way.session.close()
    connector.give(dial, wire)
    assert (way.counts, wire.is_connected()) == ((0, 0), False)


async def test_nobody_knows_connections_before_the_first(way: Way) -> None:
    origin = way.route.origins[0]
    assert way.session.pooled(origin, way.route.name) is None
    way.origin.on("/x").raw(OK)
    await way.ask()
    assert way.session.pooled(origin, way.route.name) is not None
    assert way.session.pooled(origin, "another") is None
