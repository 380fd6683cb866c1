from dataclasses import replace
from typing import Any

import pytest

from proxy.admin.stored import UnclearError, meant, purge, shown
from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.core.ports import Kept
from tests.core.caching.samples import NOW, entry

KEPT = replace(
    entry(("Cache-Control", "max-age=60"), ("Cache-Tag", "red,c4nary"), ("Vary", "Accept"), body=b"b" * 100)
)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"all": True}, Purge()),
        ({"all": True, "upstream": None, "path": None, "tag": None}, Purge()),
        ({"upstream": "api"}, Purge(upstream="api")),
        ({"upstream": "api", "all": False}, Purge(upstream="api")),
        ({"path": "/a/*"}, Purge(path="/a/*")),
        ({"path": "**/b"}, Purge(path="**/b")),
        ({"path": "/" + "/".join(["**"] * 8)}, Purge(path="/" + "/".join(["**"] * 8))),
        ({"tag": "user/1"}, Purge(tag="user/1")),
        (
            {"upstream": "api", "path": "/a", "tag": "red"},
            Purge(upstream="api", path="/a", tag="red"),
        ),
    ],
)
def test_what_is_asked_is_what_is_meant(asked: dict[str, Any], what: Purge) -> None:
    assert purge(asked) == what


@pytest.mark.parametrize(
    "asked",
    [
        *({}, {"all": False}, {"all": 1}, {"all": "true"}, {"all": True, "more": 1}, {"tags": "a"}),
        *({"all": True, "upstream": "api"}, {"all": True, "tag": "red"}, {"upstream": None}),
        *({"upstream": ""}, {"upstream": 1}, {"upstream": ["api"]}, {"upstream": "a" * 1025}),
        *({"path": "a"}, {"path": "/a?b=c"}, {"path": "/a#b"}, {"path": ""}, {"path": True}),
        {"path": "/" + "*a" * 9},
        *({"tag": ""}, {"tag": "a b"}, {"tag": "a,b"}, {"tag": {"a": 1}}),
        *({"upstream": "api", "path": "nope"}, {"upstream": "api", "tag": 1}),
    ],
)
def test_what_is_unclear_means_nothing(asked: dict[str, Any]) -> None:
    with pytest.raises(UnclearError, match=r"[.]$"):
        purge(asked)


def test_a_listing_may_ask_for_everything() -> None:
    assert meant({}) == Purge()
    assert meant({"limit": "7", "path": "/a"}) == Purge(path="/a")


def row(target: str) -> dict[str, Any]:
    key = Key(primary=b"p" * 32, place=b"q" * 32, upstream="api", target=target)
    return shown(
        Kept(key=key, entry=KEPT, uses=3, size=KEPT.size),
        NOW + 12.5,
        lambda text: text.replace("c4nary", "***"),
    )


def test_a_row_says_what_is_kept() -> None:
    assert row("/a/b") == {
        "upstream": "api",
        "target": "/a/b",
        "status": 200,
        "size": KEPT.size,
        "age": 12.5,
        "ttl": 47.5,
        "tags": ["red", "***"],
        "vary": ["accept"],
        "hits": 3,
    }


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/a?b=c&d=e", "/a?b=***&d=***"),
        ("/a?b", "/a?***"),
        ("/a?b=c=d&e&f=", "/a?b=***&***&f=***"),
        ("/a?b=c?d", "/a?b=***"),
        ("/a?", "/a?***"),
        ("/bot-c4nary/x?c4nary", "/bot-***/x?***"),
        ("/" + "a" * 600, "/" + "a" * 511),
    ],
)
def test_no_value_of_a_query_is_shown(target: str, seen: str) -> None:
    assert row(target)["target"] == seen
