"""Is the library that we lean on the one that we know?

aiohttp's connector, response protocol and parser are used below its public API, in `wire` and
`connector` alone. What they use of it is listed here, is looked for before the proxy starts, and its
source is compared with the one that was read when this was written (tests/upstream/test_library.py).
"""

from __future__ import annotations

import re

import aiohttp
import aiohttp.base_protocol
import aiohttp.client_proto
import aiohttp.connector
import aiohttp.http_parser
import aiohttp.streams

# Earlier ones have published vulnerabilities in what we use.
OLDEST = (3, 14, 3)

# Class → what of it is called, overridden or read although it is not public.
INTERNALS: dict[type, tuple[str, ...]] = {
    aiohttp.base_protocol.BaseProtocol: ("_drain_helper", "connection_made", "resume_reading"),
    aiohttp.client_proto.ResponseHandler: (
        "abort",
        "close",
        "connection_lost",
        "data_received",
        "eof_received",
        "force_close",
        "is_connected",
        "set_exception",
        "set_response_params",
        "should_close",
        "upgraded",
    ),
    aiohttp.connector.BaseConnector: ("_cleanup", "_get", "_release", "_release_acquired", "connect"),
    aiohttp.connector.Connection: ("close", "release", "protocol"),
    aiohttp.connector.TCPConnector: ("_create_direct_connection", "_get_ssl_context", "_resolve_host"),
    aiohttp.streams.DataQueue: ("feed_data", "set_exception"),
    aiohttp.streams.StreamReader: (
        "_read_nowait",
        "feed_data",
        "feed_eof",
        "is_eof",
        "readany",
        "set_exception",
    ),
}


class LibraryError(RuntimeError):
    """The installed aiohttp is not one to stand in front of anything."""


def check_library() -> None:
    """Raises LibraryError where aiohttp is too old, lacks its C parser, or is not built as we know it."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", aiohttp.__version__)
    version = tuple(map(int, numbers.groups())) if numbers is not None else (0, 0, 0)
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise LibraryError(f"aiohttp {aiohttp.__version__} is installed; the oldest safe one is {oldest}.")
    if aiohttp.http_parser.HttpResponseParser is aiohttp.http_parser.HttpResponseParserPy:
        raise LibraryError(
            "aiohttp runs without its C parser (a build without extensions, or AIOHTTP_NO_EXTENSIONS is "
            "set); the one in Python lets malformed messages pass."
        )
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in INTERNALS.items()
        for name in names
        if not hasattr(owner, name)
    ]
    if missing:
        raise LibraryError(f"aiohttp {aiohttp.__version__} is built differently: no {', '.join(missing)}.")
