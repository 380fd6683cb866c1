"""Is what is wrong with an upstream found by asking it?"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.cli import live
from proxy.config.loading import load
from tests.origin import Gate, Origin, chunk, head
from tests.running import command
from tests.upstream import certificates

JSON = ("Content-Type", "application/json")


def check(tmp_path: Path, upstreams: dict[str, Any], *options: str, **env: str) -> tuple[int, str, str]:
    file = tmp_path / "leeward.yaml"
    file.write_text(yaml.safe_dump({"upstreams": upstreams}))
    done = command("check", str(file), "--live", *options, cwd=tmp_path, env=env)
    return done.returncode, done.stdout, done.stderr


def found(tmp_path: Path, upstream: dict[str, Any], **env: str) -> tuple[int, dict[str, Any]]:
    status, out, err = check(tmp_path, {"api": upstream}, "--json", **env)
    assert err == ""
    (one,) = json.loads(out)["upstreams"]
    assert isinstance(one, dict)
    assert one["ok"] is (status == 0)
    return status, one


def github(origin: Origin) -> dict[str, Any]:
    return {"preset": "github", "base_url": origin.url}


def test_all_is_well(tmp_path: Path, origin: Origin) -> None:
    left = [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "59"), ("X-RateLimit-Resource", "core")]
    scopes = ("X-OAuth-Scopes", "repo, read:org")
    origin.on("/rate_limit").reply(200, b"{}", [JSON, scopes, *left, ("Date", formatdate(usegmt=True))])
    status, one = found(tmp_path, github(origin), GITHUB_TOKEN="a-good-token")
    assert status == 0
    assert (one["addresses"], one["days"], one["probe"], one["accepted"]) == (["127.0.0.1"], None, 200, True)
    assert one["scopes"] == ["repo", "read:org"]
    assert one["quota"] == [{"bucket": "core", "remaining": 59, "limit": 60, "reset": None}]
    assert abs(one["skew"]) < 10
    assert one["credential"] == "bearer token from env GITHUB_TOKEN"
    assert (one["problems"], one["notes"]) == ([], [])
    assert origin.hit("/rate_limit").headers("authorization") == ["Bearer a-good-token"]


def test_the_table(tmp_path: Path, origin: Origin) -> None:
    left = [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "59")]
    origin.on("/rate_limit").reply(200, b"{}", [JSON, *left])
    origin.on("/v1/balance").reply(401, b'{"error": {"message": "Invalid API Key: sk-wrong-key"}}', [JSON])
    upstreams = {"github": github(origin), "stripe": {"preset": "stripe", "base_url": origin.url}}
    status, out, _ = check(tmp_path, upstreams, GITHUB_TOKEN="a-good-token", STRIPE_API_KEY="sk-wrong-key")
    head, first, second, *rest = out.splitlines()
    assert status == 1
    assert head.split()[:4] == ["upstream", "DNS", "TLS", "probe"]
    assert first.split()[:5] == ["github", "127.0.0.1", "-", "200", "accepted"]
    assert "default 59/60" in first
    assert second.split()[:5] == ["stripe", "127.0.0.1", "-", "401", "refused"]
    assert rest == ["stripe: GET /v1/balance is answered 401, authentication: Invalid API Key: ***"]


@pytest.mark.parametrize(
    ("answer", "code", "accepted"),
    [
        ((403, {"message": "Resource not accessible"}), "permission_denied", False),
        ((403, {"message": "You have exceeded a secondary rate limit."}), "rate_limited", None),
        ((500, {"message": "Oh"}), "server_error", None),
    ],
)
def test_what_is_not_as_it_should_be_is_told(
    tmp_path: Path, origin: Origin, answer: tuple[int, Any], code: str, accepted: bool | None
) -> None:
    origin.on("/rate_limit").reply(answer[0], json.dumps(answer[1]).encode(), [JSON])
    status, one = found(tmp_path, github(origin), GITHUB_TOKEN="a-token")
    assert status == 1
    assert one["accepted"] is accepted
    assert f"answered {answer[0]}, {code}: {answer[1]['message']}" in one["problems"][0]
    assert origin.count("/rate_limit") == 1, "nothing is repeated"


def test_a_success_that_failed_is_no_success(tmp_path: Path, origin: Origin) -> None:
    origin.on("/api/auth.test").reply(200, b'{"ok": false, "error": "invalid_auth"}', [JSON])
    upstream = {"preset": "slack", "base_url": f"{origin.url}/api"}
    status, one = found(tmp_path, upstream, SLACK_BOT_TOKEN="xoxb-token")
    assert (status, one["accepted"]) == (1, False)
    assert "authentication: invalid_auth" in one["problems"][0]


def test_each_of_an_upstream_s_addresses_is_asked(tmp_path: Path, origin: Origin) -> None:
    urls = [origin.url, "http://127.0.0.1:1"]
    status, out, _ = check(tmp_path, {"api": {"base_url": urls}})
    _, first, second, problem = out.splitlines()
    assert status == 1
    assert first.split()[:5] == ["api", urls[0], "127.0.0.1", "-", "200"]
    assert second.split()[:5] == ["api", urls[1], "127.0.0.1", "-", "-"]
    assert problem.startswith(f"api {urls[1]}: connect_failed")


def test_an_answer_that_never_ends_is_told(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PATIENCE", 0.5)
    file = tmp_path / "leeward.yaml"
    file.write_text(yaml.safe_dump({"upstreams": {"api": {"base_url": origin.url}}}))
    origin.on("/").raw(head(200, [("Transfer-Encoding", "chunked")]), chunk(b"{"), Gate())
    (one,) = asyncio.run(live.look(load(file, {}, {}).settings))
    assert "not whole" in one.problems[0]


def test_what_is_echoed_is_not_shown_and_moves_no_cursor(tmp_path: Path, origin: Origin) -> None:
    scopes = [JSON, ("X-OAuth-Scopes", "repo, a-good-token")]
    origin.on("/rate_limit").reply(403, b'{"message": "a-good-token \\u001b[2J"}', scopes)
    status, out, _ = check(tmp_path, {"github": github(origin)}, GITHUB_TOKEN="a-good-token")
    assert (status, "repo ***" in out, "good" in out, "\x1b" in out) == (1, True, False, False)


def test_without_a_probe_its_root_is_asked_and_may_be_missing(tmp_path: Path, origin: Origin) -> None:
    origin.on("/").reply(404, b"")
    status, one = found(tmp_path, {"base_url": origin.url})
    assert (status, one["probe"]) == (0, 404)
    assert "not_found" in one["notes"][0]


def test_a_clock_that_is_wrong_is_noted(tmp_path: Path, origin: Origin) -> None:
    origin.on("/").reply(200, b"", [("Date", "Tue, 01 Jan 2030 00:00:00 GMT")])
    _, one = found(tmp_path, {"base_url": origin.url})
    assert abs(one["skew"]) > 60
    assert "its clock is" in one["notes"][0]


def test_a_fence_keeps_the_credential_back(tmp_path: Path, origin: Origin) -> None:
    fenced = {**github(origin), "allow": [{"method": "GET", "path": "/repos/**"}]}
    status, one = found(tmp_path, fenced, GITHUB_TOKEN="a-token")
    assert (status, one["probe"]) == (0, None)
    assert "its fence allows no GET /rate_limit" in one["notes"][0]
    assert origin.count() == 0


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ({"base_url": "http://no-such-name.invalid"}, "the name no-such-name.invalid is not found"),
        ({"base_url": "http://127.0.0.1:1"}, "connect_failed"),
        ({"preset": "github", "base_url": "http://127.0.0.1:1"}, "credential_unavailable"),
    ],
)
def test_an_upstream_that_cannot_be_asked_is_told(
    tmp_path: Path, upstream: dict[str, Any], said: str
) -> None:
    status, one = found(tmp_path, upstream)
    assert status == 1
    assert said in one["problems"][0]


class _Plain(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def https(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate, and its URL."""
    (tmp_path / "server.pem").write_text(certificates.SERVER)
    (tmp_path / "server.key").write_text(certificates.SERVER_KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with HTTPServer(("127.0.0.1", 0), _Plain) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_certificate_s_days_are_counted(tmp_path: Path, https: str) -> None:
    (tmp_path / "ca.pem").write_text(certificates.AUTHORITY)
    status, one = found(tmp_path, {"base_url": https, "tls": {"ca": str(tmp_path / "ca.pem")}})
    assert (status, one["probe"]) == (0, 200)
    assert one["days"] > 1000


def test_a_certificate_that_nobody_trusts_is_told(tmp_path: Path, https: str) -> None:
    status, one = found(tmp_path, {"base_url": https})
    assert (status, one["probe"]) == (1, None)
    assert "no TLS connection: " in one["problems"][0]


def test_an_invalid_configuration_is_told_as_ever(tmp_path: Path) -> None:
    status, out, _ = check(tmp_path, {"api": {"preset": "strip"}})
    assert status == 2
    assert "did you mean stripe?" in out
