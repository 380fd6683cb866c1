"""Which words stand in several sections of the file, and what is each of them taken for?"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from proxy.config.units import Duration


def _method(written: Any) -> Any:
    if not isinstance(written, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}", written):
        raise ValueError("should be a method such as GET")
    return written.upper()


def _body_field(written: str) -> str:
    if not all(written.split(".")):
        raise ValueError("is no path in a JSON body; write members joined by dots, as user or items.*.id")
    return written


def _above_zero(duration: float) -> float:
    if duration <= 0:
        raise ValueError("0 would let nothing through; write a duration above 0, such as 5s")
    return duration


def _field_value(written: str) -> str:
    if set(written) & set("\r\n\0"):
        raise ValueError("the value of a header has no line breaks and no NUL; write it on one line")
    if written != written.strip(" \t") or not written.isprintable():
        raise ValueError("the value of a header is printable, without spaces around it")
    try:
        written.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(
            "the value of a header has no characters beyond Latin-1; encode them first"
        ) from None
    return written


Method = Annotated[str, BeforeValidator(_method), Field(json_schema_extra={"examples": ["GET"]})]
Wait = Annotated[Duration, AfterValidator(_above_zero)]
Status = Annotated[int, Field(ge=100, le=599)]
Ratio = Annotated[float, Field(ge=0, le=1)]
FieldValue = Annotated[str, AfterValidator(_field_value)]
BodyField = Annotated[str, AfterValidator(_body_field), Field(json_schema_extra={"examples": ["user"]})]
