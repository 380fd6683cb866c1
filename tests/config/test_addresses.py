from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.addresses import Address, address, host_name, origin, origins, prefix
from proxy.core.routing import Origin


@pytest.mark.parametrize(
    ("written", "expected", "shown"),
    [
        ("127.0.0.1:8080", Address(host="127.0.0.1", port=8080), "127.0.0.1:8080"),
        ("[::1]:9464", Address(host="::1", port=9464), "[::1]:9464"),
        ("[0:0::1]:1", Address(host="::1", port=1), "[::1]:1"),
        ("LocalHost:0", Address(host="localhost", port=0), "localhost:0"),
        ("unix:/run/leeward.sock", Address(path="/run/leeward.sock"), "unix:/run/leeward.sock"),
        (Address(host="a", port=1), Address(host="a", port=1), "a:1"),
    ],
)
def test_addresses(written: object, expected: Address, shown: str) -> None:
    assert address(written) == expected
    assert str(address(written)) == shown


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        (8080, "write 127.0.0.1:8080"),
        ("8080", "write 127.0.0.1:8080"),
        (":8080", "0.0.0.0:8080 for every interface"),
        ("localhost", "write localhost:8080"),
        ("localhost:http", "has no port"),
        ("localhost:99999", "has no port"),
        ("::1:8080", "without brackets; write as in [::1]"),
        ("[::g]:80", "no valid IPv6"),
        ("127.0.1:80", "no valid IPv4"),
        ("a b:80", "no valid host name"),
        ("http://localhost:80", "without brackets"),
        ("bücher.example:80", "xn--"),
        ("unix:run/x.sock", "write unix:/run/leeward.sock"),
        ("unix:" + "/x" * 80, "at most 103 bytes"),
        (True, "should be an address"),
        (None, "should be an address"),
    ],
)
def test_what_is_no_address_is_told_with_its_cure(written: object, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)):
        address(written)


@given(st.text(max_size=40))
def test_an_address_reads_itself_back(written: str) -> None:
    try:
        found = address(written)
    except ValueError:
        return
    assert address(str(found)) == found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("https://api.github.com", Origin(scheme="https", host="api.github.com", port=443)),
        (
            "HTTP://API.example.com:8080/v1/",
            Origin(scheme="http", host="api.example.com", port=8080, path="/v1"),
        ),
        ("http://[::1]:9/", Origin(scheme="http", host="::1", port=9)),
        ("http://127.0.0.1", Origin(scheme="http", host="127.0.0.1", port=80)),
        ("https://x.example/a%20b/~c", Origin(scheme="https", host="x.example", port=443, path="/a%20b/~c")),
    ],
)
def test_base_urls(written: str, expected: Origin) -> None:
    assert origin(written) == expected
    assert origin(origin(written)) == expected


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        ("api.github.com", "write https://api.github.com"),
        ("ftp://x.example", "write https://x.example"),
        ("https:/x.example", "not http:// or https://"),
        ("https://user:canary@x.example", "write them under auth"),
        ("user:canary@x.example", "write them under auth"),
        ("https://x.example/?key=canary", "no query"),
        ("https://x.example/#canary", "no query and no fragment"),
        ("https://x.example/a/../b?canary", "no query"),
        ("https://x.example/canary/../b", "not plain"),
        ("https://x.example/%2e%2E/canary", "not plain"),
        ("https://x.example//canary", "not plain"),
        ("https://x.example/canary b", "not plain"),
        ("https://", "no valid host"),
        ("https://:80", "no valid host"),
        ("https://x.example:", "no valid host and port"),
        ("https://x.example:0", "no valid host and port"),
        ("https://x.example:99999", "no valid host and port"),
        ("https://[::1", "no valid host and port"),
        ("https://127.1", "no valid IPv4"),
        ("https://bücher.example", "xn--"),
        ("https://x_y\\z.example", "no valid host"),
        ("", "not http:// or https://; write https://api.example.com"),
        (5, "should be a URL"),
    ],
)
def test_what_is_no_base_url_is_told_and_no_secret_quoted(written: object, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)) as caught:
        origin(written)
    assert "canary" not in str(caught.value)


def test_one_base_url_or_several_but_each_once() -> None:
    assert len(origins("https://a.example")) == 1
    assert [one.host for one in origins(["https://a.example", "https://b.example"])] == [
        "a.example",
        "b.example",
    ]
    with pytest.raises(ValueError, match="empty list"):
        origins([])
    with pytest.raises(ValueError, match="twice"):
        origins(["https://a.example", "https://A.example:443/"])


@pytest.mark.parametrize("written", ["/", "/github", "/apis/github.v3", "/a%2Fb"])
def test_prefixes(written: str) -> None:
    assert prefix(written) == written


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        ("github", "write /github"),
        ("/github/", "write /github"),
        ("//", "write /"),
        ("/a/../b", "without . and .."),
        ("/%2e/b", "without . and .."),
        ("/a//b", "not a plain path"),
        ("/a?b", "not a plain path"),
        ("/a b", "not a plain path"),
        ("", "does not start with a slash"),
        (5, "should be a path"),
    ],
)
def test_what_is_no_prefix_is_told_with_its_cure(written: object, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)):
        prefix(written)


def test_host_names() -> None:
    assert host_name("GitHub.Internal") == "github.internal"
    assert host_name("[::1]") == "[::1]"
    for written, cure in [("a:80", "write a"), (5, "should be a host name"), ("a/b", "no valid host name")]:
        with pytest.raises(ValueError, match=cure):
            host_name(written)
