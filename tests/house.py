"""What stands in this repository: files, syntax trees and the tables of the README, for test_house?"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


@cache
def tracked() -> tuple[str, ...]:
    """Files that belong to the project, by their paths from the top."""
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode == 0 and told.stdout:
        names = [name for name in told.stdout.split("\0") if name and (ROOT / name).is_file()]
    else:  # a source archive without git
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        names = [path.as_posix() for path in found if not path.parts[0].startswith(".venv")]
    return tuple(sorted(names))


def python_files(top: str) -> list[str]:
    return [name for name in tracked() if name.startswith(f"{top}/") and name.endswith(".py")]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), filename=name)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def has_code(name: str) -> bool:
    """Whether a module holds more than its docstring."""
    return any(not _is_text(node) for node in tree(name).body)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def imported(name: str) -> Iterator[str]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def table_rows(heading: str) -> dict[str, list[str]]:
    """The rows of README's first table under a heading, by the word in code face in their first cell."""
    section = re.split(r"^#+ ", text("README.md"), flags=re.MULTILINE)
    wanted = [part for part in section if part.lower().startswith(heading.lower())]
    assert wanted, f"README.md has no section '{heading}'"
    rows = {}
    for line in wanted[0].splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for word in re.findall(r"`([^`]+)`", cells[0]):
                rows[word] = cells[1:]
    return rows


@cache
def said_in_tests() -> tuple[frozenset[str], frozenset[str]]:
    """Words that tests compare with or name: whole string constants and strings' words; attributes and names.

    Docstrings do not count, and neither does this file.
    """
    strings: set[str] = set()
    names: set[str] = set()
    for file in python_files("tests"):
        if file == "tests/test_house.py":
            continue
        for node in ast.walk(tree(file)):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Constant) and not isinstance(node, ast.Expr):
                    value = child.value.decode("latin-1") if isinstance(child.value, bytes) else child.value
                    if isinstance(value, str):
                        strings.update(re.findall(r"[\w-]+", value))
            if isinstance(node, ast.Attribute):
                names.add(f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else node.attr)
            elif isinstance(node, ast.Name):
                names.add(node.id)
    return frozenset(strings), frozenset(names)
