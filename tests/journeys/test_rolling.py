"""Workers come and go, and callers do not notice."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.journeys.crew import FRESH, Load, alive, family, peers, ready, reload, spread, until, workers
from tests.origin import Gate
from tests.wire import request


def test_a_worker_that_is_killed_takes_only_its_own_connections_with_it(crew, origin):
    proxy = crew()
    origin.on("/spread").reply(200, b"x", headers=FRESH)
    for wire in spread(proxy).values():
        wire.sock.close()
    gate = Gate()
    origin.on("/slow").chunked(b"first", gate, b"second")
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(proxy.wire()) for _ in range(300)]
        heads = []
        for number, wire in enumerate(wires):
            wire.send(request("GET", f"/slow?{number}"))
        for wire in wires:
            heads.append(wire.read_head())
            wire.read_body(heads[-1], 5)
        ports = [wire.sock.getsockname()[1] for wire in wires]
        victim = workers(proxy)[0]
        lost = peers(victim) & set(ports)
        assert len(ports) - len(lost) >= 200
        os.kill(victim, signal.SIGKILL)
        until(lambda: not alive(victim) and ready(proxy) == 4)
        gate.open()
        for wire, head in zip(wires, heads, strict=True):
            wire.read_body(head)
    broken = {port for port, head in zip(ports, heads, strict=True) if not head.complete}
    assert broken == lost
    assert proxy.get("/spread").status == 200


@pytest.mark.parametrize("fresh", [False, True], ids=["kept connections", "new connections"])
def test_a_rolling_reload_under_load_loses_nothing(crew, origin, fresh):
    proxy = crew(2)
    gate = Gate()
    origin.on("/events").chunked(
        b"data: 1\n\n", gate, b"data: 2\n\n", headers=[("Content-Type", "text/event-stream")]
    )
    with proxy.send(request("GET", "/events")) as stream:
        head = stream.read_head()
        stream.read_body(head, 9)
        first = set(workers(proxy))
        with Load(proxy, 6, fresh=fresh) as load:
            for number in range(3):
                assert (
                    reload(proxy, {"upstreams": {"api": {"headers": {"set": {"X-New": str(number)}}}}})[0]
                    == 200
                )
            answered = load.answers
            until(lambda: load.answers > answered + 50)
        assert load.failures == []
        assert first & set(workers(proxy)), "who serves the stream is still there"
        gate.open()
        assert stream.read_body(head).complete
        assert head.body == b"data: 1\n\ndata: 2\n\n"
    until(lambda: not first & set(workers(proxy)))
    origin.on("/after").reply(200)
    proxy.get("/after")
    assert origin.hit("/after").header("X-New") == "2"
    assert ready(proxy) == 2


def test_a_reload_may_change_the_number_of_workers(crew, origin):
    proxy = crew(2)
    with Load(proxy, 4, fresh=True) as load:
        for count in (3, 1, 2):
            assert reload(proxy, {"server": {"workers": count}})[0] == 200
            assert ready(proxy) == count
            answered = load.answers
            until(lambda seen=answered: load.answers > seen + 50)
    assert load.failures == []


def test_a_reload_to_more_workers_that_is_refused_loses_nothing(crew, origin):
    proxy = crew(2)
    written = (proxy.folder / "leeward.yaml").read_text()
    with Load(proxy, 6, fresh=True) as load:
        for _ in range(3):
            change = {"server": {"workers": 6}, "upstreams": {"api": {"tls": {"ca": "/none.pem"}}}}
            assert reload(proxy, change)[0] == 422
        (proxy.folder / "leeward.yaml").write_text(written)
        answered = load.answers
        until(lambda: load.answers > answered + 50)
    assert load.failures == []


def test_a_reload_that_is_refused_leaves_the_workers_alone(crew, origin):
    proxy = crew(2)
    before = workers(proxy)
    for change in (
        {"upstreams": {"api": {"base_ulr": "x"}}},
        {"server": {"listen": "127.0.0.1:1"}},
        {"upstreams": {"api": {"tls": {"ca": "/none.pem"}}}},
    ):
        written = (proxy.folder / "leeward.yaml").read_text()
        status, answer = reload(proxy, change)
        (proxy.folder / "leeward.yaml").write_text(written)
        assert (status, answer["error"]) == (422, "not_reloaded")
        assert answer["problems"]
        until(lambda: workers(proxy) == before)
    assert proxy.metric("leeward_config_reloads_total", outcome="failure") == 3
    assert proxy.get("/x").status == 200


@pytest.mark.parametrize("which", ["supervisor", "nursery"])
def test_nobody_outlives_a_death_without_warning(leeward, crew, which):
    proxy = crew(2)
    everybody = family(proxy.pid)
    folders = shared()
    assert folders
    os.kill(proxy.pid if which == "supervisor" else everybody[0], signal.SIGKILL)
    status = proxy.wait()
    assert status == (-signal.SIGKILL if which == "supervisor" else 1)
    until(lambda: not any(alive(pid) for pid in everybody))
    # What it could not clean up any more, the next one does.
    other = crew(2)
    assert len(shared() & folders) < len(folders)
    other.stop()


def shared() -> set[Path]:
    return set(Path("/dev/shm").glob("leeward-*"))


def test_one_worker_dying_again_and_again_does_not_stop_the_others(crew, origin):
    proxy = crew(2)
    with Load(proxy, 4, fresh=True) as load:
        for _ in range(3):
            victim = workers(proxy)[-1]
            os.kill(victim, signal.SIGKILL)
            until(lambda gone=victim: gone not in workers(proxy) and len(workers(proxy)) == 2)
            until(lambda: ready(proxy) == 2)
        answered = load.answers
        until(lambda: load.answers > answered + 100)
    until(lambda: ready(proxy) == 2)
    assert proxy.metric("leeward_worker_restarts_total") == 3
    assert proxy.get("/x").status == 200
