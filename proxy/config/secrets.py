"""Where is a secret, and what is its value now?

The law: a secret's value leaves this file through `reveal` alone. Its repr, its string, its JSON, its
pickle and every message about it show `***` or the place that it is kept in, never the value.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from proxy.core.expression import expression
from proxy.core.failure import CredentialError

HIDDEN = "***"
_MOST = 64 * 1024  # bytes of a secret file
_FORBIDDEN = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}
_VARIABLE = expression(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_EXPANSION = expression(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)
_PLACES = ("env", "file")
_SHAPES = "a string, {env: NAME} or {file: PATH}"

_FRESH = 300.0  # seconds for which a value that was replaced may still be the one that servers know

Identity = tuple[int, int, int, int, int]


def _flaw(value: str, *, lines: bool = False) -> str | None:
    """What makes a value unfit for a header line, or for a text of several; None where it is fit."""
    if not value:
        return "is empty"
    for character, name in _FORBIDDEN.items():
        if character in value and not (lines and character in "\r\n"):
            return f"holds {name}, which would end a header line" if not lines else f"holds {name}"
    return None


def _trimmed(text: str) -> str:
    """Without the newline that editors and `echo` leave at the end."""
    return text.removesuffix("\n").removesuffix("\r")


class LiteralSecret:
    """A value that stands in the configuration itself."""

    __slots__ = ("_value",)

    fixed = True

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Raises CredentialError on what came out of a pickle: pickles hold no secret."""
        if self._value == HIDDEN:
            raise CredentialError("The secret did not come along when the configuration was copied.")
        return self._value

    def describe(self) -> str:
        return "configuration"

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiteralSecret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((LiteralSecret, self._value))

    def __copy__(self) -> LiteralSecret:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> LiteralSecret:
        return self

    def __reduce__(self) -> tuple[type[LiteralSecret], tuple[str]]:
        return LiteralSecret, (HIDDEN,)


class EnvSecret:
    """The value of an environment variable, read when it is needed."""

    __slots__ = ("_lines", "name")

    fixed = True  # nobody but a process itself can change its environment

    def __init__(self, name: str, *, lines: bool = False) -> None:
        self.name = name
        self._lines = lines

    def reveal(self) -> str:
        """Raises CredentialError where the variable is unset, empty or unfit for a header."""
        found = os.environ.get(self.name)
        if found is None:
            raise CredentialError(f"The environment variable {self.name} is not set.")
        value = _trimmed(found)
        flaw = _flaw(value, lines=self._lines)
        if flaw is not None:
            raise CredentialError(f"The environment variable {self.name} {flaw}.")
        return value

    def describe(self) -> str:
        return f"env {self.name}"

    def __repr__(self) -> str:
        return f"{HIDDEN} ({self.describe()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EnvSecret) and self.name == other.name

    def __hash__(self) -> int:
        return hash((EnvSecret, self.name))

    def __reduce__(self) -> tuple[partial[EnvSecret], tuple[str]]:
        return partial(EnvSecret, lines=self._lines), (self.name,)


class FileSecret:
    """The contents of a file, kept in memory; `refresh` follows the file, also through symlinks.

    A file that cannot be read any more leaves the last good value standing: a mount that is swapped or
    a rotation under way must not fail requests.
    """

    __slots__ = ("_before", "_failure", "_lines", "_seen", "_value", "path")

    def __init__(self, path: Path, *, lines: bool = False) -> None:
        self.path = path
        self._lines = lines
        self._before: tuple[str, float] | None = None  # the former value, and when it was replaced
        self._value: str | None = None
        self._seen: Identity | None = None
        self._failure: str | None = None

    def reveal(self) -> str:
        """The value last read; the file is read here only the first time. Raises CredentialError."""
        if self._value is None and self._failure is None:
            self.refresh()
        if self._value is None:
            raise CredentialError(f"The secret file {self.path} {self._failure}.")
        return self._value

    def refresh(self) -> bool:
        """Blocking: reads the file where it is another than last time. True where the value changed."""
        try:
            # Follows symlinks, so a swapped link (Kubernetes' ..data) shows as another inode.
            if self._seen is not None and _identity(self.path.stat()) == self._seen:
                return False
            seen, value = self._read()
        except UnicodeDecodeError:
            self._failure = "is not UTF-8 text"
            return False
        except OSError as error:
            self._failure = f"cannot be read: {error.strerror or type(error).__name__}"
            return False
        self._seen = seen
        flaw = (
            _flaw(value, lines=self._lines) if len(value) <= _MOST else f"is larger than {_MOST // 1024} KiB"
        )
        if flaw is not None:
            self._failure = flaw
            return False
        self._failure = None
        changed = value != self._value
        if changed and self._value is not None:
            self._before = (self._value, time.monotonic())
        self._value = value
        return changed

    def _read(self) -> tuple[Identity, str]:
        # O_NONBLOCK: a named pipe in this place must not hang the process.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "it is not a regular file")
            return _identity(status), _trimmed(file.read(_MOST + 1).decode())

    def previous(self) -> str | None:
        """The value before the present one, where that came within the last five minutes."""
        before = self._before
        return before[0] if before is not None and time.monotonic() < before[1] + _FRESH else None

    def trouble(self) -> str | None:
        """What was wrong with the file at the last look; the last good value serves on meanwhile."""
        return None if self._failure is None else f"The secret file {self.path} {self._failure}."

    def describe(self) -> str:
        return f"file {self.path}"

    def __repr__(self) -> str:
        return f"{HIDDEN} ({self.describe()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSecret) and self.path == other.path

    def __hash__(self) -> int:
        return hash((FileSecret, self.path))

    def __copy__(self) -> FileSecret:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> FileSecret:
        return self

    def __reduce__(self) -> tuple[partial[FileSecret], tuple[Path]]:
        return partial(FileSecret, lines=self._lines), (self.path,)


AnySecret = LiteralSecret | EnvSecret | FileSecret


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def secret(written: Any, *, lines: bool = False) -> AnySecret:
    """What stands in the configuration, as a secret. Raises ValueError, which never quotes the value.

    `lines`: it may be a text of several lines, such as a private key.
    """
    match written:
        case LiteralSecret() | EnvSecret() | FileSecret():
            return written
        case str():
            return _literal(_trimmed(written), lines=lines)
        case {"env": str(name), **rest} if not rest:
            if not _VARIABLE.fullmatch(name):  # a token, perhaps: not quoted
                raise ValueError("env takes the name of a variable: letters, digits and underscores")
            return EnvSecret(name, lines=lines)
        case {"file": str(path), **rest} if not rest and path and "\0" not in path:
            return FileSecret(Path(path), lines=lines)
        case bool() | int() | float():
            raise ValueError("a secret is a string; put it in quotes, or write {env: NAME} or {file: PATH}")
        case Mapping():
            raise ValueError(f"{_misplaced(written)}; write {{env: NAME}} or {{file: PATH}}")
        case _:
            raise ValueError(f"should be a secret: {_SHAPES}")


def _literal(value: str, *, lines: bool) -> LiteralSecret:
    flaw = _flaw(value, lines=lines)
    if flaw is not None:
        raise ValueError(f"the secret {flaw}; write {_SHAPES}")
    if _EXPANSION.fullmatch(value):
        raise ValueError("variables are not expanded here; write {env: NAME}")
    if value == HIDDEN:
        raise ValueError(f"{HIDDEN} stands for a secret that was hidden; write {_SHAPES}")
    return LiteralSecret(value)


def _misplaced(written: Mapping[Any, Any]) -> str:
    # A key is quoted only where it nearly is one of ours: it may be the secret itself, by mistake.
    for key in written:
        near = difflib.get_close_matches(str(key).lower(), _PLACES, n=1, cutoff=0.6)
        if near and key not in _PLACES:
            return f"unknown key {key}; did you mean {near[0]}?"
    stranger = any(key not in _PLACES for key in written)
    return "an unknown key" if stranger else "a secret has exactly one place"


def text_secret(written: Any) -> AnySecret:
    """As `secret`, and texts of several lines as well: keys in PEM, JSON."""
    return secret(written, lines=True)


def secret_or_nothing(written: Any) -> AnySecret:
    """As `secret`, and "" as well: half of a Basic credential is empty with some APIs."""
    return LiteralSecret("") if written == "" else secret(written)


def secrets(written: Any) -> tuple[AnySecret, ...]:
    """One secret or a list of them. Raises ValueError."""
    if not isinstance(written, list | tuple):
        return (secret(written),)
    if not written:
        raise ValueError("is an empty list; write at least one secret")
    return tuple(map(secret, written))


def _written(shortest: int) -> dict[str, Any]:
    def place(key: str) -> dict[str, Any]:
        properties = {key: {"type": "string", "minLength": 1}}
        return {"type": "object", "properties": properties, "required": [key], "additionalProperties": False}

    literal = {"type": "string", "minLength": shortest}
    return {"description": _SHAPES, "anyOf": [literal, place("env"), place("file")]}


def _schema(shortest: int) -> WithJsonSchema:
    return WithJsonSchema(_written(shortest))


_HIDE = PlainSerializer(lambda _: HIDDEN, return_type=str)
Secret = Annotated[AnySecret, PlainValidator(secret), _HIDE, _schema(1)]
SecretOrNothing = Annotated[AnySecret, PlainValidator(secret_or_nothing), _HIDE, _schema(0)]
# One, or several that take turns.
Secrets = Annotated[
    tuple[AnySecret, ...],
    PlainValidator(secrets),
    PlainSerializer(lambda several: [HIDDEN for _ in several], return_type=list[str]),
    WithJsonSchema({"anyOf": [_written(1), {"type": "array", "items": _written(1), "minItems": 1}]}),
]
SecretText = Annotated[AnySecret, PlainValidator(text_secret), _HIDE, _schema(1)]
