"""Where do workers come from?

From a process that has everything loaded and does nothing but fork: a copy of it is ready in a few
hundredths of a second and shares most of its memory. It has neither a loop nor a thread, which is what makes
forking safe; the supervisor, which has both, was its parent before it had them.

The law: no process outlives the one that it was forked from. On Linux the system sees to that; elsewhere
the nursery does, and ends its children when the supervisor's end of its socket closes.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from struct import Struct
from typing import NoReturn

_LENGTH = Struct("!I")
_PID = Struct("!q")
_ENDED = Struct("!qi")
_MOST_SOCKETS = 250
_SET_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl
_NOT_OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # they are the supervisor's to act on

Bear = Callable[[bytes, list[socket.socket]], int]
_LIBRARY = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class NurseryError(Exception):
    """The nursery has ended; nothing is forked any more, and its children are gone."""


class ForkError(Exception):
    """No process can be made just now; those that there are go on."""


class Nursery:
    """The supervisor's side of it."""

    def __init__(self, bear: Bear) -> None:
        """Forks: there must be neither a loop nor a thread. `bear` runs in each worker; its exit status."""
        self._orders, orders = socket.socketpair()
        self._reports, reports = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # Held back until the child ignores them: one that comes before would end it.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_OURS)
        self.pid = os.fork()
        if not self.pid:
            try:
                self._orders.close()
                self._reports.close()
                _tie(parent)
                _run(orders, reports, bear)
            except BaseException:  # noqa: BLE001 - what is above is the supervisor's, and not to be run here
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        orders.close()
        reports.close()
        self._reports.settimeout(0)
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._buffer = b""
        self._one = asyncio.Lock()
        self.ended = asyncio.Event()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on the ends of workers are heard of."""
        self._loop = loop
        loop.add_reader(self._reports, self._heard)

    async def fork(self, order: bytes, sockets: Sequence[socket.socket]) -> int:
        """A new worker's process id. Raises NurseryError and ForkError."""
        async with self._one:
            try:
                return await asyncio.to_thread(self._fork, order, [s.fileno() for s in sockets])
            except OSError as error:
                raise NurseryError from error

    async def end_of(self, pid: int) -> int:
        """Waits for a worker's end: its exit status, negative for a signal's number."""
        return await asyncio.shield(self._end(pid))

    def close(self) -> None:
        """Ends the nursery, and with it all that it has forked."""
        loop = getattr(self, "_loop", None)
        if loop is not None:
            loop.remove_reader(self._reports)
        self._orders.close()
        self._reports.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _fork(self, order: bytes, files: Sequence[int]) -> int:
        socket.send_fds(self._orders, [_LENGTH.pack(len(order))], files)
        self._orders.sendall(order)
        (pid,) = _PID.unpack(_exactly(self._orders, _PID.size))
        if not pid:
            raise ForkError
        return int(pid)

    def _end(self, pid: int) -> asyncio.Future[int]:
        end = self._ends.get(pid)
        if end is None:
            end = self._ends[pid] = asyncio.get_running_loop().create_future()
            if self.ended.is_set():
                end.set_result(-signal.SIGKILL)
        return end

    def _heard(self) -> None:
        try:
            data = self._reports.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._reports)
            self.ended.set()
            for end in self._ends.values():
                if not end.done():
                    end.set_result(-signal.SIGKILL)
            return
        self._buffer += data
        while len(self._buffer) >= _ENDED.size:
            pid, status = _ENDED.unpack(self._buffer[: _ENDED.size])
            self._buffer = self._buffer[_ENDED.size :]
            end = self._end(pid)
            if not end.done():
                end.set_result(status)


def _run(orders: socket.socket, reports: socket.socket, bear: Bear) -> NoReturn:
    """The nursery's life."""
    for number in _NOT_OURS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_OURS)
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    nursery = os.getpid()
    while True:
        readable, _, _ = select.select([orders.fileno(), wake], [], [])
        if wake in readable:
            with suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(children, reports)
        if orders.fileno() in readable:
            received = _receive(orders)
            if received is None:
                break
            pid = _forked()
            if pid == 0:
                _tie(nursery)
                for file in (wake, woken, orders.detach(), reports.detach()):
                    os.close(file)
                _live(bear, *received)
            children |= {pid} if pid is not None else set()
            for own in received[1]:
                own.close()
            orders.sendall(_PID.pack(pid or 0))
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _forked() -> int | None:
    """0 in the new process; None where the system makes none."""
    try:
        return os.fork()
    except OSError:  # too many processes, or no memory for one
        return None


def _live(bear: Bear, order: bytes, sockets: list[socket.socket]) -> NoReturn:
    """A worker's life, of which nothing of what the nursery was may be run at its end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.enable()
        status = bear(order, sockets)
    except BaseException:  # noqa: BLE001 - there is nobody above
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _receive(orders: socket.socket) -> tuple[bytes, list[socket.socket]] | None:
    """An order; None where the supervisor has ended."""
    try:
        head, files, _, _ = socket.recv_fds(orders, _LENGTH.size, _MOST_SOCKETS)
        if not head:
            return None
        head += _exactly(orders, _LENGTH.size - len(head))
        (length,) = _LENGTH.unpack(head)
        return _exactly(orders, length), [socket.socket(fileno=file) for file in files]
    except OSError:
        return None


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


def _reap(children: set[int], reports: socket.socket) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        children.discard(pid)
        with suppress(OSError):
            reports.sendall(_ENDED.pack(pid, os.waitstatus_to_exitcode(status)))


def _tie(parent: int) -> None:
    """Has the system end this process when its parent ends."""
    if _LIBRARY is not None:
        _LIBRARY.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)
