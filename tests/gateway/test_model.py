"""Does the cache decide as a model of RFC 9111 does that was written apart from it and fits on a page?

Any sequence of requests, changes at the origin and passing of time is played to both; each time both
must have asked the origin in the same manner, and have given the same answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.failure import ConnectError, NotCachedError
from proxy.core.message import Headers, Request, Response, Whole
from tests.core.caching.samples import WALL, request, route
from tests.gateway.stage import Hands, Stage

Fields = dict[str, str]
HOUR = 3600


@dataclass(frozen=True)
class Ask:
    """A caller's request."""

    path: str = "/a"
    method: str = "GET"
    wish: str | None = None
    accept: str | None = None
    identity: str | None = None

    @property
    def fields(self) -> Fields:
        given_ = {"Cache-Control": self.wish, "Accept": self.accept, "Authorization": self.identity}
        return {name: value for name, value in given_.items() if value is not None}


@dataclass(frozen=True)
class Wait:
    seconds: int


@dataclass(frozen=True)
class Change:
    """From now on the origin answers so. `new`: with other content, and another ETag where it has one."""

    control: str | None = None
    etag: bool = False
    new: bool = True
    vary: bool = False
    age: int | None = None
    expires: int | None = None
    gone: bool = False


Step = Ask | Wait | Change


class World:
    """An origin with a state, which answers conditions as origins do. `asked` is what it was asked with."""

    def __init__(self, clock: Hands) -> None:
        self.clock = clock
        self.now = Change(control="max-age=10")
        self.version = 0
        self.asked: list[str | None] = []

    def fields(self) -> Fields:
        said = self.now
        fields: Fields = {}
        if said.control is not None:
            fields["Cache-Control"] = said.control
        if said.etag:
            fields["ETag"] = f'"{self.version}"'
        if said.vary:
            fields["Vary"] = "Accept"
        if said.age is not None:
            fields["Age"] = str(said.age)
        if said.expires is not None:
            fields["Date"] = formatdate(self.clock.wall(), usegmt=True)
            fields["Expires"] = formatdate(self.clock.wall() + said.expires, usegmt=True)
        return fields

    def answer(self, condition: str | None) -> tuple[int, Fields, bytes]:
        """(status, fields, content); ConnectError where it is gone."""
        self.asked.append(condition)
        if self.now.gone:
            raise ConnectError
        fields = self.fields()
        if condition is not None and condition == fields.get("ETag"):
            return 304, fields, b""
        return 200, fields, b"version %d, answer %d" % (self.version, len(self.asked))


@dataclass
class Kept:
    """What the model keeps of an answer."""

    fields: Fields
    content: bytes
    since: float  # when it would have been made, had its Age been right
    accept: str | None = None

    def said(self) -> dict[str, str | None]:
        parts = [part.strip().partition("=") for part in self.fields.get("Cache-Control", "").split(",")]
        return {name: value or None for name, _, value in parts if name}

    def lifetime(self, *, shared: bool) -> float:
        said = self.said()
        told = [int(said[name] or 0) for name in ("s-maxage", "max-age") if name in said]
        if told:
            return told[0] if shared else min(told)
        return float(self.fields.get("Expires-In", "0"))


@dataclass
class Model:
    """A cache as RFC 9111 reads: nothing is precomputed, nothing is concurrent."""

    world: World
    shared: bool
    places: dict[tuple[str, str | None], list[Kept]] = field(default_factory=dict)

    def ask(self, ask: Ask) -> tuple[str, bytes]:
        """(what was done, content)."""
        if ask.method != "GET" and ask.wish == "only-if-cached":
            return "refuse", b""
        if ask.method != "GET":
            _, _, content = self.world.answer(None)
            self.places = {place: kept for place, kept in self.places.items() if place[0] != ask.path}
            return "forward", content
        wish, _, number = (ask.wish or "").partition("=")
        if wish == "no-store":
            return "forward", self.world.answer(None)[2]
        variants = self.places.setdefault((ask.path, None if self.shared else ask.identity), [])
        found = next((k for k in variants if "Vary" not in k.fields or k.accept == ask.accept), None)
        if found is not None:
            usable = self.usable(found, wish, number)
            if usable is not None:
                return usable, found.content
        if wish == "only-if-cached":
            return "refuse", b""
        return self.fetch(ask, variants, found, wish, number)

    def usable(self, kept: Kept, wish: str, number: str) -> str | None:
        now, said = self.world.clock.now(), kept.said()
        age, left = now - kept.since, kept.lifetime(shared=self.shared) - (now - kept.since)
        if wish == "no-cache" or "no-cache" in said:
            return None
        if wish == "max-age" and (age > int(number) or int(number) == 0):
            return None
        if wish == "min-fresh" and left < int(number):
            return None
        if left > 0:
            return "hit"
        return "hit" if wish == "max-stale" and not self.strict(said) and -left <= int(number) else None

    def strict(self, said: dict[str, str | None]) -> bool:
        return "must-revalidate" in said or (
            self.shared and ("proxy-revalidate" in said or "s-maxage" in said)
        )

    def fetch(
        self, ask: Ask, variants: list[Kept], found: Kept | None, wish: str, number: str
    ) -> tuple[str, bytes]:
        try:
            status, fields, content = self.world.answer(None if found is None else found.fields.get("ETag"))
        except ConnectError:
            return self.stand_in(found, wish, number)
        if status == 304:
            assert found is not None
            kept = Kept({**found.fields, **self.noted(fields)}, found.content, self.since(fields), ask.accept)
            if self.storable(kept, ask):
                self.keep(variants, kept)
            else:
                variants.clear()
            return "forward", found.content
        kept = Kept(self.noted(fields), content, self.since(fields), ask.accept)
        if self.storable(kept, ask):
            self.keep(variants, kept)
        return "forward", content

    def stand_in(self, found: Kept | None, wish: str, number: str) -> tuple[str, bytes]:
        if found is None or wish in {"no-cache", "max-age", "min-fresh"}:
            return "fail", b""
        said = found.said()
        stale = self.world.clock.now() - found.since - found.lifetime(shared=self.shared)
        most = min(HOUR, int(number)) if wish == "max-stale" else HOUR
        if "no-cache" in said or self.strict(said) or stale >= most:
            return "fail", b""
        return "forward", found.content

    def noted(self, fields: Fields) -> Fields:
        """As they are kept: an Expires by what it means at its Date, and no Age."""
        kept = {name: value for name, value in fields.items() if name != "Age"}
        if "Expires" in kept:
            kept["Expires-In"] = str(self.world.now.expires)
        return kept

    def since(self, fields: Fields) -> float:
        return self.world.clock.now() - int(fields.get("Age", "0"))

    def storable(self, kept: Kept, ask: Ask) -> bool:
        said = kept.said()
        if "no-store" in said or (self.shared and "private" in said):
            return False
        shareable = "public" in said or "must-revalidate" in said or "s-maxage" in said
        if self.shared and ask.identity is not None and not shareable:
            return False
        useful = kept.lifetime(shared=self.shared) > 0 and "no-cache" not in said
        return useful or "ETag" in kept.fields

    def keep(self, variants: list[Kept], kept: Kept) -> None:
        varies = "Vary" in kept.fields
        same = [
            v for v in variants if ("Vary" in v.fields) is varies and (not varies or v.accept == kept.accept)
        ]
        for one in same:
            variants.remove(one)
        variants.insert(0, kept)


async def real(stage: Stage, ask: Ask) -> tuple[str, bytes]:
    """The same words for what the cache did."""
    try:
        answer, content = await stage.get(request(*ask.fields.items(), method=ask.method, target=ask.path))
    except NotCachedError:
        return "refuse", b""
    except ConnectError:
        return "fail", b""
    line = answer.headers.all("cache-status")[-1]
    return "hit" if "; hit" in line else "forward", content


async def play(steps: list[Step], scope: Scope) -> None:
    stage = Stage(route(CachePolicy(scope=scope)))
    stage.caching._verdicts._seconds = 0.0  # a memory for what cannot be stored is no part of RFC 9111
    cached, modelled = World(stage.clock), World(stage.clock)
    model = Model(modelled, shared=scope is Scope.SHARED)

    async def origin(wanted: Request) -> Response:
        status, fields, content = cached.answer(wanted.headers.get("if-none-match"))
        return Response(status=status, headers=Headers.of(*fields.items()), body=Whole(content))

    for step in steps:
        match step:
            case Wait(seconds=seconds):
                stage.clock.time += seconds
            case Change():
                for world in (cached, modelled):
                    world.now = step
                    world.version += step.new
            case Ask():
                stage.script.append(origin)
                expected: tuple[str, bytes] | str
                try:
                    expected = model.ask(step)
                except ConnectError:
                    expected = ("fail", b"")
                assert (await real(stage, step), cached.asked) == (expected, modelled.asked), step
                stage.script.clear()
    assert stage.errors == []


_SECONDS = st.sampled_from([0, 1, 3, 5, 10, 11, 60])
_WISHES = st.one_of(
    *([st.none()] * 4),
    st.just("max-stale=60"),
    st.sampled_from(["no-cache", "no-store", "only-if-cached"]),
    st.builds("{}={}".format, st.sampled_from(["max-age", "min-fresh", "max-stale"]), _SECONDS),
)
_ASKS = st.builds(
    Ask,
    path=st.sampled_from(["/a", "/a", "/b"]),
    method=st.sampled_from(["GET"] * 9 + ["POST"]),
    wish=_WISHES,
    accept=st.sampled_from([None, "x", "y"]),
    identity=st.sampled_from([None, None, "one", "other"]),
)
_CONTROLS = st.lists(
    st.sampled_from(["no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate"])
    | st.builds("{}={}".format, st.sampled_from(["max-age", "max-age", "s-maxage"]), _SECONDS),
    max_size=2,
    unique_by=lambda directive: directive.partition("=")[0],
).map(", ".join)
# Met often, so that what they forbid is tried often.
_LIKELY = [
    "max-age=10",
    "max-age=5, must-revalidate",
    "max-age=10, s-maxage=3",
    "max-age=5, proxy-revalidate",
]
_CHANGES = st.builds(
    Change,
    control=st.sampled_from(_LIKELY) | _CONTROLS.map(lambda text: text or None),
    etag=st.booleans(),
    new=st.booleans(),
    vary=st.booleans(),
    age=st.none() | st.none() | _SECONDS,
    expires=st.none() | st.none() | _SECONDS,
    gone=st.sampled_from([False] * 5 + [True]),
)
_STEPS: Any = st.lists(st.one_of(_ASKS, _ASKS, _ASKS, _CHANGES, st.builds(Wait, _SECONDS)), max_size=25)


@pytest.mark.parametrize("scope", list(Scope))
@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_the_same_sequence_gets_the_same_decisions(scope: Scope, steps: list[Step]) -> None:
    asyncio.run(play(steps, scope))


STRICT = Change(control="max-age=5, must-revalidate", etag=True)
RECORDED: list[list[Step]] = [
    [STRICT, Ask(), Wait(6), Change(gone=True), Ask(), Ask(wish="max-stale=60")],
    [Change(control="max-age=5"), Ask(), Wait(6), Change(gone=True), Ask(), Wait(HOUR), Ask()],
    [STRICT, Ask(), Wait(6), Change(control="max-age=60", etag=True, new=False), Ask(), Wait(50), Ask()],
    [STRICT, Ask(), Wait(6), Change(control="no-store", etag=True, new=False), Ask(), Ask()],
    [Change(control="max-age=60", vary=True), Ask(accept="x"), Ask(accept="y"), Ask(accept="x"), Ask()],
    [Change(expires=10, age=3), Ask(), Wait(6), Ask(), Wait(1), Ask(), Ask(method="POST"), Ask()],
    [Change(control="no-cache", etag=True), Ask(), Ask(), Ask(wish="only-if-cached")],
    [Ask(identity="one"), Ask(identity="other"), Ask(), Ask(identity="one"), Ask(method="POST"), Ask()],
]


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("steps", RECORDED)
async def test_sequences_worth_remembering(scope: Scope, steps: list[Step]) -> None:
    await play(steps, scope)


def test_the_model_does_reuse_what_it_may() -> None:
    """So that the agreement above is not one of two caches that never do anything."""
    clock = Hands()
    assert clock.wall() == WALL
    model = Model(World(clock), shared=False)
    done = [model.ask(Ask())[0], model.ask(Ask())[0], model.ask(Ask(wish="no-cache"))[0]]
    clock.time += 11
    done += [
        model.ask(Ask(wish="max-stale=1"))[0],
        model.ask(Ask(wish="only-if-cached"))[0],
        model.ask(Ask())[0],
    ]
    assert done == ["forward", "hit", "forward", "hit", "refuse", "forward"]
