"""How does an API speak of its failures, and how would it speak of ours?

Data, read from presets and configuration: where in an answer the message, the code and the request's id
stand; which answers mean something else than their status says; how much is left, by which fields; and
what a failure looks like that the vendor's own SDK understands. What follows from it is decided in
`core/classify`, `core/native` and `core/problem`.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NoReturn, assert_never

from proxy.core.expression import expression
from proxy.core.failure import APIError
from proxy.core.message import Headers
from proxy.core.value import dataclass

MOST_READ = 64 * 1024  # bytes of an error body that are read before anything is decided
LEGIBLE = frozenset({"identity", "gzip", "x-gzip", "deflate"})  # what `decoded` can undo
_MOST_VALUES = 50  # of one place with `*` in it
_XML_TEXT = 4096  # characters of one element


class Source(StrEnum):
    """What of an answer is looked into."""

    BODY = "body"
    FIELD = "header"
    XML = "xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in an answer something stands.

    `error.code` is a member of a JSON body, `errors.*.message` that of any item or member, `header:name`
    a field, `xml:Code` the first element of that name, whatever encloses it.
    """

    source: Source
    steps: tuple[str, ...]

    @classmethod
    def of(cls, written: str) -> Place:
        """Raises ValueError for what is no place."""
        source, colon, name = written.partition(":")
        if not colon:
            steps = tuple(written.split("."))
            if not all(steps):
                raise ValueError("is no place in an answer; write error.code, header:NAME or xml:Name")
            return cls(source=Source.BODY, steps=steps)
        if source not in {Source.FIELD, Source.XML} or re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
            raise ValueError("is no place in an answer; write error.code, header:NAME or xml:Name")
        return cls(source=Source(source), steps=(name.lower() if source == Source.FIELD else name,))

    def __str__(self) -> str:
        joined = ".".join(self.steps)
        return joined if self.source is Source.BODY else f"{self.source}:{joined}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What an answer looks like, and what it then is. Parts that are empty fit everything.

    `statuses` empty: every failing one. `codes` and the values of `when` are globs, `says` are words in
    the message, whatever their case. `wait` is in seconds, and used where the answer names no time itself;
    `until_reset`: until the quota's reset, as the answer's own fields say. `kind` None: what the status
    says. `path` is a glob on the request's path, where `*` crosses segments.
    """

    kind: type[APIError] | None = None
    path: str | None = None
    statuses: frozenset[int] = frozenset()
    codes: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    when: tuple[tuple[Place, tuple[str, ...]], ...] = ()
    again: bool | None = None
    wait: float | None = None
    until_reset: bool = False

    def takes(self, path: str) -> bool:
        return self.path is None or fnmatchcase(path, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The fields in which an answer says how much is left of one quota; `used` holds `32/40`.

    `grammar` is one of `core.resilience.resets.GRAMMARS`, None = whichever fits.
    """

    bucket: str
    limit: str | None = None
    remaining: str | None = None
    reset: str | None = None
    used: str | None = None
    grammar: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A failure of ours as the vendor would tell it.

    `body` is JSON with placeholders, or a text; `when` names fields of the request that must fit (globs).
    `words` are the vendor's words for our codes, `*` for all others; `statuses` are its statuses for them,
    where its SDK knows a failure by another one. `event` is the type under which it is told within a
    stream of events; None = not told there.
    """

    media_type: str = "application/json"
    body: Any = None
    when: tuple[tuple[str, str], ...] = ()
    words: Mapping[str, str] | None = None
    statuses: Mapping[str, int] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    event: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """All of it. Places are tried in order. `stop` are fields that tell the SDK not to repeat."""

    message: tuple[Place, ...] = ()
    code: tuple[Place, ...] = ()
    request_id: tuple[Place, ...] = ()
    rows: tuple[Row, ...] = ()
    quota: tuple[Meter, ...] = ()
    forms: tuple[Form, ...] = ()
    stop: tuple[tuple[str, str], ...] = ()
    sensitive: frozenset[str] = frozenset()

    def doubts(self, status: int, path: str) -> bool:
        """Whether an answer that looks like a success may be none."""
        return any(status in row.statuses and row.takes(path) for row in self.rows)


PLAIN = Dialect()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer to a request for `path`, as far as its body was read, as JSON and as text."""

    status: int
    headers: Headers
    path: str = "/"
    document: Any = None
    text: str = ""


def heard(status: int, headers: Headers, body: bytes, path: str = "/") -> Answer:
    """The answer with its first bytes decoded; what cannot be read says nothing."""
    text = decoded(body, headers.joined("content-encoding"), MOST_READ).decode("utf-8", "replace")
    return Answer(status=status, headers=headers, path=path, document=parsed(text), text=text)


def parsed(text: str) -> Any:
    """The JSON that a text is; None where it is none."""
    try:
        # NaN and Infinity are no JSON (RFC 8259 §6), though Python reads them.
        return json.loads(text, parse_constant=_no_number) if text else None
    except (ValueError, RecursionError):
        return None


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def decoded(body: bytes, coding: str | None, most: int) -> bytes:
    """At most so many bytes of plain text; empty where the coding is one that we cannot undo."""
    match (coding or "identity").strip().lower():
        case "identity" | "":
            return body[:most]
        case "gzip" | "x-gzip":
            return _inflated(body, most, 47) or b""
        case "deflate":
            # Some send it bare, without zlib's head.
            return _inflated(body, most, 47) or _inflated(body, most, -15) or b""
        case _:
            return b""


def _inflated(body: bytes, most: int, bits: int) -> bytes | None:
    """`bits` 47: gzip or zlib, whichever the head says. Never more than is asked for."""
    try:
        return zlib.decompressobj(bits).decompress(body, most)
    except zlib.error:
        return None


def values(places: tuple[Place, ...], answer: Answer) -> Iterator[str]:
    """What stands in these places, as text, in order."""
    for place in places:
        match place.source:
            case Source.BODY:
                for found in _walked(answer.document, place.steps):
                    said = _word(found)
                    if said:
                        yield said
            case Source.FIELD:
                yield from answer.headers.all(place.steps[0])
            case Source.XML:
                found = _element(place.steps[0])(answer.text)
                if found:
                    yield found
            case _:
                assert_never(place.source)


def first(places: tuple[Place, ...], answer: Answer) -> str | None:
    """The first that says something; None where none does."""
    return next((value for value in values(places, answer) if value.strip()), None)


def _walked(document: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    here = [document]
    for step in steps:
        below: list[Any] = []
        for one in here:
            if step == "*":
                below += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
            elif isinstance(one, Mapping):
                below += [one[step]] if step in one else []
            elif isinstance(one, list) and step.isdecimal() and int(step) < len(one):
                below.append(one[int(step)])
        here = below[:_MOST_VALUES]
    yield from here


def _word(found: Any) -> str | None:
    match found:
        case bool():
            return "true" if found else "false"
        case str():
            return found
        case int() | float():
            return str(found)
        case _:
            return None


def _element(name: str) -> Callable[[str], str | None]:
    opening = expression(rf"<(?:[\w.-]{{1,60}}:)?{name}(?:\s[^<>]{{0,300}})?>([^<]{{0,{_XML_TEXT}}})</")

    def text(document: str) -> str | None:
        found = opening.search(document) if document.lstrip()[:1] == "<" else None
        return None if found is None else _unescaped(found[1].strip())

    return text


def _unescaped(text: str) -> str:
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text
