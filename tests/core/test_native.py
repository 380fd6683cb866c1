from __future__ import annotations

import json

import pytest

from proxy.core import native
from proxy.core.dialect import PLAIN, Dialect, Form
from proxy.core.failure import CircuitOpenError, ConnectError, RateLimitError
from proxy.core.message import Headers, Whole

JSON = Form(
    body={
        "error": {
            "type": "{word}",
            "code": "{status}",
            "message": "Sorry: {message}",
            "p": None,
            "l": ["{code}"],
        }
    },
    words={"rate_limited": "slow_down", "*": "api_error"},
    fields=(("Request-Id", "{request_id}"),),
    event="error",
)
XML = Form(media_type="text/xml", body="<E><C>{word}</C><M>{message}</M></E>", when=(("accept", "*xml*"),))


def body(failure: RateLimitError | ConnectError | CircuitOpenError, form: Form) -> tuple[int, Headers, bytes]:
    response = native.response(failure, form, request_id="r-1")
    assert isinstance(response.body, Whole)
    return response.status, response.headers, response.body.data


def test_a_failure_is_told_in_the_vendor_s_form() -> None:
    status, headers, data = body(RateLimitError("Wait", retry_after=2.5), JSON)
    assert json.loads(data) == {
        "error": {
            "type": "slow_down",
            "code": 429,
            "message": "Sorry: Wait",
            "p": None,
            "l": ["rate_limited"],
        }
    }
    assert status == 429
    assert headers.get("retry-after") == "3"
    assert headers.get("leeward-error") == "rate_limited"
    assert headers.get("request-id") == "r-1"
    assert headers.get("content-type") == "application/json"
    assert headers.get("content-length") == str(len(data))


def test_what_has_no_word_has_the_usual_one() -> None:
    status, headers, data = body(ConnectError("No way"), JSON)
    assert status == 502
    assert json.loads(data)["error"]["type"] == "api_error"
    assert headers.get("proxy-status") == "leeward; error=destination_unavailable"


def test_a_text_is_escaped_as_xml() -> None:
    _, headers, data = body(CircuitOpenError('<a> & "b" {code}'), XML)
    assert data == b"<E><C>circuit_open</C><M>&lt;a&gt; &amp; &quot;b&quot; {code}</M></E>"
    assert headers.get("content-type") == "text/xml"


@pytest.mark.parametrize(
    ("accept", "found"), [("text/xml", XML), ("application/XML;q=1", XML), ("*/*", JSON), (None, JSON)]
)
def test_the_first_form_that_suits_the_request_is_taken(accept: str | None, found: Form) -> None:
    dialect = Dialect(forms=(XML, JSON))
    asked = Headers.of(("Accept", accept)) if accept else Headers()
    assert native.form(dialect, asked) is found
    assert native.form(PLAIN, asked) is None


def test_a_stream_ends_with_an_event() -> None:
    told = native.event(ConnectError("No\nway"), JSON, request_id="r")
    assert told is not None
    name, data, *rest = told.decode().split("\n")
    assert (name, rest) == ("event: error", ["", ""])
    assert json.loads(data.removeprefix("data: "))["error"]["message"] == "Sorry: No\nway"


def test_the_usual_event_has_no_name_and_some_apis_have_none() -> None:
    plain = native.event(ConnectError(), Form(body={"e": 1}, event="message"), request_id="r")
    assert plain == b'data: {"e":1}\n\n'
    assert native.event(ConnectError(), Form(body={}), request_id="r") is None


def test_a_status_by_which_the_sdk_knows_a_failure_goes_before_ours() -> None:
    form = Form(body={"status": "{status}"}, statuses={"rate_limited": 403})
    assert body(RateLimitError(), form)[0] == 403
    assert body(RateLimitError(), form)[2] == b'{"status":403}'
    assert body(ConnectError(), form)[0] == 502
