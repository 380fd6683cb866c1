"""How is a request to AWS signed? With Signature Version 4, anew for every attempt.

The law: what was signed is what is sent, and it is signed as late as possible, for the origin that it goes
to. The caller's own signature goes, wherever it stood. A body is part of what is signed, or the service is
one that allows otherwise over TLS; one that can be neither is refused before a byte goes out.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time

from proxy.auth import canonical
from proxy.auth.aws import Credentials, Source
from proxy.auth.veil import Veil
from proxy.core.caching.syntax import instant
from proxy.core.expression import expression
from proxy.core.failure import BadRequestError, CredentialError, PayloadTooLargeError
from proxy.core.message import Field, Headers, Request, Response, Whole, lower_name
from proxy.core.ports import Clock
from proxy.core.routing import Origin

_CONTENT_HASH = "x-amz-content-sha256"
_HASH = expression(r"[0-9a-f]{64}")
_UNSIGNED_WORDS = frozenset({canonical.UNSIGNED, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
# OpenSearch Serverless wants the hash as a field too.
_TOLD_THE_HASH = canonical.OBJECT_STORES | {"aoss"}
_IN_QUERY = expression(
    r"x-amz-(?:algorithm|credential|date|expires|signature|signedheaders|security-token)", re.IGNORECASE
)
_REFUSED = frozenset({400, 401, 403})  # AWS tells of expired tokens and of clocks in all three
_MOST_SKEW = 240.0  # seconds; AWS accepts 300
_CARRIED = expression(r"Credential=([^/]+)/")


class SigV4:
    """`{type: sigv4, service: …, region: …}`. `most` bytes of a body are read to be hashed."""

    __slots__ = (
        "_clock",
        "_day",
        "_key",
        "_most",
        "_region",
        "_service",
        "_skew",
        "_source",
        "_tokens",
        "_veil",
    )

    replaced = frozenset({"authorization", "x-amz-date", "x-amz-security-token"})

    def __init__(
        self, service: str, region: str, source: Source, salt: bytes, clock: Clock, *, most: int = 1024 * 1024
    ) -> None:
        self._service = service
        self._region = region
        self._source = source
        self._clock = clock
        self._most = most
        self._veil = Veil("sigv4", salt)
        self._tokens = Veil("sigv4", salt)
        self._skew = 0.0  # seconds that AWS's clock is ahead of ours, where that is too much
        self._day: tuple[str, str] = ("", "")
        self._key = b""

    def __repr__(self) -> str:
        return f"SigV4({self.describe()})"

    def describe(self) -> str:
        return f"sigv4 for {self._service} in {self._region}, {self._source.describe()}"

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(self._service, self._region, *self._source.client())

    async def inject(self, request: Request, origin: Origin) -> Request:
        """Raises BadRequestError and PayloadTooLargeError for what cannot be signed."""
        return await self._signed(request, origin, await self._source.current())

    async def another(
        self, sent: Request, answer: Response, request: Request, origin: Origin
    ) -> Request | None:
        """Signed anew, where other credentials are here by now or AWS's clock differs from ours."""
        carried = _CARRIED.search(sent.headers.get("authorization") or "")
        if answer.status not in _REFUSED or carried is None:
            return None
        with contextlib.suppress(CredentialError, BadRequestError, PayloadTooLargeError):
            if self._set_clock(answer):
                return await self.inject(request, origin)
            other = await self._source.after(carried[1]) if answer.status != 400 else None  # noqa: PLR2004 - see above
            return None if other is None else await self._signed(request, origin, other)
        return None

    def expires(self) -> float | None:
        return self._source.expires()

    async def close(self) -> None:
        await self._source.close()

    def mask(self, text: str) -> str:
        return self._veil.mask(self._tokens.mask(text))

    async def _signed(self, request: Request, origin: Origin, credentials: Credentials) -> Request:
        self._hide(credentials)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.wall() + self._skew))
        target = canonical.respelled(_unsigned(request.target), self._service)
        payload = await self._payload(request, origin)
        fields: list[Field] = [
            field
            for field in request.headers.fields
            if lower_name(field[0]).replace("_", "-") not in self.replaced
            and lower_name(field[0]) != _CONTENT_HASH
        ]
        fields.append((b"X-Amz-Date", stamp.encode()))
        if credentials.session_token:
            fields.append((b"X-Amz-Security-Token", credentials.session_token.encode("latin-1")))
        if self._service in _TOLD_THE_HASH or _CONTENT_HASH in request.headers:
            fields.append((b"X-Amz-Content-SHA256", payload.encode()))
        headers = Headers(fields)
        signed = list(headers)
        if "host" not in headers:
            signed.append(("host", origin.authority))
        scope = canonical.Scope(stamp=stamp, region=self._region, service=self._service)
        text = canonical.canonical_request(
            request.method, origin.path + target, signed, payload, self._service
        )
        authorization = canonical.authorization(
            text, scope, access_key_id=credentials.access_key_id, key=self._signing_key(credentials, scope)
        )
        return Request(
            method=request.method,
            target=target,
            headers=headers.plus(("Authorization", authorization)),
            body=request.body,
            host=request.host,
            scheme=request.scheme,
            interim=request.interim,
        )

    def _signing_key(self, credentials: Credentials, scope: canonical.Scope) -> bytes:
        if self._day != (scope.day, credentials.secret_access_key):
            self._key = canonical.signing_key(credentials.secret_access_key, scope)
            self._day = (scope.day, credentials.secret_access_key)
        return self._key

    async def _payload(self, request: Request, origin: Origin) -> str:
        """The body's hash, or the word that stands for none."""
        told = request.headers.get(_CONTENT_HASH)
        if told is not None:
            if _HASH.fullmatch(told) is not None or told in _UNSIGNED_WORDS:
                return told  # AWS compares it with what comes
            if told.startswith("STREAMING-"):
                raise BadRequestError(
                    "The body's chunks are signed with the caller's own key; have the SDK send it whole."
                )
        body = request.body
        if isinstance(body, Whole):
            return hashlib.sha256(body.data).hexdigest() if body.data else canonical.EMPTY
        if self._service in canonical.OBJECT_STORES and origin.scheme == "https":
            return canonical.UNSIGNED
        if body.length is None or body.length <= self._most:
            digest = hashlib.sha256()
            size = 0
            while size <= self._most and (piece := await body.read()):
                digest.update(piece)
                size += len(piece)
            if size <= self._most:
                return digest.hexdigest()
        raise PayloadTooLargeError(
            f"{self._service} wants the body signed, and this one is longer than retry.max_replay_body."
        )

    def _set_clock(self, answer: Response) -> bool:
        """Whether the answer says that our clock is off, and we did not know it."""
        wall = self._clock.wall()
        theirs = instant(answer.headers.get("date") or "", wall)
        if theirs is None or abs(theirs - wall - self._skew) < _MOST_SKEW:
            return False
        self._skew = theirs - wall
        return True

    def _hide(self, credentials: Credentials) -> None:
        for secret in credentials.secrets():
            self._tokens.hide(secret)


def _unsigned(target: str) -> str:
    """Without the parameters of a signature that stands in the query."""
    path, mark, query = target.partition("?")
    if not mark or "-" not in query:
        return target
    kept = [pair for pair in query.split("&") if _IN_QUERY.fullmatch(pair.partition("=")[0]) is None]
    return f"{path}?{'&'.join(kept)}" if kept else path
