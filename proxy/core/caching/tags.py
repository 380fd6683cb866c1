"""By which names of the origin's own can an answer be purged?

`Cache-Tag` separates its tags by commas, `Surrogate-Key` and `xkey` by spaces. Neither character is ever
part of a tag, so every field is read in both ways at once. Tags are case-sensitive, and text in UTF-8
where their bytes are that.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.expression import expression
from proxy.core.message import Headers

FIELDS = ("cache-tag", "surrogate-key", "xkey")
_APART = expression(r"[\s,\0]+")


def tags(headers: Headers, names: Iterable[str] = FIELDS) -> tuple[str, ...]:
    """The tags in the fields of these lower-case names, each once, in their order."""
    present = headers.names()
    found: dict[str, None] = {}
    for name in names:
        if name in present:
            for value in headers.all(name):
                found.update(dict.fromkeys(_APART.split(_text(value))))
    found.pop("", None)
    return tuple(found)


def is_tag(text: str) -> bool:
    """Whether this can be one tag."""
    return bool(text) and _APART.search(text) is None


def _text(value: str) -> str:
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
