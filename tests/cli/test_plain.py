"""What is read without typer is what typer reads."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import pytest

from proxy.cli import typed
from proxy.cli.plain import options
from proxy.cli.run import run
from tests.running import ROOT


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([], {}),
        (["--config", "a.yaml"], {"config": "a.yaml"}),
        (["--config=a=b.yaml"], {"config": "a=b.yaml"}),
        (
            ["--upstream", "http://a", "--token-env", "T", "--ttl", "60s", "--workers=2"],
            {"upstream": "http://a", "token_env": "T", "ttl": "60s", "workers": "2"},
        ),
        (["--listen", "[::1]:80", "--admin", "unix:/a"], {"listen": "[::1]:80", "admin": "unix:/a"}),
    ],
)
def test_plain_words(given: list[str], read: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert options(run, given) == read
    seen: list[dict[str, Any]] = []

    @functools.wraps(run)
    def fake(**named: Any) -> int:
        seen.append({name: str(value) for name, value in named.items() if value is not None})
        return 0

    monkeypatch.setattr("proxy.cli.run.run", fake)
    with pytest.raises(SystemExit) as left:
        typed.typed(["run", *given], {"run": "Run."})
    assert (left.value.code, seen) == (0, [read])


@pytest.mark.parametrize(
    "given",
    [
        ["--help"], ["-h"], ["--unknown", "x"], ["--config"], ["--config", "--ttl"], ["--config", ""], ["x"],
        ["--config", "a", "--config", "b"], ["--conf", "a"], ["--", "a"], ["--token_env", "a"], ["--config="],
        ["--config", "-"],
    ],
)  # fmt: skip
def test_any_doubt_is_typers(given: list[str]) -> None:
    assert options(run, given) is None


def test_a_plain_start_does_without_typer(tmp_path: Any) -> None:
    code = (
        "import sys\n"
        "from proxy.cli import main\n"
        "try:\n    main(['run', '--config', 'none.yaml'])\n"
        "except SystemExit as left:\n    print(left.code, 'typer' in sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.stdout == "2 False\n"
    assert "none.yaml" in ended.stderr
