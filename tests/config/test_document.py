from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.document import Document, parse, read


def parsed(text: str) -> Document:
    document = Document(name="x.yaml")
    parse(text, document)
    return document


def test_values_and_the_lines_of_their_keys() -> None:
    document = parsed("a:\n  b: 1\n  c:\n    - x\n    - {d: true, e: null}\nf: 1.5\n")
    assert document.data == {"a": {"b": 1, "c": ["x", {"d": True, "e": None}]}, "f": 1.5}
    assert document.lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "d"): 5,
        ("a", "c", 1, "e"): 5,
        ("f",): 6,
    }
    assert document.problems == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", True),
        ("No", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("1_000", 1000),
        ("1e3", "1e3"),
        ("1.5e+3", 1500.0),
        ("1:30", "1:30"),
        ("0o17", "0o17"),
        ("2024-01-01", "2024-01-01"),
        ("'12'", "12"),
        ("30s", "30s"),
        ("=", "="),
    ],
)
def test_scalars(text: str, value: object) -> None:
    assert parsed(f"a: {text}").data == {"a": value}


def test_keys_are_always_text() -> None:
    assert parsed("404: 10s\non: x\nnull: y").data == {"404": "10s", "on": "x", "null": "y"}


def test_anchors_aliases_and_merges() -> None:
    document = parsed("a: &a\n  x: 1\n  y: {z: 2}\nb:\n  <<: *a\n  x: 3\nc: *a\nd:\n  <<: [*a, {w: 4}]\n")
    assert document.problems == []
    assert document.data["b"] == {"x": 3, "y": {"z": 2}}
    assert document.data["c"] == document.data["a"]
    assert document.data["d"] == {"x": 1, "y": {"z": 2}, "w": 4}
    assert document.lines["b", "x"] == 6
    assert document.lines["b", "y", "z"] == 3


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty"),
        ("# only this\n", 1, "the file is empty"),
        ("- a\n- b\n", 1, "should be a mapping"),
        ("just words", 1, "should be a mapping"),
        ("a:\n\tb: 1\n", 2, "a tab where YAML wants spaces"),
        ("a: b: c\n", 1, "a colon too many"),
        ("a: 1\n b: 2\n", 2, "a colon too many"),
        ("a:\n  b: 1\n c: 2\n", 3, "align the keys"),
        ("a: 1\nb\n", 3, "write key: value"),
        ("listen: [::1]:8080\n", 1, "brackets"),
        ("a: [1, 2\nb: 3\n", 2, "the [ on line 1 lacks its ]"),
        ("a:\n  b: {c: {d: 1}\ne: 2\n", 3, "the { on line 2 lacks its }"),
        ("a: 'b\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: *canary\n", 1, "an alias without its anchor"),
        ("a: !!python/object:os.system x\n", 1, "is not understood here"),
        ("auth: {token: !canary x}\n", 1, "a tag is not understood here"),
        ("a: !canary!x y\n", 1, "not valid YAML"),
        ("a: @canary\n", 1, "not valid YAML"),
        ("a: 1\na: 2\n", 2, "stands twice, first on line 1"),
        ("a: {b: 1,\n  b: 2}\n", 2, "stands twice, first on line 1"),
        ("a: 1\nb: \x00\n", 2, "a control character"),
        ("{a: 1}: 2\n", 1, "a key is plain text"),
        ("a: {<<: 5}\n", 1, "<< takes a mapping"),
        ("a: &a\n  b: *a\n", 1, "repeat without end"),
    ],
)
def test_what_is_wrong_with_the_text_is_told_with_its_line(text: str, line: int, message: str) -> None:
    problems = parsed(text).problems
    assert [(problem.line, message in problem.message) for problem in problems] == [(line, True)], problems
    assert "canary" not in str(problems[0])


def test_aliases_of_aliases_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problems = parsed("\n".join(lines)).problems
    assert len(problems) == 1
    assert "repeat without end" in problems[0].message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, message in [(tmp_path / "none.yaml", "no such file"), (tmp_path, "is a directory")]:
        problem = read(path).problems[0]
        assert (problem.file, problem.line) == (str(path), 0)
        assert message in problem.message
        assert "leeward init" in problem.message


def test_a_file_that_is_not_utf8_or_far_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert str(read(path).problems[0]) == f"{path}:2: byte 0xe9 is not UTF-8; save the file as UTF-8"
    path.write_bytes(b"#" * (4 * 1024**2 + 1))
    assert "is larger than 4 MiB" in read(path).problems[0].message


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(path).data == {"a": 1}


def test_brackets_without_end() -> None:
    assert "nested too deeply" in parsed("a: " + "[" * 20_000).problems[0].message
