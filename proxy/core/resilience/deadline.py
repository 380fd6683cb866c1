"""How long will the caller wait?

The law: a caller may shorten the total time of its request, never lengthen it. `X-Request-Timeout` is in
seconds, `grpc-timeout` in gRPC's own form. A text that is no time, or none at all, says nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from proxy.core.expression import expression
from proxy.core.message import Headers, Request

FIELDS = frozenset({"x-request-timeout", "grpc-timeout"})
_SECONDS = expression(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}", re.ASCII)
_GRPC = expression(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def patience(headers: Headers) -> float | None:
    """Seconds that the caller gives, above 0; the shorter of two; None where it says nothing readable."""
    names = headers.names()
    given = []
    if "x-request-timeout" in names:
        text = (headers.get("x-request-timeout") or "").strip(" \t")
        if _SECONDS.fullmatch(text) is not None:
            given.append(float(text))
    if "grpc-timeout" in names:
        form = _GRPC.fullmatch((headers.get("grpc-timeout") or "").strip(" \t"))
        if form is not None:
            given.append(int(form[1]) * _UNITS[form[2]])
    lasting = [seconds for seconds in given if seconds > 0]
    return min(lasting) if lasting else None


def total(configured: float, headers: Headers) -> float:
    """Seconds for all attempts together."""
    given = patience(headers)
    return configured if given is None else min(configured, given)


def grace(configured: float, headers: Headers, left: float) -> float:
    """Seconds beyond the `left` ones that an answer which has begun may take to be complete.

    Not one where its caller is in a hurry; else what is missing to the whole time, for others may read along.
    """
    return max(0.0, configured - left) if patience(headers) is None else 0.0


def unhurried(request: Request) -> Request:
    """The request as it goes out for others too: only its own caller is in a hurry."""
    headers = request.headers.without(FIELDS)
    return request if headers is request.headers else replace(request, headers=headers)
