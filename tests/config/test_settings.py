from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.addresses import Address
from proxy.config.secrets import EnvSecret, FileSecret
from proxy.config.settings import Settings

UPSTREAM = {"base_url": "https://a.example", "prefix": "/a"}


def settings(**said: Any) -> Settings:
    return Settings.model_validate({"upstreams": {"a": UPSTREAM}, **said})


def test_the_contracts_defaults() -> None:
    found = settings()
    server = found.server
    assert server.listen == Address(host="127.0.0.1", port=8080)
    assert server.admin == Address(host="127.0.0.1", port=9464)
    assert (server.workers, server.client_token, server.tls) == (1, None, None)
    assert server.max_request_body == 64 * 1024**2
    assert (server.max_replay_memory, server.max_replay_disk) == (64 * 1024**2, 1024**3)
    assert (server.header_timeout, server.idle_timeout, server.drain_timeout) == (10, 75, 25)
    assert (found.cache.store, found.cache.max_bytes) == ("memory://", 256 * 1024**2)
    assert (found.cache.max_entry_bytes, found.cache.max_idempotency_bytes) == (8 * 1024**2, 64 * 1024**2)
    assert (found.log.level, found.log.format, found.log.access, found.log.bodies) == (
        "info",
        "auto",
        True,
        False,
    )
    assert (found.tracing.otlp_endpoint, found.tracing.sample) == (None, 1.0)


def test_the_environment_is_not_read_behind_our_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG", '{"level": "debug"}')
    monkeypatch.setenv("SERVER", "nonsense")
    assert settings().log.level == "info"


@pytest.mark.parametrize(("written", "read"), [("auto", "auto"), (2, 2), ("4", 4), (64, 64)])
def test_several_workers(written: object, read: object) -> None:
    assert settings(server={"workers": written}).server.workers == read


@pytest.mark.parametrize("written", [0, -1, "many", None, True, 65, 1.5])
def test_workers_that_are_no_number(written: object) -> None:
    with pytest.raises(ValidationError, match="the number of workers, 1 to 64, or auto"):
        settings(server={"workers": written})


def test_one_worker_as_text_comes_from_the_environment() -> None:
    assert settings(server={"workers": "1"}).server.workers == 1


@pytest.mark.parametrize(
    "written",
    ["redis:host", "redis://", "redis+cluster://a/1", "memory", "disk://relative", 5],
)
def test_other_stores_are_refused_with_what_there_is(written: object) -> None:
    with pytest.raises(
        ValidationError, match=r"(write|written) .*(memory://|disk:///var/cache/leeward|redis)"
    ):
        settings(cache={"store": written})


def test_a_store_on_disk() -> None:
    assert settings(cache={"store": "disk:///var/cache/leeward"}).cache.store == "disk:///var/cache/leeward"


def test_server_tls_needs_both_halves() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        settings(server={"tls": {"cert": "a"}})


def test_the_secrets_are_found_wherever_they_stand() -> None:
    found = Settings.model_validate(
        {
            "server": {"client_token": {"file": "/run/caller"}},
            "upstreams": {
                "a": {**UPSTREAM, "auth": {"type": "bearer", "token": {"env": "A"}}},
                "b": {**UPSTREAM, "auth": {"type": "basic", "username": "u", "password": {"file": "/run/b"}}},
            },
        }
    )
    files = found.file_secrets()
    assert [str(secret.path) for secret in files] == ["/run/caller", "/run/b"]
    assert all(isinstance(secret, FileSecret) for secret in files)
    assert EnvSecret("A") in list(found.secrets())
    assert len(list(found.secrets())) == 4


def test_no_rendering_of_the_whole_shows_a_secret() -> None:
    found = Settings.model_validate(
        {
            "server": {"client_token": "canary-1"},
            "defaults": {"auth": {"type": "query", "name": "key", "value": "canary-2"}},
            "upstreams": {
                "a": {**UPSTREAM, "auth": {"type": "bearer", "token": "canary-3"}},
                "b": {**UPSTREAM, "auth": {"type": "basic", "username": "canary-4", "password": "canary-5"}},
                "c": {**UPSTREAM, "auth": {"type": "header", "name": "X-Key", "value": "canary-6"}},
            },
        }
    )
    shown = [repr(found), str(found), str(found.model_dump()), found.model_dump_json(), str(found.__dict__)]
    shown.append(pickle.dumps(found).decode("latin-1"))
    shown.append(pickle.dumps(found.upstreams["a"].auth).decode("latin-1"))
    for one in shown:
        assert "canary" not in one
        assert "***" in one


def test_a_drain_may_be_none_at_all() -> None:
    assert settings(server={"drain_timeout": 0}).server.drain_timeout == 0


@pytest.mark.parametrize(
    "written",
    [
        "http://127.0.0.1:4318",
        "https://otel.example/",
        "http://[::1]:4318/v1/traces",
    ],
)
def test_a_collector_is_named_by_its_url(written: str) -> None:
    tracing = settings(tracing={"otlp_endpoint": written, "sample": 0.5}).tracing
    assert (tracing.otlp_endpoint, tracing.share()) == (written, 0.5)


def test_without_a_collector_nothing_is_traced() -> None:
    assert settings().tracing.share() == 0.0


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("127.0.0.1:4318", "should be the collector's URL, such as http://127.0.0.1:4318"),
        ("grpc://a:4317", "should be the collector's URL"),
        ("http://", "should be the collector's URL"),
        ("http://a:99999", "should be the collector's URL"),
        ("http://a?key=canary", "should be the collector's URL"),
        ("http://user:canary@a:4318", "holds a credential; set it as OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_what_is_no_collector(written: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told) as caught:
        settings(tracing={"otlp_endpoint": written})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("partly", [False, True])
def test_a_collector_without_the_packages_for_it_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, partly: bool
) -> None:
    def missing(name: str) -> None:
        if partly:
            raise ModuleNotFoundError(name)

    monkeypatch.setattr("proxy.config.settings.find_spec", missing)
    with pytest.raises(ValidationError, match=r"pip install 'leeward\[tracing\]'"):
        settings(tracing={"otlp_endpoint": "http://127.0.0.1:4318"})
    settings(tracing={"sample": 0.5})
