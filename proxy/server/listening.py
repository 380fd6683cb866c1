"""Where does a socket listen, and who may use its path?

A Unix socket's file that a dead process left behind is taken over; one that somebody still answers on is
not, and neither is any other file.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext
from typing import Any

from proxy.config.addresses import Address

BACKLOG = 2048
SPREADS = sys.platform == "linux"  # macOS has SO_REUSEPORT too, but gives all to one


class ListenError(Exception):
    """An address that cannot be listened on; the message says which and why."""


async def listen(
    factory: Callable[[], asyncio.Protocol], address: Address, *, tls: SSLContext | None = None
) -> asyncio.Server:
    """A server on the address. Raises ListenError."""
    loop = asyncio.get_running_loop()
    try:
        if address.path is not None:
            await asyncio.to_thread(_make_room, address.path)
            return await loop.create_unix_server(factory, address.path, backlog=BACKLOG, ssl=tls)
        return await loop.create_server(
            factory, address.host, address.port, backlog=BACKLOG, reuse_address=True, ssl=tls
        )
    except OSError as error:
        raise ListenError(f"Cannot listen on {address}: {_why(error)}") from error


def sockets(address: Address, count: int) -> list[list[socket.socket]]:
    """For so many workers, what each takes calls from: blocking, briefly. Raises ListenError.

    On Linux each has sockets of its own, among which the system spreads new connections evenly. Elsewhere,
    and on a Unix socket, all have the same.
    """
    try:
        if address.path is not None:
            _make_room(address.path)
            return [[_unix(address.path)]] * count
        places = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        found = list(dict.fromkeys((family, place) for family, _, _, _, place in places))
        if not SPREADS:
            return [[_tcp(family, place, spread=False) for family, place in found]] * count
        rows: list[list[socket.socket]] = [[] for _ in range(count)]
        for family, place in found:
            # With SO_REUSEPORT one could share the port with a stranger, or with another Leeward: ask first.
            with _tcp(family, place, spread=False) as first:
                place = first.getsockname()  # noqa: PLW2901 - with the port that was given for 0
            for row in rows:
                row.append(_tcp(family, place, spread=True))
        return rows
    except OSError as error:
        raise ListenError(f"Cannot listen on {address}: {_why(error)}") from error


def another(sibling: list[socket.socket]) -> list[socket.socket]:
    """Sockets for one more worker, which no connection reaches before that takes calls. Raises OSError."""
    if not SPREADS or sibling[0].family == socket.AF_UNIX:
        return sibling
    return [_tcp(own.family, own.getsockname(), spread=True, listening=False) for own in sibling]


def _tcp(family: int, place: Any, *, spread: bool, listening: bool = True) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spread:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(place)
        if listening:
            opened.listen(BACKLOG)
        opened.settimeout(0)
    except BaseException:
        opened.close()
        raise
    return opened


def _unix(path: str) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(path)
        opened.listen(BACKLOG)
        opened.settimeout(0)
    except BaseException:
        opened.close()
        raise
    return opened


def _why(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another process has it already."
        case errno.EACCES:
            return "that is not permitted."
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address."
        case _:
            return error.strerror or str(error)


def _make_room(path: str) -> None:
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file of that name that is no socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except OSError as error:
            raise OSError(errno.EADDRINUSE, "") from error
    raise OSError(errno.EADDRINUSE, "")


def leave(address: Address) -> None:
    """Removes the file of a Unix socket that was listened on."""
    if address.path is not None:
        Path(address.path).unlink(missing_ok=True)


def bound(server: asyncio.Server, address: Address, *, tls: bool) -> str:
    """The address as a person or a client writes it, with the port that was really given."""
    return named(server.sockets[0], address, tls=tls)


def named(opened: Any, address: Address, *, tls: bool) -> str:
    """As `bound`, of a socket."""
    if address.path is not None:
        return f"unix:{address.path}"
    host, port = opened.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
