from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from proxy.cli import main
from proxy.cli.top import picture, rate
from tests.origin import PATIENCE, closed_port
from tests.running import ROOT, Leeward

ROW = {
    "name": "api",
    "requests": 1200,
    "hits": 900,
    "misses": 300,
    "hit_ratio": 0.75,
    "retries": 12,
    "errors": 3,
    "inflight": 2,
    "p50_ms": 1.25,
    "p95_ms": 1500.0,
}
STATUS: dict[str, Any] = {
    "version": "9.9",
    "uptime": 90061.5,
    "ready": True,
    "totals": ROW,
    "upstreams": [ROW, {"name": "[red]idle", "hit_ratio": None}],
    "caches": [{"store": "memory", "entries": 1000, "bytes": 3 << 20, "max_bytes": 256 << 20}],
}


def drawn(now: dict[str, Any], before: dict[str, Any], span: float) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        console.print(picture(now, before, span))
    return captured.get()


def top(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(["top", *arguments])
    return left.value.code


def test_a_picture_has_every_figure():
    earlier = {**STATUS, "upstreams": [{**ROW, "requests": 1000}], "totals": {**ROW, "requests": 1000}}
    title, _, head, api, idle, all_, _, cache = (
        " ".join(one.split()) for one in drawn(STATUS, earlier, 2.0).splitlines()
    )
    assert title == "leeward 9.9 ready up 1 d 01:01:01"
    assert head == "upstream req/s requests hit ratio retries errors in flight p50 p95"
    assert api == "api 100.0 1,200 75.0% 12 3 2 1.2 ms 1.5 s"
    assert idle == "[red]idle - 0 - 0 0 0 - -"
    assert all_ == "all 100.0 1,200 75.0% 12 3 2 1.2 ms 1.5 s"
    assert cache == "memory: 1,000 entries, 3 MiB of 256 MiB"


def test_without_an_earlier_look_or_after_a_restart_there_is_no_rate():
    assert rate({"requests": 5}, {"requests": 1}, 0.0) == "-"
    assert rate({"requests": 5}, None, 1.0) == "-"
    assert rate({"requests": 5}, {"requests": 9}, 1.0) == "-"
    assert rate({"requests": 5}, {"requests": 1}, 4.0) == "1.0"


def test_a_draining_proxy_is_called_so():
    assert "draining" in drawn({**STATUS, "ready": False}, STATUS, 1.0)


def admin(proxy: Leeward) -> str:
    return "{}:{}".format(*proxy.admin)


def test_where_there_is_no_terminal_it_is_written_once(proxy, origin, capsys):
    origin.on("/x").reply(200)
    assert proxy.get("/x").status == 200
    assert top("--admin", admin(proxy)) == 0
    told = capsys.readouterr().out
    assert re.search(r"^api +- +[1-9]", told, re.MULTILINE), told
    assert "\x1b" not in told


def test_on_a_terminal_it_is_drawn_until_it_is_interrupted(leeward, origin):
    origin.on("/x").reply(200)
    upstream = {"base_url": origin.url, "prefix": "/"}
    proxy = leeward({"upstreams": {"watched": upstream}}, fresh=True)
    ours, theirs = pty.openpty()
    # Who starts tests in the background has them ignore what Ctrl-C sends, and what they start as well.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from proxy.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "top", "--admin", admin(proxy), "--interval", "100ms"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    watching = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    try:
        shown(ours, r"watched.* 0 ")
        assert proxy.get("/x").status == 200
        shown(ours, r"watched.* 1 ")
        assert proxy.stop() == 0
        shown(ours, "no answer from")
        watching.send_signal(signal.SIGINT)
        limit = time.monotonic() + PATIENCE
        while watching.poll() is None:
            assert time.monotonic() < limit
            if select.select([ours], [], [], 0.1)[0]:
                read(ours)
        assert watching.returncode == 0
    finally:
        watching.kill()
        os.close(ours)


def shown(terminal: int, wanted: str) -> None:
    """Waits until it stands on the screen."""
    screen, limit = "", time.monotonic() + PATIENCE
    while not re.search(wanted, screen):
        assert time.monotonic() < limit, screen
        if select.select([terminal], [], [], 0.1)[0]:
            screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read(terminal).decode(errors="replace"))


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: the other end is closed
        return b""


def test_nobody_there_is_told(capsys):
    assert top("--admin", f"127.0.0.1:{closed_port()}") == 1
    assert "no answer from 127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--interval", "soon"), ("--admin", "nowhere")])
def test_misuse_is_told(arguments: tuple[str, ...], capsys):
    assert top(*arguments) == 2
    assert "leeward top: " in capsys.readouterr().err
