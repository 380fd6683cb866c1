from __future__ import annotations

from typing import Any

import pytest

from proxy.config.environment import read

SECTIONS = ("server", "cache", "log", "tracing", "defaults", "upstreams")


def data(**variables: str) -> dict[str, Any]:
    found, _, problems = read(variables, ["GitHub", "my-api.v2"], SECTIONS)
    assert problems == []
    return found


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("LEEWARD_SERVER__LISTEN", "0.0.0.0:80", {"server": {"listen": "0.0.0.0:80"}}),
        ("LEEWARD_UPSTREAMS__GITHUB__HOST", "a", {"upstreams": {"GitHub": {"host": "a"}}}),
        ("LEEWARD_UPSTREAMS__MY_API_V2__HOST", "a", {"upstreams": {"my-api.v2": {"host": "a"}}}),
        ("LEEWARD_UPSTREAMS__NEW__HOST", "a", {"upstreams": {"new": {"host": "a"}}}),
        (
            "LEEWARD_DEFAULTS__RETRY__STATUSES",
            "[500, 502]",
            {"defaults": {"retry": {"statuses": [500, 502]}}},
        ),
        ("LEEWARD_LOG", '{"level": "debug"}', {"log": {"level": "debug"}}),
        ("LEEWARD_LOG", "{level: debug, bodies: true}", {"log": {"level": "debug", "bodies": True}}),
        ("LEEWARD_DEFAULTS__CIRCUIT_BREAKER", "null", {"defaults": {"circuit_breaker": None}}),
        ("LEEWARD_SERVER__CLIENT_TOKEN", "12345", {"server": {"client_token": "12345"}}),
        ("LEEWARD_SERVER__CLIENT_TOKEN", "{not a place}", {"server": {"client_token": "{not a place}"}}),
        ("LEEWARD_SERVER__CLIENT_TOKEN", '["x"]', {"server": {"client_token": '["x"]'}}),
        ("LEEWARD_SERVER__CLIENT_TOKEN", "{env: A}", {"server": {"client_token": {"env": "A"}}}),
        ("LEEWARD_SERVER__CLIENT_TOKEN", '{"file": "/a"}', {"server": {"client_token": {"file": "/a"}}}),
        ("LEEWARD_SERVER__CLIENT_TOKEN__FILE", "/a", {"server": {"client_token": {"file": "/a"}}}),
        # Not settings, or not set
        ("LEEWARD_SERVER__LISTEN", "", {}),
        ("LEEWARD_CONFIG", "x.yaml", {}),
        ("HOME", "/tmp", {}),
        ("leeward_server__listen", "a", {}),
        ("LEEWARD_SERVICE_HOST", "10.0.0.1", {}),
        ("LEEWARD_SERVICE_PORT_HTTP", "8080", {}),
        ("LEEWARD_PORT", "tcp://10.0.0.1:8080", {}),
        ("LEEWARD_PORT_8080_TCP", "tcp://10.0.0.1:8080", {}),
        ("LEEWARD_PORT_8080_TCP_PROTO", "tcp", {}),
        ("LEEWARD_PORT_8080_TCP_ADDR", "10.0.0.1", {}),
        ("LEEWARD_ADMIN_SERVICE_HOST", "10.0.0.1", {}),
        ("LEEWARD_ADMIN_PORT_9464_TCP_PORT", "9464", {}),
    ],
)
def test_a_variable_and_what_it_says(variable: str, text: str, expected: dict[str, Any]) -> None:
    assert data(**{variable: text}) == expected


def test_a_mapping_given_whole_is_refined_by_longer_names() -> None:
    found = data(LEEWARD_LOG__LEVEL="error", LEEWARD_LOG="{level: debug, format: json}")
    assert found == {"log": {"level": "error", "format": "json"}}


def test_each_key_knows_its_variable() -> None:
    _, places, _ = read({"LEEWARD_LOG": "{level: [a]}"}, [], SECTIONS)
    assert places == dict.fromkeys(
        [("log",), ("log", "level"), ("log", "level", 0)],
        "LEEWARD_LOG",
    )


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("LEEWARD_SERVER_LISTEN", "x", "did you mean LEEWARD_SERVER__LISTEN, with two underscores?"),
        ("LEEWARD_SERVER__", "x", "two underscores lead nowhere"),
        ("LEEWARD_LOG", "{canary", "is neither JSON nor YAML; close its brackets"),
        ("LEEWARD_SERVER_PORT", "80", "did you mean LEEWARD_SERVER__PORT"),
    ],
)
def test_what_is_wrong_with_a_variable(variable: str, text: str, told: str) -> None:
    _, _, problems = read({variable: text}, [], SECTIONS)
    assert [problem.file for problem in problems] == [variable]
    assert told in problems[0].message
    assert "canary" not in str(problems[0])


def test_a_variable_that_could_mean_two_upstreams_is_refused() -> None:
    _, _, problems = read({"LEEWARD_UPSTREAMS__A_B__HOST": "x"}, ["a-b", "A.b", "a-b"], SECTIONS)
    assert [problem.message for problem in problems] == [
        "could mean A.b or a-b; set it in the file, or rename one of them"
    ]
