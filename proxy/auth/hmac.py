"""How is a request signed with a shared key, where an API has rules of its own?

The operator writes down what is signed, as a template of named parts, and in which fields or parameters
the signature and what it needs are sent. The law: what was signed is what is sent; all parts of one
request are of one moment.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from email.utils import formatdate
from functools import partial

from proxy.auth.placing import (
    AUTHORIZATION,
    revealed,
    with_field,
    with_parameter,
    without,
    without_parameters,
)
from proxy.auth.veil import Veil
from proxy.core.expression import expression
from proxy.core.failure import CredentialError, PayloadTooLargeError
from proxy.core.message import Request, Whole
from proxy.core.ports import Clock, Secret
from proxy.core.routing import Origin
from proxy.core.value import dataclass

_NONE: frozenset[str] = frozenset()
_PART = expression(r"\{([a-z0-9_]+)\}")
ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
KEY_ENCODINGS = ("utf-8", "hex", "base64")
ENCODINGS = ("hex", "base64", "base64url")
# What a template may hold. `signature` only where something is sent, not where it is signed.
PARTS = (
    *("method", "path", "query", "target", "host", "url", "body", "body_md5", "body_sha256"),
    *("body_sha256_base64", "body_sha512", "timestamp", "timestamp_ms", "date", "iso_date", "nonce"),
    *("key_id", "signature"),
)


def parts_of(template: str) -> set[str]:
    """The parts that a template names, known or not."""
    return set(_PART.findall(template))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is signed, how, and where it goes; `sign`, `headers` and `query` hold templates."""

    sign: str
    algorithm: str = "sha256"
    key_encoding: str = "utf-8"
    encoding: str = "hex"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Hmac:
    """`{type: hmac, key: …, sign: …}`. `most` bytes of a body are read where the template needs it."""

    __slots__ = ("_clock", "_key", "_key_id", "_most", "_recipe", "_veil", "replaced")

    def __init__(
        self,
        key: Secret,
        key_id: Secret | None,
        recipe: Recipe,
        salt: bytes,
        clock: Clock,
        *,
        most: int = 1024 * 1024,
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._recipe = recipe
        self._clock = clock
        self._most = most
        self._veil = Veil("hmac", salt)
        self.replaced: frozenset[str] = AUTHORIZATION | {
            name.lower().replace("_", "-") for name in recipe.headers
        }

    def __repr__(self) -> str:
        return f"Hmac({self.describe()})"

    def describe(self) -> str:
        where = ", ".join((*self._recipe.headers, *self._recipe.query))
        return f"hmac {self._recipe.algorithm} in {where}, key from {self._key.describe()}"

    def identity(self) -> str:
        """Raises CredentialError."""
        self._bytes()
        return self._veil.identity(revealed(self._key), self._id())

    async def inject(self, request: Request, origin: Origin) -> Request:
        """Raises PayloadTooLargeError where the body is to be signed and is too long for it."""
        recipe = self._recipe
        needed = parts_of(recipe.sign).union(
            *map(parts_of, (*recipe.headers.values(), *recipe.query.values()))
        )
        body = await self._body(request) if any(part.startswith("body") for part in needed) else b""
        # What goes into the query is part of what is signed, so it goes first; the signature comes last.
        parts = self._parts(request, origin, body)
        early = {name: text for name, text in recipe.query.items() if "signature" not in parts_of(text)}
        changed = without_parameters(without(request, self.replaced), recipe.query)
        for name, text in early.items():
            changed = with_parameter(changed, name, _text(text, parts), self.replaced)
        parts |= self._places(changed, origin)
        signature = self._signature(_filled(recipe.sign, parts))
        parts["signature"] = lambda: signature
        for name, text in recipe.query.items():
            if name not in early:
                changed = with_parameter(changed, name, _text(text, parts), self.replaced)
        for name, text in recipe.headers.items():
            changed = with_field(changed, name.encode("latin-1"), _filled(text, parts), _NONE)
        return changed

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._bytes()
        return self._veil.mask(text)

    def _id(self) -> str:
        return "" if self._key_id is None else revealed(self._key_id)

    def _bytes(self) -> bytes:
        value = revealed(self._key)
        self._veil.hide(value)
        try:
            match self._recipe.key_encoding:
                case "hex":
                    return bytes.fromhex(value)
                case "base64":
                    return base64.b64decode(value, validate=True)
                case _:
                    return value.encode()
        except (ValueError, binascii.Error):
            raise CredentialError(
                f"The key from {self._key.describe()} is not written in {self._recipe.key_encoding}."
            ) from None

    def _signature(self, text: bytes) -> str:
        digest = hmac.digest(self._bytes(), text, self._recipe.algorithm)
        match self._recipe.encoding:
            case "base64":
                return base64.b64encode(digest).decode()
            case "base64url":
                return base64.urlsafe_b64encode(digest).decode().rstrip("=")
            case _:
                return digest.hex()

    async def _body(self, request: Request) -> bytes:
        body = request.body
        if isinstance(body, Whole):
            return body.data
        pieces: list[bytes] = []
        size = 0
        if body.length is None or body.length <= self._most:
            while size <= self._most and (piece := await body.read()):
                pieces.append(piece)
                size += len(piece)
            if size <= self._most:
                return b"".join(pieces)
        raise PayloadTooLargeError("The body is to be signed, and it is longer than retry.max_replay_body.")

    def _parts(self, request: Request, origin: Origin, body: bytes) -> dict[str, Callable[[], str | bytes]]:
        wall = self._clock.wall()
        nonce = uuid.uuid4().hex
        sha256 = partial(hashlib.sha256, body)
        return {
            "method": lambda: request.method,
            **self._places(request, origin),
            "body": lambda: body,
            "body_md5": lambda: base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
            "body_sha256": lambda: sha256().hexdigest(),
            "body_sha256_base64": lambda: base64.b64encode(sha256().digest()).decode(),
            "body_sha512": lambda: hashlib.sha512(body).hexdigest(),
            "timestamp": lambda: str(int(wall)),
            "timestamp_ms": lambda: str(int(wall * 1000)),
            "date": lambda: formatdate(wall, usegmt=True),
            "iso_date": lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall)),
            "nonce": lambda: nonce,
            "key_id": self._id,
        }

    @staticmethod
    def _places(request: Request, origin: Origin) -> dict[str, Callable[[], str | bytes]]:
        target = origin.path + request.target
        path, _, query = target.partition("?")
        url = f"{origin.scheme}://{origin.authority}{target}"
        return {
            "path": lambda: path.encode("latin-1"),
            "query": lambda: query.encode("latin-1"),
            "target": lambda: target.encode("latin-1"),
            "host": lambda: origin.authority,
            "url": lambda: url.encode("latin-1"),
        }


def _filled(template: str, parts: Mapping[str, Callable[[], str | bytes]]) -> bytes:
    """Text between the parts as UTF-8, a target's and a body's bytes as they are."""

    def pieces() -> Iterator[bytes]:
        for number, piece in enumerate(_PART.split(template)):
            value = parts[piece]() if number % 2 else piece
            yield value if isinstance(value, bytes) else value.encode()

    return b"".join(pieces())


def _text(template: str, parts: Mapping[str, Callable[[], str | bytes]]) -> str:
    return _filled(template, parts).decode("utf-8", "replace")
