"""Does each of the library's exceptions become the failure that it means?"""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError, LineTooLong

from proxy.core.failure import APIError, ConnectError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.upstream.connector import DeniedAddressError
from proxy.upstream.translate import LIBRARY_ERRORS, translate

KEY = ConnectionKey("api.example", 443, True, True, None, None, None)
SECRET = "hunter2"


def of_peer(reason: str) -> BaseException:
    error = aiohttp.ClientOSError(1, "TLS")
    error.__cause__ = ssl.SSLError(1, f"[SSL: {reason}] x")
    error.__cause__.reason = reason
    return error


CASES: list[tuple[BaseException, bool, type[APIError], bool]] = [
    (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "no")), False, ConnectError, False),
    (aiohttp.ClientConnectorDNSError(KEY, DeniedAddressError("x")), False, ConnectError, False),
    (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "x")), False, ConnectError, False),
    (aiohttp.ClientConnectorError(KEY, OSError(errno.ENETUNREACH, "x")), False, ConnectError, False),
    (aiohttp.ClientConnectorError(KEY, ConnectionResetError()), False, ConnectError, False),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "x")), False, ConnectError, False),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "x")),
        False,
        ConnectError,
        False,
    ),
    (aiohttp.InvalidURL("api.example"), False, ConnectError, False),
    (aiohttp.ClientConnectionError("Connector is closed."), False, ConnectError, False),
    (aiohttp.SocketTimeoutError(), True, UpstreamTimeoutError, True),
    (TimeoutError(), True, UpstreamTimeoutError, True),
    (aiohttp.ServerDisconnectedError(), True, UpstreamProtocolError, True),
    (aiohttp.ClientOSError(104, "reset"), True, UpstreamProtocolError, True),
    (aiohttp.ClientPayloadError(SECRET), True, UpstreamProtocolError, True),
    (aiohttp.ClientError(SECRET), True, UpstreamProtocolError, True),
    (BadStatusLine(SECRET), True, UpstreamProtocolError, True),
    (LineTooLong(SECRET.encode(), 8190), True, UpstreamProtocolError, True),
    (HttpProcessingError(message=SECRET), True, UpstreamProtocolError, True),
    (ConnectionResetError(104, SECRET), True, UpstreamProtocolError, True),
    (BrokenPipeError(32, SECRET), True, UpstreamProtocolError, True),
    (RuntimeError("Connection closed."), True, UpstreamProtocolError, True),
    (of_peer("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, ConnectError, False),
    (of_peer("TLSV1_ALERT_UNKNOWN_CA"), True, ConnectError, False),
    (of_peer("DECRYPTION_FAILED"), True, UpstreamProtocolError, True),
    # Whatever broke, nothing was sent.
    (ConnectionResetError(104, "x"), False, ConnectError, False),
    (aiohttp.ServerDisconnectedError(), False, ConnectError, False),
]


@pytest.mark.parametrize(("error", "sent", "failure", "may_have_arrived"), CASES)
def test_the_table(error: BaseException, sent: bool, failure: type[APIError], may_have_arrived: bool) -> None:
    assert isinstance(error, LIBRARY_ERRORS)
    found = translate(error, place="api.example:443", sent=sent)
    assert (type(found), found.sent) == (failure, may_have_arrived)
    assert "api.example:443" in found.detail
    assert SECRET not in found.detail
    assert "{" not in found.detail


def test_what_the_machine_says_is_told() -> None:
    found = translate(
        aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "10.0.0.1")),
        place="api.example:443",
        sent=False,
    )
    assert found.detail == "No connection to api.example:443: connection refused."


def test_a_bug_of_ours_is_no_failure_of_the_upstream() -> None:
    with pytest.raises(KeyError):
        translate(KeyError("x"), place="api.example:443", sent=True)
