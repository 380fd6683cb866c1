from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.loading import load
from proxy.config.problems import ConfigError

OTHER = "give one of them another"
LEAST = "upstreams:\n  a:\n    base_url: https://a.example\n"


def problems(text: str, folder: Path) -> list[str]:
    file = folder / "leeward.yaml"
    file.write_text(text)
    try:
        load(file, {}, {})
    except ConfigError as error:
        return [str(problem).replace(str(file), "FILE") for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("listen: 127.0.0.1:9464", "FILE:4: server.admin: is on the same port 9464"),
        ("listen: 127.0.0.1:1\n  admin: '[::1]:1'", "FILE:6: server.admin: is on the same port 1"),
        ("listen: unix:/a\n  admin: unix:/a", "FILE:6: server.admin: is on the same socket as server.listen"),
        ("listen: 127.0.0.1:0\n  admin: 127.0.0.1:0", None),
        ("listen: unix:/a", None),
        ("listen: unix:/a\n  admin: unix:/b", None),
    ],
)
def test_admin_is_never_on_the_same_port(server: str, told: str | None, tmp_path: Path) -> None:
    text = f"{LEAST}server:\n  {server}\n"
    if told is None:
        assert problems(text, tmp_path) == []
    else:
        assert [one.startswith(told) for one in problems(text, tmp_path)] == [True]


@pytest.mark.parametrize(
    ("listen", "url", "back"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1", True),
        ("127.0.0.1:8080", "http://localhost:8080", True),
        ("0.0.0.0:8080", "http://[::1]:8080", True),
        ("127.0.0.1:8080", "[https://a.example, http://0.0.0.0:8080]", True),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", True),
        ("10.0.0.1:8080", "http://127.0.0.1:8080", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", False),
        ("127.0.0.1:0", "http://127.0.0.1:8080", False),
        ("unix:/a", "http://127.0.0.1:8080", False),
        ("127.0.0.1:80", "http://api.example", False),
    ],
)
def test_an_upstream_is_not_the_proxy_itself(listen: str, url: str, back: bool, tmp_path: Path) -> None:
    text = f"upstreams:\n  a:\n    base_url: {url}\nserver: {{listen: '{listen}'}}\n"
    if back:
        said = "is server.listen itself, so each request would come back; write the API's address"
        assert problems(text, tmp_path) == [f"FILE:3: upstreams.a.base_url: {said}"]
    else:
        assert problems(text, tmp_path) == []


@pytest.mark.parametrize("name", ["git hub", "git/hub", "-x", "x" * 65])
def test_a_wrong_name_is_one_problem(name: str, tmp_path: Path) -> None:
    text = f"upstreams:\n  b: {{base_url: 'https://b', prefix: /}}\n  '{name}': {{base_url: 'https://a'}}\n"
    (told,) = problems(text, tmp_path)
    assert told.startswith(f"FILE:3: upstreams.{name}: a name is")


def test_two_upstreams_cannot_have_the_same_place(tmp_path: Path) -> None:
    text = LEAST + (
        "  b: {base_url: https://b.example, prefix: /a}\n"
        "  c: {base_url: https://c.example, prefix: /a, host: x.internal}\n"
        "  d: {base_url: https://d.example, prefix: /a, host: X.Internal}\n"
        "  e: {base_url: https://e.example, prefix: /a/b}\n"
    )
    assert problems(text, tmp_path) == [
        f"FILE:4: upstreams.b.prefix: prefix /a is taken by upstream a; {OTHER}",
        f"FILE:6: upstreams.d.prefix: prefix /a of host x.internal is taken by upstream c; {OTHER}",
    ]


OAUTH2 = "type: oauth2, token_url: 'https://a.example/t', client_id: me, client_secret: s, refresh_token: r"


@pytest.mark.parametrize(
    ("server", "auth", "told"),
    [
        ("workers: 2", f"{{{OAUTH2}}}", True),
        ("workers: auto", f"[{{type: header, name: X, value: y}}, {{{OAUTH2}}}]", True),
        ("workers: 2", f"{{{OAUTH2}, state_file: state.json}}", False),
        ("workers: 1", f"{{{OAUTH2}}}", False),
    ],
)
def test_a_refresh_token_of_several_workers_needs_a_file(
    server: str, auth: str, told: bool, tmp_path: Path
) -> None:
    found = problems(f"server: {{{server}}}\n{LEAST}    auth: {auth}\n", tmp_path)
    assert len(found) == told
    assert all(
        "several workers would each exchange it" in one and ".auth.refresh_token" in one for one in found
    )


@pytest.mark.parametrize(
    ("server", "upstream", "told"),
    [
        ("workers: 2", "idempotency: {ttl: 1h}", True),
        ("workers: auto", "rules: [{match: {method: POST}, idempotency: {ttl: 1h}}]", True),
        ("workers: 1", "idempotency: {ttl: 1h}", False),
        ("workers: 2", "idempotency: null", False),
    ],
)
def test_keys_of_requests_need_one_worker(server: str, upstream: str, told: bool, tmp_path: Path) -> None:
    text = f"server: {{{server}}}\n{LEAST}    {upstream}\n"
    wanted = ["FILE:1: server.workers: each worker would know the Idempotency-Keys"] if told else []
    assert [one[: len(wanted[0])] if wanted else one for one in problems(text, tmp_path)] == wanted
