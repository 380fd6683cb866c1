from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.problems import (
    ConfigError,
    Problem,
    bears_secret,
    dotted,
    known_keys,
    located,
    suggestion,
    unknown,
)
from proxy.config.settings import Settings


def test_a_problem_is_one_line() -> None:
    assert str(Problem(file="a.yaml", line=3, key="b.c", message="d")) == "a.yaml:3: b.c: d"
    assert str(Problem(file="LEEWARD_X", line=0, key="b", message="d")) == "LEEWARD_X: b: d"
    assert str(Problem(file="a.yaml", line=0, key="", message="d")) == "a.yaml: d"


def test_an_error_shows_all_its_problems() -> None:
    problems = [Problem(file="a", line=line, key="b", message="c") for line in (1, 2)]
    assert str(ConfigError(problems)) == "a:1: b: c\na:2: b: c"
    assert ConfigError(iter(problems)).problems == tuple(problems)


def test_keys_as_people_write_them() -> None:
    assert dotted(("upstreams", "a", "rules", 0, "match")) == "upstreams.a.rules[0].match"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        (("server", "client_token"), True),
        (("upstreams", "a", "auth"), True),
        (("upstreams", "a", "auth", "type"), True),
        (("defaults", "headers", "set", "X-Key"), True),
        (("server", "listen"), False),
        (("upstreams", "a", "rules", 0, "errors"), False),
    ],
)
def test_where_nothing_is_quoted(key: tuple[str | int, ...], secret: bool) -> None:
    assert bears_secret(key) is secret


@pytest.mark.parametrize(
    ("unknown", "known", "told"),
    [
        ("lisen", ["listen", "admin"], "unknown key; did you mean listen?"),
        ("Listen", ["listen", "admin"], "unknown key; did you mean listen?"),
        ("zzz", ["listen", "admin"], "unknown key; known here: listen, admin"),
        ("zzz", [], "unknown key; remove it"),
    ],
)
def test_suggestions(unknown: str, known: list[str], told: str) -> None:
    assert suggestion(unknown, known) == told


@pytest.mark.parametrize(
    ("key", "has", "lacks"),
    [
        (("serve",), "server", "listen"),
        (("server", "x"), "client_token", "store"),
        (("server", "tls", "x"), "client_ca", "ca"),
        (("upstreams", "a", "x"), "base_url", "server"),
        (("upstreams", "a", "auth", "x"), "token", "base_url"),
        (("upstreams", "a", "rules", 0, "x"), "match", "auth"),
        (("upstreams", "a", "rules", 0, "cache", "key", "x"), "ignore_query", "scope"),
        (("defaults", "retry", "backoff", "x"), "initial", "attempts"),
    ],
)
def test_the_keys_that_are_known_beside_another(key: tuple[str | int, ...], has: str, lacks: str) -> None:
    known = known_keys(Settings, key)
    assert has in known
    assert lacks not in known


def test_a_rule_says_what_it_may_hold() -> None:
    beside = "write auth beside rules, or make another upstream"
    said = unknown(Settings, ("upstreams", "a", "rules", 0, "auth"))
    assert said == f"a rule holds match, cache, retry, timeout, errors, idempotency; {beside}"
    assert unknown(Settings, ("defaults", "rules", 0, "auth")) == said
    assert unknown(Settings, ("upstreams", "a", "rules", 0, "cach")) == "unknown key; did you mean cache?"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (("upstreams", "a", "hedge"), "retry.hedge"),
        (("upstreams", "a", "attempts"), "retry.attempts"),
        (("upstreams", "a", "methods"), "retry.methods or cache.methods"),
        (("upstreams", "a", "retry", "ratio"), "budget.ratio"),
        (("upstreams", "a", "rules", 0, "attempts"), "retry.attempts"),
        (("listen",), "server.listen"),
        (("base_url",), "defaults.base_url or upstreams.NAME.base_url"),
    ],
)
def test_a_key_that_belongs_one_level_further_down_is_told_so(key: tuple[str | int, ...], told: str) -> None:
    assert unknown(Settings, key) == f"unknown key; did you mean {told}?"


@pytest.mark.parametrize(
    ("auth", "key", "told"),
    [
        ({"type": "bearer"}, "username", "type bearer takes token"),
        ({"type": "bearer"}, "tokn", "did you mean token?"),
        ({"type": "header"}, "token", "type header takes name, value, prefix"),
        ({"type": "none"}, "token", "type none takes nothing more"),
        ({"type": "other"}, "tokn", "did you mean token?"),
        ({"type": ["bearer"]}, "tokn", "did you mean token?"),
        ("bearer", "tokn", "did you mean token?"),
    ],
)
def test_a_credential_is_told_what_its_own_type_takes(auth: object, key: str, told: str) -> None:
    data = {"upstreams": {"a": {"auth": auth}}}
    assert unknown(Settings, ("upstreams", "a", "auth", key), data) == f"unknown key; {told}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"upstreams": {"a": "https://canary"}}, "such as {base_url: https://api.example.com}"),
        (
            {"upstreams": {"a": {"base_url": "https://a", "prefix": "/"}}, "cache": False},
            "{max_bytes: 256MiB}",
        ),
        ({"upstreams": []}, "such as {github: {base_url: https://api.github.com}}"),
    ],
)
def test_where_a_mapping_belongs_one_is_shown(data: dict[str, Any], message: str) -> None:
    assert message in told(data)[0][1]


def told(data: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(data)
    found = [located(error, data) for error in caught.value.errors()]
    return [(dotted(key), message) for key, message in found]


@pytest.mark.parametrize(
    ("said", "key", "message"),
    [
        ({"auth": {"type": "bearer"}}, "auth.token", "is missing; write token: {env: NAME}"),
        ({"auth": {"type": "bearer", "token": "a", "bearer": 1}}, "auth.bearer", "unknown key"),
        ({"auth": {"token": "canary"}}, "auth", "type is missing; write one of"),
        (
            {"auth": {"type": "canary"}},
            "auth.type",
            "should be one of none, bearer, basic, header, query, oauth2",
        ),
        ({"auth": "canary"}, "auth", "should be a mapping of keys"),
        ({"forwarded": "maybe"}, "forwarded", "should be true or false, not 'maybe'"),
        ({"retry": 5}, "retry", "{attempts: 1} for no retries, not 5"),
        ({"cache": False}, "cache", "such as {default_ttl: 60s}, or {enabled: false}, not false"),
        ({"auth": "none"}, "auth", "such as {type: bearer, token: {env: NAME}}, or {type: none}"),
        ({"auth": {"type": "berer"}}, "auth.type", "mtls; did you mean bearer?"),
        (
            {"auth": {"type": "bearer", "token": {"evn": "canary"}}},
            "auth.token",
            "key evn; did you mean env?",
        ),
        ({"auth": {"type": "bearer", "token": {"canary": "X"}}}, "auth.token", "an unknown key; write {env"),
        ({"auth": {"type": "bearer", "token": "${T}"}}, "auth.token", "not expanded here; write {env: NAME}"),
        ({"base_url": "${URL}"}, "base_url", "not expanded here; write the URL, or set LEEWARD_UPSTREAMS__"),
        ({"rules": [5]}, "rules[0]", "such as {match: {path: /v1/*}"),
        ({"retry": {"attempts": "x"}}, "retry.attempts", "should be a whole number, not 'x'"),
        ({"retry": {"attempts": 1.5}}, "retry.attempts", "should be a whole number, not 1.5"),
        ({"retry": {"attempts": 101}}, "retry.attempts", "should be 100 or less, not 101"),
        ({"retry": {"statuses": 500}}, "retry.statuses", "should be a list, such as [A, B], not 500"),
        ({"retry": {"backoff": {"factor": "x"}}}, "retry.backoff.factor", "should be a number, not 'x'"),
        ({"headers": {"set": {"X-A": 5}}}, "headers.set.X-A", "should be text; put it in quotes"),
        ({"headers": {"set": {"Host": "a"}}}, "headers.set.Host", "choose another header"),
        ({"cache": {"scope": "all"}}, "cache.scope", "should be one of credential or shared, not 'all'"),
        ({"cache": {"enabled": None}}, "cache.enabled", "should be true or false"),
        (
            {"cache": {"negative_ttl": {"x": "1s"}}},
            "cache.negative_ttl.x",
            "should be a whole number, not 'x'",
        ),
        ({"cache": {"key": {"ignore_query": [""]}}}, "cache.key.ignore_query[0]", "is empty"),
        (
            {"cache": {"key": {"ignore_body_fields": ["a..b"]}}},
            "cache.key.ignore_body_fields[0]",
            "write members joined by dots",
        ),
        ({"rules": [{"match": {"path": "a"}}]}, "rules[0].match.path", "a glob that starts with / or *"),
        ({"rules": [{"math": {}}]}, "rules[0].math", "unknown key"),
    ],
)
def test_pydantics_errors_become_a_key_and_a_cure(said: dict[str, Any], key: str, message: str) -> None:
    found = told({"upstreams": {"a": {"base_url": "https://a", "prefix": "/", **said}}})
    assert len(found) == 1
    assert found[0][0] == f"upstreams.a.{key}"
    assert message in found[0][1]
    assert "canary" not in found[0][1]


def test_a_bad_name_and_no_upstream_at_all() -> None:
    bad = told({"upstreams": {"a b": {"base_url": "https://a", "prefix": "/"}}})
    assert bad == [
        (
            "upstreams.a b",
            "a name is letters, digits, dots, hyphens and underscores, at most 64; choose such a name",
        )
    ]
    assert told({})[0][0] == "upstreams"
    assert "write at least one" in told({})[0][1]
    assert "write at least one" in told({"upstreams": {}})[0][1]
