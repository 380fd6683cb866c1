"""Which certificates does TLS use, towards callers and towards an upstream?

The law: files that change are in force for the connections to come only where they can be used, all together.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path

from proxy.config.routes import UpstreamSettings, UpstreamTLS
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


class Certified:
    """A context that stays the same object, and the files that what it shows and trusts comes from."""

    def __init__(
        self,
        said: ServerTLS | UpstreamTLS,
        make: Callable[[], ssl.SSLContext],
        context: ssl.SSLContext | None = None,
        *,
        known: bool = False,
    ) -> None:
        """`make` reads the files, and raises CertificateError; `context` is one that has read them.

        `known`: how the files are now is noted before they are read, which blocks.
        """
        authority = said.client_ca if isinstance(said, ServerTLS) else said.ca
        self._cert, self._key, self._authority = said.cert, said.key, authority
        self._make = make
        self.digest = b""  # of the certificate that an upstream is shown; b"" = none
        self._seen: tuple[tuple[int, ...] | None, ...] | None = self._identity() if known else None
        self.context = make() if context is None else context

    @property
    def known(self) -> bool:
        """Whether the next look can tell that files have changed."""
        return self._seen is not None

    @property
    def file(self) -> str:
        """The one to tell of."""
        return self._cert or self._authority or ""

    def look(self) -> bool:
        """Blocking. Whether files may have changed since the last look, of which the first cannot know.

        Raises CertificateError where they cannot be used.
        """
        found = self._identity()
        if found == self._seen:
            return False
        self._seen = found
        self._make()
        return True

    def renew(self) -> None:
        """Takes over what `look` has found to be good. An authority is trusted beside the earlier one.

        On the loop, so that no handshake falls between certificate and key.
        """
        if self._authority is not None:
            self.context.load_verify_locations(self._authority)
        if self._cert is not None:
            _load(self.context, self._cert, self._key)

    def _identity(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(_stamp(file) for file in (self._cert, self._key, self._authority) if file is not None)


def certified_caller_side(settings: ServerTLS, context: ssl.SSLContext | None = None) -> Certified:
    """As `for_callers`, to be renewed; `context` is one that the sockets know already."""
    return Certified(settings, lambda: for_callers(settings), context)


def certified_upstream_side(settings: UpstreamTLS) -> Certified:
    """As `for_upstream`, with a digest of what is shown: whom an answer was for is told by that. Blocking."""
    made = Certified(settings, lambda: for_upstream(settings), known=True)
    if settings.cert is not None:
        try:
            made.digest = blake2b(Path(settings.cert).read_bytes(), digest_size=32).digest()
        except OSError as error:
            raise CertificateError(
                f"The TLS certificate in {settings.cert} cannot be used: {_why(error)}."
            ) from error
    return made


def upstream_sides(upstreams: Mapping[str, UpstreamSettings]) -> dict[str, Certified]:
    """Of those upstreams that have one. Blocking. Raises CertificateError."""
    said = {name: upstream.certificates() for name, upstream in upstreams.items()}
    return {name: certified_upstream_side(own) for name, own in said.items() if own is not None}


def _stamp(file: str) -> tuple[int, ...] | None:
    """What is another after each change, also one of a symlink on the way; None where it is not there."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


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
