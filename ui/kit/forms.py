"""Form fields made from the configuration's schema: label, help and range are those of the setting itself.

A field's key is the setting's dotted name (``attack.norm``), which is also its name in the URL and on the
command line; a page with few settings leaves the group out. A value that equals the default stays out of the URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import Annotated, Any, get_args, get_origin

import streamlit as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from certssb_core.config.choices import choices
from certssb_core.config.differences import changes
from certssb_core.config.parse import in_words, parse
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import Group, RunConfig, flatten, setting
from certssb_core.errors import ConfigError
from certssb_core.plain_text import markdown_text
from ui.kit import run_files

FARTHEST = 10**9
"""Numbers beyond it are no numbers of a setting, whichever it is."""

# What a first-time reader needs to choose; everything else has a sensible value.
BASIC = (
    "data.name",
    "data.classes",
    "attack.trigger",
    "attack.norm",
    "attack.rate",
    "attack.label_mode",
    "attack.target",
    "noise.sigma",
    "training.members",
    "training.epochs",
)


def groups() -> dict[str, type[Group]]:
    """The groups of the configuration: ``{"data": DataConfig, …}``."""
    return {
        name: info.annotation
        for name, info in RunConfig.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }


def keys(group: str | None = None) -> list[str]:
    """Dotted names of all settings a form shows, or of one group's; a setting with one choice is not shown."""
    return [
        key
        for key in flatten(RunConfig())
        if (group is None or key.startswith(f"{group}.")) and len(choices(setting(key))) != 1
    ]


def label(key: str) -> str:
    return setting(key).title or key


def field(key: str, default: Any, *, brief: bool = False) -> Any:
    """One control for the setting ``key``, bound to the URL, with its message when the value does not fit.

    Args:
        key: dotted name of a setting.
        default: its value as long as neither the reader nor the URL says otherwise.
        brief: leave the group out of the name in the URL (``norm``).
    """
    info = setting(key)
    common: dict[str, Any] = {"key": _url_name(key, brief), "bind": "query-params", "help": info.description}
    kinds = {kind for kind in get_args(info.annotation) if kind is not type(None)} or {info.annotation}
    if options := choices(info):
        value = st.selectbox(label(key), options, index=options.index(default), **common)
    elif info.annotation is bool:
        value = st.checkbox(label(key), default, **common)
    elif get_origin(info.annotation) is tuple:
        text = st.text_input(label(key), _typed(default), **common)
        value = [item.strip() for item in text.split(",") if item.strip()]
    elif kinds & {int, float}:
        value = _number(label(key), info, kinds.pop(), default, common)
    elif kinds & {tuple[str, ...]}:
        default, known = list(default or ()), _known_classes(brief)
        options = list(dict.fromkeys([*known, *default]))
        value = st.multiselect(label(key), options, default, placeholder="all", accept_new_options=not known, **common)
    else:
        value = st.text_input(label(key), default or "", **common) or (None if default is None else "")
    if message := _problem(info, value):
        st.caption(f":red[:material/error: {markdown_text(message)}]")
    return value


def fields(chosen: Sequence[str], defaults: RunConfig, *, columns: int = 4, brief: bool = False) -> dict[str, Any]:
    """Controls for several settings in a grid: ``{"attack.norm": 1.0, …}``."""
    known, values = flatten(defaults), {}
    for start in range(0, len(chosen), columns):
        for column, key in zip(st.columns(columns), chosen[start : start + columns], strict=False):
            with column:
                values[key] = field(key, known[key], brief=brief)
    return values


def reset(to: RunConfig) -> None:
    """Set every control to ``to``; for a callback, or for the next page."""
    for key, value in flatten(to).items():
        if key == "data.classes":
            value = list(value or ())
        elif isinstance(value, list):
            value = _typed(value)
        st.session_state[key] = value


def with_attack(config: RunConfig) -> tuple[str, RunConfig]:
    """Name of a preset for the data of ``config``, and that preset with data and attack of ``config``."""
    preset = next((name for name, one in PRESETS.items() if one.data.name == config.data.name), DEFAULT_PRESET)
    changed = {"title": "", "data": config.data, "attack": config.attack, "seed": config.seed}
    return preset, PRESETS[preset].model_copy(update=changed)


def carry(config: RunConfig) -> dict[str, str | list[str]]:
    """Set the Train page to data and attack of ``config``, and the rest to a preset for that dataset.

    Returns:
        The URL parameters to open it with.
    """
    preset, carried = with_attack(config)
    visited = "preset" in st.session_state
    reset(carried)
    st.session_state["preset"] = preset
    if visited:
        return {"from": "poison"}  # Streamlit remembers the controls: it writes their URL itself, and lets no one else
    known = flatten(PRESETS[preset])
    changed = {key: value for key, value in flatten(carried).items() if value != known[key] and value is not None}
    return {"preset": preset} | {
        key: value if isinstance(value, list) else str(value) for key, value in changed.items()
    }


def validated(values: dict[str, Any], defaults: RunConfig) -> RunConfig | None:
    """The configuration with ``values`` in place of ``defaults``; None after showing what does not fit."""
    nested = defaults.model_dump()
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (nested[group] if group else nested)[name] = value
    try:
        return parse(nested)
    except ConfigError as error:
        st.error("\n".join(f"- {markdown_text(line)}" for line in str(error).splitlines()), icon=":material/error:")
        return None


def retitled(config: RunConfig, preset: str) -> RunConfig:
    """Replace a preset's title, once settings differ from the preset, by one that names them."""
    changed = [f"{label(key)} {value}" for key, value in changes(config, preset).items() if key != "seed"]
    if config.title != PRESETS[preset].title or not changed:
        return config
    return config.model_copy(update={"title": f"{preset} with {', '.join(changed)}"})


def limits(key: str) -> tuple[float | None, float | None]:
    """The least and the most the schema accepts for a number; None where it sets no bound."""
    return _limits(setting(key))


def _url_name(key: str, brief: bool) -> str:
    return key.rpartition(".")[2] if brief else key


def _known_classes(brief: bool) -> tuple[str, ...]:
    """Class names of the dataset chosen above; none where it is not present: then names are typed."""
    name, root, size = (st.session_state.get(_url_name(f"data.{part}", brief)) for part in ("name", "root", "size"))
    return run_files.class_names(name or RunConfig().data.name, root, size)


def _typed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _number(title: str, info: FieldInfo, kind: type, default: float | None, common: dict[str, Any]) -> float | None:
    """A number; floats step by a tenth of the default's magnitude.

    The browser is not told the schema's range: it would keep a number outside it to itself, and the page the old one.
    """
    step = 1 if kind is int else 10.0 ** (floor(log10(info.default)) - 1)
    return st.number_input(
        title,
        kind(-FARTHEST),
        kind(FARTHEST),
        default,
        step,
        "%d" if kind is int else "%g",
        placeholder="automatic" if info.default is None else None,
        **common,
    )


def _limits(info: FieldInfo) -> tuple[float | None, float | None]:
    ends = {end: getattr(rule, end) for rule in info.metadata for end in ("ge", "le") if hasattr(rule, end)}
    return ends.get("ge"), ends.get("le")


def _problem(info: FieldInfo, value: Any) -> str | None:
    """Fault of ``value`` on its own, in the schema's words."""
    try:
        TypeAdapter(Annotated[info.annotation, info]).validate_python(value)
    except ValidationError as error:
        return f"{info.title or 'The value'} {in_words(error.errors()[0])}."
    return None
