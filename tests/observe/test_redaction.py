from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.message import Headers
from proxy.observe.redaction import (
    KEPT_BODY,
    MASK,
    MOST_TEXT,
    SHOWN_BODY,
    Excerpt,
    Redaction,
    by_name,
    secret_name,
)

CANARY = "c4naryValue"


def redacted(**fields: Any) -> dict[str, Any]:
    return dict(Redaction(lambda text: text.replace("registered", MASK))(None, "info", fields))


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "proxy-authorization", "cookie", "Set-Cookie", "x-api-key", "X_API_KEY", "apikey"),
        *("api-key", "Leeward-Token", "x-auth-token", "access_token", "client_secret", "password", "passwd"),
        *("X-Amz-Security-Token", "x-amz-signature", "X-Goog-Api-Key", "sessionId", "private_key"),
        *(
            "Sec-WebSocket-Protocol",
            "x-hub-signature-256",
            "credential",
            "client_assertion",
            "Ocp-Apim-Subscription-Key",
        ),
    ],
)
def test_a_secrets_name_hides_its_value_everywhere(name: str) -> None:
    assert secret_name(name)
    said = [
        redacted(**{name.replace("-", "_"): CANARY}),
        redacted(headers={name: CANARY, "accept": "a"}),
        redacted(headers=Headers.of((name, CANARY), ("Accept", "a"))),
        redacted(nested=[{"deeper": {name: [CANARY, {"x": CANARY}]}}]),
        redacted(event=f"{name}: {CANARY}"),
        redacted(event=f'{{"{name}": "{CANARY}", "a": "b"}}'),
        redacted(event=f"{{'{name}': b'{CANARY}'}}"),
        redacted(event=f"('{name}', '{CANARY}')"),
        redacted(event=f"GET http://host/path?a=b&{name}={CANARY}&c=d"),
        redacted(error=ValueError(f"{name}={CANARY}")),
    ]
    for event in said:
        assert CANARY not in json.dumps(event)
        assert MASK in json.dumps(event)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdef123 and", "Authorization: ***"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: ***\\nHost: x"),
        ("sent Bearer abc.def-123 to it", "sent Bearer *** to it"),
        ("Basic dXNlcjpwYXNz0 given", "Basic *** given"),
        ("Basic authentication is off", "Basic authentication is off"),
        ("https://user:pass@host/x", "https://***@host/x"),
        ("/maps?key=AIzaX&q=1", "/maps?key=***&q=1"),
        ("/s?X-Amz-Signature=ab&x=1&sig=q&code=1", "/s?X-Amz-Signature=***&x=1&sig=***&code=***"),
        ('{"password": "a\\"b", "n": 1}', '{"password": "***", "n": 1}'),
        ('{"access_token": "abc', '{"access_token": "***'),
        ("username=u&password=p&next=/", "username=u&password=***&next=/"),
        ("the key is in the lock", "the key is in the lock"),
        ("monkey=1", "monkey=1"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert redacted(event=text)["event"] == expected


@pytest.mark.parametrize("name", ["x-ratelimit-remaining-tokens", "X-RateLimit-Limit-Tokens"])
def test_a_count_of_tokens_is_no_secret(name: str) -> None:
    assert not secret_name(name)
    assert redacted(headers={name: "39"}) == {"headers": {name: "39"}}


def test_registered_values_are_hidden_wherever_they_stand() -> None:
    event = redacted(
        event="a registered b", path="/registered", ok={"registered": ["registered", b"registered"]}, n=1
    )
    assert "registered" not in json.dumps(event)
    assert event["n"] == 1


def test_a_long_text_is_masked_before_it_is_cut() -> None:
    text = "x" * (MOST_TEXT - 4) + "registered" + "y" * 100
    told = redacted(event=text)["event"]
    assert "regi" not in told
    assert len(told) < MOST_TEXT + 100


@pytest.mark.parametrize("length", [8, 600, 2000, 16_000])
@pytest.mark.parametrize("before", ["x", "é"])
@pytest.mark.parametrize("start", [0, 1, 250, 485, 495, 499])
def test_a_body_cut_within_a_secret_shows_no_part_of_it(length: int, before: str, start: int) -> None:
    secret = ("Zq7" * length)[:length]
    redaction = Redaction(lambda text: text.replace(secret, MASK))
    body = (before * start + secret + before * 40_000).encode()
    told = redaction(None, "info", {"body": Excerpt(body[:KEPT_BODY])})["body"]
    assert "Z" not in told
    assert len(told) <= SHOWN_BODY + len(MASK)
    shown = min(start, SHOWN_BODY // len(before.encode()))
    assert told.startswith(before * shown)


def test_a_short_body_is_shown_whole_and_a_long_ones_first_part() -> None:
    assert redacted(body=Excerpt(b"all of it")) == {"body": "all of it"}
    assert redacted(body=Excerpt(b"a" * 700)) == {"body": "a" * SHOWN_BODY}
    assert redacted(body=Excerpt(b"a" * 70_000)) == {"body": "a" * SHOWN_BODY}
    assert redacted(body=Excerpt("é".encode() * 70_000)) == {"body": "é" * 250}
    assert redacted(body=Excerpt(b"registered" * 7_000))["body"].strip("*") == ""
    assert redacted(body=Excerpt(b"\xff" * 3)) == {"body": "\ufffd" * 3}


@pytest.mark.parametrize(
    "nasty",
    ["\n", "\r\n", "\x1b[2J", "\0", "\x7f", "\x9b31m", "\u2028", "\u202e", "\ud800", "\u200f", "\ufeff"],
)
def test_a_stranger_cannot_begin_a_line_or_move_the_cursor(nasty: str) -> None:
    event = redacted(event=f"a{nasty}b", path=f"/{nasty}", headers={f"x{nasty}": nasty}, **{f"k{nasty}": "v"})
    for text in re.split(r"[\"]", json.dumps(event, ensure_ascii=False)):
        assert text.isprintable()
    assert nasty not in json.dumps(event, ensure_ascii=False)
    assert "\\" in event["path"]


def test_a_traceback_keeps_its_lines_and_no_line_of_it_starts_at_the_margin() -> None:
    told = redacted(exception='Traceback\n  File "x"\nValueError: token=abc\x1b\nfake line')["exception"]
    first, *others = told.split("\n")
    assert first == "Traceback"
    assert all(line.startswith("    ") for line in others)
    assert "abc" not in told
    assert "\x1b" not in told


def test_deep_and_wide_things_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(50):
        deep = [deep]
    assert "…" in json.dumps(redacted(a=deep), ensure_ascii=False)
    assert len(redacted(a=list(range(10_000)))["a"]) <= 200
    loop: list[Any] = []
    loop.append(loop)
    json.dumps(redacted(a=loop))


class _Shown:
    def __repr__(self) -> str:
        return f"<shown token={CANARY}>"


def test_anything_becomes_plain_values() -> None:
    event = redacted(a=_Shown(), b={1: (2, {3})}, c=None, d=1.5, e=True, f=b"\xff", g=ValueError("x\ny"))
    assert CANARY not in json.dumps(event)
    assert event["g"] == "ValueError: x\\ny"
    assert event["b"] == {"1": [2, [3]]}


@given(st.text(max_size=200))
def test_any_text_passes_quickly_and_printably(text: str) -> None:
    told = redacted(event=text)["event"]
    assert told.isprintable()
    assert by_name(by_name(text)) is not None


@pytest.mark.parametrize(
    "text", ["token" * 1500, "a" * 8000, "token='" + "\\" * 8000, "://" + "a" * 8000, "bearer " * 1100]
)
def test_no_text_makes_it_work_for_long(text: str) -> None:
    """Steps, not seconds, would be counted if re counted them; quadratic cost would show as a hang here."""
    assert by_name(text * 10)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"card": {"number": "4242 4242", "cvc": 123}}', '{"card": {"number": "***", "cvc": ***}}'),
        ("card[number]=4242&card%5Bcvc%5D=123&amount=5", "card[number]=***&card%5Bcvc%5D=***&amount=5"),
        ('{"phone_number": "5", "Number" : "7"}', '{"phone_number": "5", "Number" : "***"}'),
    ],
)
def test_what_an_api_calls_sensitive_is_hidden_in_bodies_and_headers(body, shown):
    redaction = Redaction(str, frozenset({"number", "cvc", "x-org"}))
    told = redaction(
        None,
        "debug",
        {
            "event": "number: 5",
            "body": Excerpt(body.encode()),
            "headers": Headers.of(("X-Org", "o"), ("A", "b")),
        },
    )
    assert told == {"event": "number: 5", "body": shown, "headers": {"x-org": MASK, "a": "b"}}
