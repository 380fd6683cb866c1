"""What does `leeward explain` print, and with which status does it end?"""

import json

import pytest
import yaml

from proxy.cli.explain import explain

CANARY = "canary-5521"
CONFIG = {
    "upstreams": {
        "api": {
            "base_url": ["https://api.example/v1", "https://b.example"],
            "auth": {"type": "bearer", "token": CANARY},
            "headers": {"set": {"X-Tenant-Key": CANARY, "Accept": "a/b"}, "remove": ["Cookie"]},
            "cache": {"default_ttl": "1m", "negative_ttl": {404: "10s"}},
            "errors": "annotate",
            "rules": [
                {
                    "match": {"method": "POST", "path": "/search"},
                    "cache": {"methods": ["POST"], "override_ttl": "1h"},
                    "retry": {"attempts": 1},
                },
                {
                    "match": {"path": "/pay"},
                    "retry": {"idempotency_key": "Idempotency-Key"},
                    "idempotency": {"ttl": "60s"},
                },
            ],
        },
        "lost": {
            "base_url": "https://lost.example",
            "auth": {"type": "bearer", "token": {"env": "NO_SUCH_1"}},
        },
    }
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "leeward.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


def test_it_says_what_would_become_of_a_request(file, capsys):
    code = explain("get", "/api/x?y=1", header=["Cookie: a=b", "X-Api-Key: " + CANARY], config=file)
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("GET /api/x?y=1\nroute       api: /api is the longest prefix of its path\n")
    for line in (
        "rule        none",
        "upstream    https://api.example/v1/x?y=1",
        "            then https://b.example",
        "credential  bearer token from configuration",
        "            in place of the caller's authorization",
        "headers     - cookie",
        "            + X-Tenant-Key: ***",
        "            + Accept: a/b",
        "cache       miss, uri-miss: Nothing is stored for this request.",
        "            key: fields: x-api-key, x-tenant-key",
        "            kept for what the origin says; where it is silent, 60s",
        "            a 404 that says nothing is kept for 10s",
        "            repeats what fails so",
        "errors      annotate: the upstream's body, with Leeward-Error",
    ):
        assert line in out.splitlines(), out
    assert CANARY not in out


def test_a_rule_and_a_body(file, capsys):
    assert explain("POST", "/api/search", data='{"query": "{ a }"}', config=file) == 0
    out = capsys.readouterr().out.splitlines()
    assert "rule        1, for POST /search" in out
    assert "            key: fields: x-tenant-key, body: 18 bytes" in out
    assert "            kept for 3600s whatever the origin says, but for no-store" in out
    assert "retry       one attempt" in out
    assert explain("POST", "/api/search", data='{"query": "mutation { a }"}', config=file) == 0
    assert "cache       bypass, mutation: " in capsys.readouterr().out
    assert explain("POST", "/api/pay", header=["Accept: application/problem+json"], config=file) == 0
    out = capsys.readouterr().out
    assert "            recognised by Idempotency-Key" in out
    assert "annotate: a problem document, which the caller's Accept asks for" in out
    assert "repeated    sent each time: it has no Idempotency-Key" in out
    assert explain("POST", "/api/pay", header=["Idempotency-Key: 1"], config=file) == 0
    out = capsys.readouterr().out
    assert "repeated    its first answer is told again to the same Idempotency-Key for 60s" in out


def test_a_secret_that_cannot_be_had(file, capsys):
    assert explain("GET", "/lost/x", config=file) == 0
    assert "not to be had now: " in capsys.readouterr().out


def test_json(file, capsys):
    assert explain("GET", "/api/x", config=file, as_json=True) == 0
    out = capsys.readouterr().out
    told = json.loads(out)
    assert set(told) == {
        *("method", "path", "route", "upstream", "credential", "headers"),
        *("cache", "retry", "timeout", "errors", "idempotency"),
    }
    assert told["cache"]["reason"] == "uri-miss"
    assert CANARY not in out


def test_without_a_route(file, capsys):
    assert explain("GET", "/other", config=file) == 1
    assert capsys.readouterr().err.startswith("no_route: ")
    assert explain("GET", "/other", config=file, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "no_route"
    assert explain("GET", "/api/../x", config=file) == 1
    assert capsys.readouterr().err.startswith("bad_request: ")


def test_bad_usage_and_a_bad_configuration(file, tmp_path, capsys):
    assert explain("GET", "/api/x", header=["nothing"], config=file) == 2
    assert "-H takes a name and a value" in capsys.readouterr().err
    bad = tmp_path / "bad.yaml"
    bad.write_text("upstreams: {api: {base_url: 3}}\n")
    assert explain("GET", "/api/x", config=bad) == 2
    assert "bad.yaml:1: upstreams.api.base_url" in capsys.readouterr().err


def test_a_body_that_goes_once(file, capsys):
    assert explain("PUT", "/api/x", header=["Content-Length: 2000000"], config=file) == 0
    line = "            its body of 2000000 bytes is sent once: at most 1048576 are kept to be sent again"
    assert line in capsys.readouterr().out.splitlines()
    assert explain("PUT", "/api/x", data="abc", config=file) == 0
    assert "            its body is kept in memory, to be sent again" in capsys.readouterr().out
