"""Does `leeward demo` end well, by itself, without a network, and with figures that make sense?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli import demo

ROOT = Path(__file__).resolve().parents[2]

# Python runs this in every process of the demo: it notes who is called beyond this machine.
WATCH = """
import sys
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
        open(__file__ + ".seen", "a").write(repr(arguments[1]))
    if event == "socket.getaddrinfo" and arguments[0] not in {"127.0.0.1", "localhost", "", None}:
        open(__file__ + ".seen", "a").write(repr(arguments))
sys.addaudithook(watch)
"""


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    # Whatever the user has configured stays out of it.
    own = {"LEEWARD_SERVER__LISTEN": "nonsense", "LEEWARD_CONFIG": "/nowhere.yaml"}
    return {**kept, **own, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}


def figures(line: str) -> list[int]:
    """The two sides' first numbers of a row; shares in brackets left out."""
    return [int(number) for number in re.findall(r"\d+", re.sub(r"\([^)]*\)", "", line))]


def test_it_tells_what_leeward_does(tmp_path: Path) -> None:
    watch = tmp_path / "sitecustomize.py"
    watch.write_text(WATCH)
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise RuntimeError('not this one')")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "proxy", "demo"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    rows = {
        name: figures(line.removeprefix(name))
        for line in lines
        for name in ("calls that failed", "calls that reached the API")
        if line.startswith(name)
    }
    failed_straight, failed_through = rows["calls that failed"]
    asked_straight, asked_through = rows["calls that reached the API"]
    calls = asked_straight  # straight, each call reaches the API
    assert failed_straight > calls // 4
    assert failed_through <= calls * 0.03, ended.stdout
    assert 0 < asked_through < asked_straight
    deeds = {line.split()[1]: int(line.split()[0]) for line in lines if re.match(r" *\d+  \w", line)}
    assert deeds["hit"] > 0
    assert deeds["coalesced"] > 0
    assert deeds["retried"] > 0
    assert deeds["sent"] == 3
    seen = re.search(r"callers saw (\d+) of them", ended.stdout)
    assert seen is not None
    assert int(seen[1]) <= deeds["rate-limited"]
    assert deeds["translated"] >= 7
    assert '"code": "not_found"' in ended.stdout
    assert re.search(r"Dashboard +http://127\.0\.0\.1:\d+/.*leeward demo --keep", ended.stdout)
    assert "demo-token" not in ended.stdout
    assert not Path(f"{watch}.seen").exists(), Path(f"{watch}.seen").read_text()


def test_it_is_kept_until_it_is_told_to_end(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "proxy", "demo", "--keep"],
        cwd=tmp_path,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("Try"):
                break
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 0
    finally:
        running.kill()
        running.communicate()


async def test_a_proxy_that_does_not_start_says_why() -> None:
    with pytest.raises(demo.NotStartedError, match="listen"):
        async with demo._proxy({"server": {"listen": "nonsense"}}):
            pass


async def test_one_that_is_silent_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_START_WITHIN", 0.0)
    with pytest.raises(demo.NotStartedError, match="not ready after 0 s"):
        async with demo._proxy({}):
            pass


def test_free_ports_differ() -> None:
    assert len(set(demo._free_ports(5))) == 5
