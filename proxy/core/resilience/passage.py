"""May a call go now, later, or not at all? What gates, breakers and limits answer.

`era` in an answer names the stretch of a state's life in which it was given: what a call reports
afterwards counts only in the same one, so that late news from before a change is not taken for news.
"""

from __future__ import annotations

from proxy.core.value import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Now."""

    era: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not before so many seconds have passed, or something has changed; then ask again."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Not at all; `seconds` is when asking again makes sense, None where nobody knows."""

    seconds: float | None = None


Passage = Go | Wait | Refuse
GO = Go()
