"""Does a credential go to the configured origin, exactly once, and nowhere else?"""

from __future__ import annotations

import base64
import time
from urllib.parse import quote

import pytest

from tests.origin import closed_port, head
from tests.wire import request

CANARY = "canary+7f3a/Zx=9"
BASIC = base64.b64encode(f"robot:{CANARY}".encode()).decode()
TRACES = (CANARY, BASIC, quote(CANARY, safe=""), "canary", BASIC[8:24])
KEPT = ("Cache-Control", "max-age=60")
ENV = {"BENCH_TOKEN": CANARY}


def schemes(url: str) -> dict[str, dict[str, object]]:
    secret = {"env": "BENCH_TOKEN"}
    auths: dict[str, dict[str, object]] = {
        "bearer": {"type": "bearer", "token": secret},
        "basic": {"type": "basic", "username": "robot", "password": secret},
        "header": {"type": "header", "name": "X-Api-Key", "value": secret},
        "query": {"type": "query", "name": "api_key", "value": secret},
        "none": {"type": "none"},
    }
    return {name: {"base_url": url, "auth": auth} for name, auth in auths.items()}


@pytest.fixture
def proxy(leeward, origin):
    return leeward({"upstreams": schemes(origin.url)}, env=ENV)


@pytest.mark.parametrize(
    ("scheme", "field", "value"),
    [
        ("bearer", "authorization", f"Bearer {CANARY}"),
        ("basic", "authorization", f"Basic {BASIC}"),
        ("header", "x-api-key", CANARY),
    ],
)
@pytest.mark.parametrize(
    "callers",
    [
        [],
        [("Authorization", "Bearer mine")],
        [("authorization", "Bearer mine"), ("AUTHORIZATION", "Basic bWluZQ==")],
        [
            ("X-Api-Key", "mine"),
            ("x-api-key", "mine too"),
            ("X_Api_Key", "mine as well"),
            ("x_API-key", "mine"),
        ],
    ],
    ids=["none", "one", "two", "twins"],
)
def test_exactly_one_and_ours(proxy, origin, scheme, field, value, callers):
    if field == "authorization":
        callers = [c for c in callers if "uthoriz" in c[0] or c[0].isupper()]
    assert proxy.get(f"/{scheme}/x", *callers).status == 200
    hit = origin.hit("/x")
    assert hit.headers(field) == [value]
    assert b"mine" not in hit.raw_head
    if field != "authorization":
        assert hit.header("authorization") is None


def test_in_the_query(proxy, origin):
    proxy.get("/query/x?b=1&api_key=mine&a=%2F&API_KEY2=y", ("Authorization", "Bearer mine"))
    hit = origin.hit("/x")
    path, _, query = hit.target.partition("?")
    parts = query.split("&")
    ours = f"api_key={quote(CANARY, safe='')}"
    assert path == "/x"
    assert [p for p in parts if p.startswith("api_key=")] == [ours]
    assert [p for p in parts if p != ours] == ["b=1", "a=%2F", "API_KEY2=y"]
    assert b"mine" not in hit.raw_head


def test_without_auth_the_callers_own_passes(proxy, origin):
    proxy.get("/none/x", ("Authorization", "Bearer mine"), ("X-Api-Key", "mine too"))
    assert origin.hit("/x").headers("authorization") == ["Bearer mine"]
    assert origin.hit("/x").headers("x-api-key") == ["mine too"]


def test_on_each_attempt(proxy, origin):
    origin.on("/x").reply(503).reply(503).reply(200)
    assert proxy.get("/bearer/x").status == 200
    assert [h.headers("authorization") for h in origin.hits("/x")] == [[f"Bearer {CANARY}"]] * 3


def test_a_redirect_is_passed_on_and_not_followed(proxy, origin):
    origin.on("/x").reply(302, headers=[("Location", f"{origin.url}/elsewhere?a=%2F")])
    answer = proxy.get("/bearer/x")
    assert (answer.status, answer.header("Location")) == (302, f"{origin.url}/elsewhere?a=%2F")
    assert origin.count() == 1


def test_a_key_in_the_query_comes_back_in_no_link_and_is_stored_with_none(proxy, origin):
    def moved(hit):
        link = f'<{origin.url}{hit.target}&page=2>; rel="next"'
        return head(301, [("Location", f"/y{hit.target[2:]}"), ("Link", link), ("Content-Length", "0"), KEPT])

    origin.on("/x").raw(moved)
    for _ in range(2):
        answer = proxy.get("/query/x?b=1")
        assert (answer.status, answer.header("Location")) == (301, "/y?b=1&api_key=***")
        assert answer.header("Link") == f'<{origin.url}/x?b=1&api_key=***&page=2>; rel="next"'
    assert origin.count("/x") == 1


def test_a_file_is_read_anew_when_it_changes(leeward, origin, tmp_path):
    for number in (1, 2, 3):
        (tmp_path / f"v{number}").write_text(f"token-number-{number}\n")
    link = tmp_path / "token"
    link.symlink_to("v1")
    auth = {"type": "bearer", "token": {"file": str(link)}}
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "auth": auth}}})
    proxy.get("/x")
    assert origin.hits()[-1].header("authorization") == "Bearer token-number-1"
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(link)
    wait_for_token(proxy, origin, "token-number-2")
    link.unlink()
    link.write_text("token-number-3")
    wait_for_token(proxy, origin, "token-number-3")


def wait_for_token(proxy, origin, token):
    limit = time.monotonic() + 8
    while time.monotonic() < limit:
        proxy.get("/x")
        if origin.hits()[-1].header("authorization") == f"Bearer {token}":
            return
        time.sleep(0.05)
    raise AssertionError(f"{token} was never used")


def test_a_missing_secret_is_a_typed_failure(leeward, origin, tmp_path):
    auth = {"type": "bearer", "token": {"file": str(tmp_path / "token")}}
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "auth": auth}}}, fresh=True)
    answer = proxy.get("/x")
    assert origin.received() == b""
    assert (answer.status, answer.code) == (502, "credential_unavailable")
    assert answer.header("Proxy-Status") is not None
    (tmp_path / "token").write_text("at-last\n")
    limit = time.monotonic() + 8
    while proxy.get("/x").status != 200 and time.monotonic() < limit:
        time.sleep(0.05)
    assert origin.hits("/x")[0].headers("authorization") == ["Bearer at-last"]


def test_an_unset_variable_reaches_no_upstream(leeward, origin):
    auth = {"type": "bearer", "token": {"env": "LEEWARD_BENCH_NEVER_SET"}}
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "auth": auth}}}, fresh=True)
    answer = proxy.get("/x", ("Authorization", "Bearer mine"))
    assert (answer.status, answer.code) == (502, "credential_unavailable")
    assert origin.received() == b""


def echo(status):
    """An upstream that tells everybody what it was sent."""

    def said(hit):
        body = b'{"error": {"message": "' + hit.raw_head.replace(b"\r\n", b" | ").replace(b'"', b"'") + b'"}}'
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        return head(status, [*fields, ("X-Echo", "1")]) + body

    return said


ADMIN = [
    "/metrics", "/", "/healthz", "/readyz", "/api/v1/status", "/api/v1/requests?limit=100", "/api/v1/cache",
    "/api/v1/explain?method=GET&path=/bearer/x", "/api/v1/explain?method=GET&path=/query/x", "/nowhere",
]  # fmt: skip


TRIED = "ok ok e400 e401 e403 e404 e429 e500 e503 garbage"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nowhere_else(leeward, origin, log_format):
    upstreams = schemes(origin.url)
    for name, upstream in list(schemes(f"http://127.0.0.1:{closed_port()}").items()):
        upstreams[f"dead-{name}"] = {**upstream, "retry": {"attempts": 1}}
    config = {
        "log": {"level": "debug", "format": log_format, "bodies": True},
        "upstreams": upstreams,
    }
    proxy = leeward(config, fresh=True, env=ENV)
    origin.on("/ok").reply(200, b"fine", [("Cache-Control", "max-age=60")])
    for status in (400, 401, 403, 404, 429, 500, 503):
        origin.on(f"/e{status}").raw(echo(status))
    origin.on("/garbage").raw(lambda hit: b"NOT HTTP " + hit.raw_head, then="close")
    origin.on("/cut").raw(
        lambda hit: b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + hit.raw_head, then="close"
    )
    shown = []
    for name in ("bearer", "basic", "header", "query"):
        shown += [proxy.get(f"/{name}/{path}") for path in TRIED.split()]
        proxy.get(f"/{name}/cut")
        shown.append(proxy.get(f"/dead-{name}/x"))
        shown.append(proxy.get(f"/{name}/e400", ("Accept", "application/problem+json")))
        shown.append(
            proxy.ask("POST", f"/{name}/e500", [("Authorization", f"Bearer {CANARY}")], CANARY.encode())
        )
    proxy.send(b"BROKEN\r\n\r\n").sock.close()
    admin = [proxy.admin_ask("GET", path) for path in ADMIN]
    assert origin.count() > 30
    assert proxy.stop() == 0
    for trace in TRACES[:3]:
        for answer in shown:
            assert trace not in answer.raw_head.decode("latin-1")
            assert trace not in answer.body.decode("latin-1"), answer.body
        for path, answer in zip(ADMIN, admin, strict=True):
            assert trace not in (answer.raw_head + answer.body).decode("latin-1"), path
    assert not [line for line in proxy.stdout.splitlines() for t in TRACES if t in line]
    leaks = [line for line in proxy.stderr.splitlines() for t in TRACES if t in line]
    assert not leaks, leaks[:3]


def test_a_client_token_stays_here(leeward, origin):
    token = "client-canary-51"
    config = {
        "server": {"client_token": {"env": "CLIENT_TOKEN"}},
        "log": {"level": "debug"},
        "upstreams": {"api": {"base_url": origin.url, "prefix": "/"}},
    }
    proxy = leeward(config, fresh=True, env={"CLIENT_TOKEN": token})
    for headers in ([("Leeward-Token", token)], [("Proxy-Authorization", f"Bearer {token}")]):
        assert proxy.get("/x", *headers).status == 200
    refused = [
        [], [("Leeward-Token", "wrong")], [("Leeward-Token", "")], [("Leeward-Token", token + "x")],
        [("Proxy-Authorization", f"Basic {token}")],
        [("Authorization", f"Bearer {token}")], [("Leeward_Token", token)], [("Leeward-Token", "\xe9")],
    ]  # fmt: skip
    for headers in refused:
        answer = proxy.get("/y", *headers)
        assert (answer.status, answer.code) == (407, "unauthorized_caller"), headers
        assert answer.header("Proxy-Status") is not None
    assert origin.count("/y") == 0
    assert token.encode() not in origin.received()
    with proxy.send(request("POST", "/y", body=b"x" * 10)) as wire:
        assert wire.read().status == 407
    proxy.stop()
    assert token not in proxy.stderr
