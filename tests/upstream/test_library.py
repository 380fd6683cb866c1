"""Is the library still the one that was read when we leaned on it?"""

from __future__ import annotations

import hashlib
import inspect

import aiohttp
import aiohttp.base_protocol
import aiohttp.client_proto
import aiohttp.connector
import aiohttp.http_parser
import aiohttp.streams
import aiohttp_retry.client
import aiohttp_retry.retry_options
import pytest

from proxy.upstream import library
from proxy.upstream.library import INTERNALS, LibraryError, check_library
from proxy.upstream.session import Session

# Of the source of every class whose insides we use. When one of these differs, read what changed in it,
# run these tests and the conformance corpus against it, and only then write the new digest here.
READ = {
    aiohttp.base_protocol.BaseProtocol: "b8cbe831e85f09b9",
    aiohttp.client_proto.ResponseHandler: "da5da6215c0ef3a0",
    aiohttp.connector.BaseConnector: "d94fe09eb61742df",
    aiohttp.connector.Connection: "b87e0588fdd9526b",
    aiohttp.connector.TCPConnector: "16832606a736af57",
    aiohttp.streams.DataQueue: "aefbcc09f06b5163",
    aiohttp.streams.StreamReader: "64f76413d16e4765",
    aiohttp_retry.client._RequestContext: "8d135d0ed12f9645",
    aiohttp_retry.client.RetryClient: "b14103dd347f1a61",
    aiohttp_retry.retry_options.RetryOptionsBase: "f271bd3dd711afba",
}


@pytest.mark.parametrize("owner", READ, ids=lambda owner: owner.__name__)
def test_the_library_is_as_it_was_read(owner: type) -> None:
    found = hashlib.sha256(inspect.getsource(owner).encode()).hexdigest()[:16]
    assert found == READ[owner], f"{owner.__module__}.{owner.__name__} of {aiohttp.__version__} has changed"


def test_everything_that_is_used_was_read() -> None:
    assert INTERNALS.keys() <= READ.keys()


def test_the_installed_library_is_fit() -> None:
    check_library()


@pytest.mark.parametrize("version", ["3.14.2", "3.9.0", "2.99.99", "unknown"])
def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    with pytest.raises(LibraryError, match=r"oldest safe one is 3\.14\.3"):
        Session()


@pytest.mark.parametrize("version", ["3.14.3", "3.14.10", "3.15.0", "4.0.0a1"])
def test_a_newer_library_is_not_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    if version == "4.0.0a1":  # not a release: its number cannot be read, but it is not old
        monkeypatch.setattr(aiohttp, "__version__", "4.0.0")
    check_library()


def test_the_parser_in_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = aiohttp.http_parser.HttpResponseParserPy
    monkeypatch.setattr(aiohttp.http_parser, "HttpResponseParser", parser)
    with pytest.raises(LibraryError, match="without its C parser"):
        check_library()


def test_a_library_built_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(library.INTERNALS, aiohttp.streams.StreamReader, ("readany", "no_such_thing"))
    with pytest.raises(LibraryError, match=r"no StreamReader\.no_such_thing"):
        check_library()
