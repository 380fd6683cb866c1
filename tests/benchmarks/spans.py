"""What is measured otherwise than by a rate alone: memory, a stream, a stampede, a start."""

from __future__ import annotations

import contextlib
import subprocess
import time

from tests.benchmarks.field import Field
from tests.benchmarks.loads import fill, get, idle, metric, stampede, stream
from tests.benchmarks.origins import BODY, CACHED, KIB, KIBS, STREAM, TINY, WAITING
from tests.benchmarks.peers import LEEWARD, Peer, leeward, leeward_command
from tests.benchmarks.processes import (
    NotMeasurableError,
    environment,
    forget_peak,
    peak,
    pinned,
    resident,
    stop,
)
from tests.benchmarks.workloads import ALL, RATES, Rate, Workload

SPEED, GROWTH = "MiB/s", "growth MiB"
EACH = "KiB/connection"
READY, FIRST, SOONEST, IDLE = "ready s", "first answer s", "ready s, soonest", "idle MiB"
TIMES = "RSS above idle ÷ bytes"
UPSTREAM, SERVED = "sent upstream", "all served s"
_SETTLE = 1.0  # seconds
_FEW = 1_000


def streaming(field: Field, name: str) -> None:
    """200 MiB through each; how much more memory it then had at most."""
    for _ in range(field.plan.rounds):
        for one in field.present(ALL):
            try:
                peer = field.peer(one)
                before = resident(peer.pid)
                forget_peak(peer.pid)
                measured = {SPEED: stream(peer.port, STREAM)}
            except NotMeasurableError as problem:
                field.figures.refused[name, one] = str(problem)
                continue
            field.figures.add(name, one, {**measured, GROWTH: peak(peer.pid) - before})


def idling(field: Field, name: str) -> None:
    """What a kept connection costs, and what they all cost those who ask."""
    number = field.plan.idle
    for one in field.present(ALL):
        try:
            peer = field.peer(one)
            get(peer.port, CACHED)
            before = resident(peer.pid)
            with idle(peer.port, CACHED, number):
                field.figures.add(name, one, {EACH: (resident(peer.pid) - before) * 1024 / number})
                beside = Rate(path=CACHED, hits=True, peers=(one,))
                beside(field, name)
        except NotMeasurableError as problem:
            field.figures.refused[name, one] = str(problem)


def stampeding(field: Field, name: str) -> None:
    """Everybody asks for what nobody has, of an origin that takes its time."""
    for number in range(field.plan.rounds):
        for one in field.present(ALL):
            try:
                peer = field.peer(one)
                came = field.origins.waited()
                seconds = stampede(peer.port, f"{WAITING}{one}{number}", field.plan.callers)
            except (NotMeasurableError, TimeoutError, OSError) as problem:
                field.figures.refused[name, one] = str(problem)
                continue
            field.figures.add(name, one, {SERVED: seconds, UPSTREAM: field.origins.waited() - came})


def entries(field: Field, name: str) -> None:
    """The same thousand keys, where they are all that is stored, and where they are few of very many."""
    few, many = min(_FEW, field.plan.entries), field.plan.entries
    names = {few: f"{LEEWARD}, {few:,} entries", many: f"{LEEWARD}, {many:,} entries"}
    with contextlib.ExitStack() as stack:
        for number, called in names.items():
            peer = stack.enter_context(leeward(called, room="8GiB")(field.place()))
            before, start = resident(peer.pid), time.monotonic()
            fill(peer.port, [f"{TINY}{at}" for at in range(number)])
            field.figures.add(name, called, {"filled s": time.monotonic() - start})
            field.figures.add(name, called, {"MiB": resident(peer.pid) - before})
            _stored(peer, number)
            field.running[called] = peer
        both = tuple(names.values())
        _over(few, both)(field, name)
        _over(many, both[-1:])(field, f"{name}-all")
        for called in both:
            field.running.pop(called)


def _over(number: int, peers: tuple[str, ...]) -> Rate:
    """Where they are few, each was asked for before; where they are many, they are only stored."""
    return Rate(
        path=TINY,
        hits=True,
        script="keys",
        words=lambda _: (TINY, str(number)),
        body='{"text": "x"}',
        before=lambda _: [f"{TINY}0"],
        warm=lambda _: 4 * number if number <= _FEW else 1,
        peers=peers,
    )


def _stored(peer: Peer, number: int) -> None:
    assert peer.admin is not None
    stored = metric(peer.admin, "leeward_cache_entries")
    if stored < number:
        raise NotMeasurableError(f"{stored:.0f} of {number} entries are stored")


def memory(field: Field, name: str) -> None:
    """What the process grows by, for each byte of body that it keeps."""
    number = field.plan.kilobytes
    with leeward(room="4GiB")(field.place()) as peer:
        get(peer.port, CACHED)
        time.sleep(_SETTLE)
        before = resident(peer.pid)
        fill(peer.port, [f"{KIBS}{at}" for at in range(number)])
        time.sleep(_SETTLE)
        grown = resident(peer.pid) - before
        _stored(peer, number)
    field.figures.add(name, LEEWARD, {TIMES: grown * 1024 * 1024 / (number * len(KIB)), "MiB": grown})


def starting(field: Field, name: str) -> None:
    """From the start of the process to its ready line and to its first answer; then what it weighs, idle."""
    for number in range(field.plan.starts + 1):
        place = field.place()
        command, port, _ = leeward_command(place.folder, place.origins)
        start = time.perf_counter()
        with subprocess.Popen(
            pinned(place.core, command),
            env=environment(),
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                ready = time.perf_counter() - start
                status, body = get(port, CACHED)
                first = time.perf_counter() - start
                if b"ready" not in line or (status, body) != (200, BODY.encode()):
                    raise NotMeasurableError(f"said {line!r} and answered {status}")
                if number == 0:
                    continue  # this one compiled what the others only load
                measured = {READY: ready, FIRST: first}
                if number == field.plan.starts:
                    time.sleep(_SETTLE)
                    measured[IDLE] = resident(process.pid)
                field.figures.add(name, LEEWARD, measured)
            finally:
                stop(process)
    values = field.figures.values[name, LEEWARD, READY]
    field.figures.add(name, LEEWARD, {SOONEST: min(values)})


WORKLOADS: dict[str, Workload] = {
    **RATES,
    "idle": idling,
    "streaming": streaming,
    "stampede": stampeding,
    "memory": memory,
    "start": starting,
    "entries": entries,
}
