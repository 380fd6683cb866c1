"""Why was it decided so? The closed list: one word everywhere (header, log, metric, `explain`)."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A decision's name. `sentence` says it to a person; the README lists both."""

    # What the cache decides
    URI_MISS = "uri-miss"

    # What retrying decides
    STATUS = "status"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES: dict[Reason, str] = {
    Reason.URI_MISS: "Nothing is stored for this request.",
    Reason.STATUS: "The upstream's status is one that is retried.",
}
