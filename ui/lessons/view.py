"""The base of every view of a lesson: its page, its numbers, and the control that the reader may move."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.kit import controls

Number = int | float
SetName = Literal["train", "clean", "triggered"]


class Control(BaseModel):
    """A control beside a view; it sets one of the view's fields.

    Attributes:
        field: of the view.
        label: what the reader is told to do.
        low, high, step: the range of a number; whole numbers where all three are whole.
        options: in place of a range, a few values and their words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    field: str
    label: str = Field(min_length=1)
    low: Number | None = None
    high: Number | None = None
    step: Number | None = None
    options: dict[str, str] = Field({}, max_length=8)

    @model_validator(mode="after")
    def _a_range_or_options(self) -> Self:
        if (len(self.options) < 2) == (None in (self.low, self.high, self.step)):
            raise ValueError("a control has either low, high and step, or at least two options")
        if self.low is not None and not (self.low < self.high and 0 < self.step <= self.high - self.low):
            raise ValueError("a control's low must lie below its high, and its step must fit between them")
        return self

    def ask(self, start: Any, *, key: str) -> Any:
        """Draw the control, which stands at ``start`` at first, and return its value."""
        if self.options:
            first = str(start).lower() if isinstance(start, bool) else str(start)
            return controls.pick(self.label, self.options, first, key=key)
        kind = int if all(isinstance(one, int) for one in (self.low, self.high, self.step)) else float
        return st.slider(self.label, *map(kind, (self.low, self.high, start, self.step)), key=key)


class View(BaseModel):
    """A section of a page with its controls fixed, but for the one that the lesson leaves to the reader."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    page: ClassVar[str]
    hands_on: ClassVar[bool] = False
    """True where the picture itself has something to play with."""
    wide: ClassVar[bool] = False
    """True where the picture wants the width of the page."""
    move: Control | None = None

    @model_validator(mode="after")
    def _the_control_fits(self) -> Self:
        if self.move is None:
            return self
        if self.move.field not in type(self).model_fields or self.move.field in ("show", "move"):
            raise ValueError(f"move: this view has no field “{self.move.field}”")
        for value in list(self.move.options) or (self.move.low, self.move.high):
            self.model_validate(self.model_dump(exclude={"move"}) | {self.move.field: value})
        return self

    def moved(self, key: str) -> Self:
        """Ask the reader for the field that is theirs; return the view as they want it."""
        if self.move is None:
            return self
        value = self.move.ask(getattr(self, self.move.field), key=key)
        return self.model_validate(self.model_dump(exclude={"move"}) | {self.move.field: value})

    def draw(self, run: Run) -> None:
        """Show the section."""
        raise NotImplementedError

    def link(self, run: Run) -> dict[str, str | list[str]]:
        """The URL parameters that open the page at this view."""
        return {"run": run.name}

    def facts(self, run: Run) -> dict[str, Fact]:
        """Numbers that a step's words may quote as ``{{view.NAME}}``."""
        return {}
