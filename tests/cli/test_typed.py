"""The table of commands: what is listed, what is imported, with which status it leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proxy import __version__
from proxy.cli import COMMANDS, main

HEAVY = ("aiohttp", "rich", "pydantic", "yaml", "asyncio", "proxy.config", "proxy.wiring", "uvloop")


def leave(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def imported_by(code: str) -> set[str]:
    """The modules that are there after running the code in a fresh interpreter."""
    shown = "import sys; print('\\n' + ' '.join(sys.modules))"
    code = f"try:\n    {code}\nexcept SystemExit:\n    pass\n{shown}"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(told.stdout.splitlines()[-1].split())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out == f"leeward {__version__}\n"


def test_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--help") == 0
    shown = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert f"  {name}" in shown
        assert line in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_one_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(name, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.count("Example") == 1
    assert f"leeward {name}" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "arguments", [(), ("chek",), ("--nonsense",), ("check", "--nonsense"), ("schema", "x")]
)
def test_bad_usage_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(*arguments) == 2
    assert capsys.readouterr().err


def test_a_mistyped_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    leave("chek")
    assert "Did you mean 'check'" in capsys.readouterr().err


def test_the_command_line_itself_imports_little() -> None:
    assert imported_by("import proxy.cli").isdisjoint(HEAVY)
    assert imported_by("from proxy.cli import main; main(['--help'])").isdisjoint(HEAVY)


def test_a_command_imports_only_itself() -> None:
    found = imported_by("from proxy.cli import main; main(['check', '--help'])")
    assert {name for name in found if name.startswith("proxy.cli.")} == {"proxy.cli.check", "proxy.cli.typed"}
    assert "aiohttp" not in found
    assert "rich" not in found


def test_the_configuration_does_not_import_what_serves() -> None:
    found = imported_by("import proxy.config.loading")
    assert not found & {"aiohttp", "rich", "typer", "structlog", "prometheus_client"}


def test_python_m_proxy_is_the_same() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == f"leeward {__version__}\n"
