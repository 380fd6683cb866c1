"""What does a caller hear before its answer?

The law: interim answers go to callers of HTTP/1.1 only, at once, and never after the final head has
begun (RFC 9110 §15.2). A caller that has left, or reads too slowly to be told more, misses a hint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.message import Interim

if TYPE_CHECKING:
    from proxy.server.connection import Connection


class Ahead:
    """Of one request: called with each interim answer, until `end`."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection, *, old: bool) -> None:
        self._connection: Connection | None = None if old else connection

    def __call__(self, interim: Interim) -> None:
        connection = self._connection
        if connection is None or connection.writing_paused:
            return
        reason = interim.reason.encode("latin-1")
        lines = [b"HTTP/1.1 %d %b" % (interim.status, reason)]
        lines += [name + b": " + value for name, value in interim.headers.fields]
        try:
            connection.write(b"\r\n".join((*lines, b"", b"")))
        except ConnectionError:
            self._connection = None

    def end(self) -> None:
        """The final answer is known, or there will be none."""
        self._connection = None
