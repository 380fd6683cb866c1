"""Can anything in a request choose a host or climb out of its route? Nothing can."""

from __future__ import annotations

import pytest

from tests.journeys.conftest import TOKEN
from tests.origin import Origin


@pytest.fixture(scope="module")
def evil():
    """The place where a fooled proxy would turn up."""
    with Origin() as server:
        yield server


@pytest.fixture
def front(leeward, origin, evil):
    evil.reset()
    upstream = {"auth": {"type": "bearer", "token": {"env": "FRONT_TOKEN"}}, "retry": {"attempts": 1}}
    return leeward(
        {
            "upstreams": {
                "root": {**upstream, "base_url": origin.url, "prefix": "/"},
                "up": {**upstream, "base_url": origin.url + "/api", "prefix": "/up"},
            }
        },
        env={"FRONT_TOKEN": TOKEN},
    )


EVIL_TARGETS = [
    "//{evil}/x", "///{evil}/x", "/\\{evil}/x", "\\\\{evil}\\x", "@{evil}/x", "/@{evil}/x", ":80@{evil}/x",
    ".{evil}",
    "http://{evil}/x", "HTTP://{evil}/x", "http:{evil}/x", "http:///{evil}/x", "/http://{evil}/x",
    "/x@{evil}",
    "//user:pw@{evil}/x", "/%2f%2f{evil}/x", "/%5c{evil}", "/x:80/../@{evil}", "{evil}", ":{port}/x",
    "/up//{evil}/x",
    "/up/@{evil}", "/up@{evil}", "/up:{port}/x", "/up\\@{evil}", "/up/http://{evil}/x",
    "/?url=http://{evil}/",
]  # fmt: skip


@pytest.mark.parametrize("pattern", EVIL_TARGETS)
def test_targets(front, origin, evil, pattern):
    target = pattern.format(evil=evil.authority, port=evil.port)
    answer = front.ask("GET", target)
    assert evil.accepted() == 0
    if answer.status in (400, 421):
        assert origin.received() == b""
    else:
        assert answer.status == 200
        assert origin.hit().headers("host") == [origin.authority]
        assert origin.hit().target in (target, "/api" + target.removeprefix("/up"))


FIELDS = [
    "X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-HTTP-Host-Override", "Forwarded", "X-Original-URL",
    "X-Original-Host", "X-Rewrite-URL", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix", "Destination", "Origin", "Referer", "X-Upstream", "X-Accel-Redirect", "Proxy-Host",
]  # fmt: skip


@pytest.mark.parametrize("field", [*FIELDS, "Host"])
def test_fields(front, origin, evil, field):
    value = f"host={evil.authority}" if field == "Forwarded" else evil.authority
    answer = front.ask("GET", "/x", host=value) if field == "Host" else front.get("/x", (field, value))
    assert answer.status == 200
    assert evil.accepted() == 0
    assert (origin.hit().target, origin.hit().headers("host")) == ("/x", [origin.authority])


@pytest.mark.parametrize("field", ["X-Original-URL", "X-Rewrite-URL"])
def test_fields_do_not_change_the_route(front, origin, field):
    front.get("/x", (field, "/up/admin"))
    assert origin.hit().target == "/x"


@pytest.mark.parametrize("field", ["X-Accel-Redirect", "X-Sendfile", "X-Reproxy-URL", "Location", "Refresh"])
def test_fields_of_an_answer_are_only_passed_on(front, origin, evil, field):
    origin.on("/x").reply(200, b"body", [(field, evil.url + "/y")])
    answer = front.get("/x")
    assert (answer.body, answer.header(field)) == (b"body", evil.url + "/y")
    assert evil.accepted() == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_redirects_are_passed_on(front, origin, evil, status, method):
    origin.on("/x").reply(status, b"moved", [("Location", evil.url + "/y")])
    answer = front.ask(method, "/x", body=b"" if method == "POST" else None)
    assert (answer.status, answer.header("Location"), answer.body) == (status, evil.url + "/y", b"moved")
    assert evil.accepted() == 0


DOTS = [
    "/..", "/.", "/../x", "/./x", "/x/..", "/x/.", "/x/../y", "/x/./y", "/up/..", "/up/../x", "/up/../../x",
    "/%2e%2e/x", "/%2E%2E/x", "/.%2e/x", "/%2e./x", "/%2e/x", "/up/%2e%2e/x", "/up/%2e%2e%2fx", "/up/..%2fx",
    "/up/..%2Fx", "/up/%2e%2e%5cx", "/up/..\\x", "/up/..%5cx", "/up%2f..%2fx", "/up/..;/x", "/up/..;a=b/x",
    "/up/.;/x", "/up/%2e%2e;/x", "/x/..?q", "/x/%2e%2e?q", "/up/x/..%2f..%2fy", "/x%2f..", "/x%5c..",
    "/x\\..\\y",
]  # fmt: skip


@pytest.mark.parametrize("target", DOTS)
def test_dot_segments_in_every_spelling(front, origin, target):
    answer = front.ask("GET", target)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert origin.received() == b""


@pytest.mark.parametrize(
    "target", ["/...", "/x..", "/..x", "/x/...", "/x?a=../..", "/x?..", "/%2e%2ex", "/x;..", "/.x/y"]
)
def test_dots_that_climb_nowhere(front, origin, target):
    assert front.ask("GET", target).status == 200
    assert origin.hit().target == target


@pytest.mark.parametrize(
    "target", ["/upx", "/UP", "/Up/x", "/up%2fx", "/u%70/x", "/up;/x", "/up%00/x", "/%75%70/x", "/up."]
)
def test_a_prefix_is_whole_segments(front, origin, target):
    answer = front.ask("GET", target)
    if answer.status == 400:
        assert origin.received() == b""
    else:
        assert origin.hit().target == target  # the root route's, not the prefix's


@pytest.mark.parametrize("size", [20_000, 200_000])
@pytest.mark.parametrize("place", ["path", "query"])
def test_endless_targets(front, origin, size, place):
    target = "/" + "a" * size if place == "path" else "/?" + "a" * size
    answer = front.ask("GET", target)
    assert answer.status in (400, 414, 431)
    assert origin.received() == b""


def test_the_environment_names_no_proxy(leeward, origin, evil):
    evil.reset()
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    env = dict.fromkeys(names, evil.url) | {"NETRC": "/nonexistent", "no_proxy": "", "NO_PROXY": ""}
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/"}}}, fresh=True, env=env)
    assert proxy.get("/x").status == 200
    assert (origin.count("/x"), evil.accepted()) == (1, 0)


def test_a_netrc_file_is_not_read(leeward, origin, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login robot password netrc-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    env = {"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/"}}}, fresh=True, env=env)
    proxy.get("/x")
    assert origin.hit("/x").header("authorization") is None


def test_cookies_do_not_travel_between_callers(leeward, origin):
    """The library's jar would carry one caller's Set-Cookie into another's request."""
    base = f"http://localhost:{origin.port}"
    proxy = leeward({"upstreams": {"api": {"base_url": base, "prefix": "/", "cache": {"enabled": False}}}})
    origin.on("/x").reply(200, b"x", [("Set-Cookie", "session=alice; Path=/")])
    assert proxy.get("/x").headers("Set-Cookie") == ["session=alice; Path=/"]
    proxy.get("/y")
    proxy.get("/z", ("Cookie", "mine=1"))
    assert origin.hit("/y").header("cookie") is None
    assert origin.hit("/z").headers("cookie") == ["mine=1"]
