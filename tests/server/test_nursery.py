"""Processes that beget processes: each test's are begotten by a process of its own, which has no threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.origin import PATIENCE
from tests.running import ROOT

PROGRAM = """
import asyncio, os, signal, socket, sys, time
from proxy.server.nursery import ForkError, Nursery, NurseryError

def bear(order, sockets):
    own, = sockets
    own.sendall(b"%d %b" % (os.getpid(), order))
    what = own.recv(100)
    if what == b"raise":
        raise ValueError("born to fail")
    return int(what or 0)

PREPARED
nursery = Nursery(bear)

async def child(order=b"work"):
    ours, theirs = socket.socketpair()
    pid = await nursery.fork(order, [theirs])
    theirs.close()
    told = await asyncio.to_thread(ours.recv, 1 << 20)
    assert told.startswith(b"%d " % pid), told
    return pid, ours, told

async def main():
    nursery.watch(asyncio.get_running_loop())
    BODY

asyncio.run(main())
nursery.close()
print("done", flush=True)
"""


def start(body: str, prepared: str = "") -> subprocess.Popen[str]:
    program = PROGRAM.replace("BODY", "\n    ".join(body.strip().splitlines())).replace("PREPARED", prepared)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def outcome(body: str, prepared: str = "") -> tuple[str, str]:
    process = start(body, prepared)
    out, err = process.communicate(timeout=PATIENCE)
    assert out.endswith("done\n"), (out, err)
    return out.removesuffix("done\n"), err


def gone(pid: int) -> bool:
    """Whether it has ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until_gone(*pids: int) -> None:
    limit = time.monotonic() + PATIENCE
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < limit, f"still there: {pids}"
        time.sleep(0.01)


def test_orders_arrive_and_ends_are_told():
    out, err = outcome(
        """
pid, own, told = await child(b"x" * 100_000)
print(len(told.partition(b" ")[2]), end=" ")
own.sendall(b"7")
print(await nursery.end_of(pid), await nursery.end_of(pid), end=" ")
several = [await child() for _ in range(5)]
os.kill(several[0][0], signal.SIGKILL)
print(await nursery.end_of(several[0][0]), end=" ")
for pid, own, _ in several[1:]:
    own.close()
    print(await nursery.end_of(pid), end=" ")
"""
    )
    assert (out, err) == ("100000 7 7 -9 0 0 0 0 ", "")


def test_what_a_worker_does_not_catch_is_told_and_is_status_1():
    out, err = outcome(
        """
pid, own, _ = await child()
own.sendall(b"raise")
print(await nursery.end_of(pid))
"""
    )
    assert out == "1\n"
    assert "born to fail" in err


def test_signals_of_a_whole_group_do_not_reach_the_nursery():
    out, _ = outcome(
        """
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    os.kill(nursery.pid, number)
pid, own, _ = await child()
own.close()
print(await nursery.end_of(pid))
"""
    )
    assert out == "0\n"


def test_where_no_process_can_be_made_those_that_there_are_go_on():
    out, err = outcome(
        """
pid, own, _ = await child(b"first")
for _ in range(2):
    try:
        await child(b"refused")
    except ForkError:
        print("refused", end=" ")
other, its, told = await child(b"later")
own.sendall(b"7")
its.sendall(b"8")
print(await nursery.end_of(pid), await nursery.end_of(other))
""",
        prepared="""
fork, times = os.fork, iter(range(1000))
def scarce():
    if next(times) in (2, 3):  # the nursery itself and the first worker came before
        raise BlockingIOError(11, "no process")
    return fork()
os.fork = scarce
""",
    )
    assert (out, err) == ("refused refused 7 8\n", "")


def test_a_nursery_that_fails_runs_nothing_of_the_supervisors():
    out, err = outcome(
        """
await nursery.ended.wait()
print("ended")
""",
        prepared="""
import gc
def broken():
    raise ValueError("born to fail")
gc.freeze = broken
""",
    )
    assert out == "ended\n"
    assert "born to fail" in err


def test_a_nursery_that_has_ended_is_noticed():
    out, _ = outcome(
        """
pid, own, _ = await child()
os.kill(nursery.pid, signal.SIGKILL)
await nursery.ended.wait()
print(await nursery.end_of(pid))
try:
    await nursery.fork(b"", [own])
except NurseryError:
    print("none")
"""
    )
    assert out == "-9\nnone\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_outlives_the_supervisor(number: signal.Signals):
    process = start(
        """
several = [await child() for _ in range(3)]
print(nursery.pid, *(pid for pid, _, _ in several), flush=True)
await asyncio.sleep(1000)
"""
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 4
    assert not any(gone(pid) for pid in pids)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    until_gone(*pids)


def test_closing_ends_them_all():
    out, _ = outcome("several = [await child() for _ in range(2)]\nprint(*(pid for pid, _, _ in several))")
    until_gone(*(int(pid) for pid in out.split()))
