"""What may be asked about what the cache keeps, and how is it shown?

The law: a question that is not understood whole does nothing. What is shown of a target is its path and
the names in its query; secrets that are known are masked wherever they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy.core.caching.purge import Purge
from proxy.core.caching.tags import is_tag
from proxy.core.ports import Kept

_PARTS = ("upstream", "path", "tag")
_MOST_TEXT = 1024  # characters of what is asked
_MOST_TARGET = 512  # characters shown
_MOST_TAGS = 64  # shown
_MOST_WILDCARDS = 8  # each may make matching a path as much slower as the path is long


class UnclearError(Exception):
    """What was asked is not understood; its text says what would be."""


def purge(asked: Mapping[str, Any]) -> Purge:
    """What `{"all": true}`, or any of upstream, path and tag, means. Raises UnclearError."""
    everything = asked.get("all")
    if not asked.keys() <= {*_PARTS, "all"} or not (everything is None or isinstance(everything, bool)):
        raise UnclearError('Send {"all": true}, or one or more of "upstream", "path" and "tag".')
    what = meant(asked)
    if (what == Purge()) is not bool(everything):
        raise UnclearError('Send either {"all": true}, or one or more of "upstream", "path" and "tag".')
    return what


def meant(asked: Mapping[str, Any]) -> Purge:
    """The parts that are given and not null; other members are not looked at. Raises UnclearError."""
    parts = {name: asked[name] for name in _PARTS if asked.get(name) is not None}
    for name, value in parts.items():
        if not isinstance(value, str) or not value or len(value) > _MOST_TEXT:
            raise UnclearError(f'"{name}" is a text of 1 to {_MOST_TEXT} characters.')
    what = Purge(**parts)
    path = what.path
    if path is not None and (path[0] not in "/*" or "?" in path or "#" in path):
        raise UnclearError('"path" begins with / or *, and has no query: * within a segment, ** across.')
    if path is not None and path.replace("**", "*").count("*") > _MOST_WILDCARDS:
        raise UnclearError(f'"path" has at most {_MOST_WILDCARDS} wildcards.')
    if what.tag is not None and not is_tag(what.tag):
        raise UnclearError('"tag" is one tag, which has no spaces and no commas.')
    return what


def shown(kept: Kept, now: float, mask: Callable[[str], str]) -> dict[str, Any]:
    """One row of the listing. `now` is monotonic; times in seconds, sizes in bytes."""
    entry = kept.entry
    return {
        "upstream": kept.key.upstream,
        "target": _target(mask(kept.key.target))[:_MOST_TARGET],
        "status": entry.status,
        "size": kept.size,
        "age": round(entry.age(now), 3),
        "ttl": round(entry.ttl(now), 3),
        "tags": [mask(tag) for tag in entry.tags[:_MOST_TAGS]],
        "vary": list(entry.vary),
        "hits": kept.uses,
    }


def _target(target: str) -> str:
    """Without the values in its query."""
    path, mark, query = target.partition("?")
    named = (pair.partition("=") for pair in query.split("&"))
    return path + mark + "&".join(f"{name}=***" if equals else "***" for name, equals, _ in named if mark)
