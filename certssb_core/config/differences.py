"""Settings of a config that differ from those of a preset."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig, flatten

_BESIDE_THE_POINT = {"title", "data.root", "training.engine", "training.address", "training.workers"}
"""Settings that change no result: what a run is called, and where it is made."""


def closest_preset(config: RunConfig) -> str:
    """Name of the preset that differs from ``config`` in the fewest settings."""
    values, presets = flatten(config), _presets()
    return min(presets, key=lambda name: len(_changed(values, presets[name])))


def changes(config: RunConfig, preset: str) -> dict[str, Any]:
    """The settings of ``config`` that differ from the preset's, by dotted name.

    A value for which the preset says ``auto`` is no difference: a worker replaced it.
    """
    return _changed(flatten(config), _presets()[preset])


def _changed(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in values.items()
        if value != usual[key] and usual[key] != "auto" and key not in _BESIDE_THE_POINT
    }


@lru_cache(maxsize=1)
def _presets() -> dict[str, dict[str, Any]]:
    return {name: flatten(preset) for name, preset in PRESETS.items()}
