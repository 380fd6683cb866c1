"""Which sections does a start pay for only where something is written for them?

A model costs more to build than to use, and most configurations have neither a dialect of their own nor a
credential that is traded for a token. Such a section's annotation is marked here: its module is imported,
and its validator built, with the first value that needs them. What is accepted, told and found in the JSON
Schema is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Later:
    """Stands in the annotation of a field: `load` imports and returns the field's true type.

    `read`, where it is given, validates a value without the whole type; else a `TypeAdapter` of it does.
    """

    def __init__(self, load: Callable[[], Any], read: Callable[[Any], Any] | None = None) -> None:
        self.load = load
        self._read = read or self.validate
        self._adapter: TypeAdapter[Any] | None = None

    def validate(self, written: Any) -> Any:
        """Raises ValidationError, whose places pydantic puts below the field's own."""
        return self._whole().validate_python(written)

    def _whole(self) -> TypeAdapter[Any]:
        if self._adapter is None:
            self._adapter = TypeAdapter(self.load())
        return self._adapter

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        del schema
        return handler(self._whole().core_schema)
