"""What does the YAML file say, and on which line does each key stand?

Keys are always text, so `404:` and `on:` are what they look like. A key that stands twice is an error,
not a riddle about which one counts.
"""

from __future__ import annotations

import re
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from proxy.config.problems import Key, Problem, bears_secret, dotted
from proxy.core.value import dataclass

_MOST_NODES = 100_000  # aliases of aliases grow without bound
_MOST_DEPTH = 50
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Document:
    """The mapping, the line of each key in it, and what was wrong with the text."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, line: int, message: str, key: Key = ()) -> None:
        self.problems.append(Problem(file=self.name, line=line, key=dotted(key), message=message))


def read(path: Path) -> Document:
    """The file as a document; what cannot be read stands in `problems`."""
    document = Document(name=str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        document.wrong(
            0, f"cannot be read: {why}; give the path of a YAML file, or write one with leeward init"
        )
        return document
    if len(raw) > _MOST_BYTES:
        document.wrong(0, f"is larger than {_MOST_BYTES // 1024**2} MiB; is it the right file?")
        return document
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        document.wrong(line, f"byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8")
        return document
    parse(text, document)
    return document


def parse(text: str, document: Document) -> None:
    """Fills the document from YAML text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        document.wrong(1, "is nested too deeply; check that its brackets close")
        return
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        document.wrong(line, "holds a control character; remove it")
        return
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.wrong(mark.line + 1 if mark else 1, _syntax(error))
        return
    if node is None:
        document.wrong(1, "the file is empty; write at least upstreams:, or start with leeward init")
        return
    if not isinstance(node, yaml.MappingNode):
        document.wrong(
            node.start_mark.line + 1, "should be a mapping; write keys such as upstreams: at the top"
        )
        return
    _Reader(document).mapping(node, ())


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "is not YAML"
    if "'\\t'" in problem:
        return "a tab where YAML wants spaces; indent with spaces only"
    if "single document" in (error.context or ""):
        return "a second document begins here; keep one, and remove the line ---"
    if "while parsing a flow" in (error.context or "") and error.context_mark is not None:
        opening, closing = ("{", "}") if "mapping" in str(error.context) else ("[", "]")
        line = error.context_mark.line + 1
        cure = "close it, and put text with brackets in quotes"
        return f"not valid YAML: the {opening} on line {line} lacks its {closing} before here; {cure}"
    cures = {
        "mapping values are not allowed here": "a colon too many, or a wrong indentation; "
        "put text with a colon in quotes",
        "could not find expected ':'": "a key without a colon; write key: value",
        "expected <block end>, but found": "the indentation does not fit the lines above; align the keys",
        "undefined alias": "an alias without its anchor; write the anchor (&name) before",
        "found duplicate anchor": "an anchor that is there already; give it another name",
    }
    for sign, cure in cures.items():
        if sign in f"{problem} {error.context or ''}":
            return f"not valid YAML: {cure}"
    # The parser quotes what it stumbles over, which may be a token.
    said = re.sub(r" ?'[^'\s]{2,}'", "", problem)
    return f"not valid YAML: {said}; check indentation, colons and quotes"


class _Reader:
    """From nodes to plain values."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0
        self._endless = False
        self._open: set[int] = set()

    def _value(self, node: yaml.Node, key: Key) -> Any:
        self._nodes += 1
        if self._endless or self._nodes > _MOST_NODES or len(key) > _MOST_DEPTH or id(node) in self._open:
            if not self._endless:
                self._wrong(node, key, "aliases that repeat without end; write the values out")
            self._endless = True
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, key)
            return [self._item(item, (*key, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _item(self, node: yaml.Node, key: Key) -> Any:
        self._document.lines.setdefault(key, node.start_mark.line + 1)
        return self._value(node, key)

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        """The keys in order; `<<` merges below them. Called once with the document's root."""
        target = self._document.data if not key else {}
        own: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if name_node.tag == "tag:yaml.org,2002:merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            if not isinstance(name_node, yaml.ScalarNode):
                self._wrong(name_node, key, "a key is plain text; put quotes around it")
                continue
            name = name_node.value
            below = (*key, name)
            if name in own:
                said = f"stands twice, first on line {own[name]}; keep one of them"
                self._document.wrong(line, said, below)
                continue
            own[name] = line
            self._document.lines[below] = line
            target[name] = self._value(value_node, below)
        for one in merged:
            if isinstance(one, yaml.MappingNode):
                for name, value in self._merged(one, key).items():
                    target.setdefault(name, value)
            else:
                self._wrong(one, key, "<< takes a mapping; write <<: *anchor")
        return target

    def _merged(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        lines = dict(self._document.lines)
        value = self._value(node, (*key, "<<"))
        found = self._document.lines
        depth = len(key)
        moved = {
            (*key, *below[depth + 1 :]): line
            for below, line in found.items()
            if below[:depth] == key and len(below) > depth + 1 and below[depth] == "<<"
        }
        self._document.lines = {**moved, **lines}
        return value if isinstance(value, dict) else {}

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "null":
                return None
            case "bool":
                return text.lower() in {"true", "yes", "on"}
            case "int" | "float" as kind:
                # YAML 1.1 also reads 1:30 and 0777 as numbers; nobody means them.
                try:
                    return int(text) if kind == "int" else float(text)
                except ValueError:
                    return text
            case "str" | "timestamp" | "value":
                return text
            case tag:
                shown = "a tag" if bears_secret(key) else tag if tag.startswith("!") else f"!!{tag}"
                self._wrong(node, key, f"{shown} is not understood here; write the plain value")
                return None

    def _wrong(self, node: yaml.Node, key: Key, message: str) -> None:
        self._document.wrong(node.start_mark.line + 1, message, key)
