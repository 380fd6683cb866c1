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
