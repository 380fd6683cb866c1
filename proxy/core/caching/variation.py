"""Which of several answers to one target fits this request? (RFC 9111 §4.1)

The law: the request fields that Vary names must be the same. Their values are kept as a keyed digest
only, since Vary may name a field that holds a credential. Only what surely means the same is read as the
same: blanks around commas and lines folded into one, and letter case where the field's own definition
ignores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proxy.core.caching import syntax
from proxy.core.caching.entry import Entry
from proxy.core.caching.key import digest
from proxy.core.message import Headers

_CASELESS = frozenset({"accept-encoding", "accept-language", "accept-charset"})


def named(headers: Headers) -> tuple[str, ...] | None:
    """The names that Vary lists, lower-case, sorted, each once; None where `*` is among them."""
    text = headers.joined("vary")
    if text is None:
        return ()
    names = {name.lower() for name in syntax.split(text)}
    # A quoted star is no star to the grammar, and nothing that a cache should bet on.
    return None if any("*" in name for name in names) else tuple(sorted(names))


def select(names: Iterable[str], headers: Headers, *, secret: bytes) -> bytes:
    """The digest of a request's values of these fields; empty where there are no names."""
    parts = [part for name in names for part in (name.encode("latin-1"), _value(name, headers))]
    return digest(parts, secret=secret) if parts else b""


def matching(headers: Headers, entries: Sequence[Entry], *, secret: bytes) -> Entry | None:
    """The first entry that this request selects; entries come newest first."""
    known: dict[tuple[str, ...], bytes] = {}
    for entry in entries:
        if entry.vary not in known:
            known[entry.vary] = select(entry.vary, headers, secret=secret)
        if known[entry.vary] == entry.selection:
            return entry
    return None


def _value(name: str, headers: Headers) -> bytes:
    text = headers.joined(name)
    if text is None:
        return b"-"  # absent is not the same as empty
    folded = ",".join(syntax.split(text))
    return b"+" + (folded.lower() if name in _CASELESS else folded).encode("latin-1")
