"""How does a credential get onto a request, once and intact?

The law: afterwards exactly one field or parameter carries it. The caller's twins go first, whatever
their case and whether spelled with `_` or `-`: gateways behind us read both as one name (CVE-2025-64484).
A value that could end a field line or change its meaning is refused, never repaired.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_to_bytes

from proxy.core.expression import expression
from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, lower_name
from proxy.core.ports import Secret

AUTHORIZATION = frozenset({"authorization"})

_CONTROL = expression(r"[\x00-\x1f\x7f]")
_BYTES = 0xFF


def revealed(secret: Secret, *, empty: bool = False) -> str:
    """The secret's value as of now. Raises CredentialError for control characters, or for no value."""
    value = secret.reveal()
    if not value and not empty:
        raise CredentialError(f"The secret from {secret.describe()} is empty.")
    if _CONTROL.search(value) is not None:
        raise CredentialError(f"The secret from {secret.describe()} holds a line break or control character.")
    return value


def field_value(value: str, secret: Secret) -> bytes:
    """The value as bytes of a header field (RFC 9110 §5.5). Raises CredentialError."""
    if value != value.strip():
        raise CredentialError(f"The secret from {secret.describe()} begins or ends with white space.")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        # Not chained: the error holds the value.
        raise CredentialError(
            f"The secret from {secret.describe()} holds characters that a header cannot carry."
        ) from None


def without(request: Request, replaced: frozenset[str]) -> Request:
    """The request without fields of these names, however they are spelled."""
    fields = [field for field in request.headers.fields if not _is_twin(field[0], replaced)]
    if len(fields) == len(request.headers):
        return request
    return _changed(request, request.target, Headers(fields))


def without_parameters(request: Request, names: Iterable[str]) -> Request:
    """The request without query parameters of these names, however they are percent-encoded."""
    path, mark, query = request.target.partition("?")
    unwanted = {name.encode("utf-8") for name in names}
    if not query or not unwanted:
        return request
    kept = "&".join(piece for piece in query.split("&") if _parameter_name(piece) not in unwanted)
    return (
        request
        if kept == query
        else _changed(request, f"{path}{mark}{kept}" if kept else path, request.headers)
    )


def with_field(request: Request, name: bytes, value: bytes, replaced: frozenset[str]) -> Request:
    """The request with this field last, and without any other field of the replaced names."""
    fields = [field for field in request.headers.fields if not _is_twin(field[0], replaced)]
    fields.append((name, value))
    return _changed(request, request.target, Headers(fields))


def with_parameter(request: Request, name: str, value: str, replaced: frozenset[str]) -> Request:
    """The request with this query parameter last, others byte for byte as they were.

    The caller's parameters of that name go, however their name was percent-encoded.
    """
    fields = [field for field in request.headers.fields if not _is_twin(field[0], replaced)]
    headers = request.headers if len(fields) == len(request.headers) else Headers(fields)
    path, mark, query = request.target.partition("?")
    kept = query
    if mark and query:
        wanted = name.encode("utf-8")
        kept = "&".join(piece for piece in query.split("&") if _parameter_name(piece) != wanted)
    try:
        added = f"{quote(name, safe='')}={quote(value, safe='')}"
    except UnicodeEncodeError:
        raise CredentialError("The credential cannot be percent-encoded.") from None
    joint = "" if not kept or kept.endswith("&") else "&"
    return _changed(request, f"{path}?{kept}{joint}{added}", headers)


def parameter(request: Request, name: str) -> str:
    """The value of the last query parameter of this name, decoded; empty without one."""
    wanted = name.encode("utf-8")
    found = [piece for piece in request.query.split("&") if _parameter_name(piece) == wanted]
    return unquote(found[-1].partition("=")[2]) if found else ""


# Fields in which answers repeat the URL that was asked, and with it its query.
_LINKING = frozenset({"location", "content-location", "link", "refresh"})


def without_echo(headers: Headers, name: str) -> Headers:
    """The fields of an answer, with the value of this query parameter masked in their URLs."""
    if _LINKING.isdisjoint(headers.names()):
        return headers
    pattern = _parameter_in_text(name)
    return Headers(
        [
            (field, pattern.sub(rb"\1***", value) if lower_name(field) in _LINKING else value)
            for field, value in headers.fields
        ]
    )


@lru_cache(maxsize=256)
def _parameter_in_text(name: str) -> re.Pattern[bytes]:
    """The parameter in a URL, also in one that is itself a parameter of another."""
    names = b"|".join(re.escape(one.encode()) for one in {name, quote(name), quote(name, safe="")})
    return expression(
        rb"((?:[?&;]|%3[fF]|%26|%3[bB])(?:" + names + rb")(?:=|%3[dD]))(?:(?!%26|%23)[^&;#<>\"'\s,])*"
    )


def _is_twin(name: bytes, replaced: frozenset[str]) -> bool:
    lowered = lower_name(name)
    return lowered in replaced or (b"_" in name and lowered.replace("_", "-") in replaced)


def _parameter_name(piece: str) -> bytes:
    # The target's characters are its bytes (core/message.py), and `+` is a space in a form's query.
    return unquote_to_bytes(piece.partition("=")[0].replace("+", " ").encode("latin-1"))


def _changed(request: Request, target: str, headers: Headers) -> Request:
    return Request(
        method=request.method,
        target=target,
        headers=headers,
        body=request.body,
        host=request.host,
        scheme=request.scheme,
        interim=request.interim,
    )
