from dataclasses import replace

import pytest

from proxy.core.caching.purge import Purge
from tests.core.caching.samples import entry

KEPT = replace(entry(("Cache-Control", "max-age=60")), tags=("red", "blue"))


@pytest.mark.parametrize(
    ("what", "target", "reached"),
    [
        (Purge(), "/a", True),
        (Purge(upstream="api"), "/a", True),
        (Purge(upstream="ap"), "/a", False),
        (Purge(path="/a"), "/a", True),
        (Purge(path="/a"), "/a?b=/c", True),
        (Purge(path="/a"), "/a/b", False),
        (Purge(path="/*"), "/a?b=/c", True),
        (Purge(path="/*"), "/a/b", False),
        (Purge(path="/**"), "/a/b", True),
        (Purge(path="/a%2Fb"), "/a%2Fb", True),
        (Purge(path="/a/b"), "/a%2Fb", False),
        (Purge(path="/a?"), "/ab", False),
        (Purge(upstream="api", path="/b"), "/a", False),
        (Purge(upstream="other", path="/a"), "/a", False),
    ],
)
def test_parts_narrow_each_other(what: Purge, target: str, reached: bool) -> None:
    assert what.reaches("api", target) is reached


@pytest.mark.parametrize(
    ("tag", "meant"), [(None, True), ("red", True), ("blue", True), ("RED", False), ("re", False)]
)
def test_a_tag_means_those_that_carry_it(tag: str | None, meant: bool) -> None:
    assert Purge(tag=tag).means(KEPT) is meant
