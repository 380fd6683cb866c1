"""Are all ways to a Redis ways to the same store?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import trustme

from proxy.config.secrets import FileSecret, LiteralSecret
from proxy.core.caching.purge import Purge
from proxy.core.failure import CredentialError
from proxy.stores.redis.address import Files, Kind, RedisAddress
from proxy.stores.redis.clients import LostError, client
from proxy.stores.redis.store import RedisStore
from proxy.wiring import MonotonicClock
from tests.origin import PATIENCE
from tests.running import free_port
from tests.stores.contract import KEPT, key, tagged, targets
from tests.stores.redis.conftest import Open, at, until
from tests.stores.redis.servers import RedisCluster, RedisServer, Sentinels

HERE = "127.0.0.1"


async def works(opened: Open, address: RedisAddress) -> None:
    """Keeps, finds, lists and purges, for two stores of one address."""
    one, two = (await opened(address)).store, (await opened(address)).store
    assert one.trouble is None, one.trouble
    assert one.salt == two.salt is not None
    for count in range(12):
        await tagged(one, f"/{count}", *(["red"] if count % 3 else []))
    assert (await two.load(key("/3")))[0].body == KEPT.body
    assert len(await targets(two)) == 12
    assert await two.purge(Purge(tag="red", path="/1*")) == 3
    assert await one.drop_place(key("/3").place) == 1
    assert len(await targets(one)) == 8
    one.drops.evicting = True
    assert await one.purge(Purge()) == 8
    assert await targets(two) == []


async def lost(address: RedisAddress) -> str:
    """Why it cannot be used."""
    tried = client(address, timeout=10.0, connections=1)
    with pytest.raises(LostError) as why:
        await tried.run([("PING",)])
    await tried.close()
    return str(why.value)


async def test_a_unix_socket(folder: Path, opened: Open) -> None:
    path = folder / "s"
    server = RedisServer(folder, port=0, unixsocket=path)
    try:
        await works(opened, RedisAddress(kind=Kind.SOCKET, path=str(path)))
    finally:
        server.stop()


async def test_a_password_that_is_rotated(folder: Path, opened: Open) -> None:
    file = folder / "password"
    file.write_text("first-canary\n")
    secret = FileSecret(file)
    await asyncio.to_thread(secret.reveal)
    server = RedisServer(folder, requirepass="first-canary")
    try:
        place = ((HERE, server.port),)
        await works(opened, RedisAddress(hosts=place, password=secret))
        for wrong in (None, LiteralSecret("second-canary")):
            why = await lost(RedisAddress(hosts=place, password=wrong))
            assert why == "it refuses the user or password"
        store = (await opened(RedisAddress(hosts=place, password=secret), clock=MonotonicClock())).store
        server.ask("CONFIG", "SET", "requirepass", "second-canary")
        server._options["requirepass"] = "second-canary"
        file.write_text("second-canary\n")
        await asyncio.to_thread(secret.refresh)
        with server.client() as admin:
            for connected in admin.client_list():
                if connected["cmd"] != "client|list":
                    admin.client_kill(connected["addr"])
        await until(lambda: store.link.up and store.mark(key()) is not None)
        assert await store.keep(key(), KEPT)
    finally:
        server.stop()


async def test_a_user_that_may_too_little(folder: Path) -> None:
    server = RedisServer(folder)
    try:
        server.ask("ACL", "SETUSER", "app", "on", ">secret", "~*", "-@all", "+get")
        address = RedisAddress(hosts=((HERE, server.port),), username="app", password=LiteralSecret("secret"))
        assert await lost(address) == "the user may not do what is needed"
    finally:
        server.stop()


async def test_a_secret_that_cannot_be_had() -> None:
    class Missing:
        def reveal(self) -> str:
            raise CredentialError("The environment variable X is not set.")

        def describe(self) -> str:
            return "env X"

    why = await lost(RedisAddress(hosts=((HERE, free_port()),), password=Missing()))
    assert why in {"The environment variable X is not set.", "the connection is refused"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and a certificate for this machine with its key."""
    place = tmp_path_factory.mktemp("tls")
    made = trustme.CA()
    made.cert_pem.write_to_path(place / "ca.pem")
    certificate = made.issue_cert(HERE, "localhost")
    certificate.private_key_pem.write_to_path(place / "key.pem")
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(place / "cert.pem", append=number > 0)
    return place


async def test_tls_with_our_own_certificate(folder: Path, opened: Open, authority: Path) -> None:
    ca, cert, key_ = (str(authority / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    port = free_port()
    secured = {"tls_port": port, "tls_cert_file": cert, "tls_key_file": key_, "tls_ca_cert_file": ca}
    server = RedisServer(folder, port=free_port(), **secured, tls_auth_clients="yes")
    try:
        ours = Files(ca=ca, cert=cert, key=key_)
        await works(opened, RedisAddress(hosts=((HERE, port),), tls=ours))
        assert await lost(RedisAddress(hosts=((HERE, port),), tls=Files())) == "TLS does not come about"
        assert await lost(RedisAddress(hosts=((HERE, port),)))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    made = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.stop()


def of(cluster: RedisCluster) -> RedisAddress:
    return RedisAddress(kind=Kind.CLUSTER, hosts=tuple((HERE, node.port) for node in cluster.nodes))


async def test_a_cluster(cluster: RedisCluster, opened: Open) -> None:
    await works(opened, of(cluster))
    store = (await opened(of(cluster))).store
    for count in range(30):
        await store.keep(key(f"/{count}"), KEPT)
    assert all(any("}:" in name for name in node.names("leeward:*")) for node in cluster.nodes)
    one, two = [(await opened(of(cluster), clock=MonotonicClock())).store for _ in range(2)]
    await until(lambda: two.mark(key()) is not None)
    mark = two.mark(key())
    await one.drop_place(key().place)
    await until(lambda: two.mark(key()) != mark)


async def test_a_node_that_is_lost_leaves_the_others_of_use(cluster: RedisCluster, opened: Open) -> None:
    store = (await opened(of(cluster), clock=MonotonicClock(), timeout=1.0, slow=1.0)).store
    wheres = [key(f"/{count}") for count in range(30)]
    for where in wheres:
        assert await store.keep(where, KEPT)
    for node in cluster.nodes:
        with node.client() as admin:
            admin.execute_command("CONFIG", "SET", "cluster-require-full-coverage", "no")
    victim = next(node for node in cluster.nodes if store._names.drops not in node.names("leeward:*"))
    held = set(victim.names("leeward:*"))
    victim.pause()
    try:
        there = [where for where in wheres if store._names.shelf(where) not in held]
        assert there
        assert all([await store.load(where) for where in there])
    finally:
        victim.resume()


async def test_sentinels_name_the_next_primary(folder: Path, opened: Open) -> None:
    sentinels = Sentinels(folder)
    try:
        hosts = ((HERE, sentinels.sentinel.port),)
        address = RedisAddress(kind=Kind.SENTINEL, hosts=hosts, name=sentinels.name)
        await works(opened, address)
        store = (await opened(address, clock=MonotonicClock(), timeout=1.0, slow=1.0)).store
        await until_kept(store, "/a")
        with sentinels.primary.client() as admin:
            assert admin.wait(1, 20_000) == 1
        sentinels.primary.kill()
        with sentinels.replica.client() as promoted:
            await until(lambda: _is_primary(promoted))
        await until_kept(store, "/b")
        assert await store.load(key("/a"))
    finally:
        sentinels.stop()


def _is_primary(server: redis.Redis) -> bool:
    try:
        return bool(server.info("replication")["role"] == "master")
    except redis.ConnectionError:  # who is made primary ends all connections, this one too
        return False


async def until_kept(store: RedisStore, target: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not await store.keep(key(target), KEPT):
        assert time.monotonic() < limit
        await asyncio.sleep(0.05)


async def test_scripts_that_are_gone_cost_one_miss(server: RedisServer, opened: Open) -> None:
    store = (await opened(at(server))).store
    server.ask("SCRIPT FLUSH")
    assert not await store.keep(key(), KEPT)
    assert await store.keep(key(), KEPT)
    assert store.trouble is None
