"""What of a request's content becomes part of its key?

The law: two contents are the same where they are the same bytes, or the same JSON: letter case, numbers
and the order of lists count as written, blanks and the order of members do not. What is not surely JSON
in one reading only, a member given twice for instance, counts byte for byte. A request that may change
something has no key.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from proxy.core.caching import graphql
from proxy.core.caching.graphql import Effect
from proxy.core.expression import expression
from proxy.core.message import Headers, Request

_FORM = "application/x-www-form-urlencoded"
_GRAPHQL = "application/graphql"
_MULTIPART = "multipart/"
# How GraphQL is sent with files beside it.
_OPERATIONS = (b'name="operations"', b'name="query"', b"name=operations", b"name=query")
# In what only a lenient server reads as JSON: names of what changes something, or the means to hide one.
_UNCLEAR = expression(rb"mutation|subscription|operationName|persistedQuery|\\u|\0")

Path = tuple[str, ...]


class _Number(str):
    """A number as it was written: none is rounded, and 1 is not 1.0."""

    __slots__ = ()


def keyed(request: Request, content: bytes, ignored: Iterable[str]) -> bytes | None:
    """What stands for the content in the key; None where the request may change something.

    `ignored` are the paths of members that do not matter, as `user` or `items.*.id`.
    """
    kind = media_type(request.headers)
    # To curl every body is a form; one that as a whole is a JSON object or list is no form.
    misnamed = kind == _FORM and content.lstrip()[:1] in (b"{", b"[")
    written_as_json = not kind or misnamed or kind.endswith(("/json", "+json"))
    read = _read(content)
    if read is None:
        unclear = written_as_json and _UNCLEAR.search(content) is not None
        return None if unclear or _may_change(request, kind, content) else b"bytes:" + content
    value, twice = read
    effect = graphql.of_request(value)
    if effect is Effect.MAY_CHANGE or _may_change(request, kind, content):
        return None
    if not twice.isdisjoint(graphql.MEMBERS):
        return None
    if twice or not written_as_json or not isinstance(value, dict | list):
        return b"bytes:" + content
    try:
        return b"json:" + _written(_less(value, [tuple(path.split(".")) for path in ignored])).encode()
    except RecursionError:
        return b"bytes:" + content


def media_type(headers: Headers) -> str:
    """The type that Content-Type names, lower-case, without parameters; empty where it names none."""
    lines = headers.all("content-type")
    # Two that differ are read differently by different servers.
    return lines[0].partition(";")[0].strip().lower() if len(lines) == 1 else "?" if lines else ""


def _may_change(request: Request, kind: str, content: bytes) -> bool:
    """Of the target, and of content that is not JSON."""
    if Effect.MAY_CHANGE in _queries(request.target.partition("?")[2]):
        return True
    if kind == _GRAPHQL:
        return graphql.of_document(content.decode("utf-8", "replace")) is not Effect.READS
    if kind == _FORM:
        return Effect.MAY_CHANGE in _queries(content.decode("utf-8", "replace"))
    return kind.startswith(_MULTIPART) and any(mark in content for mark in _OPERATIONS)


def _queries(pairs: str) -> Iterator[Effect]:
    """What GraphQL's parameters may do."""
    for name, value in parse_qsl(pairs, errors="replace") if "=" in pairs else ():
        if name == "query":
            yield graphql.of_document(value)
        elif name == "extensions" and "persistedQuery" in value:
            yield Effect.MAY_CHANGE


def _read(content: bytes) -> tuple[Any, set[str]] | None:
    """The JSON value and the names given twice in an object; None for what is no JSON (RFC 8259)."""
    twice: set[str] = set()

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            times = Counter(name for name, _ in pairs)
            twice.update(name for name, number in times.items() if number > 1)
        return found

    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=members,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refused,
        )
    except (ValueError, RecursionError):
        return None
    return value, twice


def _refused(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _less(value: Any, ignored: list[Path]) -> Any:
    """The value without the members that these paths name."""
    if not ignored:
        return value
    match value:
        case dict():
            return {
                name: _less(member, _below(name, ignored))
                for name, member in value.items()
                if (name,) not in ignored
            }
        case list():
            below = _below("*", ignored)
            return [_less(item, below) for item in value]
        case _:
            return value


def _below(name: str, ignored: list[Path]) -> list[Path]:
    return [path[1:] for path in ignored if len(path) > 1 and path[0] == name]


def _written(value: Any) -> str:
    """In the one form that equal values share (RFC 8785, but for numbers, which stay as they came)."""
    match value:
        case _Number():
            return str(value)
        case dict():
            members = (f"{json.dumps(name)}:{_written(value[name])}" for name in sorted(value))
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case _:
            return json.dumps(value)
