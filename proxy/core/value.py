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
    from operator import attrgetter

    def dataclass(*, frozen: bool = False, eq: bool = True, **options: bool):  # noqa: ANN201 - mypy reads the other one
        """As the standard library's; a frozen one has its hash, but nothing watches its fields.

        Only `__init__` is compiled for each class: a start makes more than a hundred of them, and to
        compile equality, hash and repr as well doubled what they took.
        """

        def made(plain: type) -> type:
            own = vars(plain)
            plain.__doc__ = plain.__doc__ or plain.__name__  # else its signature is worked out for it
            cls = dataclasses.dataclass(repr=False, eq=False, **options)(plain)
            fields = dataclasses.fields(cls)
            if "__repr__" not in own:
                cls.__repr__ = _repr(tuple(field.name for field in fields if field.repr))
            if not eq:
                return cls
            compared = [field.name for field in fields if field.compare]
            values = attrgetter(*compared) if compared else _nothing
            if "__eq__" not in own:
                cls.__eq__ = _eq(values)
            if own.get("__hash__") is None:  # also None where a class has its own __eq__
                cls.__hash__ = _hash(values) if frozen else None
            return cls

        return made

    def _nothing(_: object) -> tuple[()]:
        return ()

    def _repr(names: tuple[str, ...]):  # noqa: ANN202
        def shown(self: object) -> str:
            values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
            return f"{type(self).__qualname__}({values})"

        return shown

    def _eq(values: attrgetter):  # noqa: ANN202
        def equal(self: object, other: object) -> bool:
            if other.__class__ is not self.__class__:
                return NotImplemented
            return values(self) == values(other)

        return equal

    def _hash(values: attrgetter):  # noqa: ANN202
        def hashed(self: object) -> int:
            return hash(values(self))

        return hashed


__all__ = ["dataclass"]
