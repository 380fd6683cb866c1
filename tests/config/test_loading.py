from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from proxy.config.loading import Loaded, find, load, merged, schema, single_upstream
from proxy.config.pending import _OF_UPSTREAMS
from proxy.config.problems import ConfigError
from proxy.config.secrets import EnvSecret, FileSecret
from proxy.config.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
NO_URL = "is missing; write the API's address, such as base_url: https://api.example.com"
NOT_HTTP = "'ftp://b.example' is not http:// or https://; write https://b.example"
PROBED = {"base_url": "https://b.example", "probe": {}}
LEAST = "upstreams:\n  a:\n    base_url: https://a.example\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leeward.yaml"


def loaded(file: Path, text: str, environ: Mapping[str, str] | None = None, **overrides: Any) -> Loaded:
    file.write_text(text)
    return load(file, overrides, environ or {})


def problems(file: Path, text: str, environ: Mapping[str, str] | None = None, **overrides: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, environ, **overrides)
    return [str(problem).replace(str(file), "FILE") for problem in caught.value.problems]


# Layers


LAYERS = ("default", "defaults", "file", "environment", "command line")


@pytest.mark.parametrize(
    "present", [LAYERS[:n] for n in range(1, 6)] + [("default", "defaults", "environment")]
)
def test_the_higher_layer_wins(present: tuple[str, ...], file: Path) -> None:
    text = LEAST
    if "file" in present:
        text += "    retry: {attempts: 12}\n"
    if "defaults" in present:
        text += "defaults: {retry: {attempts: 11, statuses: [599]}}\n"
    environ = {"LEEWARD_UPSTREAMS__A__RETRY__ATTEMPTS": "13"} if "environment" in present else {}
    overrides = {"upstreams": {"a": {"retry": {"attempts": 14}}}} if "command line" in present else {}
    retry = loaded(file, text, environ, **overrides).settings.upstreams["a"].retry
    expected = {"default": 3, "defaults": 11, "file": 12, "environment": 13, "command line": 14}
    assert retry.attempts == expected[present[-1]]
    assert retry.statuses == ([599] if "defaults" in present else [408, 429, 500, 502, 503, 504])


def test_the_environment_alone_is_enough() -> None:
    found = load(None, {}, {"LEEWARD_UPSTREAMS__GITHUB__BASE_URL": "https://api.github.com"})
    assert found.file is None
    assert found.settings.upstreams["github"].prefix == "/github"


def test_upstreams_of_the_file_are_found_without_regard_to_case(file: Path) -> None:
    text = "upstreams: {GitHub-API: {base_url: https://a.example}}"
    environ = {"LEEWARD_UPSTREAMS__GITHUB_API__PREFIX": "/gh", "LEEWARD_DEFAULTS__FORWARDED": "true"}
    upstreams = loaded(file, text, environ).settings.upstreams
    assert list(upstreams) == ["GitHub-API"]
    assert upstreams["GitHub-API"].prefix == "/gh"
    assert upstreams["GitHub-API"].forwarded


def test_numbers_flags_and_lists_of_the_environment(file: Path) -> None:
    environ = {
        "LEEWARD_LOG__ACCESS": "false",
        "LEEWARD_TRACING__SAMPLE": "0.5",
        "LEEWARD_CACHE__MAX_BYTES": "1MiB",
        "LEEWARD_SERVER__WORKERS": "1",
        "LEEWARD_UPSTREAMS__A__BASE_URL": '["https://b.example"]',
        "LEEWARD_UPSTREAMS__A__CACHE__NEGATIVE_TTL": "{404: 10s}",
        "LEEWARD_UPSTREAMS__A__RETRY__METHODS": '["GET"]',
    }
    settings = loaded(file, LEAST, environ).settings
    assert (settings.log.access, settings.tracing.sample, settings.cache.max_bytes) == (False, 0.5, 1024**2)
    a = settings.upstreams["a"]
    assert (a.base_url[0].host, a.cache.negative_ttl, a.retry.methods) == ("b.example", {404: 10}, ["GET"])


def test_a_secrets_place_is_replaced_whole(file: Path) -> None:
    text = LEAST + "    auth: {type: bearer, token: {env: A}}\n"
    for variable, value in [
        ("LEEWARD_UPSTREAMS__A__AUTH__TOKEN__FILE", "/run/a"),
        ("LEEWARD_UPSTREAMS__A__AUTH__TOKEN", "{file: /run/a}"),
        ("LEEWARD_UPSTREAMS__A__AUTH", "{type: bearer, token: {file: /run/a}}"),
    ]:
        settings = loaded(file, text, {variable: value}).settings
        assert settings.file_secrets() == (FileSecret(Path("/run/a")),)


def test_a_credential_of_another_type_replaces_the_defaults_one(file: Path) -> None:
    text = (
        "defaults: {auth: {type: bearer, token: {env: A}}}\n"
        + LEAST
        + "    auth: {type: header, name: X-Key, value: {env: B}}\n"
        + "  b: {base_url: https://b.example, auth: {token: {env: C}}}\n"
        + "  c: {base_url: https://c.example}\n"
    )
    settings = loaded(file, text).settings
    assert list(settings.secrets()) == [EnvSecret("B"), EnvSecret("C"), EnvSecret("A")]


def test_what_merges_and_what_replaces() -> None:
    assert merged({"a": {"b": 1}}, {"a": {"c": 2}, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged({"a": None}, {"a": {"c": 2}}) == {"a": None}
    assert merged({"a": [1]}, {"a": [2, 3]}) == {"a": [1]}
    assert merged({"headers": {"set": {"A": "1"}}}, {"headers": {"set": {"B": "2"}}}) == {
        "headers": {"set": {"A": "1", "B": "2"}}
    }


def test_the_prefix_nobody_wrote(file: Path) -> None:
    text = LEAST + "  b: {base_url: https://b.example, host: B.internal}\n"
    upstreams = loaded(file, text).settings.upstreams
    assert (upstreams["a"].prefix, upstreams["b"].prefix, upstreams["b"].host) == ("/a", "/", "b.internal")


def test_a_section_with_nothing_below_it_is_as_if_it_were_not_there(file: Path) -> None:
    assert loaded(file, "server:\nlog:\ndefaults:\n" + LEAST).settings.log.level == "info"


def test_secrets_are_not_read_when_loading(file: Path) -> None:
    text = (
        LEAST
        + "    auth: {type: basic, username: {env: NOT_SET_ANYWHERE}, password: {file: /does/not/exist}}\n"
    )
    assert loaded(file, text).warnings == ()


# Problems


def test_all_problems_in_one_go_in_the_order_of_the_lines(file: Path) -> None:
    text = """\
server:
  listen: 8080
  lisen: x
defaults:
  timeout: {connect: 5}
upstreams:
  a:
    auth: {type: bearer, tokn: canary}
    retry: {attempts: 0}
  a: {}
"""
    environ = {
        "LEEWARD_SERVER__ADMIN": "h",
        "LEEWARD_LOG_LEVEL": "debug",
        "LEEWARD_SERVR__LISTEN": "127.0.0.1:1",
    }
    overrides = {"server": {"idle_timeout": "75"}, "upstreams": {"b": {"base_url": "ftp://b.example"}}}
    assert problems(file, text, environ, **overrides) == [
        "FILE:2: server.listen: 8080 has no host; write 127.0.0.1:8080",
        "FILE:3: server.lisen: unknown key; did you mean listen?",
        "FILE:5: defaults.timeout.connect: 5 has no unit; write 5s or 5ms",
        f"FILE:7: upstreams.a.base_url: {NO_URL}",
        "FILE:8: upstreams.a.auth.token: is missing; write token: {env: NAME}, {file: PATH} or a string",
        "FILE:8: upstreams.a.auth.tokn: unknown key; did you mean token?",
        "FILE:9: upstreams.a.retry.attempts: should be 1 or more, not 0",
        "FILE:10: upstreams.a: stands twice, first on line 7; keep one of them",
        "LEEWARD_LOG_LEVEL: log_level: unknown key; did you mean LEEWARD_LOG__LEVEL, with two underscores?",
        "LEEWARD_SERVER__ADMIN: server.admin: 'h' has no port from 0 to 65535; write h:8080",
        "command line: server.idle_timeout: 75 has no unit; write 75s or 75ms",
        f"command line: --upstream: {NOT_HTTP}",
        "LEEWARD_SERVR__LISTEN: servr: unknown key; did you mean server?",
    ]


def test_a_wrong_type_is_told_at_its_own_line(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, LEAST + "    auth:\n      token: {env: A}\n      type: beaer\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (LEAST.count("\n") + 3, "upstreams.a.auth.type")
    assert problem.message.endswith("did you mean bearer?")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("api.github.com",), "--upstream: 'api.github.com' is not http"),
        (("https://a", "a b"), "--token-env: env takes the name"),
        (("https://a", None, "60"), "--ttl: 60 has no unit"),
    ],
)
def test_the_command_line_is_told_by_its_options(given: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, single_upstream(*given), {})
    assert str(caught.value.problems[0]).startswith(f"command line: {told}")


def test_a_problem_in_defaults_is_told_once(file: Path) -> None:
    text = (
        "defaults:\n  retry: {attempts: 0}\n  cache: {scop: x}\n"
        + LEAST
        + "  b: {base_url: https://b.example}\n"
    )
    assert problems(file, text) == [
        "FILE:2: defaults.retry.attempts: should be 1 or more, not 0",
        "FILE:3: defaults.cache.scop: unknown key; did you mean scope?",
    ]


def test_nothing_configured_says_so(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^configuration: upstreams: is missing; write at least one"):
        load(None, {}, {})
    assert problems(file, "log: {level: info}")[0].startswith("FILE:1: upstreams: is missing")
    assert problems(file, "log: {level: info}\nupstreams: {}")[0].startswith("FILE:2: upstreams: is empty")
    assert problems(file, "upstreams:\n")[0].startswith("FILE:1: upstreams: should be a mapping")
    assert problems(file, "upstreams: [a]\n")[0].startswith("FILE:1: upstreams: should be a mapping")
    assert problems(file, "upstreams: {a: x}\n")[0].startswith("FILE:1: upstreams.a: should be a mapping")


SECRETS = [
    "server: {client_token: 5550123}",
    "server: {client_token: [5550123]}",
    "server: {client_token: {env: [5550123]}}",
    "defaults: {auth: 5550123}",
    "defaults: {auth: {type: 5550123}}",
    "defaults: {auth: {type: bearer, token: 5550123}}",
    "defaults: {auth: {type: bearer, token: {5550123: x}}}",
    'defaults: {auth: {type: bearer, token: "5550123\\n5550123"}}',
    "defaults: {auth: {type: basic, username: 5550123, password: 5550123}}",
    "defaults: {auth: {type: header, name: 5550123:, value: 5550123}}",
    "defaults: {auth: {type: query, name: [5550123], value: 5550123}}",
    "defaults: {headers: {set: {X-Key: 5550123}}}",
    "defaults: {base_url: 'https://u:5550123@a.example'}",
    "defaults: {base_url: 'https://a.example/?key=5550123'}",
    "defaults: {base_url: 'https://a.example/5550123//x'}",
]


@pytest.mark.parametrize("text", SECRETS)
def test_no_problem_quotes_a_secret(text: str, file: Path) -> None:
    told = problems(file, f"{text}\n{LEAST}")
    assert told
    assert "5550123" not in "\n".join(told)


def test_no_exception_carries_a_secret_behind_it(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, LEAST + "    auth: {type: bearer, token: canary, x: 1}\n")
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


# Warnings


def test_what_is_not_in_force_is_warned_about_with_its_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_OF_UPSTREAMS, ("probe",), lambda value: value is not None)
    text = LEAST + "    probe: {}\n"
    found = loaded(file, text, {"LEEWARD_DEFAULTS__PROBE": "{}"}, upstreams={"b": PROBED})
    assert [str(warning).replace(str(file), "FILE") for warning in found.warnings] == [
        "FILE:4: upstreams.a.probe: accepted, but not in force in this version",
        "LEEWARD_DEFAULTS__PROBE: defaults.probe: accepted, but not in force in this version",
        "command line: upstreams.b.probe: accepted, but not in force in this version",
    ]


# The single upstream, the search for a file


def test_one_upstream_from_the_command_line() -> None:
    overrides = single_upstream("https://api.github.com/v3", "GITHUB_TOKEN", "60s")
    settings = load(None, overrides, {}).settings
    upstream = settings.upstreams["api.github.com"]
    assert upstream.base_url[0].path == "/v3"
    assert (upstream.prefix, upstream.cache.default_ttl) == ("/", 60)
    assert list(settings.secrets()) == [EnvSecret("GITHUB_TOKEN")]


@pytest.mark.parametrize("url", ["http://[::1]:80", "https://[", "", "nonsense", "https://-._"])
def test_one_upstream_always_has_a_valid_name(url: str) -> None:
    (name,) = single_upstream(url, None, None)["upstreams"]
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", name)


def test_where_a_configuration_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find({}) is None
    assert find({"LEEWARD_CONFIG": "/etc/a.yaml"}) == Path("/etc/a.yaml")
    (tmp_path / "leeward.yaml").write_text("")
    assert find({"LEEWARD_CONFIG": "/etc/a.yaml"}) == Path("leeward.yaml")


# The example and the schema


def test_the_example_is_valid_without_any_environment() -> None:
    found = load(EXAMPLE, {}, {})
    assert list(found.settings.upstreams) == ["github"]
    jsonschema.validate(yaml.safe_load(EXAMPLE.read_text()), schema())


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for below in models_in(field.annotation):
            yield from keys_of(below)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return list(itertools.chain.from_iterable(models_in(one) for one in get_args(annotation)))


def test_the_example_has_every_setting() -> None:
    text = EXAMPLE.read_text()
    missing = {key for key in keys_of(Settings) if not re.search(rf"(?<!\w){key}:", text)}
    assert missing == set()


def test_the_examples_defaults_are_the_defaults() -> None:
    said = load(EXAMPLE, {}, {}).settings
    plain = load(None, single_upstream("https://api.github.com"), {}).settings
    for section in ("server", "cache", "log", "tracing"):
        assert getattr(said, section) == getattr(plain, section)
    example, default = said.upstreams["github"], plain.upstreams["api.github.com"]
    for key in set(type(default).model_fields) - {"auth", "dialect", "headers", "prefix", "probe", "rules"}:
        assert getattr(example, key) == getattr(default, key), key


def test_the_schema_is_one_and_refuses_unknown_keys() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    for wrong in (
        {"upstreams": {"a": {"base_url": "https://a", "x": 1}}},
        {"upstreams": {"a": {"base_url": "https://a"}}, "x": 1},
        {"upstreams": {"a": {"base_url": "a"}}},
        {"upstreams": {"a": {"base_url": "https://a", "timeout": {"total": 5}}}},
        {"upstreams": {"a": {"base_url": "https://a", "auth": {"type": "oauth2"}}}},
        {"upstreams": {"a": {"base_url": "https://a", "preset": 5}}},
        {"upstreams": {}, "server": {"client_token": 5}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())


@pytest.mark.parametrize("node", [schema()])
def test_the_schemas_defaults_are_what_one_would_write(node: dict[str, Any]) -> None:
    timeouts = node["$defs"]["TimeoutSettings"]["properties"]
    assert timeouts["connect"]["default"] == "5s"
    assert node["$defs"]["BackoffSettings"]["properties"]["initial"]["default"] == "200ms"
    assert node["$defs"]["StoreSettings"]["properties"]["max_bytes"]["default"] == "256MiB"


def test_loading_does_not_look_at_the_real_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LEEWARD_LOG__LEVEL", "debug")
    assert loaded(file, LEAST).settings.log.level == "info"
