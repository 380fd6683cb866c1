"""Where does a socket listen, and who may use its path?

A Unix socket's file that a dead process left behind is taken over; one that somebody still answers on is
not, and neither is any other file.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext

from proxy.config.addresses import Address

BACKLOG = 2048


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
    if address.path is not None:
        return f"unix:{address.path}"
    host, port = server.sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
