"""How are commands brought to a Redis, whatever stands between? The one file that knows the library.

Nothing is retried here: a call that was cut off is a miss, and the link decides when to try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from hashlib import sha1
from typing import Any, Protocol, cast

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from proxy.core.failure import CredentialError
from proxy.core.ports import Secret
from proxy.stores.redis.address import Kind, RedisAddress

Command = tuple[str | bytes | int, ...]

_CONNECT = 1.0  # seconds to a connection, TLS and all; who waits for it gives up much sooner
_SLICE = 500  # names that one scan looks at
_RESP = 2  # the same replies from every version of the library

# Answers that mean: this server cannot do its work now, whatever it is asked.
_UNFIT = (
    exceptions.AuthenticationError,
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.ConnectionError,
    exceptions.MasterDownError,
    exceptions.NoPermissionError,
    exceptions.ReadOnlyError,
    exceptions.TimeoutError,
    exceptions.TryAgainError,
    OSError,
)


class LostError(Exception):
    """No answer can be had. Its text says why, in words without an address or a secret."""


class Client(Protocol):
    """Brings commands to where they belong; raises LostError where no answer can be had."""

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Each one's reply, in order; a ResponseError in place of one that was refused."""

    async def together(self, steps: Sequence[Sequence[Command]]) -> list[Any]:
        """All replies. No command of a step is carried out before all of the step before are."""

    def names(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Every name that matches, some more than once."""

    async def prepare(self, scripts: Sequence[str]) -> None:
        """Gives the server the scripts that it will be asked for by their digests."""

    async def told(self, section: str) -> list[dict[str, Any]]:
        """What INFO says, of each server that takes writes."""

    async def close(self) -> None: ...


def client(address: RedisAddress, *, timeout: float, connections: int) -> Client:
    """For `connections` calls at a time, each of which gets its answer within `timeout` seconds."""
    if address.kind is Kind.CLUSTER:
        return _Cluster(address, timeout=timeout, connections=connections)
    return _Single(address, timeout=timeout, connections=connections)


class _Credentials(CredentialProvider):
    """Asked at each connection: a password that was rotated is used by the next one."""

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._password.reveal()
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        refresh = getattr(self._password, "refresh", None)  # a file's
        if refresh is not None:
            await asyncio.to_thread(refresh)
        return self.get_credentials()


def _options(address: RedisAddress, timeout: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": _CONNECT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": _RESP,
        "driver_info": None,  # told at each connection, for which the library looks through the disk
    }
    if address.password is not None:
        options["credential_provider"] = _Credentials(address.username, address.password)
    return options


def _files(address: RedisAddress) -> dict[str, Any]:
    files = address.tls
    if files is None:
        return {}
    return {
        "ssl_check_hostname": True,
        "ssl_ca_certs": files.ca,
        "ssl_certfile": files.cert,
        "ssl_keyfile": files.key,
    }


class _Single:
    """One server, on TCP or a Unix socket, or the one that the sentinels name."""

    def __init__(self, address: RedisAddress, *, timeout: float, connections: int) -> None:
        self._sentinel: Sentinel | None = None
        options = {**_options(address, timeout), "db": address.database}
        match address.kind:
            case Kind.SENTINEL:
                secured = {**_files(address), **({"ssl": True} if address.tls is not None else {})}
                asking = {**secured, **_options(address, timeout)}
                asking.pop("credential_provider", None)
                if address.sentinel_password is not None:
                    asking["credential_provider"] = _Credentials("", address.sentinel_password)
                self._sentinel = Sentinel(  # type: ignore[no-untyped-call] # the library's
                    list(address.hosts), sentinel_kwargs=asking
                )
                self._redis = self._sentinel.master_for(
                    address.name, max_connections=connections, **options, **secured
                )
            case Kind.SOCKET:
                self._redis = _pooled(
                    connections, path=address.path, connection_class=UnixDomainSocketConnection, **options
                )
            case _:
                secured = (
                    {} if address.tls is None else {"connection_class": SSLConnection, **_files(address)}
                )
                host, port = address.hosts[0]
                self._redis = _pooled(connections, host=host, port=port, **options, **secured)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*_short(command))
        replies = [_fit(reply) for reply in await _answered(pipe.execute(raise_on_error=False))]
        if any(isinstance(reply, exceptions.NoScriptError) for reply in replies):
            # Others of these commands were carried out, and their order matters: all of it counts as failed.
            await self.prepare([str(command[1]) for command in commands if command[0] == "EVAL"])
            raise LostError("it did not have our scripts")
        return replies

    async def prepare(self, scripts: Sequence[str]) -> None:
        await self.run([("SCRIPT LOAD", script) for script in scripts])

    async def together(self, steps: Sequence[Sequence[Command]]) -> list[Any]:
        # One connection's commands are carried out in their order.
        return await self.run([command for step in steps for command in step])

    async def names(self, pattern: str) -> AsyncIterator[list[bytes]]:
        cursor: Any = 0
        while True:
            ((cursor, found),) = await self.run([("SCAN", cursor, "MATCH", pattern, "COUNT", _SLICE)])
            yield found
            if not int(cursor):
                return

    async def told(self, section: str) -> list[dict[str, Any]]:
        return await self.run([("INFO", section)])

    async def close(self) -> None:
        await _closed(self._redis.aclose)
        if self._sentinel is not None:
            for one in self._sentinel.sentinels:
                await _closed(one.aclose)


class _Cluster:
    """Many servers, each with a part of the names; MOVED and ASK are the library's business."""

    def __init__(self, address: RedisAddress, *, timeout: float, connections: int) -> None:
        self._timeout = timeout
        secured = {} if address.tls is None else {"ssl": True, **_files(address)}
        self._redis = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            # A call that was moved is asked once more, at the right place.
            **{**_options(address, timeout), "retry": Retry(NoBackoff(), 1)},
            # Each of the link's calls may be a handful of commands.
            max_connections=connections * 8,
            require_full_coverage=False,
            **secured,
        )

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        return await asyncio.gather(*(self._one(command) for command in commands))

    async def together(self, steps: Sequence[Sequence[Command]]) -> list[Any]:
        return [reply for step in steps for reply in await self.run(step)]

    async def names(self, pattern: str) -> AsyncIterator[list[bytes]]:
        await _answered(self._redis.initialize())
        for node in self._redis.get_primaries():
            cursor: Any = 0
            while True:
                asked = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SLICE)
                reply = await self._one(asked, target_nodes=node)
                cursor, found = reply
                if isinstance(cursor, dict):  # by node, in some versions of the library
                    cursor = next(iter(cursor.values()))
                yield found
                if not int(cursor):
                    break

    async def told(self, section: str) -> list[dict[str, Any]]:
        await _answered(self._redis.initialize())
        nodes = self._redis.get_primaries()
        return [await self._one(("INFO", section), target_nodes=node) for node in nodes]

    async def prepare(self, scripts: Sequence[str]) -> None:
        """Each node is given a script when it first lacks it."""

    async def _one(self, command: Command, **where: Any) -> Any:
        await _answered(self._redis.initialize())
        if command[0] == "XREAD" and not where:
            # The library would have to ask the server where its names stand.
            where = {
                "target_nodes": self._redis.get_node_from_key(
                    cast("str", command[command.index("STREAMS") + 1])
                )
            }
        try:
            try:
                return await _answered(self._redis.execute_command(*_short(command), **where))
            except exceptions.NoScriptError:
                return await _answered(self._redis.execute_command(*command, **where))
        except exceptions.ResponseError as refused:
            return _fit(refused)

    async def close(self) -> None:
        await _closed(self._redis.aclose)


def _short(command: Command) -> Command:
    """A script by its digest."""
    return ("EVALSHA", _digest(str(command[1])), *command[2:]) if command[0] == "EVAL" else command


@cache
def _digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def _pooled(connections: int, **options: Any) -> Redis:
    pool = BlockingConnectionPool(max_connections=connections, timeout=options["socket_timeout"], **options)
    return Redis.from_pool(pool)


async def _answered(call: Awaitable[Any]) -> Any:
    """What it brings. Raises LostError, and ResponseError for what was refused."""
    try:
        return await call
    except CredentialError as error:
        raise LostError(error.detail) from None
    except _UNFIT as error:
        raise LostError(_why(error)) from None
    except exceptions.ResponseError:
        raise
    except exceptions.RedisError as error:
        raise LostError(_why(error)) from None


def _fit(reply: Any) -> Any:
    if isinstance(reply, _UNFIT):
        raise LostError(_why(reply))
    return reply


_WHY: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (exceptions.AuthenticationError, exceptions.AuthenticationWrongNumberOfArgsError),
        "it refuses the user or password",
    ),
    ((exceptions.NoPermissionError,), "the user may not do what is needed"),
    ((exceptions.BusyLoadingError,), "it is still loading its data"),
    ((exceptions.ReadOnlyError,), "it is a replica, which takes no writes"),
    (
        (exceptions.ClusterDownError, exceptions.MasterDownError, exceptions.TryAgainError),
        "the cluster is incomplete",
    ),
    ((exceptions.TimeoutError, TimeoutError), "it does not answer in time"),
)


def _why(error: BaseException) -> str:
    """In our own words: the library's may quote an address, a command or a credential."""
    for kinds, words in _WHY:
        if isinstance(error, kinds):
            return words
    text = str(error)
    if any(isinstance(one, ConnectionRefusedError) for one in (error, error.__cause__, error.__context__)):
        return "the connection is refused"
    if "AUTH" in text or "WRONGPASS" in text or "username-password" in text:
        return "it refuses the user or password"
    if "certificate" in text.lower() or "ssl" in text.lower():
        return "TLS does not come about"
    return "the connection broke, or none can be had"


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    try:
        await asyncio.wait_for(close(), _CONNECT)
    except (exceptions.RedisError, OSError, TimeoutError):
        return
