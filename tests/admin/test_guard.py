"""The rows of threats.md about the admin port, each in raw bytes, and the rules behind them as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.admin.guard import Guard, Local, authority
from tests.admin.served import served

LOOPBACK: Local = ("127.0.0.1", 9464)
POD: Local = ("10.1.2.3", 9464)


def code(
    local: Local | None,
    *,
    host: str | None,
    path: str = "/api/v1/status",
    origin: str | None = None,
    site: str | None = None,
    guard: Guard | None = None,
) -> str | None:
    refusal = (guard or Guard()).refuse(
        local=local,
        path=path,
        hosts=[] if host is None else [host],
        origins=[] if origin is None else [origin],
        sites=[] if site is None else [site],
    )
    return None if refusal is None else refusal.code


@pytest.mark.parametrize(
    "host", ["localhost:9464", "LocalHost:9464", "127.0.0.1:9464", "127.8.9.10:9464", "[::1]:9464"]
)
def test_loopback_names_with_our_port_are_ours(host: str) -> None:
    assert code(LOOPBACK, host=host) is None
    assert code(("::1", 9464), host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example:9464",
        "localhost",
        "localhost:80",
        "localhost:9465",
        "localhost.evil.example:9464",
        "127.0.0.1.evil.example:9464",
        "127.0.0.1",
        "10.1.2.3:9464",
        "0.0.0.0:9464",
        "[::]:9464",
        "localhost:9464:9464",
        "localhost:9464/",
        "localhost:9464@evil.example",
        "user@localhost:9464",
        "localhost :9464",
        "localhost.:9464",
        "l\u043ecalhost:9464",
        "[::1",
        "2130706433:9464",
        "0x7f.1:9464",
    ],
)
def test_any_other_host_is_refused(host: str | None) -> None:
    for path in ("/api/v1/status", "/", "/metrics", "/healthz"):
        assert code(LOOPBACK, host=host, path=path) == "host_not_allowed"


def test_the_port_80_needs_no_naming() -> None:
    assert code(("127.0.0.1", 80), host="localhost") is None
    assert code(("127.0.0.1", 80), host="localhost:80") is None


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_scrapes_and_probes_of_an_exposed_port_may_use_any_name(path: str) -> None:
    for host in ("leeward.apps.svc:9464", "10.1.2.3:9464", None):
        assert code(POD, host=host, path=path) is None
        assert code(("fd00::1", 9464), host=host, path=path) is None


def test_the_rest_of_an_exposed_port_wants_its_own_address_or_name() -> None:
    assert code(POD, host="10.1.2.3:9464") is None
    assert code(("fd00::1", 9464), host="[fd00::1]:9464") is None
    for host in ("leeward.apps.svc:9464", "10.1.2.4:9464", None):
        assert code(POD, host=host) == "host_not_allowed"
        assert code(POD, host=host, path="/") == "host_not_allowed"
        assert code(POD, host=host, path="/metrics/x") == "host_not_allowed"


@pytest.mark.parametrize(
    ("configured", "host"),
    [
        ("leeward", "leeward:9464"),
        ("Leeward.Internal", "leeward.internal:9464"),
        ("leeward:80", "leeward"),
        ("leeward:8443", "leeward:8443"),
        ("10.9.9.9", "10.9.9.9:9464"),
        ("fd00::2", "[fd00::2]:9464"),
        ("[fd00::2]", "[fd00::2]:9464"),
        ("[fd00::2]:77", "[fd00::2]:77"),
    ],
)
def test_configured_names_are_ours(configured: str, host: str) -> None:
    guard = Guard([configured])
    assert code(LOOPBACK, host=host, guard=guard) is None
    assert code(LOOPBACK, host="evil.example:9464", guard=guard) == "host_not_allowed"


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::", "[::]"])
def test_all_interfaces_is_the_name_of_none(everywhere: str) -> None:
    guard = Guard([everywhere])
    assert code(LOOPBACK, host="0.0.0.0:9464", guard=guard) == "host_not_allowed"
    assert code(LOOPBACK, host="localhost:9464", guard=guard) is None


@pytest.mark.parametrize("wrong", ["", "a b", "http://leeward", "leeward:port", "a/b"])
def test_a_configured_name_that_is_none_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match="host"):
        Guard([wrong])


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost:3000",
        "https://localhost:9464",
        "http://127.0.0.1:9464",
        "http://localhost",
        "http://localhost:9464.evil.example",
        "http://localhost:9464/",
        "localhost:9464",
        "file://",
        "http://user@localhost:9464",
    ],
)
def test_an_origin_that_is_not_the_host_is_refused(origin: str) -> None:
    assert code(LOOPBACK, host="localhost:9464", origin=origin) == "origin_not_allowed"
    assert code(POD, host="leeward:9464", path="/metrics", origin=origin) == "origin_not_allowed"


def test_our_own_page_may_ask() -> None:
    for site in (None, "same-origin", "none"):
        assert code(LOOPBACK, host="localhost:9464", origin="http://localhost:9464", site=site) is None
    assert code(("127.0.0.1", 80), host="localhost", origin="http://localhost") is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "", "x"])
def test_other_sites_are_refused(site: str) -> None:
    assert code(LOOPBACK, host="localhost:9464", site=site) == "cross_site"
    assert code(None, host=None, site=site) == "cross_site"


@pytest.mark.parametrize(
    ("hosts", "origins", "sites", "admitted"),
    [
        (["localhost:9464"], ["http://localhost:9464"], ["none"], True),
        (["localhost:9464"] * 2, [], [], False),
        (["localhost:9464"], ["http://localhost:9464", "null"], [], False),
        (["localhost:9464"], [], ["none", "cross-site"], False),
    ],
)
def test_every_line_has_to_be_right(
    hosts: list[str], origins: list[str], sites: list[str], admitted: bool
) -> None:
    refusal = Guard().refuse(local=LOOPBACK, path="/", hosts=hosts, origins=origins, sites=sites)
    assert (refusal is None) is admitted


def test_a_unix_socket_takes_any_host_or_none_but_no_foreign_page() -> None:
    for host in ("anything", "evil.example:1", None):
        assert code(None, host=host) is None
        assert code(None, host=host, origin="http://other.example") == "origin_not_allowed"
    assert code(None, host="ops.example", origin="https://ops.example") is None
    assert code(None, host="ops.example", origin="http://ops.example") is None
    assert code(None, host="ops.example:444", origin="https://ops.example") == "origin_not_allowed"


@pytest.mark.parametrize("path", ["http://localhost:9464/metrics", "*", "localhost:9464", ""])
def test_a_target_that_is_no_path_is_refused(path: str) -> None:
    assert code(LOOPBACK, host="localhost:9464", path=path) == "bad_target"


def test_authorities() -> None:
    assert authority("A.b:1") == ("a.b", 1)
    assert authority("[::1]") == ("[::1]", 80)
    assert authority("a:") is None
    assert authority("a:123456") is None


# In raw bytes

PATHS = [
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/requests",
    "/dashboard.js",
    "/none",
]


@pytest.mark.parametrize("path", PATHS)
async def test_dns_rebinding_gets_nothing(path: str) -> None:
    """A name of the attacker's that resolves to 127.0.0.1: the Host gives it away."""
    async with served() as port:
        answer = await port.ask("GET", path, host=f"rebound.example:{port.number}")
        assert answer.status == 403
        assert answer.json()["error"] == "host_not_allowed"
        assert not [name for name in answer.fields if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/api/v1/drain", "/api/v1/cache/purge"])
async def test_csrf_changes_nothing(path: str) -> None:
    """A foreign page's form, fetch or image: Origin, Sec-Fetch-Site, or a body that is not JSON."""
    async with served() as port:
        foreign = ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Origin: null")
        for line in foreign:
            assert (await port.post(path, {"all": True}, line)).status == 403
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            body = b'{"all": true}'
            answer = await port.ask("POST", path, f"Content-Type: {kind}", body=body)
            assert answer.status == 415
        assert (await port.ask("POST", path, body=b'{"all": true}')).status == 415
        assert (await port.ask("GET", path)).status == 405
        assert (port.behind.drained, port.behind.purged) == (0, [])


async def test_a_preflight_gets_no_leave() -> None:
    async with served() as port:
        answer = await port.ask(
            "OPTIONS",
            "/api/v1/drain",
            "Origin: http://evil.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
        )
        assert answer.status == 403
        own = await port.ask("OPTIONS", "/api/v1/drain")
        assert own.status == 405
        for told in (answer, own):
            assert not [name for name in told.fields if name.startswith("access-control-")]


@pytest.mark.parametrize("line", ["", "Host: localhost:{0}\r\nHost: evil.example\r\n", "Host: localhost\r\n"])
async def test_no_host_two_hosts_and_a_host_without_port(line: str) -> None:
    async with served() as port:
        head = f"GET /api/v1/status HTTP/1.1\r\n{line.format(port.number)}Connection: close\r\n\r\n"
        assert (await port.raw(head.encode())).status in {400, 403}
        old = await port.raw(b"GET /api/v1/status HTTP/1.0\r\n\r\n")
        assert old.status == 403


async def test_an_absolute_target_does_not_speak_for_the_host() -> None:
    async with served() as port:
        for authority_ in (port.host, "evil.example"):
            head = (
                f"GET http://{authority_}/metrics HTTP/1.1\r\nHost: {port.host}\r\nConnection: close\r\n\r\n"
            )
            assert (await port.raw(head.encode())).status == 400


@pytest.mark.parametrize("host", ["127.0.0.1:{0}", "localhost:{0}", "LOCALHOST:{0}", "[::1]:{0}"])
async def test_the_operator_is_let_in(host: str) -> None:
    async with served() as port:
        named = host.format(port.number)
        for path in PATHS[:-1]:
            answer = await port.ask("GET", path, host=named)
            assert answer.status == 200, (path, answer.body)
            own = await port.ask(
                "GET", path, f"Origin: http://{named}", "Sec-Fetch-Site: same-origin", host=named
            )
            assert own.status == 200


async def test_a_unix_socket_serves_whoever_can_open_it(folder: Path) -> None:
    async with served(unix=str(folder / "a.sock")) as port:
        for host in ("", "anything", "evil.example:1"):
            version = "HTTP/1.0" if not host else "HTTP/1.1"
            line = f"Host: {host}\r\n" if host else ""
            head = f"GET /metrics {version}\r\n{line}Connection: close\r\n\r\n"
            assert (await port.raw(head.encode())).status == 200
        assert (await port.ask("GET", "/metrics", "Origin: http://evil.example")).status == 403


async def test_a_configured_name_is_let_in() -> None:
    async with served(hosts=["leeward.internal"]) as port:
        assert (await port.ask("GET", "/", host=f"leeward.internal:{port.number}")).status == 200
        assert (await port.ask("GET", "/", host=f"other.internal:{port.number}")).status == 403
