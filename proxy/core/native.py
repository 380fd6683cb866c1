"""How would the API itself tell of a failure that is ours?

The law: our own fields stay what they are in every form, and so does the status, but for one by which the
vendor's SDK would not know the failure; the body is the vendor's, so that its SDK raises the class that it
always raises. A stream of events ends with an event that says so and is broken off all the same: nobody
takes it for whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from proxy.core.dialect import Dialect, Form
from proxy.core.expression import expression
from proxy.core.failure import APIError
from proxy.core.message import Headers, Response, Whole
from proxy.core.problem import annotated, phrase

_XML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_HOLE = expression(r"\{(message|code|word|status|request_id)\}")


def form(dialect: Dialect, request: Headers) -> Form | None:
    """The first form that suits the request's fields; None where the API has none."""
    return next((one for one in dialect.forms if _suits(one, request)), None)


def _suits(one: Form, request: Headers) -> bool:
    return all(fnmatchcase((request.get(name) or "").lower(), glob) for name, glob in one.when)


def response(failure: APIError, one: Form, *, request_id: str) -> Response:
    """A failure of ours in that form."""
    data = _body(failure, one, request_id).encode("utf-8", "replace")
    fields = [("Content-Type", one.media_type), ("Content-Length", str(len(data)))]
    holes = _holes(failure, one, request_id)
    fields += [(name, _filled_text(value, holes)) for name, value in one.fields]
    fields.append(("Cache-Control", "no-store"))
    headers = annotated(Headers.of(*fields), failure)
    status = _status(failure, one)
    return Response(status=status, reason=phrase(status), headers=headers, body=Whole(data))


def _status(failure: APIError, one: Form) -> int:
    return (one.statuses or {}).get(failure.code, failure.status)


def event(failure: APIError, one: Form, *, request_id: str) -> bytes | None:
    """The last event of a stream that broke; None where the API has no such event."""
    if one.event is None:
        return None
    named = "" if one.event == "message" else f"event: {one.event}\n"
    return f"{named}data: {_body(failure, one, request_id)}\n\n".encode("utf-8", "replace")


def _body(failure: APIError, one: Form, request_id: str) -> str:
    holes = _holes(failure, one, request_id)
    if isinstance(one.body, str):
        return _filled_text(one.body, {name: str(value).translate(_XML) for name, value in holes.items()})
    return json.dumps(_filled(one.body, holes), ensure_ascii=False, separators=(",", ":"))


def _holes(failure: APIError, one: Form, request_id: str) -> dict[str, str | int]:
    words = one.words or {}
    return {
        "message": failure.detail,
        "code": failure.code,
        "word": words.get(failure.code, words.get("*", failure.code)),
        "status": _status(failure, one),
        "request_id": request_id,
    }


def _filled(template: Any, holes: Mapping[str, str | int]) -> Any:
    match template:
        case str():
            alone = _HOLE.fullmatch(template)
            return _filled_text(template, holes) if alone is None else holes[alone[1]]
        case Mapping():
            return {name: _filled(value, holes) for name, value in template.items()}
        case list():
            return [_filled(value, holes) for value in template]
        case _:
            return template


def _filled_text(template: str, holes: Mapping[str, str | int]) -> str:
    return _HOLE.sub(lambda hole: str(holes[hole[1]]), template)
