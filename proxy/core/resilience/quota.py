"""How much does the upstream still allow, by its own words, and how fast should it be used?

The law: only what the upstream itself answered just now counts, not what a cache on its way repeats.
Within a window the lowest figure holds, for answers overtake each other. While enough is left nothing
is slowed down; below the threshold calls are spread over the time to the reset. An interactive call is
held back for a few seconds at most, for the figures may be wrong; a batch call for as long as it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from proxy.core.caching.syntax import split, unquote
from proxy.core.dialect import Meter
from proxy.core.expression import expression
from proxy.core.message import Headers
from proxy.core.resilience import resets
from proxy.core.resilience.passage import GO, Go, Wait
from proxy.core.value import dataclass

DEFAULT = "default"  # the bucket of an upstream that names none
_NUMBER = expression(r"[ \t]*([0-9]{1,15}(?:\.[0-9]{1,9})?)", re.ASCII)
_USED = expression(r"[ \t]*([0-9]{1,9})[ \t]*/[ \t]*([0-9]{1,9})[ \t]*", re.ASCII)
_BUCKET = expression(r"[A-Za-z0-9_.:-]{1,40}", re.ASCII)
_SAME_WINDOW = 2.0  # seconds by which two answers' resets may differ, whole seconds rounded apart
_MOST_READINGS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one answer says about one bucket; `reset` in seconds from now. None = not said."""

    bucket: str = DEFAULT
    limit: float | None = None
    remaining: float
    reset: float | None = None


def counts_requests(bucket: str) -> bool:
    """And not tokens, of which one request takes many."""
    return "token" not in bucket


def readings(headers: Headers, wall: float, meters: tuple[Meter, ...] = ()) -> tuple[Reading, ...]:
    """What an upstream's answer says about its quotas; nothing where a cache repeats it.

    `meters` are the fields that the API uses; without them all that are usual are tried.
    """
    names = headers.names()
    if not meters and TELLING.isdisjoint(names):
        return ()
    if (headers.get("age") or "0").strip() != "0" or (headers.get("x-cache") or "").lower().startswith("hit"):
        return ()
    read = _metered(headers, wall, meters) if meters else _read(headers, wall)
    found = {reading.bucket: reading for reading in read}
    return tuple(found.values())[:_MOST_READINGS]


def _metered(headers: Headers, wall: float, meters: tuple[Meter, ...]) -> Iterator[Reading]:
    for meter in meters:
        bucket = bucket_of(headers) if meter.bucket == DEFAULT else meter.bucket
        used = _USED.fullmatch(headers.get(meter.used) or "") if meter.used else None
        if used is not None:
            most = float(used[2])
            yield Reading(bucket=bucket, limit=most, remaining=max(0.0, most - float(used[1])))
            continue
        left = _number(headers.get(meter.remaining)) if meter.remaining else None
        if left is not None:
            yield Reading(
                bucket=bucket,
                limit=_number(headers.get(meter.limit)) if meter.limit else None,
                remaining=left,
                reset=resets.read(headers.get(meter.reset), wall, meter.grammar) if meter.reset else None,
            )


def _read(headers: Headers, wall: float) -> Iterator[Reading]:
    for bucket, limit, remaining, reset in _FAMILIES:
        left = _number(headers.get(remaining))
        if left is None:
            continue
        named = bucket_of(headers) if bucket == DEFAULT else bucket
        after = headers.get(f"{reset}-after") or headers.get(reset)
        yield Reading(
            bucket=named,
            limit=_number(headers.get(limit)),
            remaining=left,
            reset=resets.read(after, wall),
        )
    used = _USED.fullmatch(headers.get("x-shopify-shop-api-call-limit") or "")
    if used is not None:
        most = float(used[2])
        yield Reading(limit=most, remaining=max(0.0, most - float(used[1])))
    yield from _structured(headers.joined("ratelimit"), headers.joined("ratelimit-policy"), wall)


def _names(before: str, after: str = "") -> tuple[str, str, str]:
    return f"{before}limit{after}", f"{before}remaining{after}", f"{before}reset{after}"


# Bucket, and the fields that hold limit, remaining and reset. `…-reset-after` is preferred where it is.
_FAMILIES: tuple[tuple[str, str, str, str], ...] = (
    (DEFAULT, *_names("ratelimit-")),
    (DEFAULT, *_names("x-ratelimit-")),
    (DEFAULT, *_names("x-rate-limit-")),
    *((what, *_names("x-ratelimit-", f"-{what}")) for what in ("requests", "tokens")),
    *(
        (what, f"anthropic-ratelimit-{what}-limit", f"anthropic-ratelimit-{what}-remaining",
         f"anthropic-ratelimit-{what}-reset")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)  # fmt: skip


# Without one of these an answer says nothing about quotas.
TELLING = frozenset({"ratelimit", "x-shopify-shop-api-call-limit", *(family[2] for family in _FAMILIES)})
_RESETS = ("ratelimit-reset", "x-ratelimit-reset", "x-ratelimit-reset-after", "x-rate-limit-reset")


def bucket_of(headers: Headers) -> str:
    """The bucket that the answer says its request belongs to (GitHub's resource, Discord's bucket)."""
    name = headers.get("x-ratelimit-resource") or headers.get("x-ratelimit-bucket") or DEFAULT
    return name if _BUCKET.fullmatch(name) is not None else DEFAULT


def _structured(line: str | None, policy: str | None, wall: float) -> Iterator[Reading]:
    """`RateLimit: "name";r=50;t=30` with RateLimit-Policy; older: `limit=100, remaining=50, reset=5`."""
    if line is None:
        return
    members = list(split(line))[:_MOST_READINGS]
    flat = {key.strip().lower(): value for key, _, value in (m.partition("=") for m in members)}
    if "remaining" in flat:
        left = _number(flat["remaining"])
        if left is not None:
            reset = resets.read(flat.get("reset"), wall)
            yield Reading(limit=_number(flat.get("limit")), remaining=left, reset=reset)
        return
    limits = {name: _number(given.get("q")) for name, given in map(_item, split(policy or ""))}
    for name, given in map(_item, members):
        left = _number(given.get("r"))
        if left is not None and _BUCKET.fullmatch(name) is not None:
            reset = resets.read(given.get("t"), wall, "delta")
            yield Reading(bucket=name, limit=limits.get(name), remaining=left, reset=reset)


def _item(member: str) -> tuple[str, dict[str, str]]:
    name, *parameters = member.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return unquote(name.strip()), {key.strip().lower(): value.strip() for key, _, value in pairs}


def _number(text: str | None) -> float | None:
    found = None if text is None else _NUMBER.match(text)
    return None if found is None else float(found[1])


def reset(headers: Headers, wall: float) -> float | None:
    """Of an answer that limits: seconds to the reset of what is used up, of all that is the last.

    Where it says a reset but not what is left, that one.
    """
    known = readings(headers, wall)
    used_up = [reading.reset for reading in known if reading.remaining < 1 and reading.reset is not None]
    if used_up or known:
        return max(used_up, default=None)
    names = headers.names()
    alone = [resets.read(headers.get(name), wall) for name in _RESETS if name in names]
    return max((seconds for seconds in alone if seconds is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacePolicy:
    """Below `threshold` of the limit calls are spread; one that is not batch waits `max_wait` seconds."""

    threshold: float = 0.1
    max_wait: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """One bucket as far as it is known. `until` is the monotonic second of its reset, None = unknown.

    `remaining` is the lowest figure told; `gone` calls were let go and have not ended, so none of the told
    figures may count them yet. `next` is the monotonic second at which the next call should go, while
    calls are spread.
    """

    limit: float
    remaining: float
    until: float | None
    next: float = float("-inf")
    gone: int = 0


def learn(before: Learned | None, reading: Reading, now: float) -> Learned:
    """The bucket after an answer."""
    until = None if reading.reset is None else now + reading.reset
    limit = reading.limit
    if limit is None:
        limit = max(reading.remaining, 0.0 if before is None else before.limit)
    gone = 0 if before is None else before.gone
    fresh = Learned(limit=limit, remaining=reading.remaining, until=until, gone=gone)
    if before is None or before.until is None or until is None or now >= before.until:
        return fresh
    if until > before.until + _SAME_WINDOW:
        return fresh
    return replace(
        fresh, remaining=min(fresh.remaining, before.remaining), until=before.until, next=before.next
    )


def pace(
    policy: PacePolicy, learned: Learned, now: float, *, batch: bool = False
) -> tuple[Go | Wait, Learned]:
    """When the next call should go; after the wait it goes without asking again. `ended` ends it."""
    until, left = learned.until, learned.remaining - learned.gone
    taken = replace(learned, gone=learned.gone + 1)
    if until is None or now >= until or left > policy.threshold * learned.limit:
        return GO, taken
    if left < 1:
        wait = until - now
        return Wait(seconds=wait if batch else min(wait, policy.max_wait)), taken
    begin = max(now, learned.next)
    wait = begin - now
    if not batch:
        wait = min(wait, policy.max_wait)
    step = max(0.0, until - begin) / left
    spread = replace(taken, next=min(until, begin + step))
    return (Wait(seconds=wait) if wait > 0 else GO), spread


def ended(learned: Learned) -> Learned:
    """A call that was let go has its answer, or never went: the told figures speak for it from here on."""
    return replace(learned, gone=max(0, learned.gone - 1))
