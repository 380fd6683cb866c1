from __future__ import annotations

import pickle
from urllib.parse import parse_qsl, quote

import pytest

from proxy.auth.query import Query
from proxy.core.failure import CredentialError
from proxy.core.message import Headers
from proxy.core.ports import Echoed, Injector
from tests.auth.planted import CANARY, ORIGIN, SALT, Planted, request


async def test_it_is_the_one_parameter_of_its_name() -> None:
    injector: Injector = Query("api_key", Planted(), SALT)
    target = "/a/%2F?x=1&api_key=callers&api%5Fkey=callers&y=%2f+&&"
    after = await injector.inject(request(("AUTHORIZATION", "callers"), ("A", "b"), target=target), ORIGIN)
    assert after.target == "/a/%2F?x=1&y=%2f+&&api_key=" + quote(CANARY, safe="")
    assert dict(parse_qsl(after.query))["api_key"] == CANARY
    assert list(after.headers) == [("a", "b")]
    assert injector.replaced == {"authorization"}


async def test_any_text_can_be_sent_but_control_characters() -> None:
    after = await Query("key", Planted("clé鍵"), SALT).inject(request(target="/"))
    assert after.target == "/?key=cl%C3%A9%E9%8D%B5"
    for value in ("", "a\r\nb", "a\nb", "a\0b", "abcd\ud800"):
        with pytest.raises(CredentialError) as told:
            await Query("key", Planted(value), SALT).inject(request())
        assert not value or value not in str(told.value)


@pytest.mark.parametrize("name", ["", "a\nb", "a\0"])
def test_a_name_that_cannot_be_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(ValueError, match="query parameter"):
        Query(name, Planted(), SALT)


def test_name_and_value_make_the_identity() -> None:
    here = Query("key", Planted(), SALT).identity()
    assert here == Query("key", Planted(), SALT).identity()
    assert here != Query("other", Planted(), SALT).identity()
    assert here != Query("key", Planted("other-value"), SALT).identity()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("/b?x=1&key=SECRET&page=2#key", "/b?x=1&key=***&page=2#key"),
        ("https://a/b?key=SECRET", "https://a/b?key=***"),
        ('<https://a/b?key=SECRET&page=2>; rel="next"', '<https://a/b?key=***&page=2>; rel="next"'),
        ("/login?to=%2Fb%3Fkey%3DSECRET%26x%3D1", "/login?to=%2Fb%3Fkey%3D***%26x%3D1"),
        ("/b?monkey=1&keys=2;key=SECRET", "/b?monkey=1&keys=2;key=***"),
        ("/key/b", "/key/b"),
    ],
)
def test_links_of_an_answer_that_repeat_the_url_repeat_no_secret(said: str, left: str) -> None:
    for name in ("Location", "CONTENT-LOCATION", "link", "Refresh"):
        fields = Headers.of(("A", "?key=b"), (name, said.replace("SECRET", quote(CANARY, safe=""))))
        injector = Query("key", Planted(), SALT)
        assert isinstance(injector, Echoed)
        assert list(injector.cleared(fields)) == [("a", "?key=b"), (name.lower(), left)]
    assert injector.cleared(Headers.of(("A", "?key=b"))) == Headers.of(("A", "?key=b"))


async def test_it_hides_its_secret() -> None:
    injector = Query("key", Planted(), SALT)
    after = await injector.inject(request())
    assert injector.describe() == "query parameter key from env PLANTED"
    for text in (injector.describe(), repr(injector), str(injector), injector.identity(), repr(after)):
        assert CANARY not in text
        assert quote(CANARY, safe="") not in text
    assert injector.mask(f"GET {after.target}") == "GET /a?b=c&key=***"
    with pytest.raises(TypeError):
        pickle.dumps(injector)
