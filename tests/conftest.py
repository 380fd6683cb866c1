"""What does every test stand on: an origin, the real program, and guards against cheating?"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from tests.origin import Origin
from tests.running import Leeward, merged

Start = Callable[..., Leeward]

# A busy machine proves nothing wrong.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")

# What a journey does not ask about stays out of its way; retries wait little, so that tests need not.
QUIET: dict[str, Any] = {
    "log": {"format": "json", "level": "info"},
    "defaults": {
        "retry": {"backoff": {"initial": "10ms", "factor": 1, "max": "20ms"}, "budget": None},
        "circuit_breaker": None,
    },
}


@pytest.fixture(scope="session")
def _origin_server() -> Iterator[Origin]:
    with Origin() as server:
        yield server


@pytest.fixture
def origin(_origin_server: Origin) -> Origin:
    """The scripted upstream, with neither scripts nor memories."""
    _origin_server.reset()
    return _origin_server


@pytest.fixture(scope="module")
def leeward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the program for a configuration; the same one serves a module's tests together.

    `fresh=True` gives a process of one's own. All are stopped at the module's end, and each that the
    test did not stop itself has to leave with status 0.
    """
    running: dict[str, Leeward] = {}
    started: list[Leeward] = []

    def start(
        config: Mapping[str, Any], *, fresh: bool = False, env: Mapping[str, str] | None = None
    ) -> Leeward:
        name = json.dumps([config, env], sort_keys=True)
        known = running.get(name)
        if known is not None and not fresh and known.process.poll() is None:
            return known
        proxy = Leeward.of(merged(QUIET, config), tmp_path_factory.mktemp("leeward"), env=env)
        started.append(proxy)
        if not fresh:
            running[name] = proxy
        return proxy

    yield start
    left = [proxy for proxy in started if proxy.process.poll() is None]
    for proxy in left:
        proxy.signal()
    failures = [f"{proxy.folder}: {proxy.left()}" for proxy in left if proxy.left() != 0]
    assert not failures, f"stopped with another status than 0: {failures}"


@pytest.fixture
def proxy(leeward: Start, origin: Origin) -> Leeward:
    """The plainest proxy: one upstream at `/`, nothing cached, no credential."""
    return leeward(
        {"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "cache": {"enabled": False}}}}
    )


@pytest.fixture(autouse=True)
def _no_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """In a test that runs a loop, no code of ours may block it."""
    if request.node.get_closest_marker("asyncio") is None:
        yield
        return
    with blockbuster_ctx("proxy") as guard:
        # Coverage itself locks, in whatever of ours runs when a thread is new to it.
        guard.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", {"lock_data"})
        yield


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """No test speaks to another machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        yield


def _guarded(connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            assert host in ("localhost", "::1") or host.startswith("127."), f"{host} is not loopback"
        return connect(self, address)

    return guarded


# In CI a test that did not run is a test that failed.
_LEFT_OUT: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _LEFT_OUT.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _LEFT_OUT.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("CI") and _LEFT_OUT and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and _LEFT_OUT:
        terminalreporter.section("left out, which fails in CI")
        for name in sorted(set(_LEFT_OUT)):
            terminalreporter.line(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A short folder for Unix sockets, whose paths may have 100 bytes at most."""
    assert len(str(tmp_path)) < 90
    return tmp_path


@pytest.fixture(autouse=True)
def _level_of_the_log() -> Iterator[None]:
    """What a test's configuration wants logged is no other test's business."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
