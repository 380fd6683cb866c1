"""Is an expression compiled when it is first asked, and right wherever one stands?"""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import proxy
from proxy.core.expression import _QUESTIONS, expression


@pytest.mark.parametrize("question", _QUESTIONS)
def test_it_answers_as_a_pattern_does(question: str) -> None:
    text = expression("b(c)?", re.IGNORECASE), re.compile("b(c)?", re.IGNORECASE), "abcAB"
    data = expression(b"b(c)?", re.IGNORECASE), re.compile(b"b(c)?", re.IGNORECASE), b"abcAB"
    for late, at_once, asked in (text, data):
        given = (asked[:0], asked) if question.startswith("sub") else (asked,)
        for _ in range(2):
            assert _told(getattr(late, question)(*given)) == _told(getattr(at_once, question)(*given))


def _told(answer: object) -> object:
    if isinstance(answer, re.Match):
        return answer.span(), answer.groups()
    if isinstance(answer, str | bytes | list | tuple) or answer is None:
        return answer
    assert hasattr(answer, "__next__")
    return [_told(match) for match in answer]  # type: ignore[attr-defined]


def test_it_is_compiled_once_and_not_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    true = re.compile

    def watched(written: str, flags: int) -> re.Pattern[str]:
        compiled.append(written)
        return true(written, flags)

    monkeypatch.setattr(re, "compile", watched)
    late = expression("a+")
    assert compiled == []
    assert late.fullmatch("aa")
    assert late.search("b") is None
    assert compiled == ["a+"]


def test_what_is_wrong_with_it_is_told_when_it_is_asked() -> None:
    late = expression("(")
    for _ in range(2):
        with pytest.raises(re.error, match="missing"):
            late.match("a")
    with pytest.raises(AttributeError):
        _ = late.pattern


def test_each_in_the_house_compiles() -> None:
    found = 0
    for module in pkgutil.walk_packages(proxy.__path__, "proxy."):
        if module.name == "proxy.__main__":
            continue
        for value in vars(importlib.import_module(module.name)).values():
            for one in value if isinstance(value, tuple) else (value,):
                if type(one) is type(expression("")):
                    assert callable(one.search)
                    found += 1
    assert found > 70
