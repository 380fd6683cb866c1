"""Which certificates does TLS use, towards callers and towards an upstream?"""

from __future__ import annotations

import ssl

from proxy.config.routes import UpstreamTLS
from proxy.config.settings import ServerTLS


class CertificateError(Exception):
    """Files that TLS cannot use; the message names them and says why."""


def for_callers(settings: ServerTLS) -> ssl.SSLContext:
    """With `client_ca`, callers must show a certificate that it signed. Raises CertificateError."""
    context = _context(ssl.Purpose.CLIENT_AUTH, settings.client_ca)
    _load(context, settings.cert, settings.key)
    if settings.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def for_upstream(settings: UpstreamTLS) -> ssl.SSLContext:
    """Verifies the upstream, and shows our certificate where there is one. Raises CertificateError."""
    context = _context(ssl.Purpose.SERVER_AUTH, settings.ca)
    if settings.cert is not None:
        _load(context, settings.cert, settings.key)
    return context


def _context(purpose: ssl.Purpose, authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(purpose, cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"The TLS authority in {authority} cannot be used: {_why(error)}.") from error


def _load(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    try:
        # An empty passphrase, so that an encrypted key is an error rather than a prompt on the terminal.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(
            f"The TLS certificate in {cert} with the key in {key} cannot be used: {_why(error)}."
        ) from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is no PEM file with what is needed"
    return error.strerror or type(error).__name__
