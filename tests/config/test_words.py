from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.words import BodyField, FieldValue, Method, Ratio, Status, Wait


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        (Method, "get", "GET"),
        (Wait, "5s", 5.0),
        (Status, 503, 503),
        (Ratio, 1, 1.0),
        (FieldValue, "application/json; v=1", "application/json; v=1"),
        (BodyField, "items.*.id", "items.*.id"),
    ],
)
def test_what_is_well_formed_is_read(kind: Any, given: object, read: object) -> None:
    assert TypeAdapter(kind).validate_python(given) == read


@pytest.mark.parametrize(
    ("kind", "given", "cure"),
    [
        (Method, "GE T", "such as GET"),
        (Method, 1, "such as GET"),
        (Wait, "0s", "above 0"),
        (Status, 99, "100"),
        (Ratio, 1.1, "1"),
        (FieldValue, "a\nb", "write it on one line"),
        (FieldValue, " a", "without spaces around it"),
        (FieldValue, "\u20ac", "encode them first"),
        (BodyField, "a..b", "members joined by dots"),
    ],
)
def test_what_is_not_is_told_with_its_cure(kind: Any, given: object, cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        TypeAdapter(kind).validate_python(given)
