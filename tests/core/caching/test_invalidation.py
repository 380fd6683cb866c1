import dataclasses

import pytest

from proxy.core.caching.invalidation import invalidates, places, restates
from proxy.core.caching.key import place
from proxy.core.caching.policy import CachePolicy, KeyPolicy
from proxy.core.routing import Origin
from tests.core.caching.samples import SECRET, WALL, Pair, request, response, route


@pytest.mark.parametrize(
    ("method", "status", "answer"),
    [
        ("POST", 200, True),
        ("PUT", 204, True),
        ("DELETE", 303, True),
        ("PATCH", 200, True),
        ("M-SEARCH", 200, True),
        ("POST", 400, False),
        ("POST", 500, False),
        ("GET", 200, False),
        ("HEAD", 200, False),
        ("OPTIONS", 200, False),
    ],
)
def test_invalidates(method: str, status: int, answer: bool) -> None:
    assert invalidates(method, status) is answer


@pytest.mark.parametrize(
    ("fields", "targets"),
    [
        ([], ["/a"]),
        ([("Location", "/v1/b")], ["/a", "/b"]),
        ([("Location", "https://api.example/v1/b?c=1#d")], ["/a", "/b?c=1"]),
        ([("Content-Location", "HTTPS://API.EXAMPLE/v1/b")], ["/a", "/b"]),
        ([("Location", "/v1/b"), ("Content-Location", "/v1/c")], ["/a", "/b", "/c"]),
        ([("Location", "/v1/a")], ["/a"]),
        ([("Location", "https://other.example/v1/b")], ["/a"]),
        ([("Location", "https://api.example.evil/v1/b")], ["/a"]),
        ([("Location", "https://api.example:444/v1/b")], ["/a"]),
        ([("Location", "https://api.example:443/v1/b")], ["/a", "/b"]),
        ([("Location", "http://api.example/v1/b")], ["/a"]),
        ([("Location", "https:/v1/b")], ["/a"]),
        ([("Location", "//api.example/v1/b")], ["/a", "/b"]),
        ([("Location", "//other.example/v1/b")], ["/a"]),
        ([("Location", "//api.example")], ["/a"]),
        ([("Location", "/v2/b")], ["/a"]),
        ([("Location", "b")], ["/a", "/b"]),
        ([("Location", "./c/b?d=1#e")], ["/a", "/c/b?d=1"]),
        ([("Location", "../v1/b")], ["/a", "/b"]),
        ([("Location", "../v2/b")], ["/a"]),
        ([("Location", "?b=1")], ["/a", "/a?b=1"]),
        ([("Location", "?")], ["/a", "/a?"]),
        ([("Location", "b c")], ["/a"]),
        ([("Location", "")], ["/a"]),
    ],
)
def test_places(fields: list[Pair], targets: list[str]) -> None:
    found = places(request(method="POST"), response(*fields), route(path="/v1"), secret=SECRET)
    assert set(found) == {place("api", target, secret=SECRET) for target in targets}


def test_a_place_is_named_as_the_key_names_it() -> None:
    on = route(CachePolicy(key=KeyPolicy(ignore_query=("utm",))))
    found = places(request(method="PUT", target="/a?utm=1"), response(), on, secret=SECRET)
    assert set(found) == {place("api", "/a", secret=SECRET)}


def test_a_place_is_the_same_whichever_rule_takes_the_request() -> None:
    other = dataclasses.replace(route(), ignored_query=("utm",))
    found = places(request(method="PUT", target="/a?utm=1"), response(), other, secret=SECRET)
    assert set(found) == {place("api", "/a", secret=SECRET)}


@pytest.mark.parametrize(
    ("location", "dropped"),
    [("//[::1]:8080/b", True), ("http://[::1]:8080/b", True), ("//[::1]/b", False), ("b", True)],
)
def test_an_origin_whose_address_is_a_number(location: str, dropped: bool) -> None:
    numbered = dataclasses.replace(route(), origins=(Origin(scheme="http", host="::1", port=8080),))
    found = places(request(method="POST"), response(("Location", location)), numbered, secret=SECRET)
    assert (place("api", "/b", secret=SECRET) in set(found)) is dropped


HERE = ("Content-Location", "/v1/a")
FRESH = ("Cache-Control", "max-age=60")


@pytest.mark.parametrize(
    ("method", "status", "fields", "answer"),
    [
        ("POST", 200, [FRESH, HERE], True),
        ("POST", 200, [FRESH, ("Content-Location", "https://api.example/v1/a")], True),
        ("POST", 200, [FRESH, ("Content-Location", "a")], True),
        ("POST", 200, [("Expires", "Wed, 15 Jul 2026 13:50:00 GMT"), HERE], True),
        ("POST", 200, [FRESH], False),
        ("POST", 200, [HERE], False),
        ("POST", 200, [("Cache-Control", "max-age=0"), HERE], False),
        ("POST", 200, [("Last-Modified", "Wed, 15 Jul 2020 13:50:00 GMT"), HERE], False),
        ("POST", 200, [FRESH, ("Content-Location", "/v1/b")], False),
        ("POST", 200, [FRESH, ("Content-Location", "/v1/a?")], False),
        ("POST", 200, [FRESH, ("Content-Location", "https://other.example/v1/a")], False),
        ("POST", 200, [FRESH, HERE, HERE], False),
        ("POST", 201, [FRESH, HERE], False),
        ("PUT", 200, [FRESH, HERE], False),
        ("PATCH", 200, [FRESH, HERE], False),
    ],
)
def test_restates(method: str, status: int, fields: list[Pair], answer: bool) -> None:
    on = route(CachePolicy(default_ttl=60), path="/v1")
    assert restates(request(method=method), response(*fields, status=status), on, WALL) is answer
