from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.auth.hmac import PARTS

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
LEAST = "upstreams:\n  a:\n    base_url: https://a.example\n"


def leeward(
    *arguments: str, folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEEWARD_")}
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(EXAMPLE.parent), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


BROKEN = [
    ("unknown key", "servr: {}\n" + LEAST, ["1: servr: unknown key; did you mean server?"]),
    (
        "no unit",
        LEAST + "    timeout:\n      connect: 5\n",
        ["5: upstreams.a.timeout.connect: 5 has no unit; write 5s or 5ms"],
    ),
    (
        "unknown unit",
        "cache:\n  max_bytes: 64mb\n" + LEAST,
        ["2: cache.max_bytes: '64mb' has the unknown unit 'mb'; did you mean 64MiB?"],
    ),
    (
        "no base URL",
        "upstreams:\n  github:\n    prefix: /gh\n",
        [
            (
                "2: upstreams.github.base_url: is missing; write the API's address, "
                "such as base_url: https://api.example.com"
            )
        ],
    ),
    (
        "a password in the URL",
        "upstreams:\n  a:\n    base_url: https://me:canary@a.example\n",
        ["3: upstreams.a.base_url: a base URL holds no user name or password; write them under auth"],
    ),
    (
        "a credential without its token",
        LEAST + "    auth:\n      type: bearer\n      tokn: canary\n",
        [
            "4: upstreams.a.auth.token: is missing; write token: {env: NAME}, {file: PATH} or a string",
            "6: upstreams.a.auth.tokn: unknown key; did you mean token?",
        ],
    ),
    (
        "a credential without what it needs",
        LEAST
        + "    auth:\n      type: oauth2\n      token_url: auth.example\n      client_secret: canary\n"
        + "  b:\n    base_url: https://b.example\n    auth: {type: sigv4, service: s3, region: x, "
        + "access_key_id: canary}\n"
        + "  c:\n    base_url: https://c.example\n    auth:\n    - {type: header, name: A, value: canary}\n"
        + "    - {type: hmac, kye: canary, key: canary, sign: '{verb}', headers: {B: '{signature}'}}\n",
        [
            (
                "4: upstreams.a.auth.client_id: is missing; "
                "write client_id: with what the provider calls it, or {env: NAME}"
            ),
            "6: upstreams.a.auth.token_url: should be a URL such as https://auth.example.com/oauth/token",
            (
                "10: upstreams.b.auth: access_key_id and secret_access_key belong together; "
                "write both or neither"
            ),
            (
                "15: upstreams.c.auth[1].sign: {verb} is no part of a request here; known are "
                + ", ".join(sorted({*PARTS} - {"signature"}))
            ),
            "15: upstreams.c.auth[1].kye: unknown key; did you mean key?",
        ],
    ),
    (
        "a fence that lets nothing through",
        LEAST + "    allow: []\n",
        ["4: upstreams.a.allow: is empty; write at least one"],
    ),
    (
        "two upstreams in one place",
        LEAST + "  b:\n    base_url: https://b.example\n    prefix: /a\n",
        ["6: upstreams.b.prefix: prefix /a is taken by upstream a; give one of them another"],
    ),
    (
        "one port twice",
        "server:\n  listen: 0.0.0.0:80\n  admin: 127.0.0.1:80\n" + LEAST,
        ["3: server.admin: is on the same port 80 as server.listen; give it another"],
    ),
    (
        "a key twice",
        LEAST + "    forwarded: true\n    forwarded: false\n",
        ["5: upstreams.a.forwarded: stands twice, first on line 4; keep one of them"],
    ),
    (
        "a tab",
        "upstreams:\n  a:\n\tbase_url: https://a.example\n",
        ["3: a tab where YAML wants spaces; indent with spaces only"],
    ),
    (
        "what this version does not have",
        LEAST + "server: {workers: some}\ncache: {store: 'redis://me:secret@h/0'}\n",
        [
            "4: server.workers: should be the number of workers, 1 to 64, or auto: one a core",
            "5: cache.store: holds a user or password; write them as username and password under cache.redis",
        ],
    ),
    (
        "a list where a mapping belongs",
        "upstreams:\n  - base_url: https://a.example\n",
        [("1: upstreams: should be a mapping of keys, such as {github: {base_url: https://api.github.com}}")],
    ),
    (
        "an empty file",
        "# nothing yet\n",
        ["1: the file is empty; write at least upstreams:, or start with leeward init"],
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(text, expected) for _, text, expected in BROKEN],
    ids=[name for name, *_ in BROKEN],
)
def test_a_broken_configuration(text: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    told = leeward("check", "x.yaml", folder=tmp_path)
    assert told.stdout.splitlines() == [f"x.yaml:{line}" for line in expected]
    assert told.returncode == 2
    assert told.stderr == ""


def test_a_valid_one_says_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(EXAMPLE.read_text().replace("errors: translate", "errors: native"))
    told = leeward("check", "x.yaml", folder=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "x.yaml: valid; upstreams: github\n"


def test_without_a_file_it_looks_around(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(LEAST + "    forwarded: 5\n")
    told = leeward("check", folder=tmp_path, env={"LEEWARD_CONFIG": "other.yaml"})
    assert told.stdout.startswith("other.yaml:4: upstreams.a.forwarded: should be true or false")
    told = leeward("check", folder=tmp_path, env={"LEEWARD_UPSTREAMS__A__BASE_URL": "https://a.example"})
    assert (told.returncode, told.stdout) == (0, "environment: valid; upstreams: a\n")
    told = leeward("check", folder=tmp_path, env={"LEEWARD_UPSTREAMS__A__BASE_URL": "a.example"})
    assert told.returncode == 2
    assert told.stdout == (
        "LEEWARD_UPSTREAMS__A__BASE_URL: upstreams.a.base_url: "
        "'a.example' is not http:// or https://; write https://a.example\n"
    )
