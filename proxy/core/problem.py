"""How is a failure told to the caller? As one document, the same for every upstream (RFC 9457).

The law: the status and the code come from the failure's class, the words from the upstream where it
gave any, and `original` is what the upstream sent. Nothing of ours that could hold a credential stands
here, and what an upstream echoes is masked before it is shown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from proxy.core.classify import Fault
from proxy.core.dialect import PLAIN, Answer, Dialect, decoded, first, parsed
from proxy.core.expression import expression
from proxy.core.failure import APIError, UpstreamFacts
from proxy.core.message import Headers, Response, Whole

MEDIA_TYPE = "application/problem+json"
MOST_ORIGINAL = 64 * 1024  # bytes of an upstream's error body that are shown
# A little more is read: a secret that lies across the cut is recognised only where it is whole.
MOST_READ = MOST_ORIGINAL + 16 * 1024
_MOST_DETAIL = 1000  # characters
_HTTP_STATUSES = range(100, 600)

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# A repetition is safe whatever the method: the upstream says that it did not do the work.
_NOT_PROCESSED = frozenset({"rate_limited", "unavailable", "circuit_open", "overloaded", "connect_failed"})


def retryable(failure: APIError, method: str) -> bool:
    """Whether the same request may sensibly be sent again by the caller."""
    if failure.repeatable is not None:
        return failure.repeatable
    if not failure.retryable:
        return False
    if method in _IDEMPOTENT or failure.code in _NOT_PROCESSED:
        return True
    # A POST that reached the upstream may have been processed, whatever came back or did not.
    return not failure.sent


def document(
    failure: APIError, *, method: str, request_id: str, attempts: int = 0, original: Any = None
) -> dict[str, Any]:
    """The members of the problem document, in reading order."""
    members: dict[str, Any] = {
        "type": f"urn:problem-type:leeward:{failure.code.replace('_', '-')}",
        "title": failure.title,
        "status": failure.status,
        "detail": failure.detail,
        "code": failure.code,
        "retryable": retryable(failure, method),
    }
    if failure.retry_after is not None:
        members["retry_after"] = whole_seconds(failure.retry_after)
    members["attempts"] = attempts
    members["request_id"] = request_id
    if failure.upstream is not None:
        facts = failure.upstream
        members["upstream"] = {
            "name": facts.name,
            "status": facts.status,
            "code": facts.code,
            "request_id": facts.request_id,
        }
    if original is not None:
        members["original"] = original
    return members


def response(
    failure: APIError,
    *,
    method: str,
    request_id: str,
    attempts: int = 0,
    original: Any = None,
    fields: Headers | None = None,
) -> Response:
    """The document as a response. `fields` are an upstream's own, kept but for what described its body."""
    members = document(failure, method=method, request_id=request_id, attempts=attempts, original=original)
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        "utf-8", "replace"
    )
    kept = (fields or Headers()).without(_ABOUT_THE_BODY)
    added = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body)))]
    if failure.retry_after is not None:
        kept = kept.without(frozenset({"retry-after"}))
    if fields is None:
        added.append(("Cache-Control", "no-store"))
    headers = annotated(kept.plus(*added), failure)
    return Response(status=failure.status, reason=phrase(failure.status), headers=headers, body=Whole(body))


def phrase(status: int) -> str:
    """The usual words beside a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def annotated(headers: Headers, failure: APIError) -> Headers:
    """The fields with ours about the failure: Leeward-Error, and Proxy-Status for our own (RFC 9209)."""
    added = [("Leeward-Error", failure.code)]
    if failure.retry_after is not None and "retry-after" not in headers:
        added.append(("Retry-After", str(whole_seconds(failure.retry_after))))
    if failure.proxy_status is not None and (failure.upstream is None or failure.upstream.status is None):
        added.append(("Proxy-Status", f"leeward; error={failure.proxy_status}"))
    return headers.without(frozenset({"leeward-error"})).plus(*added)


_ABOUT_THE_BODY = frozenset(
    {
        "accept-ranges",
        "content-digest",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "digest",
        "etag",
        "last-modified",
        "repr-digest",
        "transfer-encoding",
    }
)


def whole_seconds(seconds: float) -> int:
    """Retry-After counts whole seconds (RFC 9110 §10.2.3): up, so that nobody comes too early."""
    return max(0, math.ceil(seconds))


def upstream_failure(
    *,
    name: str,
    fault: Fault,
    headers: Headers,
    body: bytes,
    mask: Callable[[str], str],
    repeatable: bool | None = None,
    dialect: Dialect = PLAIN,
) -> tuple[APIError, Any]:
    """An upstream's failure and its error body as one of ours and its `original`.

    `body` is at most MOST_READ bytes as they came; `repeatable` is the upstream's own word.
    """
    text = mask(decoded(body, headers.joined("content-encoding"), MOST_READ).decode("utf-8", "replace"))
    original = _masked(_original(text), mask)
    answer = Answer(
        status=fault.status,
        headers=headers,
        document=None if isinstance(original, str) else original,
        text=text,
    )
    # What stands in fields was not masked yet.
    said, code, told = (
        None if found is None else mask(found)
        for found in (first(places, answer) for places in (dialect.request_id, dialect.code, dialect.message))
    )
    facts = UpstreamFacts(
        name=name,
        status=fault.status,
        code=code or _code(original),
        request_id=_request_id(headers, original, mask) if said is None else said,
    )
    detail = (_words(told) if told else None) or message(original) or ""
    if len(detail) > _MOST_DETAIL:
        detail = detail[: _MOST_DETAIL - 1] + "…"
    failure = fault.kind(
        detail,
        status=status_of(fault),
        retry_after=fault.wait,
        sent=True,
        upstream=facts,
        repeatable=fault.again if repeatable is None else repeatable,
    )
    return failure, original


# These have one status, whatever an upstream says it with.
_OF_THEIR_CODE = frozenset(
    {"authentication", "permission_denied", "not_found", "rate_limited", "upstream_timeout"}
)


def status_of(fault: Fault) -> int:
    """The status of the document: what the answer came with, or should have come with."""
    return fault.kind.default_status if fault.kind.code in _OF_THEIR_CODE else fault.meant


def _original(text: str) -> Any:
    if not text:
        return None
    whole = text.encode("utf-8", "replace")
    if len(whole) > MOST_ORIGINAL:
        return whole[:MOST_ORIGINAL].decode("utf-8", "ignore")
    document = parsed(text)
    return text if document is None else document


def _masked(original: Any, mask: Callable[[str], str]) -> Any:
    """Once more where the body was JSON, which may spell any character of a secret by its number."""
    if original is None or isinstance(original, str):
        return original
    plain = json.dumps(original, ensure_ascii=False)
    masked = mask(plain)
    if masked == plain:
        return original
    document = parsed(masked)
    return masked if document is None else document


def message(original: Any) -> str | None:
    """The upstream's own words, from the shapes that APIs commonly use; None where there are none."""
    match original:
        case str() as text:
            title = _TITLE.search(text) if text.lstrip().startswith("<") else None
            return (title and _words(title[1])) or _words(text)
        case list() as several:
            return message(several[0]) if several else None
        case Mapping() as members:
            return _from_members(members)
        case _:
            return None


# Of a page, as servers and gateways send it, the title says it. Bounded, so that its search is linear.
_TITLE = expression(r"<title[^<>]{0,100}>([^<]{1,300})</title>", re.IGNORECASE)
_SAYS_IT = ("error", "message", "Message", "detail", "error_description", "title", "msg")
_LISTS_IT = ("errors", "errorMessages")


def _from_members(members: Mapping[str, Any]) -> str | None:
    if isinstance(members.get("error"), str):
        # OAuth's `error` is a code, its sentence stands beside it.
        for beside in ("error_description", "message"):
            if isinstance(members.get(beside), str):
                return _words(members[beside])
    for name in _SAYS_IT:
        value = members.get(name)
        if isinstance(value, str | Mapping) and (found := message(value)):
            return found
    for name in _LISTS_IT:
        value = members.get(name)
        if isinstance(value, Mapping) and value:
            field, said = next(iter(value.items()))
            if found := message(said):
                return f"{field}: {found}"
        elif found := message(value):
            return found
    return None


def _words(text: str) -> str | None:
    return " ".join(text.split()) or None


def _code(original: Any) -> str | None:
    if not isinstance(original, Mapping):
        return None
    nested = original.get("error")
    places = [nested, original] if isinstance(nested, Mapping) else [original]
    for place in places:
        for name in ("code", "type", "status", "__type", "error_code"):
            value = place.get(name)
            if isinstance(value, str) and value.strip():
                return value
            # The HTTP status again says nothing new; an API's own number does.
            if isinstance(value, int) and not isinstance(value, bool) and value not in _HTTP_STATUSES:
                return str(value)
    return nested if isinstance(nested, str) and " " not in nested else None


def _request_id(headers: Headers, original: Any, mask: Callable[[str], str]) -> str | None:
    for name in ("x-request-id", "request-id", "x-amzn-requestid", "x-github-request-id", "cf-ray"):
        value = headers.get(name)
        if value:
            return mask(value)
    value = original.get("request_id") if isinstance(original, Mapping) else None
    return value if isinstance(value, str) else None


def preferred(accept: str | None) -> bool:
    """Whether an Accept names the problem document, and does not refuse it with q=0."""
    for part in (accept or "").lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media == MEDIA_TYPE:
            return not any(p.replace(" ", "") in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for p in parameters)
    return False
