"""Does each upstream answer, and with this credential? What `leeward check --live` finds out.

One look-up, one handshake and one call to each of its addresses, the call being the preset's probe or a
plain GET; nothing is repeated, and nothing waited for longer than some seconds. What is found names the
credential, never its value.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from proxy.config.certificates import CertificateError, for_upstream
from proxy.config.dialects import ProbeSettings
from proxy.config.settings import Settings
from proxy.core.caching.syntax import instant
from proxy.core.classify import classify
from proxy.core.dialect import Answer, Place, first, heard, values
from proxy.core.failure import APIError, PermissionDeniedError, UpstreamTimeoutError
from proxy.core.fence import check
from proxy.core.forwarding import forward
from proxy.core.message import Body, Headers, Request, Whole
from proxy.core.resilience import quota
from proxy.core.routing import Origin, Route
from proxy.upstream.errand import Errand
from proxy.upstream.session import Call, CallerFault, Session

_SOON = 14.0  # days until a certificate expires, from which on it is worth a word
_SKEWED = 60.0  # seconds
_PATIENCE = 10.0  # seconds for each step
_DAY = 86400.0
_REFUSED = frozenset({401, 403, 407})
_FIRST_FAILURE, _FIRST_SERVER_FAILURE = 400, 500
_MOST = 64 * 1024  # bytes of an answer that are read


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found of one upstream. `days` until its certificate expires, `skew` of its clock in seconds.

    `probe` is the status of the answer; `problems` make the check fail, `notes` do not.
    """

    upstream: str
    url: str
    credential: str
    addresses: list[str] = field(default_factory=list)
    days: float | None = None
    probe: int | None = None
    accepted: bool | None = None
    scopes: list[str] = field(default_factory=list)
    quota: list[dict[str, Any]] = field(default_factory=list)
    skew: float | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "ok": not self.problems}


async def look(settings: Settings) -> list[Found]:
    """All addresses of all upstreams side by side, in the order in which they are configured."""
    from proxy.wiring import route

    contexts: dict[str, ssl.SSLContext] = {}
    broken: dict[str, str] = {}
    for name, upstream in settings.upstreams.items():
        try:
            certificates = upstream.certificates()
            if certificates is not None:
                contexts[name] = for_upstream(certificates)
        except CertificateError as error:
            broken[name] = str(error)
    session = Session(contexts=contexts)
    salt = secrets.token_bytes(32)
    try:
        routes = [
            route(name, upstream, settings, salt, errand=Errand(session))
            for name, upstream in settings.upstreams.items()
        ]
        return await asyncio.gather(
            *(
                _look(
                    one,
                    origin,
                    settings.upstreams[one.name].probe or ProbeSettings(),
                    session,
                    context=contexts.get(one.name),
                    broken=broken.get(one.name),
                )
                for one in routes
                for origin in one.origins
            )
        )
    finally:
        await session.close()


async def _look(
    route: Route,
    origin: Origin,
    probe: ProbeSettings,
    session: Session,
    *,
    context: ssl.SSLContext | None,
    broken: str | None,
) -> Found:
    found = Found(upstream=route.name, url=origin.url, credential=route.injector.describe())
    if broken is not None:
        found.problems.append(broken)
        return found
    if not await _resolved(origin, found):
        return found
    if origin.scheme == "https":
        await _shown(origin, context, found)
    if not found.problems:
        await _probed(route, origin, probe, session, found)
    return found


async def _resolved(origin: Origin, found: Found) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo(origin.host, origin.port, type=1)
    except (OSError, TimeoutError) as error:
        found.problems.append(f"the name {origin.host} is not found: {_why(error)}")
        return False
    found.addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
    return True


async def _shown(origin: Origin, context: ssl.SSLContext | None, found: Found) -> None:
    """The certificate that the upstream shows."""
    trusting = context or await asyncio.to_thread(ssl.create_default_context)
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(
                origin.host, origin.port, ssl=trusting, server_hostname=origin.host
            )
    except (OSError, TimeoutError) as error:
        found.problems.append(f"no TLS connection: {_why(error)}")
        return
    shown = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    if "notAfter" in shown:
        found.days = round((ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / _DAY, 1)
        if found.days < _SOON:
            found.notes.append(f"its certificate expires in {found.days:g} days")


async def _probed(route: Route, origin: Origin, probe: ProbeSettings, session: Session, found: Found) -> None:
    """One call with the credential."""
    body = b"" if probe.body is None else json.dumps(probe.body).encode()
    plain = Headers.of(("Accept", "application/json"))
    asked = Request(method=probe.method, target=probe.path, headers=plain, body=Whole(body))
    onward = forward(asked, route, probe.path, request_id="leeward-check", traceparent=_trace())
    try:
        check(onward, route, probe.path)
    except PermissionDeniedError:
        found.notes.append(f"its fence allows no {probe.method} {probe.path}; name a probe that it allows")
        return
    began = time.time()
    try:
        request = await route.injector.inject(replace(onward, body=Whole(body)), origin)
        call = Call(
            request=request,
            body=Whole(body),
            origin=origin,
            timeouts=route.timeouts,
            remaining=_PATIENCE,
            tls=route.name,
        )
        response = await session.send(call)
        data = await _begun(response.body)
    except CallerFault as fault:
        found.problems.append(str(fault))
        return
    except APIError as failure:
        found.problems.append(f"{failure.code}: {_shown_text(route, failure.detail)}")
        return
    now = time.time()
    found.probe = response.status
    answer = heard(response.status, response.headers, data, probe.path)
    _judge(route, probe, answer, found)
    _dated(response.headers, (began + now) / 2, found)


async def _begun(body: Body) -> bytes:
    """An answer as far as it is read. Raises APIError."""
    data = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            while len(data) < _MOST and (piece := await body.read()):
                data += piece
    except TimeoutError as error:
        raise UpstreamTimeoutError(f"Its answer is not whole: {_why(error)}.", sent=True) from None
    finally:
        body.close()
    return data


def _shown_text(route: Route, text: str) -> str:
    """Words from elsewhere: without secrets, and without what moves a terminal's cursor."""
    return "".join(one if one.isprintable() else " " for one in route.injector.mask(text))


def _judge(route: Route, probe: ProbeSettings, answer: Answer, found: Found) -> None:
    wall = time.time()
    fault = classify(route.dialect, answer, wall)
    status = answer.status if fault is None else fault.meant
    code = None if fault is None else fault.kind.code
    refused = status in _REFUSED or code in {"authentication", "permission_denied"}
    found.accepted = None if status >= _FIRST_FAILURE and not refused else not refused
    if code is not None:
        words = _shown_text(route, first(route.dialect.message, answer) or "")[:200]
        told = f"{probe.method} {probe.path} is answered {answer.status}, {code}" + (
            f": {words}" if words else ""
        )
        known = bool(found.accepted is None and status < _FIRST_SERVER_FAILURE and not _limited(code))
        (found.notes if known else found.problems).append(told)
    if probe.scopes is not None:
        said = values((Place.of(probe.scopes),), answer)
        found.scopes = [scope for one in said for scope in _shown_text(route, one).replace(",", " ").split()]
    found.quota = [
        {"bucket": one.bucket, "remaining": one.remaining, "limit": one.limit, "reset": one.reset}
        for one in quota.readings(answer.headers, wall, route.dialect.quota)
    ]


def _limited(code: str) -> bool:
    return code in {"rate_limited", "quota_exhausted"}


def _dated(headers: Headers, wall: float, found: Found) -> None:
    date = instant(headers.get("date") or "", wall)
    if date is not None:
        # A Date counts whole seconds, cut off.
        found.skew = round(date + 0.5 - wall, 1)
        if abs(found.skew) > _SKEWED:
            found.notes.append(f"its clock is {found.skew:+g} s from ours; signatures may not be accepted")


def _trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_PATIENCE:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def table(all_found: Sequence[Found]) -> list[str]:
    """The same as lines for people."""
    head = ("upstream", "DNS", "TLS", "probe", "credential", "scopes", "quota left", "clock")
    names = [found.upstream for found in all_found]
    told = [
        name if names.count(name) == 1 else f"{name} {one.url}"
        for name, one in zip(names, all_found, strict=True)
    ]
    rows = [head, *((name, *_row(found)) for name, found in zip(told, all_found, strict=True))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
    for name, found in zip(told, all_found, strict=True):
        lines += [f"{name}: {problem}" for problem in found.problems]
        lines += [f"{name}: note: {note}" for note in found.notes]
    return lines


def _row(found: Found) -> tuple[str, ...]:
    left = [
        f"{one['bucket']} {one['remaining']:g}" + (f"/{one['limit']:g}" if one["limit"] is not None else "")
        for one in found.quota
    ]
    words = {True: "accepted", False: "refused", None: "-"}
    return (
        found.addresses[0] if found.addresses else "-",
        f"{found.days:g} days" if found.days is not None else "-",
        str(found.probe or "-"),
        words[found.accepted],
        " ".join(found.scopes) or "-",
        ", ".join(left) or "-",
        f"{found.skew:+g} s" if found.skew is not None else "-",
    )
