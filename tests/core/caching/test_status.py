import pytest

from proxy.core.caching.status import failed, forwarded, hit
from proxy.core.reason import Reason


def test_hits() -> None:
    assert hit(57.0) == "leeward; hit; ttl=57"
    assert hit(57.1) == "leeward; hit; ttl=58"  # with Age: 2 of a minute
    assert hit(0.0) == "leeward; hit; ttl=0"
    assert hit(-0.1, Reason.MAX_STALE) == "leeward; hit; ttl=-1; detail=max-stale"
    assert hit(1e30) == "leeward; hit; ttl=999999999999999"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (forwarded(Reason.URI_MISS), "leeward; fwd=uri-miss"),
        (
            forwarded(Reason.URI_MISS, status=200, ttl=60.0, stored=True),
            "leeward; fwd=uri-miss; fwd-status=200; stored; ttl=60",
        ),
        (
            forwarded(Reason.VARY_MISS, status=200, detail=Reason.NO_STORE),
            "leeward; fwd=vary-miss; fwd-status=200; detail=no-store",
        ),
        (
            forwarded(Reason.EXPIRED, status=304, ttl=60.0),
            "leeward; fwd=stale; fwd-status=304; ttl=60; detail=expired",
        ),
        (forwarded(Reason.METHOD, status=201), "leeward; fwd=method; fwd-status=201"),
        (forwarded(Reason.RANGE, status=206), "leeward; fwd=bypass; fwd-status=206; detail=range"),
        (
            forwarded(Reason.REQUEST_NO_CACHE, status=200),
            "leeward; fwd=request; fwd-status=200; detail=request-no-cache",
        ),
        (
            forwarded(Reason.URI_MISS, status=200, ttl=5.0, collapsed=True),
            "leeward; fwd=uri-miss; fwd-status=200; collapsed; ttl=5",
        ),
    ],
)
def test_forwarded(line: str, told: str) -> None:
    assert line == told


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_can_be_told(reason: Reason) -> None:
    assert forwarded(reason).startswith("leeward; fwd=")
    assert reason.sentence


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (Reason.ONLY_IF_CACHED, "leeward; detail=only-if-cached"),
        (Reason.URI_MISS, "leeward; fwd=uri-miss"),
        (Reason.COALESCED, "leeward; fwd=miss; collapsed; detail=coalesced"),
        (Reason.CACHE_OFF, "leeward; fwd=bypass; detail=cache-off"),
    ],
)
def test_no_answer_at_all(reason: Reason, line: str) -> None:
    assert failed(reason) == line
