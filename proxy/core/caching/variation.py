"""Which of several answers to one target fits this request? (RFC 9111 §4.1)

The law: the request fields that Vary names must be the same. Their values are kept as a keyed digest
only, since Vary may name a field that holds a credential. Only what surely means the same is read as the
same: blanks around commas and lines folded into one, letter case where the field's own definition
ignores it, and the order of languages, which RFC 9110 §12.5.4 leaves to their weights. Beyond that, an
answer in the one language that the caller wants most is what any negotiation would have given it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from proxy.core.caching import syntax
from proxy.core.caching.entry import Entry
from proxy.core.caching.key import digest
from proxy.core.expression import expression
from proxy.core.message import Headers

_CASELESS = frozenset({"accept-encoding", "accept-charset"})
_LANGUAGE = "accept-language"
# RFC 9110 §12.4.2 and RFC 4647 §2.1.
_RANGE = expression(
    r"(?P<range>\*|[a-z]{1,8}(?:-[a-z0-9]{1,8})*)"
    r"(?:[ \t]*;[ \t]*q=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?",
    re.ASCII,
)


def named(headers: Headers) -> tuple[str, ...] | None:
    """The names that Vary lists, lower-case, sorted, each once; None where `*` is among them."""
    text = headers.joined("vary")
    if text is None:
        return ()
    names = {name.lower() for name in syntax.split(text)}
    # A quoted star is no star to the grammar, and nothing that a cache should bet on.
    return None if any("*" in name for name in names) else tuple(sorted(names))


def select(names: Iterable[str], headers: Headers, *, secret: bytes, language: str | None = None) -> bytes:
    """The digest of a request's values of these fields; empty where there are no names.

    With `language` it is that of a request whose languages are not read but known to come to this one.
    """
    parts: list[bytes] = []
    for name in names:
        known = None if language is None or name != _LANGUAGE else b"=" + language.encode("latin-1")
        parts += (name.encode("latin-1"), known or _value(name, headers))
    return digest(parts, secret=secret) if parts else b""


def spoken(names: Iterable[str], asked: Headers, answered: Headers, *, secret: bytes) -> bytes:
    """`select` by the language that the answer is in; empty where it is not varied by or not one."""
    tags = [tag.lower() for tag in syntax.split(answered.joined("content-language") or "")]
    names = tuple(names)
    if _LANGUAGE not in names or len(tags) != 1:
        return b""
    return select(names, asked, secret=secret, language=tags[0])


def most_wanted(headers: Headers) -> str | None:
    """The one language that a request wants more than any other; None where there is no such one."""
    wanted = _languages(headers.joined(_LANGUAGE) or "")
    if not wanted or (len(wanted) > 1 and wanted[0][0] == wanted[1][0]):
        return None
    weight, language = wanted[0]
    return None if language == "*" or weight == 0 else language


def matching(headers: Headers, entries: Sequence[Entry], *, secret: bytes) -> Entry | None:
    """The first entry that this request selects; entries come newest first."""
    known: dict[tuple[str, ...], bytes] = {}
    for entry in entries:
        if entry.vary not in known:
            known[entry.vary] = select(entry.vary, headers, secret=secret)
        if known[entry.vary] == entry.selection:
            return entry
    if not any(entry.spoken for entry in entries):
        return None
    language = most_wanted(headers)
    for entry in entries if language is not None else ():
        if entry.spoken and entry.spoken == select(entry.vary, headers, secret=secret, language=language):
            return entry
    return None


def _value(name: str, headers: Headers) -> bytes:
    text = headers.joined(name)
    if text is None:
        return b"-"  # absent is not the same as empty
    if name == _LANGUAGE:
        wanted = _languages(text)
        if wanted is not None:
            return b"+" + ",".join(f"{tag};{-weight}" for weight, tag in wanted).encode("latin-1")
        return b"+" + ",".join(syntax.split(text)).lower().encode("latin-1")
    folded = ",".join(syntax.split(text))
    return b"+" + (folded.lower() if name in _CASELESS else folded).encode("latin-1")


@lru_cache(maxsize=512)
def _languages(text: str) -> tuple[tuple[int, str], ...] | None:
    """(thousandths of weight, negative; language), the most wanted first; None for what is no such list."""
    read: list[tuple[int, str]] = []
    for member in syntax.split(text):
        found = _RANGE.fullmatch(member.lower())
        if found is None:
            return None
        read.append((-round(float(found["weight"] or "1") * 1000), found["range"]))
    return tuple(sorted(set(read)))
