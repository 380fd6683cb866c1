"""Tokens, signatures and fences through the real program, against a real provider on loopback."""

from __future__ import annotations

import json
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.auth.samples import ACCOUNT, PEM
from tests.journeys.crew import until
from tests.origin import Gate, closed_port, head
from tests.running import many_files
from tests.upstream.certificates import AUTHORITY, CLIENT, CLIENT_KEY
from tests.wire import request

CANARY = "canary+9c1d/Yw=7"
KEY_LINE = PEM.splitlines()[3]
TOKEN = "tok.canary-0a1b2c3d4e"


def granted(token: str = TOKEN, **said: Any) -> bytes:
    return json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3600, **said}).encode()


def oauth2(url: str, **more: Any) -> dict[str, Any]:
    secret = {"client_id": "me", "client_secret": {"env": "CLIENT_SECRET"}}
    return {"type": "oauth2", "token_url": f"{url}/token", **secret, **more}


def one(origin, auth, **upstream: Any) -> dict[str, Any]:
    return {"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "auth": auth, **upstream}}}


ENV = {"CLIENT_SECRET": CANARY}


def many(proxy, count: int, target: str):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: proxy.get(target, ("Cache-Control", "no-store")), range(count)))


def test_five_hundred_callers_on_an_expired_token_are_one_token_request(leeward, origin):
    many_files()
    brief, gate = granted("tok.canary-brief", expires_in=1), Gate()
    origin.on("/token").reply(200, brief).raw(
        gate, head(200, [("Content-Length", str(len(granted())))]) + granted()
    )
    proxy = leeward(one(origin, oauth2(origin.url), cache={"enabled": False}), fresh=True, env=ENV)
    assert proxy.get("/x").status == 200
    expired = time.monotonic() + 1.0
    with ExitStack() as stack:
        wires = [stack.enter_context(proxy.wire()) for _ in range(500)]
        time.sleep(max(0.0, expired - time.monotonic()))
        for wire in wires:
            wire.send(request("GET", "/x"))
        origin.wait_for("/token", 2)
        until(lambda: proxy.metric("leeward_inflight_requests", upstream="api") == 500)
        gate.open()
        assert {wire.read().status for wire in wires} == {200}
    assert origin.count("/token") == 2
    first, *others = [hit.header("authorization") for hit in origin.hits("/x")]
    assert first == "Bearer tok.canary-brief"
    assert (len(others), set(others)) == (500, {f"Bearer {TOKEN}"})
    [left] = re.findall(
        r'leeward_credential_expires_seconds\{upstream="api"\} ([0-9.]+)',
        proxy.admin_ask("GET", "/metrics").body.decode(),
    )
    assert 3500 < float(left) <= 3600


def test_a_401_renews_the_token_once_and_the_request_goes_out_again(leeward, origin):
    origin.on("/token").reply(200, granted("tok-1")).reply(200, granted("tok-2"))
    proxy = leeward(one(origin, oauth2(origin.url)), fresh=True, env=ENV)
    assert proxy.get("/warm").status == 200
    origin.on("/x").reply(401).reply(200)
    answer = proxy.ask("POST", "/x", [("Authorization", "Bearer callers")], b"body")
    assert (answer.status, answer.header("Leeward-Attempts")) == (200, "2")
    assert [(h.header("authorization"), h.raw_body) for h in origin.hits("/x")] == [
        ("Bearer tok-1", b"body"),
        ("Bearer tok-2", b"body"),
    ]
    origin.on("/y").reply(401)
    assert (proxy.get("/y").status, origin.count("/y"), origin.count("/token")) == (401, 1, 2)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"], "answered 500"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage"], "no JSON object"),
        ([b"NOT HTTP\r\n\r\n"], "No answer from"),
        ([lambda hit: echo(400, hit)], "answered 400"),
    ],
    ids=["500", "garbage", "no http", "echo"],
)
def test_a_provider_s_failure_is_typed_and_no_stampede(leeward, origin, script, words):
    origin.on("/token").raw(*script, then="close")
    proxy = leeward(one(origin, oauth2(origin.url)), fresh=True, env=ENV)
    answers = many(proxy, 30, "/x")
    assert {(answer.status, answer.code) for answer in answers} == {(502, "credential_unavailable")}
    assert all(words in answer.problem["detail"] for answer in answers)
    assert all(answer.problem["retry_after"] >= 1 for answer in answers)
    assert (origin.count("/x"), origin.count("/token")) == (0, 1)


def echo(status: int, hit) -> bytes:
    """A provider that tells everybody what it was asked with."""
    said = {"error": "invalid_request", "error_description": f"{hit.raw_head!r} {hit.raw_body!r}"}
    body = json.dumps(said).encode()
    return head(status, [("Content-Length", str(len(body))), ("X-Echo", "1")]) + body


def test_a_rotated_refresh_token_outlives_the_program(leeward, origin, tmp_path):
    origin.on("/token").reply(200, granted("tok-1", refresh_token="refresh-2")).reply(200, granted("tok-2"))
    state = tmp_path / "state.json"
    auth = oauth2(origin.url, refresh_token="refresh-1", state_file=str(state))
    config = one(origin, auth)
    first = leeward(config, fresh=True, env=ENV)
    assert first.get("/x").status == 200
    assert first.stop() == 0
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    second = leeward(config, fresh=True, env=ENV)
    assert second.get("/x").status == 200, "the token of the one before is good still"
    origin.on("/x").reply(401).reply(200)
    assert second.get("/x").status == 200
    sent = [parse_qs(hit.raw_body.decode())["refresh_token"] for hit in origin.hits("/token")]
    assert sent == [["refresh-1"], ["refresh-2"]]


def test_keys_take_turns_and_a_limited_one_rests(leeward, origin):
    auth = {"type": "bearer", "token": ["key-A", "key-B"]}
    proxy = leeward(one(origin, auth, cache={"enabled": False}), fresh=True)
    origin.on("/x").reply(200).reply(200).reply(429, headers=[("Retry-After", "600")]).reply(200)
    assert [proxy.get("/x").status for _ in range(6)] == [200] * 6
    sent = [(hit.header("authorization") or "")[-1] for hit in origin.hits("/x")]
    assert "".join(sent) == "ABABBBB"


def test_a_fence_lets_nothing_else_through(leeward, origin):
    allow = [{"method": "GET", "path": "/v1/*"}]
    proxy = leeward(one(origin, {"type": "bearer", "token": CANARY}, allow=allow), fresh=True)
    assert proxy.get("/v1/a").status == 200
    for method, target, fields in [
        ("POST", "/v1/a", []),
        ("GET", "/v1/a/b", []),
        ("GET", "/v1/a%2Fb", []),
        ("GET", "/v2/a", []),
        ("GET", "/v1/a", [("X-HTTP-Method-Override", "DELETE")]),
    ]:
        answer = proxy.ask(method, target, fields)
        assert (answer.status, answer.code) == (403, "permission_denied"), target
        assert "http_request_denied" in (answer.header("Proxy-Status") or "")
    assert origin.count() == 1
    told = proxy.admin_ask("GET", "/api/v1/explain?method=DELETE&path=/v1/a")
    assert b"permission_denied" in told.body
    page = proxy.admin_ask("GET", "/metrics").body.decode()
    assert re.findall(r'leeward_errors_total\{.*"permission_denied".*\} ([0-9.]+)', page) == ["5.0"]


def test_a_request_is_signed_as_botocore_signs_it(leeward, origin):
    auth = {
        "type": "sigv4",
        "service": "sqs",
        "region": "eu-west-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": {"env": "CLIENT_SECRET"},
    }
    proxy = leeward(one(origin, auth), fresh=True, env=ENV)
    fields = [("Content-Type", "application/json"), ("X-Amz-Target", "  A   B "), ("Authorization", "theirs")]
    for target, body in [("/", b"{}"), ("/a%20b//c?x=1+2&&a=%2f", b""), ("/q?b&a=", b"x" * 200_000)]:
        assert proxy.ask("POST", target, fields, body).status == 200
        hit = origin.hits()[-1]
        authorization = hit.header("authorization")
        signed = re.findall("SignedHeaders=([^,]+)", authorization)[0].split(";")
        assert {"host", "content-type", "x-amz-date", "x-amz-target"} <= set(signed)
        made = AWSRequest(
            method="POST",
            url=origin.url + hit.target,
            headers={name: hit.header(name) for name in signed if name != "host"},
            data=body,
        )
        signer = botocore.auth.SigV4Auth(Credentials("AKIDEXAMPLE", CANARY), "sqs", "eu-west-1")
        made.context["timestamp"] = hit.header("x-amz-date")
        theirs = signer.signature(signer.string_to_sign(made, signer.canonical_request(made)), made)
        assert authorization.endswith(f"Signature={theirs}"), target
        assert hit.raw_body == body


def schemes(origin, provider: str, folder) -> dict[str, dict[str, Any]]:
    for name, text in {"ca": AUTHORITY, "cert": CLIENT, "key": CLIENT_KEY}.items():
        (folder / f"{name}.pem").write_text(text)
    account = json.dumps({**json.loads(ACCOUNT), "token_uri": f"{provider}/token"})
    (folder / "google.json").write_text(account)
    (folder / "app.pem").write_text(PEM)
    secret, key = {"env": "CLIENT_SECRET"}, {"file": str(folder / "app.pem")}
    auths: dict[str, Any] = {
        "basic-client": oauth2(provider),
        "post-client": oauth2(provider, token_endpoint_auth_method="client_secret_post"),
        "user": oauth2(provider, refresh_token={"env": "CLIENT_SECRET"}),
        "jwt-client": {
            "type": "oauth2",
            "token_url": f"{provider}/token",
            "client_id": "me",
            "private_key": key,
        },
        "google": {"type": "jwt_bearer", "service_account": {"file": str(folder / "google.json")}},
        "app": {
            "type": "github_app",
            "app_id": 1,
            "installation_id": 2,
            "private_key": key,
            "api_url": provider,
        },
        "aws": {
            "type": "sigv4",
            "service": "s3",
            "region": "eu-west-1",
            "access_key_id": "AKID",
            "secret_access_key": secret,
            "session_token": secret,
        },
        "hmac": {
            "type": "hmac",
            "key": secret,
            "sign": "{body}{nonce}",
            "headers": {"X-Sign": "{signature}"},
        },
        "turns": {"type": "bearer", "token": [secret, f"{CANARY}-two"]},
        "pair": [
            {"type": "header", "name": "X-A", "value": secret},
            {"type": "query", "name": "k", "value": secret},
        ],
        "mtls": {"type": "mtls", "cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")},
    }
    return {
        name: {"base_url": origin.url, "auth": auth, "retry": {"attempts": 2}} for name, auth in auths.items()
    }


ADMIN = ["/metrics", "/", "/api/v1/status", "/api/v1/requests?limit=1000", "/api/v1/cache", "/nowhere"]


@pytest.mark.parametrize("provider", ["well", "echoing", "gone"])
def test_no_secret_is_ever_shown(leeward, origin, tmp_path, provider):
    """At debug level, over the failures of upstreams and providers."""
    if provider == "well":
        for path in ("/token", "/app/installations/2/access_tokens"):
            origin.on(path).reply(200, granted(token=TOKEN))
    else:
        for path in ("/token", "/app/installations/2/access_tokens"):
            origin.on(path).raw(lambda hit: echo(403, hit))
    url = f"http://127.0.0.1:{closed_port()}" if provider == "gone" else origin.url
    upstreams = schemes(origin, url, tmp_path)
    config = {"log": {"level": "debug", "format": "json", "bodies": True}, "upstreams": upstreams}
    proxy = leeward(config, fresh=True, env=ENV)
    for status in (400, 401, 403, 429, 500):
        origin.on(f"/e{status}").raw(lambda hit, status=status: echo(status, hit))
    shown = []
    for name in upstreams:
        shown += [proxy.get(f"/{name}/{path}") for path in ("ok", "e400", "e401", "e403", "e429", "e500")]
        shown.append(proxy.ask("POST", f"/{name}/e500", body=b"body"))
        shown.append(proxy.admin_ask("GET", f"/api/v1/explain?method=GET&path=/{name}/ok"))
    answers = [*shown, *(proxy.admin_ask("GET", path) for path in ADMIN)]
    assert len({answer.status for answer in shown}) > 1
    assert proxy.stop() == 0
    texts = [(answer.raw_head + answer.body).decode("latin-1") for answer in answers]
    for trace in (CANARY, quote(CANARY, safe=""), TOKEN, KEY_LINE, "BEGIN PRIVATE"):
        for text in [*texts, proxy.stdout, *proxy.stderr.splitlines()]:
            assert trace not in text, text[:2000]
