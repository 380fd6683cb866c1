"""Which regular expressions does a start not have to wait for?

All of them. To compile the eighty that are written in this house takes longer than to read its code, and
most are for what happens rarely or never: each is compiled when it is first asked something.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast

_QUESTIONS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn")


class _Later:
    """Stands for a pattern; from the first question on, the pattern's own methods answer."""

    def __init__(self, written: str | bytes, flags: int) -> None:
        self._written: tuple[Any, int] = written, flags

    def __getattr__(self, name: str) -> Any:
        if name not in _QUESTIONS:
            raise AttributeError(f"a pattern is not asked for its {name}")
        compiled = re.compile(*self._written)
        for question in _QUESTIONS:
            setattr(self, question, getattr(compiled, question))
        return getattr(compiled, name)


def expression(written: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`; what is wrong with `written` is told when it is first used (re.error)."""
    return cast("re.Pattern[AnyStr]", _Later(written, flags))
