from dataclasses import replace

import pytest

from proxy.core.caching.serving import annotate, serve
from proxy.core.message import Headers, Whole
from tests.core.caching.samples import NOW, WALL, Pair, entry, request, response

KEPT = entry(
    ("Cache-Control", "max-age=60"), ("Age", "5"), ("ETag", '"a"'), ("Content-Length", "4"), body=b"body"
)


async def test_a_hit_has_the_stored_fields_its_age_and_one_more_line() -> None:
    served = serve(request(), KEPT, "leeward; hit", now=NOW + 1.9, wall=WALL)
    assert served.status == 200
    assert served.headers == Headers.of(
        *(("Cache-Control", "max-age=60"), ("ETag", '"a"'), ("Content-Length", "4")),
        ("Date", "Wed, 15 Jul 2026 12:50:00 GMT"),  # of its arrival: the origin sent none
        *(("Age", "6"), ("Cache-Status", "leeward; hit")),
    )
    assert await served.body.read() == b"body"


async def test_head_has_the_fields_without_the_content() -> None:
    served = serve(request(method="HEAD"), KEPT, "x", now=NOW, wall=WALL)
    assert served.headers.get("content-length") == "4"
    assert served.body.length == 0


async def test_a_caller_whose_copy_is_right_gets_304() -> None:
    coming = Whole(b"coming")
    served = serve(request(("If-None-Match", '"a"')), KEPT, "x", now=NOW, wall=WALL, body=coming)
    assert (served.status, served.reason) == (304, "Not Modified")
    assert "content-length" not in served.headers
    assert served.headers.get("etag") == '"a"'
    assert served.body.length == 0
    assert await coming.read() == b""  # it was given up


async def test_content_that_is_still_coming() -> None:
    served = serve(request(), KEPT, "x", now=NOW, wall=WALL, body=Whole(b"coming"))
    assert await served.body.read() == b"coming"


@pytest.mark.parametrize(
    ("fields", "status", "place", "content"),
    [
        ([("Range", "bytes=1-2")], 206, "bytes 1-2/4", b"od"),
        ([("Range", "bytes=-1"), ("If-Range", '"a"')], 206, "bytes 3-3/4", b"y"),
        ([("Range", "bytes=1-2"), ("If-Range", '"b"')], 200, None, b"body"),
        ([("Range", "bytes=1-2"), ("If-None-Match", '"a"')], 304, None, b""),
        ([("Range", "bytes=1-2,3-3")], 200, None, b"body"),
    ],
)
async def test_a_part_is_cut_out(fields: list[Pair], status: int, place: str | None, content: bytes) -> None:
    served = serve(request(*fields), KEPT, "x", now=NOW, wall=WALL)
    assert (served.status, served.headers.get("content-range")) == (status, place)
    assert await served.body.read() == content
    assert served.headers.get("content-length") == ("4" if status == 200 else None)


async def test_a_part_is_served_from_a_part() -> None:
    kept = replace(KEPT.holding(b"od"), status=206, span=(1, 2, 4))
    served = serve(request(("Range", "bytes=2-2")), kept, "x", now=NOW, wall=WALL)
    assert (served.status, served.headers.all("content-range")) == (206, ["bytes 2-2/4"])
    assert await served.body.read() == b"d"


def test_the_upstreams_own_status_list_is_kept() -> None:
    noted = annotate(response(("Cache-Status", "cdn; hit")), "leeward; fwd=miss")
    assert noted.headers.all("cache-status") == ["cdn; hit", "leeward; fwd=miss"]
