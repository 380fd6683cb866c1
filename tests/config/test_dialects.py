from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.dialects import KINDS, DialectSettings, ProbeSettings
from proxy.core.dialect import PLAIN, Dialect, Form, Meter, Place, Row
from proxy.core.failure import RateLimitError


def test_what_is_written_becomes_core_s_own_value() -> None:
    written = {
        "message": ["error.message"],
        "code": ["header:X-Code", "xml:Code"],
        "request_id": ["id"],
        "failures": [
            {
                "means": "rate_limited",
                "status": 403,
                "path": "/a/*",
                "code": 20429,
                "says": ["Too Many", "slow"],
                "when": {"ok": False, "header:x-left": ["0", 1]},
                "retry": True,
                "wait": "1m",
            },
            {"status": [429, 503], "wait": "reset", "retry": False},
        ],
        "quota": [{"bucket": "b", "limit": "X-L", "remaining": "X-R", "reset": "X-S", "grammar": "epoch"}],
        "native": [
            {
                "type": "text/xml",
                "when": {"Accept": "*XML*"},
                "body": "<e/>",
                "words": {"*": "w"},
                "statuses": {"rate_limited": 403},
                "headers": {"X-A": "b"},
                "event": "error",
            }
        ],
        "stop": {"x-should-retry": "false"},
        "sensitive": ["Card"],
    }
    made = DialectSettings.model_validate(written).dialect()
    assert made == Dialect(
        message=(Place.of("error.message"),),
        code=(Place.of("header:x-code"), Place.of("xml:Code")),
        request_id=(Place.of("id"),),
        rows=(
            Row(
                kind=RateLimitError,
                statuses=frozenset({403}),
                path="/a/*",
                codes=("20429",),
                says=("too many", "slow"),
                when=((Place.of("ok"), ("false",)), (Place.of("header:x-left"), ("0", "1"))),
                again=True,
                wait=60.0,
            ),
            Row(statuses=frozenset({429, 503}), until_reset=True, again=False),
        ),
        quota=(Meter(bucket="b", limit="x-l", remaining="x-r", reset="x-s", grammar="epoch"),),
        forms=(
            Form(
                media_type="text/xml",
                body="<e/>",
                when=(("accept", "*xml*"),),
                words={"*": "w"},
                statuses={"rate_limited": 403},
                fields=(("X-A", "b"),),
                event="error",
            ),
        ),
        stop=(("x-should-retry", "false"),),
        sensitive=frozenset({"card"}),
    )
    assert DialectSettings().dialect() is PLAIN


@pytest.mark.parametrize(
    "written",
    [
        {"message": ["a..b"]},
        {"failures": [{"means": "nonsense"}]},
        {"failures": [{"status": 200}]},
        {"failures": [{"status": 99}]},
        {"failures": [{"means": "rate_limited", "wait": "soon"}]},
        {"failures": [{"means": "rate_limited", "path": "no-slash"}]},
        {"quota": [{"grammar": "guess"}]},
        {"native": [{"type": "json", "body": {}}]},
        {"native": [{}]},
        {"stop": {"connection": "close"}},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DialectSettings.model_validate(written)


def test_only_what_an_upstream_can_say_is_a_meaning() -> None:
    assert "internal" not in KINDS
    assert "circuit_open" not in KINDS
    assert KINDS["rate_limited"] is RateLimitError


def test_a_probe_is_a_call_without_effect() -> None:
    assert ProbeSettings(path="/me").method == "GET"
    with pytest.raises(ValidationError):
        ProbeSettings.model_validate({"method": "DELETE"})
