"""Several workers are one program: one port, one cache, one page of figures, one end."""

from __future__ import annotations

import contextlib
import os
import signal

import yaml

from tests.journeys.crew import FRESH, JSON, alive, family, reload, spread, until, workers
from tests.origin import PATIENCE, Gate
from tests.running import Leeward
from tests.wire import request


def test_a_cold_url_is_fetched_once_for_all_workers(crew, origin):
    proxy = crew()
    gate = Gate()
    origin.on("/cold").reply(200, b"once", headers=FRESH, gate=gate)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(proxy.wire()) for _ in range(200)]
        for wire in wires:
            wire.send(request("GET", "/cold"))
        origin.wait_for("/cold")
        until(lambda: proxy.metric("leeward_inflight_requests", upstream="api") == 200)
        gate.open()
        answers = [wire.read() for wire in wires]
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"once")}
    assert len(origin.hits("/cold")) == 1
    assert proxy.metric("leeward_upstream_attempts_total", upstream="api") == 1
    assert proxy.metric("leeward_requests_total", upstream="api") == 200


def test_what_cannot_be_stored_is_waited_for_by_nobody(crew, origin):
    proxy = crew()
    origin.on("/spread").reply(200, b"x", headers=FRESH)
    wires = list(spread(proxy).values())
    gate = Gate()
    origin.on("/live").chunked(b"head", gate, headers=[("Cache-Control", "no-store")])
    for wire in wires:
        wire.send(request("GET", "/live"))
    for wire in wires:
        assert wire.read_head().status == 200
    gate.open()
    for wire in wires:
        wire.sock.close()


def test_one_cache_one_purge_one_listing(crew, origin):
    proxy = crew()
    origin.on("/spread").reply(200, b"x", headers=FRESH)
    wires = spread(proxy)
    origin.on("/a").reply(200, b"old", headers=FRESH)

    def seen() -> list[tuple[bytes, bool]]:
        answers = []
        for wire in wires.values():
            wire.send(request("GET", "/a"))
            answer = wire.read()
            answers.append((answer.body, "hit" in (answer.header("Cache-Status") or "")))
        return answers

    assert seen() == [(b"old", False), *[(b"old", True)] * 3]
    assert seen() == [(b"old", True)] * 4
    assert [row["target"] for row in proxy.admin_json("/api/v1/cache?path=/a")["entries"]] == ["/a"]
    origin.on("/a").reply(200, b"new", headers=FRESH)
    purged = proxy.admin_ask("POST", "/api/v1/cache/purge", JSON, b'{"path":"/a"}')
    assert purged.json() == {"purged": 1}
    assert seen() == [(b"new", False), *[(b"new", True)] * 3]
    # What one worker changes, all have changed.
    origin.on("/a").reply(200, b"newest", headers=FRESH)
    last = list(wires.values())[-1]
    last.send(request("POST", "/a", body=b"{}"))
    assert last.read().status == 200
    assert {body for body, _ in seen()} == {b"newest"}
    for wire in wires.values():
        wire.sock.close()


def test_figures_are_of_all_workers_and_outlive_them(crew, origin):
    proxy = crew()
    origin.on("/spread").reply(200, b"x", headers=FRESH)
    wires = spread(proxy)
    before = proxy.metric("leeward_requests_total", upstream="api")
    assert before >= 4
    [row] = proxy.admin_json("/api/v1/status")["upstreams"]
    assert row["requests"] == before
    assert len(proxy.admin_json("/api/v1/requests?limit=1000")["requests"]) == before
    victim, wire = wires.popitem()
    os.kill(victim, signal.SIGKILL)
    with wire:
        assert wire.end() in ("closed", "reset")
    until(lambda: victim not in workers(proxy) and len(workers(proxy)) == 4)
    assert proxy.metric("leeward_requests_total", upstream="api") == before
    assert proxy.metric("leeward_worker_restarts_total") == 1
    assert reload(proxy) == (200, {"reloaded": True})
    assert proxy.metric("leeward_requests_total", upstream="api") == before
    for kept in wires.values():
        kept.sock.close()


def test_sigterm_finishes_what_runs_and_leaves_nobody_behind(crew, origin):
    proxy = crew()
    gate = Gate()
    origin.on("/s").chunked(b"first", gate, b"second")
    everybody = family(proxy.pid)
    assert len(everybody) == 5
    with proxy.send(request("GET", "/s")) as wire:
        head = wire.read_head()
        wire.read_body(head, 5)
        proxy.signal()
        until(lambda: proxy.admin_ask("GET", "/readyz").status == 503)
        assert proxy.get("/still").status == 200
        gate.open()
        wire.read_body(head)
    assert (head.body, head.complete) == (b"firstsecond", True)
    assert proxy.wait() == 0
    until(lambda: not any(alive(pid) for pid in everybody))
    assert "Traceback" not in proxy.stderr


def test_signals_to_the_whole_group_end_it_the_same_way(crew):
    proxy = crew(2)
    everybody = family(proxy.pid)
    for pid in (*everybody, proxy.pid):
        os.kill(pid, signal.SIGINT)
    assert proxy.wait() == 0
    until(lambda: not any(alive(pid) for pid in everybody))
    assert not any(line["level"] == "error" for line in proxy.log_lines())


def test_a_second_signal_ends_now(crew, origin):
    proxy = crew(2)
    origin.on("/s").never()
    with proxy.send(request("GET", "/s")) as wire:
        origin.wait_for("/s")
        proxy.signal()
        until(lambda: proxy.admin_ask("GET", "/readyz").status == 503)
        proxy.signal()
        proxy.wait(PATIENCE)
        assert wire.end() in ("closed", "reset")


def test_a_taken_port_is_told_although_it_could_be_shared(crew, tmp_path):
    proxy = crew(2)
    told = yaml.safe_load((proxy.folder / "leeward.yaml").read_text())
    for key in ("listen", "admin"):
        own = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2, key: told["server"][key]}
        file = tmp_path / "leeward.yaml"
        file.write_text(
            yaml.safe_dump({"server": own, "upstreams": {"a": {"base_url": "http://127.0.0.1:1"}}})
        )
        other = Leeward(["run", "--config", str(file)], tmp_path)
        assert other.wait() == 1
        assert "another process has it already" in other.stderr
        assert "Traceback" not in other.stderr


def test_workers_that_cannot_begin_are_told(tmp_path):
    file = tmp_path / "leeward.yaml"
    upstream = {"base_url": "https://127.0.0.1:1", "tls": {"ca": "/none.pem"}}
    server = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2}
    file.write_text(yaml.safe_dump({"server": server, "upstreams": {"a": upstream}}))
    program = Leeward(["run", "--config", str(file)], tmp_path)
    assert program.wait() == 1
    assert "/none.pem" in program.stderr
    assert "Traceback" not in program.stderr


def test_a_unix_socket_is_shared_too(leeward, origin, folder):
    path = folder / "leeward.sock"
    upstreams = {"api": {"base_url": origin.url, "prefix": "/"}}
    proxy = leeward({"server": {"workers": 2, "listen": f"unix:{path}"}, "upstreams": upstreams}, fresh=True)
    for _ in range(10):
        assert proxy.get("/x").status == 200
    assert reload(proxy)[0] == 200
    assert proxy.get("/x").status == 200
    assert proxy.stop() == 0
    assert not path.exists()
