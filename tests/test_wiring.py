"""What the operator writes becomes what runs."""

from typing import Any

import pytest

from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.header import Header
from proxy.auth.none import NoCredential
from proxy.auth.query import Query
from proxy.config.loading import load
from proxy.core.caching.policy import Scope
from proxy.core.message import Headers, Request, Whole
from proxy.core.routing import ErrorMode
from proxy.wiring import build, route


def settings(upstreams: dict[str, Any], **rest: Any) -> Any:
    return load(None, {"upstreams": upstreams, **rest}, {}).settings


def wired(**said: Any) -> Any:
    whole = settings({"up": {"base_url": "https://api.example.com:8443/v1", **said}})
    return route("up", whole.upstreams["up"], whole, b"salt" * 8)


def test_an_upstream_becomes_a_route():
    built = wired(
        prefix="/x",
        headers={"set": {"Accept": "a/b"}, "remove": ["Cookie"]},
        timeout={"attempt": "1s"},
        retry={"attempts": 5},
        cache={"scope": "shared", "default_ttl": "1m"},
        errors="annotate",
        forwarded=True,
    )
    assert built.origins[0].url == "https://api.example.com:8443/v1"
    assert (built.prefix, built.host) == ("/x", None)
    assert built.set_headers == (("Accept", "a/b"),)
    assert built.remove_headers == {"cookie"}
    assert (built.timeouts.attempt, built.timeouts.total) == (1.0, 60.0)
    assert built.retry.attempts == 5
    assert (built.cache.scope, built.cache.default_ttl) == (Scope.SHARED, 60.0)
    assert built.cache.max_entry_bytes == 8 * 1024 * 1024
    assert built.errors is ErrorMode.ANNOTATE
    assert built.forwarded


def test_the_caches_tag_headers_hold_for_every_route():
    assert wired().cache.tag_headers == ("cache-tag", "surrogate-key", "xkey")
    whole = settings({"up": {"base_url": "https://a.example"}}, cache={"tag_headers": ["Edge-Tag"]})
    assert route("up", whole.upstreams["up"], whole, b"salt" * 8).cache.tag_headers == ("edge-tag",)


def test_the_prefix_and_host_of_the_contract():
    assert (wired().prefix, wired().host) == ("/up", None)
    assert (wired(host="api.local").prefix, wired(host="api.local").host) == ("", "api.local")


def test_a_rule_changes_only_what_it_names():
    built = wired(
        cache={"default_ttl": "5s"},
        rules=[
            {
                "match": {"method": "GET", "path": "/a/*"},
                "cache": {"override_ttl": "1h"},
                "retry": {"attempts": 1},
            }
        ],
    )
    ruled = built.ruled("GET", "/a/b")
    assert (ruled.cache.override_ttl, ruled.cache.default_ttl, ruled.retry.attempts) == (3600.0, 5.0, 1)
    assert ruled.timeouts == built.timeouts
    assert built.ruled("POST", "/a/b") is built


@pytest.mark.parametrize(
    ("auth", "kind"),
    [
        ({"type": "none"}, NoCredential),
        ({"type": "bearer", "token": "canary"}, Bearer),
        ({"type": "basic", "username": "u", "password": "canary"}, Basic),
        ({"type": "header", "name": "X-Key", "value": "canary"}, Header),
        ({"type": "query", "name": "key", "value": "canary"}, Query),
    ],
)
async def test_each_scheme_is_wired_and_keeps_its_secret(auth, kind):
    built = wired(auth=auth)
    assert isinstance(built.injector, kind)
    assert "canary" not in repr(built)
    sent = await built.injector.inject(Request(method="GET", target="/", headers=Headers(), body=Whole()))
    carried = sent.target + "".join(value for _, value in sent.headers)
    assert ("canary" in carried or "dTpjYW5hcnk=" in carried) is (kind is not NoCredential)


async def test_what_runs_ends_without_a_trace():
    import asyncio

    before = asyncio.all_tasks()
    runtime = await build(settings({"up": {"base_url": "http://127.0.0.1:1"}}, log={"level": "error"}))
    assert [configured.name for configured in runtime.table.routes] == ["up"]
    page, _ = await asyncio.to_thread(runtime.metrics.exposition, "")
    assert b"leeward_build_info" in page
    await runtime.close()
    assert asyncio.all_tasks() == before


async def test_secret_files_are_followed(folder):
    import asyncio

    file = folder / "token"
    file.write_text("old-value")
    whole = settings(
        {"up": {"base_url": "http://127.0.0.1:1", "auth": {"type": "bearer", "token": {"file": str(file)}}}}
    )
    runtime = await build(whole)
    [secret] = whole.file_secrets()
    try:
        assert secret.reveal() == "old-value"
        file.write_text("new-value")
        for _ in range(100):
            if secret.reveal() == "new-value":
                break
            await asyncio.sleep(0.05)
        assert secret.reveal() == "new-value"
    finally:
        await runtime.close()


async def test_a_missing_credential_is_told_at_the_start(capfd):
    whole = settings(
        {"up": {"base_url": "http://127.0.0.1:1", "auth": {"type": "bearer", "token": {"env": "NOT_SET_X"}}}}
    )
    runtime = await build(whole)
    await runtime.close()
    said = capfd.readouterr().err
    assert said.count("NOT_SET_X is not set") == 1
    assert "warning" in said


async def test_a_file_that_vanishes_is_told_once_and_its_value_serves_on(folder, capfd):
    import asyncio

    file = folder / "token"
    file.write_text("old-value")
    whole = settings(
        {"up": {"base_url": "http://127.0.0.1:1", "auth": {"type": "bearer", "token": {"file": str(file)}}}}
    )
    runtime = await build(whole)
    [secret] = whole.file_secrets()
    try:
        file.unlink()
        for _ in range(100):
            if secret.trouble() is not None:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.2)  # another look: it must not be told again
        assert secret.reveal() == "old-value"
    finally:
        await runtime.close()
    said = capfd.readouterr().err
    assert said.count("The last good value of a secret is used further") == 1
    assert "old-value" not in said


def test_an_answer_for_each_key_is_by_rule():
    built = wired(rules=[{"match": {"method": "POST"}, "idempotency": {"ttl": "1h"}}])
    assert (built.idempotency, built.ruled("POST", "/x").idempotency) == (None, 3600.0)
