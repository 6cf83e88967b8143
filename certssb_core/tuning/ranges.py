"""The settings that a study varies, each over an interval or a list of choices."""

from __future__ import annotations

import json
from itertools import product
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError, model_validator

from certssb_core.config.choices import choices
from certssb_core.config.parse import override
from certssb_core.config.schema import Group, RunConfig, flatten, setting
from certssb_core.errors import ConfigError

MOST_RANGES, MOST_CHOICES = 8, 20
_NOT_VARIED = (
    "title",
    "origin",
    "seed",
    "noise_seed",
    "attack.victims",
    "attack.first_victim",
    "training.engine",
    "training.together",
)
Kind = Literal["whole number", "number", "choice"]


class Interval(Group):
    """All numbers from ``low`` to ``high``, drawn evenly or, with ``log``, evenly in their logarithm."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low < self.high:
            raise ValueError(f"{self.low:g}:{self.high:g} is no range: its ends must rise")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.low:g}:{self.high:g} has no logarithm: a log range lies above 0")
        return self

    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}" + (":log" if self.log else "")


class Choices(Group):
    """One of some values."""

    choices: tuple[int | float | str, ...]

    @model_validator(mode="after")
    def _distinct(self) -> Choices:
        if not 2 <= len(self.choices) <= MOST_CHOICES:
            raise ValueError(f"expected LOW:HIGH, LOW:HIGH:log, or 2 to {MOST_CHOICES} values with commas")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"{self} names a value twice")
        return self

    def ends(self) -> tuple[int | float | str, ...]:
        return self.choices

    def __str__(self) -> str:
        return ",".join(str(choice) for choice in self.choices)


Range = Interval | Choices


def tunable() -> dict[str, Kind]:
    """The settings that a study can vary: their dotted names and the kind of their values."""
    kinds: dict[str, Kind] = {}
    for key in flatten(RunConfig()):
        if key in _NOT_VARIED:
            continue
        annotation = setting(key).annotation
        parts = {part for part in get_args(annotation) if part is not type(None)} or {annotation}
        if len(options(key)) > 1:
            kinds[key] = "choice"
        elif int in parts:
            kinds[key] = "whole number"
        elif float in parts and get_origin(annotation) is not tuple:
            kinds[key] = "number"
    return kinds


def options(key: str) -> tuple[str, ...]:
    """All values of a setting that is a choice."""
    return tuple(choices(setting(key)))


def parse(text: str) -> tuple[str, Range]:
    """``"noise.sigma=0.1:0.5"``, ``"training.learning_rate=1e-4:1e-2:log"`` or ``"training.epochs=2,4,8"``.

    Raises:
        ConfigError: it reads like none of them.
    """
    key, sign, value = (part.strip() for part in text.partition("="))
    low, colon, rest = value.partition(":")
    high, _, scale = rest.partition(":")
    try:
        if not sign or (colon and scale not in ("", "log")):
            raise ValueError("expected KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C")
        if colon:
            return key, Interval(low=float(low), high=float(high), log=scale == "log")
        return key, Choices(choices=tuple(_number_or_word(part.strip()) for part in value.split(",")))
    except ValueError as error:  # pydantic's is one, too
        raise ConfigError(f"range {text}: {problem(error)}") from None


def problem(error: ValueError) -> str:
    """The message of an error that a range raised."""
    message = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return message.removeprefix("Value error, ")


def check(ranges: dict[str, Range], base: RunConfig) -> None:
    """Check that every end and choice can occur together with some ends of the other ranges.

    Raises:
        ConfigError: a setting cannot be varied, or accepts no such value.
    """
    if not 1 <= len(ranges) <= MOST_RANGES:
        raise ConfigError(f"a study varies 1 to {MOST_RANGES} settings (given: {len(ranges)})")
    kinds, kept = tunable(), flatten(base)
    for key, values in ranges.items():
        if key not in kinds:
            raise ConfigError(f"{key}: no setting that can be varied; these can: {', '.join(kinds)}")
        if isinstance(values, Interval) and kinds[key] == "choice":
            raise ConfigError(f"{key}: {values} is a range of numbers, it takes {', '.join(options(key))}")
        if kinds[key] == "whole number" and any(end != int(end) for end in values.ends() if not isinstance(end, str)):
            raise ConfigError(f"{key}: {values} must be whole numbers")
    for key, values in ranges.items():
        others = {other: (kept[other], *_few(ranges[other])) for other in ranges if other != key}
        for end in values.ends():
            _check_end(base, key, end, others)


def applied(base: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """``base`` with ``settings`` in place.

    Raises:
        ConfigError: they do not fit together.
    """
    return override(base, {key: json.dumps(value) for key, value in settings.items()})


def _check_end(base: RunConfig, key: str, end: Any, others: dict[str, tuple[Any, ...]]) -> None:
    refusal: ConfigError | None = None
    end = int(end) if tunable()[key] == "whole number" and not isinstance(end, str) else end
    for values in product(*others.values()):
        try:
            applied(base, {key: end} | dict(zip(others, values, strict=True)))
            return
        except ConfigError as error:
            refusal = refusal or error
    raise ConfigError(f"{key} cannot be {end}: {refusal}")


def _few(values: Range) -> tuple[Any, ...]:
    """The two outermost values."""
    first, *_, last = values.ends()
    return tuple(int(end) if not isinstance(end, str) and end == int(end) else end for end in (first, last))


def _number_or_word(text: str) -> int | float | str:
    try:
        number = json.loads(text)
    except ValueError:
        return text
    return number if isinstance(number, int | float) and not isinstance(number, bool) else text
