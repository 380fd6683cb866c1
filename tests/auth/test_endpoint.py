from __future__ import annotations

import pytest

from proxy.auth.endpoint import endpoint
from proxy.core.failure import ConnectError, CredentialError
from proxy.core.message import Headers
from tests.auth.samples import Provider, reply


def test_a_url_taken_apart() -> None:
    found = endpoint("https://auth.example.com:8443/a/token?tenant=1")
    assert found.origin.url == "https://auth.example.com:8443"
    assert found.target == "/a/token?tenant=1"
    assert endpoint("http://[::1]/").origin.authority == "[::1]"
    assert endpoint("https://a.example").target == "/"


@pytest.mark.parametrize(
    "url",
    ["", "auth.example.com", "ftp://a/", "https://", "https://u:p@a/", "https://a/#x", "https://a/b c", "https://a:0/",
     "https://a:99999/", "https://ä/", "https://a/\r\nX: y"],
)  # fmt: skip
def test_what_is_no_place_to_send_a_secret_to(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        endpoint(url)


async def test_an_errand_says_who_runs_it_and_takes_nothing_else_along() -> None:
    provider = Provider(reply({}))
    place = endpoint("https://auth.example.com/token")
    await place.ask(provider, "POST", Headers.of(("X", "y")), b"body")
    [(origin, sent)] = provider.asked
    assert origin == place.origin
    assert (sent.method, sent.target) == ("POST", "/token")
    assert list(sent.headers) == [("x", "y"), ("accept", "application/json"), ("user-agent", "leeward")]


async def test_no_answer_is_a_credential_s_failure() -> None:
    provider = Provider(ConnectError("No connection to auth.example.com:443."))
    with pytest.raises(CredentialError, match=r"^No answer from auth.example.com: No connection"):
        await endpoint("https://auth.example.com/token").ask(provider, "GET", Headers())
