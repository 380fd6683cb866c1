"""Who waits for an acknowledgement that the system would hold back?

A sender that writes a head and its body apart, or a body in small pieces, may keep back a piece while the one
before is not acknowledged (RFC 896), and a receiver keeps back the acknowledgement, in the hope that it has
something to send along with it (RFC 9293 §3.8.6.3). Both wait 40 ms, with each request and each answer anew.
Where more is due there is nothing to be sent along: what came is acknowledged at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

_AT_ONCE: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
_OF_TCP = frozenset({socket.AF_INET, socket.AF_INET6})


def acknowledge(transport: asyncio.BaseTransport | None) -> None:
    """What this connection has received up to now; raises nothing."""
    if transport is None or _AT_ONCE is None or transport.is_closing():
        return  # of one that is closed the number may be another's by now
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in _OF_TCP:
        with contextlib.suppress(OSError):  # the connection has gone
            connection.setsockopt(socket.IPPROTO_TCP, _AT_ONCE, 1)
