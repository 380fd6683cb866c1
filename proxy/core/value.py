"""What keeps a decision from being changed after it was made?

The law: a value is written once, where it is made. mypy holds everybody to it: it reads `dataclass` here as
the standard library's, so that a change to a frozen one does not pass. At run time it is not checked once
more, for that makes a value three times as dear to make, and a request is some thirty of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen: bool = False, **options: bool):  # noqa: ANN201 - mypy reads the other one
        """As the standard library's; a frozen one has its hash, but nothing watches its fields."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)


__all__ = ["dataclass"]
