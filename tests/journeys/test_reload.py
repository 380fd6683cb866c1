"""The configuration changes under load, and nobody notices but by its effects."""

from __future__ import annotations

import json
import signal
import ssl
import threading
import time
from urllib.request import urlopen

import pytest
import trustme
import yaml

from tests.journeys.crew import until
from tests.origin import PATIENCE, Gate
from tests.running import merged
from tests.wire import request

JSON = (("Content-Type", "application/json"),)


@pytest.fixture
def proxy(leeward, origin):
    config = {"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "cache": {"default_ttl": "60s"}}}}
    return leeward(config, fresh=True)


def rewrite(proxy, change):
    """Lays a change on the configuration file; `None` deletes nothing, a text replaces all."""
    file = proxy.folder / "leeward.yaml"
    if isinstance(change, str):
        file.write_text(change)
    else:
        file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), change)))


def reload(proxy):
    answer = proxy.admin_ask("POST", "/api/v1/reload", JSON, b"{}")
    return answer.status, answer.json()


def test_new_settings_and_the_old_cache(proxy, origin):
    origin.on("/a").reply(200, b"stored")
    origin.on("/b").reply(200, b"b")
    assert proxy.get("/a").status == 200
    new = {"base_url": origin.url, "headers": {"set": {"X-New": "1"}}}
    rewrite(proxy, {"upstreams": {"api": {"retry": {"attempts": 1}}, "two": new}})
    assert reload(proxy) == (200, {"reloaded": True})
    answer = proxy.get("/a")
    assert answer.body == b"stored"
    assert "hit" in answer.header("Cache-Status")
    assert proxy.get("/two/b").status == 200
    assert origin.hit("/b").header("X-New") == "1"
    # What is put on every request may decide what is answered: nothing from before is found any more.
    rewrite(proxy, {"upstreams": {"api": {"headers": {"set": {"X-New": "2"}}}}})
    assert reload(proxy) == (200, {"reloaded": True})
    assert "uri-miss" in proxy.get("/a").header("Cache-Status")
    assert origin.hits("/a")[-1].header("X-New") == "2"
    assert proxy.metric("leeward_config_reloads_total", outcome="success") == 2
    assert proxy.metric("leeward_requests_total", upstream="api") == 3
    assert proxy.metric("leeward_requests_total", upstream="two") == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"upstreams": {"api": {"base_ulr": "x"}}}, "base_ulr"),
        ({"server": {"listen": "127.0.0.1:1"}}, "server.listen: this cannot change"),
        ({"upstreams": {"api": {"tls": {"ca": "/none.pem"}}}}, "/none.pem"),
        ({"server": {"tls": {"cert": "/none.pem", "key": "/none.pem"}}}, "server.tls"),
        ("{", "leeward.yaml:"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_changes(proxy, origin, change, told):
    written = (proxy.folder / "leeward.yaml").read_text()
    rewrite(proxy, change)
    status, answer = reload(proxy)
    assert (status, answer["error"]) == (422, "not_reloaded")
    assert any(told in problem for problem in answer["problems"]), answer
    assert proxy.get("/x").status == 200
    assert proxy.metric("leeward_config_reloads_total", outcome="failure") == 1
    assert any(told in line["event"] for line in proxy.log_lines())
    rewrite(proxy, written)
    assert reload(proxy)[0] == 200


def test_sighup_reloads(proxy, origin):
    rewrite(proxy, {"upstreams": {"api": {"headers": {"set": {"X-New": "1"}}}}})
    proxy.signal(signal.SIGHUP)
    limit = time.monotonic() + PATIENCE
    while not proxy.metric("leeward_config_reloads_total", outcome="success"):
        assert time.monotonic() < limit
        time.sleep(0.01)
    proxy.get("/a")
    assert origin.hit("/a").header("X-New") == "1"


def test_what_runs_is_answered_as_it_began(proxy, origin):
    gate = Gate()
    origin.on("/s").chunked(b"first", gate, b"second", headers=[("Content-Type", "text/event-stream")])
    with proxy.send(request("GET", "/s")) as wire:
        head = wire.read_head()
        wire.read_body(head, 5)
        for number in range(3):
            rewrite(proxy, {"upstreams": {"api": {"headers": {"set": {"X-New": str(number)}}}}})
            assert reload(proxy)[0] == 200
        wire.sock.settimeout(PATIENCE)
        gate.open()
        wire.read_body(head)
        assert (head.body, head.complete) == (b"firstsecond", True)
        wire.send(request("GET", "/after"))
        assert wire.read().status == 200
    assert origin.hit("/after").header("X-New") == "2"


def test_no_request_fails_while_it_reloads(proxy, origin):
    stop, statuses, broken = threading.Event(), set(), []

    def call():
        with proxy.wire() as wire:
            while not stop.is_set():
                try:
                    wire.send(request("GET", "/x", [("Cache-Control", "no-cache")]))
                    statuses.add(wire.read().status)
                except Exception as error:
                    broken.append(error)
                    raise

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    try:
        for number in range(10):
            rewrite(proxy, {"upstreams": {"api": {"headers": {"set": {"X-New": str(number)}}}}})
            assert reload(proxy)[0] == 200
    finally:
        stop.set()
        for caller in callers:
            caller.join(PATIENCE)
    assert (statuses, broken) == ({200}, [])


def test_a_purge_reaches_what_began_before_a_reload(proxy, origin):
    gate = Gate()
    origin.on("/p").chunked(b"old", gate, b"er")
    with proxy.send(request("GET", "/p")) as wire:
        head = wire.read_head()
        assert reload(proxy)[0] == 200
        proxy.admin_ask("POST", "/api/v1/cache/purge", JSON, b'{"all":true}')
        gate.open()
        assert wire.read_body(head).complete
    origin.on("/p").reply(200, b"new")
    assert proxy.get("/p").body == b"new"


def test_a_secret_of_before_stays_out_of_the_log(leeward, origin):
    old, new = "old-secret-1", "new-secret-2"
    auth = {"type": "bearer", "token": old}
    config = {"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "auth": auth}}}
    proxy = leeward(config, fresh=True)
    rewrite(proxy, {"upstreams": {"api": {"auth": {"type": "bearer", "token": new}}}})
    assert reload(proxy)[0] == 200
    for secret in (old, new):
        proxy.get(f"/{secret}")
    assert origin.hit(f"/{new}").header("Authorization") == f"Bearer {new}"
    shown = proxy.stderr + json.dumps(proxy.admin_json("/api/v1/requests"))
    assert old not in shown
    assert new not in shown


@pytest.fixture
def issue(tmp_path):
    """Writes a certificate of a new authority, which it gives."""

    def written():
        authority = trustme.CA()
        mine = authority.issue_cert("127.0.0.1")
        mine.private_key_pem.write_to_path(tmp_path / "key.pem")
        mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        return authority

    return written


@pytest.fixture
def shown(leeward, origin, tmp_path):
    """Starts a program that shows it to callers."""

    def started():
        tls = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
        config = {"server": {"tls": tls}, "upstreams": {"api": {"base_url": origin.url, "prefix": "/"}}}
        return leeward(config, fresh=True)

    return started


def trusted(running, authority) -> bool:
    """Whether a caller who trusts this authority gets its answer."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    try:
        with urlopen(f"https://{running.host}/x", timeout=PATIENCE, context=context) as answer:
            return bool(answer.status == 200)
    except OSError as error:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise
        return False


def test_certificates_are_read_anew(issue, shown):
    first = issue()
    running = shown()
    assert trusted(running, first)
    second = issue()
    assert reload(running)[0] == 200
    assert trusted(running, second)
    assert not trusted(running, first)


def test_certificates_are_followed_without_a_reload(issue, shown):
    first = issue()
    running = shown()
    assert trusted(running, first)
    second = issue()
    until(lambda: trusted(running, second))
    assert not trusted(running, first)


def test_what_was_stored_under_one_certificate_is_not_found_under_another(leeward, issue, origin, tmp_path):
    issue()
    tls = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    upstream = {"base_url": origin.url, "prefix": "/", "tls": tls, "cache": {"default_ttl": "60s"}}
    proxy = leeward({"upstreams": {"api": upstream}}, fresh=True)
    origin.on("/a").reply(200, b"one")
    assert [("hit" in proxy.get("/a").header("Cache-Status")) for _ in range(4)] == [False, True, True, True]
    issue()
    until(lambda: "uri-miss" in proxy.get("/a").header("Cache-Status"))
    assert "hit" in proxy.get("/a").header("Cache-Status")
