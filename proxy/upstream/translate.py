"""Which failure of ours is an exception of the library or the operating system?

The law: one table. A message names the configured host and port and what the machine says, never a
field, a target or a body. Nothing sent is a ConnectError; a break after that an UpstreamProtocolError.
"""

from __future__ import annotations

import os
import ssl

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    InvalidURL,
    ServerDisconnectedError,
)
from aiohttp.http_exceptions import HttpProcessingError

from proxy.core.failure import APIError, ConnectError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.upstream.connector import DeniedAddressError

# The first row that fits decides. `{place}` is host:port, `{cause}` what the machine says; last stands the
# type of RFC 9209 §2.3.
_TABLE: tuple[tuple[type[BaseException], type[APIError], str, str], ...] = (
    (
        DeniedAddressError,
        ConnectError,
        "{place} resolves to a link-local or metadata address only.",
        "destination_ip_prohibited",
    ),
    (ClientConnectorDNSError, ConnectError, "The name of {place} cannot be resolved.", "dns_error"),
    (
        ClientConnectorCertificateError,
        ConnectError,
        "The certificate of {place} is not accepted: {cause}.",
        "tls_certificate_error",
    ),
    (ClientConnectorSSLError, ConnectError, "No TLS connection to {place}: {cause}.", "tls_protocol_error"),
    (ClientConnectorError, ConnectError, "No connection to {place}: {cause}.", "destination_unavailable"),
    (InvalidURL, ConnectError, "{place} is not an address that can be dialled.", "destination_unavailable"),
    (ssl.SSLError, ConnectError, "{place} refuses the TLS connection: {cause}.", "tls_protocol_error"),
    (TimeoutError, UpstreamTimeoutError, "{place} did not answer in time.", "http_response_timeout"),
    (
        HttpProcessingError,
        UpstreamProtocolError,
        "The answer of {place} cannot be parsed.",
        "http_protocol_error",
    ),
    (
        ClientPayloadError,
        UpstreamProtocolError,
        "The answer of {place} is cut short.",
        "http_response_incomplete",
    ),
    (
        ServerDisconnectedError,
        UpstreamProtocolError,
        "{place} closed the connection without an answer.",
        "connection_terminated",
    ),
    (
        ClientConnectionError,
        UpstreamProtocolError,
        "The connection to {place} broke before the answer.",
        "connection_terminated",
    ),
    (ClientError, UpstreamProtocolError, "The answer of {place} is broken.", "http_protocol_error"),
    (OSError, UpstreamProtocolError, "The connection to {place} broke: {cause}.", "connection_terminated"),
    # What aiohttp's stream says once its connection is gone.
    (RuntimeError, UpstreamProtocolError, "The connection to {place} is closed.", "connection_terminated"),
)

LIBRARY_ERRORS = (ClientError, HttpProcessingError, OSError, TimeoutError, RuntimeError)


def translate(error: BaseException, *, place: str, sent: bool) -> APIError:
    """The failure for an exception of `LIBRARY_ERRORS`; `sent` where a byte may have gone out."""
    root = _root(error)
    for kind, listed, text, type_ in _TABLE:
        if isinstance(error, kind) or isinstance(root, kind):
            failure = ConnectError if listed is UpstreamProtocolError and not sent else listed
            detail = text.format(place=place, cause=_cause(root))
            refused = failure is ConnectError and isinstance(root, ConnectionRefusedError)
            return failure(
                detail,
                sent=sent and failure is not ConnectError,
                proxy_status="connection_refused" if refused else type_,
            )
    raise error


def _root(error: BaseException) -> BaseException:
    """What the machine said beneath the library's words."""
    if isinstance(error, ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, ClientConnectorError):
        return error.os_error
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError) and _of_certificate(cause):
        # TLS 1.3 refuses a client's certificate only after the handshake seemed done; nothing was read.
        return cause
    return error


def _of_certificate(error: ssl.SSLError) -> bool:
    reason = str(getattr(error, "reason", None) or "")
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def _cause(root: BaseException) -> str:
    match root:
        case ssl.SSLCertVerificationError():
            return str(getattr(root, "verify_message", "not trusted")).rstrip(".")
        case ssl.SSLError():
            return str(getattr(root, "reason", None) or "handshake failed").replace("_", " ").lower()
        case ConnectionError(errno=None):
            return "the other side closed it"
        case OSError():
            # The error's own text may name an address; its number's text never does.
            return os.strerror(root.errno).lower() if root.errno else "failed"
        case _:
            return type(root).__name__
