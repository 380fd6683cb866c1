"""AWS's published test vectors, by the values that its documentation prints."""

from __future__ import annotations

import hashlib

import pytest

from proxy.auth import canonical

SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SUITE = canonical.Scope(stamp="20150830T123600Z", region="us-east-1", service="service")
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
S3 = canonical.Scope(stamp="20130524T000000Z", region="us-east-1", service="s3")
HOST = ("host", "example.amazonaws.com")
DATE = ("x-amz-date", "20150830T123600Z")
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8"
    "YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6"
    "fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQ"
    "wj2ICCR/oLxBA=="
)
FORM = ("content-type", "application/x-www-form-urlencoded")

Pairs = list[tuple[str, str]]
Vector = tuple[str, str, str, Pairs, bytes, str]

# Name, method, target, fields beside host and date, body, signature.
VECTORS: list[Vector] = [
    (
        "get-header-key-duplicate", "GET", "/",
        [("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")], b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-order", "GET", "/",
        [("my-header1", value) for value in ("value4", "value1", "value3", "value2")], b"",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    (
        "get-header-value-trim", "GET", "/", [("my-header1", " value1"), ("my-header2", ' "a   b   c"')], b"",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-unreserved", "GET", f"/{UNRESERVED}", [], b"",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    (
        "get-utf8", "GET", "/ሴ", [], b"",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    (
        "get-space", "GET", "/example space/", [], b"",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    (
        "get-vanilla", "GET", "/", [], b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-vanilla-empty-query-key", "GET", "/?Param1=value1", [], b"",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    (
        "get-vanilla-query-order-key", "GET", "/?Param1=value2&Param1=Value1", [], b"",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
    ),
    (
        "get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", [], b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-order-value", "GET", "/?Param1=value2&Param1=value1", [], b"",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
    ),
    (
        "get-vanilla-query-unreserved", "GET", f"/?{UNRESERVED}={UNRESERVED}", [], b"",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    (
        "get-vanilla-utf8-query", "GET", "/?ሴ=bar", [], b"",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "post-vanilla", "POST", "/", [], b"",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "post-header-key-sort", "POST", "/", [("my-header1", "value1")], b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-header-value-case", "POST", "/", [("my-header1", "VALUE1")], b"",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    (
        "post-vanilla-query", "POST", "/?Param1=value1", [], b"",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-x-www-form-urlencoded", "POST", "/", [FORM], b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    (
        "get-relative", "GET", "/example/..", [], b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-relative-relative", "GET", "/example1/example2/../..", [], b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slash", "GET", "//", [], b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slash-dot-slash", "GET", "/./", [], b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slash-pointless-dot", "GET", "/./example", [], b"",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    (
        "get-slashes", "GET", "//example//", [], b"",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "post-sts-header-before", "POST", "/", [("x-amz-security-token", TOKEN)], b"",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
]  # fmt: skip


def as_bytes(target: str) -> str:
    """A target as it comes from the wire: a character for each of its bytes."""
    return target.encode().decode("latin-1")


def signature(
    scope: canonical.Scope, secret: str, method: str, target: str, fields: Pairs, payload: str
) -> str:
    sent = canonical.respelled(target, scope.service)
    text = canonical.canonical_request(method, sent, fields, payload, scope.service)
    key = canonical.signing_key(secret, scope)
    value = canonical.authorization(text, scope, access_key_id="AKIDEXAMPLE", key=key)
    names = ";".join(sorted({name for name, _ in fields}))
    head = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature="
    assert value.startswith(head)
    return value.removeprefix(head)


@pytest.mark.parametrize(
    ("name", "method", "target", "fields", "body", "expected"),
    VECTORS,
    ids=lambda v: v if isinstance(v, str) and v.count("-") else "",
)
def test_the_suite_of_the_general_reference(
    name: str, method: str, target: str, fields: Pairs, body: bytes, expected: str
) -> None:
    payload = hashlib.sha256(body).hexdigest()
    found = signature(SUITE, SUITE_SECRET, method, as_bytes(target), [*fields, HOST, DATE], payload)
    assert found == expected, name


@pytest.mark.parametrize(
    ("method", "target", "fields", "payload", "expected"),
    [
        (
            *("GET", "/test.txt", [("range", "bytes=0-9")], canonical.EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            *("GET", "/?lifecycle", [], canonical.EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            *("GET", "/?max-keys=2&prefix=J", [], canonical.EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get", "put", "lifecycle", "list"],
)
def test_the_examples_of_s3(method: str, target: str, fields: Pairs, payload: str, expected: str) -> None:
    all_fields = [
        *fields,
        ("host", "examplebucket.s3.amazonaws.com"),
        ("x-amz-content-sha256", payload),
        ("x-amz-date", S3.stamp),
    ]
    assert signature(S3, S3_SECRET, method, target, all_fields, payload) == expected


@pytest.mark.parametrize(
    ("target", "service", "expected"),
    [
        ("/a%20b", "s3", "/a%20b"),
        ("/a(b)!'*", "s3", "/a%28b%29%21%27%2A"),
        ("/a%2fb//c/", "s3", "/a%2Fb//c/"),
        ("/%41~%7e", "s3", "/A~~"),
        ("/a%20b(c)", "execute-api", "/a%20b(c)"),
        ("/?a=b+c&&d=%2f&e", "sts", "/?a=b%20c&d=%2F&e"),
        ("/?b=2&a=1&=x&c==", "sts", "/?b=2&a=1&=x&c=%3D"),
        ("/?", "sts", "/"),
        ("/?%zz=\xe1\x88\xb4", "sts", "/?%25zz=%E1%88%B4"),
    ],
)
def test_what_goes_out_is_spelled_as_every_reader_spells_it(target: str, service: str, expected: str) -> None:
    assert canonical.respelled(target, service) == expected
    assert canonical.respelled(expected, service) == expected


def test_what_another_hop_may_change_is_not_signed() -> None:
    fields = [
        HOST,
        ("via", "1.1 leeward"),
        ("traceparent", "00-1-2-03"),
        ("user-agent", "x"),
        ("x-amz-date", "d"),
    ]
    assert canonical.canonical_fields(fields)[1] == "host;x-amz-date"
