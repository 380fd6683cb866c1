"""What presets say is checked against their schema, and against the shapes in which the APIs fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from proxy.config import presets
from proxy.config.credentials import BearerCredential
from proxy.config.loading import Loaded, load, merged, schema
from proxy.config.problems import ConfigError
from proxy.config.routes import UpstreamSettings
from proxy.core import problem
from proxy.core.classify import Fault, classify
from proxy.core.dialect import Answer, heard
from proxy.core.message import Headers
from proxy.core.resilience.quota import Reading, readings
from proxy.core.routing import ErrorMode

RECORDED = Path(__file__).parent / "recorded"
ASKED_FOR = {
    *("openai", "azure-openai", "anthropic", "github", "gitlab", "stripe", "slack", "google", "twilio"),
    *("aws", "azure-arm", "shopify", "notion", "jira", "sendgrid", "huggingface", "discord", "generic"),
}


def upstream(name: str, **keys: Any) -> UpstreamSettings:
    given = presets.read(name)
    if given.address is not None:
        keys.setdefault("base_url", given.address)
    keys = {**given.yours, **keys}
    return load(None, {"upstreams": {"api": {"preset": name, **keys}}}, {}).settings.upstreams["api"]


def wrong(config: dict[str, Any], *, file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(file, config, {})
    return [str(one) for one in error.value.problems]


def test_those_that_were_asked_for_are_there() -> None:
    assert set(presets.names()) >= ASKED_FOR


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_valid_as_it_stands(name: str) -> None:
    given = presets.read(name)
    assert given.document.problems == []
    assert given.about
    assert isinstance(given.document.data["docs"] if name != "generic" else "", str)
    written = {"upstreams": {"api": merged(given.yours, given.keys)}}
    written["upstreams"]["api"]["base_url"] = given.address or given.keys["base_url"]
    jsonschema.validate(written, schema())
    settings = upstream(name)
    assert settings.speaks().message
    assert settings.errors is ErrorMode.TRANSLATE or settings.speaks().forms, "native needs a form"


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_keeps_to_the_rules_of_all(name: str) -> None:
    """What would do a thing twice, or share what is one caller's, stands in no preset."""
    settings = upstream(name)
    assert not {"POST", "PATCH"} & set(settings.retry.methods)
    assert settings.cache.scope.value == "credential"
    assert 429 in settings.retry.statuses
    if name != "generic":
        assert not isinstance(settings.auth, tuple)
        assert settings.auth.type != "none"


def cases() -> list[Any]:
    return [
        pytest.param(file.stem, case, id=f"{file.stem}: {case['name']}")
        for file in sorted(RECORDED.glob("*.yaml"))
        for case in yaml.safe_load(file.read_text())
    ]


def _answer(case: dict[str, Any]) -> tuple[Answer, Headers, bytes]:
    body = case["text"].encode() if "text" in case else json.dumps(case["body"]).encode()
    headers = Headers.of(*case.get("headers", {}).items())
    return heard(case["status"], headers, body, case.get("path", "/")), headers, body


def test_each_preset_has_recorded_failures() -> None:
    assert {file.stem for file in RECORDED.glob("*.yaml")} == set(presets.names())


@pytest.mark.parametrize(("name", "case"), cases())
def test_what_an_api_says_is_understood(name: str, case: dict[str, Any]) -> None:
    settings = upstream(name)
    dialect = settings.speaks()
    answer, headers, body = _answer(case)
    expected = dict(case["expect"])
    wall = float(case.get("wall", 0))
    for bucket, (limit, remaining, reset) in expected.pop("quota", {}).items():
        found = {reading.bucket: reading for reading in readings(headers, wall, dialect.quota)}[bucket]
        assert found == Reading(bucket=bucket, limit=limit, remaining=remaining, reset=reset)
    fault = classify(dialect, answer, wall)
    if not expected:
        assert fault is None
        return
    assert fault is not None
    assert fault.status >= 400 or dialect.doubts(fault.status, answer.path), "nobody would have looked"
    said, _ = problem.upstream_failure(
        name=name, fault=fault, headers=headers, body=body, mask=str, dialect=dialect
    )
    facts = said.upstream
    assert facts is not None
    told = {
        "code": said.code,
        "status": said.status,
        "message": said.detail,
        "upstream_code": facts.code,
        "request_id": facts.request_id,
        "wait": said.retry_after,
        "again": fault.again,
        "retried": _retried(fault, settings),
    }
    assert {key: told[key] for key in expected} == pytest.approx(expected)


def _retried(fault: Fault, settings: UpstreamSettings) -> bool:
    return fault.again is not False and fault.meant in settings.retry.statuses


# How a preset comes below what the operator says


def test_a_preset_is_all_that_has_to_be_written() -> None:
    settings = load(None, {"upstreams": {"stripe": {"preset": "stripe"}}}, {}).settings.upstreams["stripe"]
    assert settings.base_url[0].url == "https://api.stripe.com"
    assert settings.retry.idempotency_key == "Idempotency-Key"
    assert settings.errors is ErrorMode.NATIVE
    assert presets.read("stripe").reads == ("STRIPE_API_KEY",)


def test_it_may_come_from_the_environment_alone() -> None:
    found = load(None, {}, {"LEEWARD_UPSTREAMS__PAY__PRESET": "stripe"})
    assert found.settings.upstreams["pay"].prefix == "/pay"
    assert found.settings.upstreams["pay"].base_url[0].url == "https://api.stripe.com"


def _layered(tmp_path: Path, text: str, environ: dict[str, str], over: dict[str, Any]) -> Loaded:
    file = tmp_path / "leeward.yaml"
    file.write_text(text)
    return load(file, over, environ)


def test_each_key_is_overridden_by_itself(tmp_path: Path) -> None:
    text = (
        "defaults: {timeout: {connect: 1s}}\n"
        "upstreams:\n  s:\n    preset: stripe\n    timeout: {idle: 7s, attempt: 9s}\n"
        "    retry: {attempts: 5}\n    auth: {token: {env: MINE}}\n"
    )
    over = {"upstreams": {"s": {"retry": {"max_retry_after": "3s"}}}}
    environ = {"LEEWARD_UPSTREAMS__S__TIMEOUT__ATTEMPT": "8s", "LEEWARD_UPSTREAMS__S__ERRORS": "annotate"}
    found = _layered(tmp_path, text, environ, over).settings.upstreams["s"]
    timeout, retry = found.timeout, found.retry
    # Command line, environment, file, defaults in the file, preset, built in.
    assert retry.max_retry_after == 3.0
    assert (timeout.attempt, found.errors) == (8.0, ErrorMode.ANNOTATE)
    assert (timeout.idle, retry.attempts) == (7.0, 5)
    assert timeout.connect == 1.0
    assert (timeout.total, retry.idempotency_key) == (120.0, "Idempotency-Key")
    assert retry.max_replay_body == 1024 * 1024
    assert repr(found.auth) == "BearerCredential(type='bearer', token=(*** (env MINE),))"


def test_a_credential_of_another_type_replaces_the_preset_s(tmp_path: Path) -> None:
    text = "upstreams: {a: {preset: anthropic, auth: {type: bearer, token: {env: T}}}}"
    auth = _layered(tmp_path, text, {}, {}).settings.upstreams["a"].auth
    assert isinstance(auth, BearerCredential)


def test_own_rules_come_first(tmp_path: Path) -> None:
    text = "upstreams: {o: {preset: openai, rules: [{match: {path: /models}, errors: translate}]}}"
    rules = _layered(tmp_path, text, {}, {}).settings.upstreams["o"].rules
    assert rules[0].errors is ErrorMode.TRANSLATE
    assert rules[1].cache is not None
    assert len(rules) == 3


def test_an_address_may_stand_in_the_vendor_s_variable() -> None:
    config = {"upstreams": {"a": {"preset": "azure-openai"}}}
    found = load(None, config, {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/"})
    assert found.settings.upstreams["a"].base_url[0].url == "https://mine.openai.azure.com"
    assert "https://RESOURCE.openai.azure.com" in wrong(config)[0]


@pytest.mark.parametrize("spelled", ["azure_openai", "Azure-OpenAI", "AzureOpenAI"])
def test_a_name_may_be_spelled_as_one_likes(spelled: str) -> None:
    assert presets.read(spelled).name == "azure-openai"


def test_an_address_that_nobody_can_know_is_asked_for() -> None:
    told = wrong({"upstreams": {"shop": {"preset": "shopify"}}})
    assert [one.partition(": ")[2] for one in told] == [
        "--upstream: is missing; preset shopify leaves it to you: https://SHOP.myshopify.com"
    ]


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    told = wrong({"upstreams": {"a": {"preset": "strip"}}})
    assert len(told) == 1
    assert "is no preset; did you mean stripe?" in told[0]
    assert "there are anthropic, aws, azure-arm" in wrong({"upstreams": {"a": {"preset": "zzz"}}})[0]


OWN = """\
about: Mine
base_url: https://api.mine.example
auth: {type: header, name: X-Key, prefix: "Key ", value: {env: MINE}}
dialect:
  message: [fault.text]
  failures:
    - {status: 200, when: {fault.text: "*"}, means: server_error}
"""


def test_a_preset_may_be_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "apis").mkdir()
    (tmp_path / "apis" / "mine.yaml").write_text(OWN)
    found = _layered(tmp_path, "upstreams: {m: {preset: ./apis/mine.yaml}}", {}, {})
    settings = found.settings.upstreams["m"]
    assert settings.base_url[0].url == "https://api.mine.example"
    assert settings.speaks().doubts(200, "/any")


def test_what_is_wrong_in_it_is_told_with_its_place(tmp_path: Path) -> None:
    broken = (
        "about: x\nbase_url: https://a.example\nretry: {attempts: 0}\n"
        "dialect:\n  message: [a..b]\n  failures:\n    - {status: 200}\n    - {means: nonsense}\n"
        "rules:\n  - {erors: native}\n"
    )
    (tmp_path / "mine.yaml").write_text(broken)
    file = tmp_path / "leeward.yaml"
    file.write_text("upstreams:\n  m:\n    preset: ./mine.yaml\n    rules: [{match: {path: /x}}]\n")
    told = [one.removeprefix(f"{tmp_path}/") for one in wrong({}, file=file)]
    assert [one.partition(": ")[0] for one in told] == [f"mine.yaml:{n}" for n in (3, 5, 7, 8, 10)]
    assert "should be 1 or more" in told[0]
    assert "is no place in an answer" in told[1]
    assert "says what it means instead" in told[2]
    assert "should be one of invalid_request" in told[3]
    assert "did you mean errors?" in told[4]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read: no such file"), ("a: [", "lacks its ]"), ("- 1", "should be a mapping")],
)
def test_a_file_that_is_no_preset_is_told(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "mine.yaml").write_text(text)
    file = tmp_path / "leeward.yaml"
    file.write_text("upstreams:\n  m:\n    preset: ./mine.yaml\n    base_url: https://a.example\n")
    told = wrong({}, file=file)
    assert any(said in one for one in told), told
    assert f"{file}:3" in told[0]
