"""Configurations from outside: from a dict, a JSON file, or settings that somebody typed. Errors name the setting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from certssb_core.config.choices import choices
from certssb_core.config.schema import RunConfig, flatten, setting
from certssb_core.errors import ConfigError

_FAULTS = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "literal_error": "must be {expected}",
}
"""Faults of a value in plain words, by pydantic's name for them."""


def in_words(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with a value: one of the ``errors()`` of a ValidationError."""
    plain = _FAULTS.get(problem["type"])
    return plain.format(**problem.get("ctx", {})) if plain else problem["msg"].removeprefix("Value error, ")


def parse(values: dict[str, Any]) -> RunConfig:
    """Validate a nested dict.

    Raises:
        ConfigError: one line per offending key, with its value and what is accepted.
    """
    try:
        config = RunConfig.model_validate(values)
        config.model_dump_json()
        return config
    except PydanticSerializationError:
        raise ConfigError("the text contains an unpaired surrogate") from None
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "config"
            given = "" if problem["type"] == "missing" else f" (given: {problem['input']!r:.80})"
            lines.append(f"{key}: {in_words(problem)}{given}")
        raise ConfigError("\n".join(lines)) from None


def read_config(path: Path) -> RunConfig:
    """Read a config file (JSON).

    Raises:
        ConfigError: the file is missing, too large, not JSON or not a valid config.
    """
    try:
        if path.stat().st_size > 1_000_000:
            raise ConfigError(f"{path} is larger than 1 MB: not a run configuration")
        values = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once_each)
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a JSON configuration: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, not a configuration object")
    return parse(values)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file, each key of which is given once.

    Raises:
        ConfigError: a key is given twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
        raise ConfigError(f"{', '.join(twice)}: given twice; leave one of them out")
    return found


def override(config: RunConfig, assignments: Mapping[str, Any]) -> RunConfig:
    """Return ``config`` with ``{"group.key": value}`` applied.

    A value that is a text is read by the type of its setting: texts as they stand (``null`` where there may be none),
    class names as in ``0,1`` or a JSON list, everything else as JSON or a word.

    Raises:
        ConfigError: unknown key or a value out of its range.
    """
    values = config.model_dump()
    for key, value in assignments.items():
        *groups, name = key.split(".")
        place: Any = values
        for group in groups:
            place = place.get(group) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place or isinstance(place[name], dict):
            raise ConfigError(f"{key}: no such setting; known ones: {', '.join(flatten(RunConfig()))}")
        place[name] = _read_value(setting(key), value) if isinstance(value, str) else value
    return parse(values)


def _read_value(info: FieldInfo, text: str) -> Any:
    """The value of a setting that somebody typed."""
    kinds = {info.annotation, *get_args(info.annotation)}
    if text == "null" and type(None) in kinds:
        return None
    if (str in kinds and not choices(info)) or (tuple[str, ...] in kinds and not text.lstrip().startswith("[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
