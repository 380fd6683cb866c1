"""What is meant by a purge?

The law: its parts narrow each other, and a purge without parts means everything. The upstream's name and
the path decide from the key alone; the tag decides about each stored answer by itself.
"""

from __future__ import annotations

from proxy.core.caching.entry import Entry
from proxy.core.routing import glob
from proxy.core.value import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """A missing part means any. `path` is a glob as `match.path` is, on the path after the prefix."""

    upstream: str | None = None
    path: str | None = None
    tag: str | None = None

    def reaches(self, upstream: str, target: str) -> bool:
        """Whether it may mean what is kept, or on its way, for this target of this upstream."""
        if self.upstream is not None and self.upstream != upstream:
            return False
        return self.path is None or glob(self.path).fullmatch(target.partition("?")[0]) is not None

    def means(self, entry: Entry) -> bool:
        """Whether it means this entry, where it reaches its target."""
        return self.tag is None or self.tag in entry.tags
