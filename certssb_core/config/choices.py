"""Settings that name an entry of a registry: the choices are the registry's own, as it stands when it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class OneOf:
    """Annotates a text that must be a name in ``registry``: ``Annotated[str, OneOf(BOUNDS)]``.

    Args:
        registry: the names, or a table whose keys they are. Entries added later are choices too.
        first: further names, offered before those of the registry.
    """

    def __init__(self, registry: Iterable[str], *first: str) -> None:
        self._registry, self._first = registry, first

    @property
    def names(self) -> list[str]:
        return [*self._first, *self._registry]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": self.names}

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise PydanticCustomError("not_a_choice", "choose one of {names}", {"names": ", ".join(self.names)})
        return name


def choices(field: FieldInfo) -> list[str]:
    """All values of a setting that is a choice; empty where it is none."""
    for part in field.metadata:
        if isinstance(part, OneOf):
            return part.names
    return list(get_args(field.annotation)) if get_origin(field.annotation) is Literal else []
