"""Is a value what the standard library would have made of it, but for the check at run time?"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from proxy.core.value import dataclass
from tests.house import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 0
    note: str = dataclasses.field(default="", compare=False)


@dataclass(slots=True, kw_only=True)
class Tally:
    count: int = 0


def test_values_are_equal_and_have_the_hash_of_what_is_compared() -> None:
    assert Point(x=1, note="a") == Point(x=1, note="b") != Point(x=2)
    assert len({Point(x=1, note="a"), Point(x=1, note="b"), Point(x=2)}) == 2
    assert dataclasses.replace(Point(x=1), y=3) == Point(x=1, y=3)
    assert not hasattr(Point(x=1), "__dict__")


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(slots=True, eq=False)
class Alone:
    name: str
    secret: str = dataclasses.field(default="s", repr=False)


@dataclass(frozen=True, slots=True)
class Loose:
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose) and self.name.lower() == other.name.lower()

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "loose"


def test_it_shows_what_the_standard_library_would_show() -> None:
    assert repr(Point(x=1, note="a")) == "Point(x=1, y=0, note='a')"
    assert repr(Alone("n")) == "Alone(name='n')"
    assert repr(Empty()) == "Empty()"


def test_equality_is_of_one_class_and_may_be_left_out_or_its_own() -> None:
    other: object = Point(x=1)
    assert Empty() == Empty() != other
    assert other != (1, 0)
    assert Alone("a") != Alone("a")
    assert len({Alone("a"), Alone("a")}) == 2
    assert (Loose("A") == Loose("a"), hash(Loose("A")), repr(Loose("A"))) == (True, 1, "loose")
    assert hash(Empty()) == hash(Empty())


def test_what_is_not_frozen_has_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(Tally())


def test_mypy_refuses_to_change_a_frozen_one(tmp_path) -> None:
    script = tmp_path / "changes.py"
    script.write_text(
        "from proxy.core.value import dataclass\n"
        "@dataclass(frozen=True, slots=True, kw_only=True)\n"
        "class Point:\n    x: int\n"
        "Point(x=1).x = 2\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(tmp_path), str(script)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert 'Property "x" defined in "Point" is read-only' in told
