"""Does what is forwarded stay within its lines, and is framing ours alone?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.failure import BadRequestError
from proxy.core.message import Headers, Request, Whole
from proxy.upstream.head import written


def head(
    method: str = "GET",
    target: str = "/",
    *fields: tuple[bytes, bytes],
    length: int | None = 0,
    path: str = "",
) -> bytes:
    request = Request(method=method, target=target, headers=Headers(fields), body=Whole())
    return written(request, length, path=path, authority="api.example:8080")


def test_the_lines() -> None:
    assert head("PUT", "/a?b", (b"X-a", b"\xff"), (b"x-A", b""), length=7, path="/v1") == (
        b"PUT /v1/a?b HTTP/1.1\r\nHost: api.example:8080\r\nX-a: \xff\r\nx-A: \r\nContent-Length: 7\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "length", "framing"),
    [
        ("GET", 0, b""),
        ("BREW", 0, b""),
        ("POST", 0, b"Content-Length: 0\r\n"),
        ("GET", None, b"Transfer-Encoding: chunked\r\n"),
        ("POST", 12, b"Content-Length: 12\r\n"),
    ],
)
def test_framing_is_written_once_and_never_copied(method: str, length: int | None, framing: bytes) -> None:
    copied = ((b"content-LENGTH", b"99"), (b"Transfer-Encoding", b"chunked"), (b"Host", b"other.example"))
    assert head(method, "/", *copied, length=length) == (
        b"%b / HTTP/1.1\r\nHost: other.example\r\n%b\r\n" % (method.encode(), framing)
    )


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\r\n", b"\0"])
def test_a_field_cannot_end_its_line(bad: bytes) -> None:
    for field in (
        (b"X-A", b"a" + bad + b"X-B: b"),
        (b"X" + bad, b""),
        (b"Host", b"a" + bad),
        (b"X-A", bad),
    ):
        with pytest.raises(BadRequestError):
            head("GET", "/", field)


@pytest.mark.parametrize("name", [b"", b"X A", b"X:A", b"X\xe9", b"X\t", b" X", b"X,Y", b"(x)"])
def test_a_name_is_a_token(name: bytes) -> None:
    with pytest.raises(BadRequestError):
        head("GET", "/", (b"X-A", b"a"), (name, b"a"))


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GÉT", "GET\0", "a/b"])
def test_a_method_is_a_token(method: str) -> None:
    with pytest.raises(BadRequestError):
        head(method)


@pytest.mark.parametrize("target", ["", "/ ", "/\r\n", "/\0", "/\t", "/\x7f", "/☃"])
def test_a_target_is_one_word(target: str) -> None:
    with pytest.raises(BadRequestError):
        head("GET", target)


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=5))
def test_a_head_has_as_many_lines_as_it_has_fields(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        raw = head("GET", "/", *fields)
    except BadRequestError:
        return
    ours = {b"host", b"content-length", b"transfer-encoding"}
    kept = [name + b": " + value for name, value in fields if name.lower() not in ours]
    assert raw.split(b"\r\n")[2:] == [*kept, b"", b""]
    assert raw.count(b"\n") == raw.count(b"\r") == len(kept) + 3
