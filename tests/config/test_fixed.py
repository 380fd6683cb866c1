from typing import Any

import pytest

from proxy.config.fixed import fixed
from proxy.config.loading import load
from proxy.config.settings import Settings


def settings(**said: Any) -> Settings:
    return load(None, {"upstreams": {"a": {"base_url": "http://127.0.0.1:1"}}, **said}, {}).settings


TLS = {"cert": "c", "key": "k"}


@pytest.mark.parametrize(
    ("said", "alone", "several"),
    [
        ({}, [], []),
        ({"server": {"drain_timeout": "1s"}, "log": {"level": "error"}}, [], []),
        ({"server": {"listen": "127.0.0.1:2"}}, ["listen"], ["listen"]),
        ({"server": {"admin": "127.0.0.1:1"}}, ["admin"], ["admin"]),
        ({"server": {"tls": TLS}}, ["tls"], []),
        ({"cache": {"max_bytes": "1MiB"}}, ["max_bytes"], []),
        ({"cache": {"max_entry_bytes": "1MiB"}}, ["max_entry_bytes"], []),
        ({"cache": {"max_idempotency_bytes": "1MiB"}}, ["max_idempotency_bytes"], []),
        ({"cache": {"tag_headers": ["Tag"]}}, [], []),
    ],
)
def test_what_may_not_change(said: dict[str, Any], alone: list[str], several: list[str]):
    for wanted, many in ((alone, False), (several, True)):
        found = list(fixed(settings(), settings(**said), several=many))
        assert [key[-1] for key, _ in found] == wanted
        assert all("restart" in message for _, message in found)


def test_certificates_may_be_renewed_and_callers_authority_may_not():
    before = settings(server={"tls": TLS})
    renewed = settings(server={"tls": {"cert": "other", "key": "other"}})
    stricter = settings(server={"tls": {**TLS, "client_ca": "ca"}})
    assert list(fixed(before, renewed, several=False)) == []
    assert [key for key, _ in fixed(before, stricter, several=False)] == [("server", "tls", "client_ca")]
