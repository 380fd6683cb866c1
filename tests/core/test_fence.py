from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core import fence
from proxy.core.failure import PermissionDeniedError
from proxy.core.message import Headers, Request, Whole
from proxy.core.routing import Match
from tests.core.caching.samples import route
from tests.core.test_routing import NoCredential

ALLOW = (Match(method="GET", path="/repos/*/*"), Match(method="POST", path="/search/**"), Match(path="/open"))


def check(
    method: str, target: str, *fields: tuple[str, str], allow: tuple[Match, ...] | None = ALLOW
) -> None:
    asked = Request(method=method, target=f"/api{target}", headers=Headers.of(*fields), body=Whole())
    fence.check(asked, replace(route(), allow=allow), target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/repos/a/b"),
        ("GET", "/repos/a/b?x=/admin"),
        ("POST", "/search/x/y/z"),
        ("POST", "/search/a%2Fb"),
        ("DELETE", "/open"),
        ("GET", "/repos/a%20b/c"),
    ],
)
def test_what_is_named_is_allowed(method: str, target: str) -> None:
    check(method, target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("HEAD", "/repos/a/b"),
        ("DELETE", "/repos/a/b"),
        ("GET", "/repos/a/b/keys"),
        ("GET", "/repos/a/b%2Fkeys"),
        ("GET", "/repos/a%2Fb/c"),
        ("GET", "/repos"),
        ("GET", "/search/x"),
        ("GET", "/OPEN"),
        ("GET", "/open/"),
        ("GET", "/?/open"),
    ],
)
def test_everything_else_is_refused(method: str, target: str) -> None:
    with pytest.raises(PermissionDeniedError, match="other methods or paths") as told:
        check(method, target)
    assert (told.value.status, told.value.sent, told.value.code) == (403, False, "permission_denied")
    assert told.value.proxy_status == "http_request_denied"


@pytest.mark.parametrize(
    "path",
    [
        "/%252e%252e/admin",
        "/a/..%255cadmin",
        "/%25252e./admin",
        "/.%252e;x/admin",
        "/" + "%" + "25" * 6 + "41",
    ],
)
def test_what_is_encoded_twice_leads_nowhere_else(path: str) -> None:
    with pytest.raises(PermissionDeniedError, match="more than once"):
        check("POST", f"/search{path}")


def test_a_slash_that_is_encoded_twice_is_one() -> None:
    with pytest.raises(PermissionDeniedError, match="other methods or paths"):
        check("GET", "/repos/a/b%252Fkeys")
    check("POST", "/search/a%252Fb%2525")


@pytest.mark.parametrize(
    "name",
    ["X-HTTP-Method-Override", "x_http_method", "X-Method-Override", "X-Original-URL", "X-Rewrite-Url"],
)
def test_a_field_that_may_make_another_request_of_it_is_refused(name: str) -> None:
    with pytest.raises(PermissionDeniedError, match="may make another"):
        check("GET", "/repos/a/b", (name, "DELETE"))
    check("GET", "/anything", (name, "DELETE"), allow=None)


def test_without_a_fence_all_pass() -> None:
    check("DELETE", "/anything", allow=None)


PAGES = {
    "http://localhost:3000": True,
    "https://app.localhost": True,
    "http://127.0.0.1": True,
    "http://127.9.9.9:1": True,
    "http://[::1]:5173": True,
    "https://API.example": True,
    "http://api.example:80": False,
    "http://evil.example": False,
    "http://localhost.evil.example": False,
    "http://evil.example/localhost": False,
    "http://u@localhost": False,
    "http://127.0.0.1.evil.example": False,
    "null": False,
    "file://": False,
    "chrome-extension://abc": False,
    "": False,
}


def page(*origins: str, switch: bool = True, injected: bool = True) -> None:
    headers = Headers.of(*(("Origin", origin) for origin in origins))
    asked = Request(
        method="GET", target="/x", headers=headers, body=Whole(), host="api.example", switch=switch
    )
    to = route()
    if injected:
        to = replace(to, injector=NoCredential(replaced=frozenset({"authorization"})))
    fence.check(asked, to, "/x")


@pytest.mark.parametrize("origin", PAGES)
def test_only_pages_of_this_machine_or_host_open_a_websocket(origin: str) -> None:
    if PAGES[origin]:
        page(origin)
        return
    with pytest.raises(PermissionDeniedError) as refused:
        page(origin)
    assert refused.value.proxy_status == "http_request_denied"
    page(origin, switch=False)  # of other requests the page sees no answer
    page(origin, injected=False)


def test_no_page_and_several() -> None:
    page()
    with pytest.raises(PermissionDeniedError):
        page("http://localhost", "http://evil.example")
