"""Is the house in order? What design and contract promise about the tree itself, checked on the tree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from pydantic import BaseModel

from proxy import auth
from proxy.cli import COMMANDS
from proxy.config.loading import load
from proxy.config.pending import _OF_UPSTREAMS
from proxy.config.settings import Settings
from proxy.core import failure
from proxy.core.failure import APIError
from proxy.core.message import Headers, Request, Whole
from proxy.core.reason import Reason
from tests.auth import samples
from tests.auth.planted import CANARY, ORIGIN
from tests.house import ROOT, has_code, imported, python_files, said_in_tests, table_rows, text, tracked, tree

MOST_LINES = 400
DRAWERS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "service",
    "handler",
    "impl",
    "misc",
}


# The tree


@pytest.mark.parametrize("name", python_files("proxy"))
def test_a_file_has_its_test_file(name: str) -> None:
    path = Path(name)
    if path.name in {"__init__.py", "__main__.py"} or not has_code(name):
        return
    mirrored = Path("tests", *path.parts[1:-1], f"test_{path.name}").as_posix()
    if mirrored not in tracked():
        pytest.fail(f"{name} is tested by {mirrored}, which is missing")


@pytest.mark.parametrize("name", [*python_files("proxy"), *python_files("tests")])
def test_a_file_is_not_too_long_and_not_a_drawer(name: str) -> None:
    lines = len(text(name).splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: two files in one?"
    words = {word for part in Path(name).with_suffix("").parts for word in part.split("_")}
    assert not words & DRAWERS, "a drawer: name it after what an operator would call it"


def test_a_module_opens_with_what_it_is_for() -> None:
    silent = [name for name in python_files("proxy") if has_code(name) and not ast.get_docstring(tree(name))]
    assert silent == []


def test_every_test_folder_is_a_package() -> None:
    """Otherwise two test files of one name collide."""
    folders = {Path(name).parent.as_posix() for name in python_files("tests")}
    assert [folder for folder in sorted(folders) if f"{folder}/__init__.py" not in tracked()] == []


def test_the_top_level_holds_only_what_was_agreed() -> None:
    agreed = {
        *(".ci", ".dockerignore", ".gitattributes", ".github", ".gitignore", ".python-version"),
        *("CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "README.md", "SECURITY.md"),
        *("config.example.yaml", "deploy", "docs", "proxy", "pyproject.toml", "requirements.lock", "tests"),
    }
    assert {name.partition("/")[0] for name in tracked()} <= agreed


# Spelled apart, so that this file does not find itself.
_HOSTS = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "yarnpkg" + ".com",
    "deb.debian" + ".org",
]
_PLACES = ["/ro" + "ot/", "/ho" + "me/", "/wo" + "rk/", "/Us" + "ers/"]
_ALIEN = re.compile("|".join([*map(re.escape, _HOSTS), *(rf"(?<![\w.:}}]){place}" for place in _PLACES)]))


@pytest.mark.parametrize("name", tracked())
def test_no_file_knows_the_machine_it_was_made_on(name: str) -> None:
    raw = (ROOT / name).read_bytes()
    if b"\0" in raw[:8192]:
        return
    found = _ALIEN.search(raw.decode("utf-8"))
    assert found is None, f"{name} names {found}"


# What core may touch

_CORE_MAY_IMPORT = {
    *("__future__", "abc", "base64", "bisect", "collections", "dataclasses", "email", "enum", "fnmatch"),
    *("fractions", "functools", "hashlib", "heapq", "hmac", "http", "itertools", "json", "math", "operator"),
    *("re", "string", "struct", "types", "typing", "unicodedata", "urllib", "zlib"),
    *("calendar", "datetime", "proxy"),  # datetime: what it tells of now is forbidden below
}
_CORE_MAY_NOT_CALL = {"now", "utcnow", "today", "urlopen", "open", "print", "input"}


@pytest.mark.parametrize("name", python_files("proxy/core"))
def test_core_decides_and_nothing_else(name: str) -> None:
    modules = list(imported(name))
    assert {module.partition(".")[0] for module in modules} <= _CORE_MAY_IMPORT
    assert all(module.startswith("proxy.core") for module in modules if module.startswith("proxy"))
    assert not [module for module in modules if module in {"urllib.request", "urllib.error"}]
    for node in ast.walk(tree(name)):
        assert not isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith), f"line {node.lineno} waits"
        if isinstance(node, ast.Call):
            called = node.func
            word = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            clock_port = isinstance(called, ast.Attribute) and "clock" in ast.unparse(called.value).lower()
            assert word not in _CORE_MAY_NOT_CALL or clock_port, f"line {node.lineno} calls {word}"


def test_the_rooms_in_the_middle_do_not_know_each_other() -> None:
    """Also kept by import-linter; here so that one look at a failing test says it."""
    rooms = {"gateway", "auth", "stores", "upstream", "observe"}
    for name in python_files("proxy"):
        room = Path(name).parts[1]
        if room in rooms:
            strangers = {m.split(".")[1] for m in imported(name) if m.startswith("proxy.")} - {room, "core"}
            assert not strangers, f"{name} imports {strangers}"


# Failures, reasons and metrics are told and tested


def failures() -> list[type[APIError]]:
    return [kind for kind in vars(failure).values() if isinstance(kind, type) and issubclass(kind, APIError)]


@pytest.mark.parametrize("kind", failures()[1:], ids=lambda kind: kind.__name__)
def test_a_failure_is_listed_and_tested(kind: type[APIError]) -> None:
    row = table_rows("Errors").get(kind.code)
    assert row is not None, f"README.md's table of errors lacks `{kind.code}`"
    assert kind.__name__ in row[0]
    assert ("yes" in row[-1]) or ("no" in row[-1])
    strings, names = said_in_tests()
    assert kind.code in strings, f"no test expects the code {kind.code}"
    assert kind.__name__ in names | {name.rpartition(".")[2] for name in names}, f"no test names {kind}"


def test_the_table_of_errors_lists_nothing_else() -> None:
    assert set(table_rows("Errors")) == {kind.code for kind in failures()}


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_a_reason_is_listed_used_and_tested(reason: Reason) -> None:
    assert reason.sentence, "a reason says itself in a sentence"
    row = table_rows("Reasons").get(reason.value)
    assert row is not None, f"README.md's table of reasons lacks `{reason.value}`"
    assert row[-1] == reason.sentence
    used = [
        f for f in python_files("proxy") if f != "proxy/core/reason.py" and f"Reason.{reason.name}" in text(f)
    ]
    assert used, "no decision ever gives this reason"
    _, names = said_in_tests()
    assert f"Reason.{reason.name}" in names, "no test expects this reason"


def test_the_table_of_reasons_lists_nothing_else() -> None:
    assert set(table_rows("Reasons")) == {reason.value for reason in Reason}


def declared_metrics() -> set[str]:
    """Names of metrics as the files of observe declare them, `_total` included where it is a counter."""
    words = [
        node.value
        for name in python_files("proxy/observe")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {word.removesuffix("_total") for word in words if re.fullmatch(r"leeward_[a-z_]+", word)}


def test_metrics_are_listed() -> None:
    listed = {name.removesuffix("_total") for name in table_rows("Metrics")}
    assert declared_metrics() == listed


def test_commands_are_listed() -> None:
    assert {name.removeprefix("leeward ").split()[0] for name in table_rows("Commands")} == set(COMMANDS)


def test_what_is_not_in_force_is_listed() -> None:
    section = text("README.md").partition("## Not in this version")[2].partition("\n## ")[0]
    assert [path for path in _OF_UPSTREAMS if path[-1] not in section and path[0] not in section] == []


# Settings and credentials


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all settings below a model; an upstream's name is left out."""
    for name, field in model.model_fields.items():
        below = list(_models(field.annotation))
        if not below:
            yield (*path, name)
        for section in below:
            yield from leaves(section, (*path, name))


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


SETTINGS = sorted(set(leaves(Settings)))


@pytest.mark.parametrize("path", SETTINGS, ids=".".join)
def test_a_setting_is_in_the_example(path: tuple[str, ...]) -> None:
    """As a key, in force or commented out."""
    pattern = rf"(?:^|[{{,#\s-]){re.escape(path[-1])}:(?=\s|$)"
    assert re.search(pattern, text("config.example.yaml"), re.MULTILINE), f"no {path[-1]} in it"


def test_the_example_is_valid() -> None:
    load(ROOT / "config.example.yaml", {}, {})


def injectors() -> set[type[Any]]:
    modules = (import_module(f"proxy.auth.{module.name}") for module in iter_modules(auth.__path__))
    found = (kind for module in modules for kind in vars(module).values() if isinstance(kind, type))
    return {kind for kind in found if hasattr(kind, "inject") and "proxy.auth" in kind.__module__}


def test_every_credential_has_a_sample() -> None:
    assert {type(sample) for sample in samples.injectors()} == injectors()


_UNSEEN = {"NoCredential", "MutualTLS", "SigV4", "Hmac"}  # put nothing on a request, or a signature


@pytest.mark.parametrize("number", range(len(list(samples.injectors()))))
async def test_a_credential_is_told_without_its_secret(number: int) -> None:
    credential = list(samples.injectors())[number]
    asked = Request(method="GET", target="/", headers=Headers(), body=Whole())
    sent = await credential.inject(asked, ORIGIN)
    shown = f"{unquote(sent.target)} {list(sent.headers)}"
    pair = b64encode(f"{CANARY}:{CANARY}".encode()).decode()
    assert (CANARY in shown or pair in shown) is (type(credential).__name__ not in _UNSEEN)
    told = [credential.describe(), credential.identity(), repr(credential), str(credential), f"{credential}"]
    assert credential.describe(), "and it is told at all"
    for text_ in told:
        assert CANARY not in text_
        assert b64encode(CANARY.encode()).decode() not in text_
    assert CANARY not in credential.mask(shown)


# Small matters of order


def test_every_room_is_named_in_the_order_of_imports() -> None:
    """A room that import-linter does not know would be free to import anything."""
    rooms = {Path(name).parts[1].removesuffix(".py") for name in python_files("proxy")} - {"__init__"}
    layers = re.search(r"^layers = \[(.*?)^\]", text("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert layers is not None
    assert rooms <= set(re.findall(r"\w+", layers.group(1)))


def test_the_changelog_begins_with_this_version() -> None:
    from proxy import __version__

    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", text("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__
    assert all(_numbers(newer) > _numbers(older) for newer, older in pairwise(versions))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_lock_names_every_dependency_and_no_place() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    # The tests take in the extras that a running proxy may do without.
    optional = [name for name in extras if name != "test"]
    assert extras["test"][0] == f"leeward[{','.join(sorted(optional))}]"
    wanted = [
        *project["dependencies"],
        *extras["test"][1:],
        *(one for name in optional for one in extras[name]),
    ]
    lock = text("requirements.lock")
    pinned = set(re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE))
    assert {_distribution(line) for line in wanted} <= pinned
    assert "://" not in lock


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = {
        _distribution(line) for line in tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    }
    modules = {module.partition(".")[0] for name in python_files("proxy") for module in imported(name)}
    outside = modules - sys.stdlib_module_names - {"proxy", *_OPTIONAL}
    known = packages_distributions()
    used = {_distribution(found) for module in outside for found in known[module]}
    # Parts of pydantic, and its settings' extra `yaml`.
    assert used - {"pydantic-core", "pyyaml"} == declared


# Packages of the extras, and who alone imports them.
_OPTIONAL = {
    "botocore": "proxy/auth/aws.py",
    "jwt": "proxy/auth/assertion.py",
    "opentelemetry": "proxy/observe/tracing.py",
}


@pytest.mark.parametrize("package", _OPTIONAL)
def test_what_is_optional_is_imported_in_one_place(package: str) -> None:
    users = [f for f in python_files("proxy") if any(m.partition(".")[0] == package for m in imported(f))]
    assert users == [_OPTIONAL[package]]


def _distribution(line: str) -> str:
    return re.split(r"[\[<>=~!; ]", line)[0].lower().replace("_", "-")


def test_each_whole_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", text("README.md"), re.DOTALL)
    whole = [block for block in blocks if block.startswith("upstreams:")]
    assert any(all(f"preset: {name}" in block for name in FIVE) for block in whole)
    for number, block in enumerate(whole):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        assert load(file, {}, {}).settings.upstreams


FIVE = ("openai", "anthropic", "github", "stripe", "slack")
