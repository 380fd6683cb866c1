"""Is a large body sent again whole, from memory or from disk, and is it said where it is not?"""

from __future__ import annotations

import os
import time

import pytest

from tests.origin import PATIENCE, Gate
from tests.wire import request

LARGE = os.urandom(1 << 19)
LARGER = os.urandom(3 << 18)


@pytest.fixture
def proxy(leeward, origin, tmp_path_factory):
    """In memory 64 KiB, on disk 512 KiB of one, and 1 MiB of all together."""
    retry = {"max_replay_body": "64KiB", "max_spool_body": "512KiB"}
    return leeward(
        {
            "server": {"max_replay_disk": "1MiB", "max_replay_memory": "1MiB"},
            "upstreams": {"api": {"base_url": origin.url, "prefix": "/", "retry": retry}},
        }
    )


def put(proxy, path, body=LARGE, **how):
    return proxy.ask("PUT", path, (), body, **how)


def chunks(path, body):
    pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + framed + b"0\r\n\r\n"


def lines(proxy, path, count=1):
    """What the log says of it, which is written when the answer has gone."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        found = [line for line in proxy.log_lines() if line.get("path") == path]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError("no line")


def unkept(proxy, path, count=1):
    return [line.get("unkept") for line in lines(proxy, path, count)]


def test_a_body_on_disk_is_sent_again_to_the_byte(proxy, origin):
    origin.on("/a").reply(503).drop().reply(200)
    assert put(proxy, "/a").status == 200
    assert [hit.body for hit in origin.hits("/a")] == [LARGE] * 3
    assert unkept(proxy, "/a") == [None]
    assert proxy.metric("leeward_kept_body_bytes") == 0


def test_so_is_one_of_unknown_length(proxy, origin):
    origin.on("/b").reply(503).reply(200)
    with proxy.send(chunks("/b", LARGE)) as wire:
        assert wire.read_head("PUT").status == 200
    assert [hit.body for hit in origin.hits("/b")] == [LARGE] * 2


@pytest.mark.parametrize("framed", [False, True], ids=["length", "chunked"])
def test_a_larger_one_goes_once_and_it_is_said(proxy, origin, framed):
    path = f"/c{framed:d}"
    before = proxy.metric("leeward_bodies_not_kept_total", reason="body-too-large")
    origin.on(path).reply(503).reply(200)
    if framed:
        with proxy.send(chunks(path, LARGER)) as wire:
            assert wire.read_head("PUT").status == 503
    else:
        assert put(proxy, path, LARGER).status == 503
    assert [hit.body for hit in origin.hits(path)] == [LARGER]
    (line,) = lines(proxy, path)
    assert (line["unkept"], line["tries"][0]["reason"]) == ("body-too-large", "body-not-replayable")
    after = proxy.metric("leeward_bodies_not_kept_total", reason="body-too-large")
    assert after == before + 1


def test_all_together_keep_no_more_than_they_may(proxy, origin):
    gate = Gate()
    origin.on("/d").reply(503, gate=gate).reply(503, gate=gate).reply(503, gate=gate).reply(200)
    wires = [proxy.send(request("PUT", "/d", (), LARGE)) for _ in range(3)]
    origin.wait_for("/d", 3)
    assert 0 < proxy.metric("leeward_kept_body_bytes", place="disk") <= 1 << 20
    gate.open()
    statuses = []
    for wire in wires:
        with wire:
            statuses.append(wire.read_head("PUT").status)
    assert sorted(statuses) == [200, 200, 503]
    assert sorted(filter(None, unkept(proxy, "/d", 3))) == ["no-room"]
    assert proxy.metric("leeward_kept_body_bytes") == 0


def test_no_file_stays_open_and_none_has_a_name(leeward, origin, tmp_path):
    retry = {"max_spool_body": "8MiB", "max_replay_body": "64KiB"}
    config = {"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "retry": retry}}}
    proxy = leeward(config, fresh=True, env={"TMPDIR": str(tmp_path)})
    gate = Gate()
    origin.on("/e").reply(503, gate=gate).reply(200)
    with proxy.send(request("PUT", "/e", (), LARGE)) as wire:
        assert gate.reached.wait(10)
        assert list(tmp_path.iterdir()) == []
        gate.open()
        assert wire.read_head("PUT").status == 200
    # One whose caller leaves lets go as well.
    hanging = Gate()
    origin.on("/f").reply(200, gate=hanging)
    with proxy.send(request("PUT", "/f", (), LARGE)):
        assert hanging.reached.wait(10)
        assert proxy.metric("leeward_kept_body_bytes", place="disk") == len(LARGE)
    origin.hit("/f").gone.wait(10)
    hanging.open()
    put(proxy, "/g")
    assert proxy.metric("leeward_kept_body_bytes") == 0
    assert proxy.stop() == 0


def test_a_disk_that_takes_nothing_costs_the_second_attempt_only(leeward, origin, tmp_path):
    retry = {"max_spool_body": "8MiB", "max_replay_body": "64KiB"}
    config = {"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "retry": retry}}}
    folder = tmp_path / "gone"
    folder.mkdir()
    proxy = leeward(config, fresh=True, env={"TMPDIR": str(folder)})
    put(proxy, "/h")
    folder.rmdir()
    origin.on("/i").reply(503).reply(200)
    assert put(proxy, "/i").status == 503
    assert origin.hit("/i").body == LARGE
    assert unkept(proxy, "/i") == ["spool-failed"]
    assert proxy.stop() == 0
