"""Which settings are accepted, although this version does not act on them yet?

A configuration for a later version is valid here and says so in a warning. The table is meant to shrink:
who brings a setting into force removes its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from proxy.config.problems import Key

MESSAGE = "accepted, but not in force in this version"


# The end of a key within an upstream, `defaults` or a rule, and which values of it do nothing yet.
_OF_UPSTREAMS: dict[tuple[str, ...], Callable[[Any], bool]] = {}


def pending(data: Mapping[str, Any]) -> Iterator[Key]:
    """The keys in valid data, before defaults are merged, that are not in force."""
    yield from _of_upstream(data.get("defaults") or {}, ("defaults",))
    for name, upstream in data["upstreams"].items():
        yield from _of_upstream(upstream, ("upstreams", name))


def _of_upstream(upstream: Mapping[str, Any], key: Key) -> Iterator[Key]:
    yield from _found(_OF_UPSTREAMS, upstream, key)
    for index, rule in enumerate(upstream.get("rules") or ()):
        yield from _found(_OF_UPSTREAMS, rule, (*key, "rules", index))


def _found(
    table: Mapping[tuple[str, ...], Callable[[Any], bool]], data: Mapping[str, Any], key: Key
) -> Iterator[Key]:
    for path, idle in table.items():
        here: Any = data
        for part in path:
            here = here.get(part) if isinstance(here, Mapping) else None
        if here is not None and idle(here):
            yield (*key, *path)
