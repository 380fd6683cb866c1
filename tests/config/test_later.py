"""Is what is read later read the same, and does a start that does not need it go without?"""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from proxy.config.later import Later
from tests.house import ROOT


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1
    below: dict[str, int] = {}


class Now(BaseModel):
    inner: Inner | None


class After(BaseModel):
    inner: Annotated[Any, Later(lambda: Inner | None)]


def told(model: type[BaseModel], given: object) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    return [(one["type"], one["loc"], one["msg"], one.get("ctx")) for one in caught.value.errors()]


@pytest.mark.parametrize(
    "given", [{"inner": {"size": "x", "other": 1}}, {"inner": {"below": {"a": "b"}}}, {"inner": 3}, {}]
)
def test_its_mistakes_are_told_at_their_places(given: object) -> None:
    assert told(After, given) == told(Now, given)


def test_its_values_are_those_of_the_type() -> None:
    assert After.model_validate({"inner": {"size": "7"}}).inner == Inner(size=7)
    made = Inner(size=2)
    assert After.model_validate({"inner": made}).inner is made


def test_it_stands_whole_in_the_schema() -> None:
    after = TypeAdapter(After).json_schema()
    assert after["properties"]["inner"].pop("title") == "Inner"
    assert {**after, "title": "Now"} == TypeAdapter(Now).json_schema()


def test_a_usual_configuration_needs_no_model_of_an_unusual_one() -> None:
    program = (
        "import sys\n"
        "from proxy.config.settings import Settings\n"
        "Settings(upstreams={'a': {'base_url': 'http://a.example', 'prefix': '/',"
        " 'auth': {'type': 'bearer', 'token': 'x'}}})\n"
        "print([name for name in sys.modules if name.endswith(('.grants', '.signatures', '.dialects'))])"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
