"""Views of balls: all pairs, two of them, a stream's arrivals, the cases they met, and the sandbox in the plane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from certssb_core.errors import DataError
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from certssb_core.sandbox import plane_data
from certssb_core.sandbox.scene import ORDERS
from ui.kit import tables
from ui.lessons.view import View
from ui.overlaps import ball_charts, meeting_balls, one_pair, sandbox


class Pairs(View):
    """Every pair of stored balls."""

    show: Literal["pairs"]
    moment: Literal["before", "after"] = "before"
    kind: Literal["different", "same", "all"] = "different"
    page: ClassVar[str] = "overlaps"

    def draw(self, run: Run) -> None:
        ball_charts.all_pairs(run, self.moment, self.kind, clickable=False)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        words = {"moment": ball_charts.STATES[self.moment], "pairs": ball_charts.KINDS[self.kind]}
        return super().link(run) | words


class Cases(View):
    """Count of each case of the storage-update, among the run's test images or in its stream of queries."""

    show: Literal["cases"]
    source: Literal["store", "stream"] = "store"
    page: ClassVar[str] = "overlaps"

    def draw(self, run: Run) -> None:
        ball_charts.cases(self._ledger(run))

    def facts(self, run: Run) -> dict[str, Fact]:
        cases = self._ledger(run)["case"]
        return {"inputs": len(cases)} | {case: int((cases == case).sum()) for case in ("trimmed", "aligned")}

    def _ledger(self, run: Run) -> Any:
        return tables.stream(run)[1] if self.source == "stream" else tables.ledger(run)


class Pair(View):
    """Two balls in the plane through their centres."""

    show: Literal["pair"]
    ball: int = Field(ge=0)
    other: int | None = Field(None, ge=0)
    page: ClassVar[str] = "overlaps"
    wide: ClassVar[bool] = True

    def draw(self, run: Run) -> None:
        one_pair.view(run, self.ball, self.other)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        other = {} if self.other is None else {"other": str(self.other)}
        return super().link(run) | {"ball": str(self.ball)} | other


class Arrival(View):
    """One query of the run's stream as it comes to the store, beside the ball that decides its case."""

    show: Literal["arrival"]
    query: int = Field(1, ge=1)
    page: ClassVar[str] = "overlaps"
    wide: ClassVar[bool] = True

    def draw(self, run: Run) -> None:
        meeting_balls.arrival(run, min(self.query, len(tables.stream(run)[1])))

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return super().link(run) | {"meet": meeting_balls.SOURCES["stream"], "arrival": str(self.query)}


class Sandbox(View):
    """The sandbox; ``upto`` hides what comes later, ``part = "orders"`` compares the orders of arrival."""

    show: Literal["sandbox"]
    part: Literal["play", "orders"] = "play"
    upto: int | None = Field(None, ge=0)
    data: Literal["moons", "blobs", "own"] = "moons"
    points: str = ""
    discs: int = Field(24, ge=4, le=40)
    seed: int = Field(1, ge=0, le=9999)
    sigma: float = Field(0.25, ge=0.05, le=0.8)
    spread: float = Field(3.0, ge=1, le=5)
    stretch: float = Field(1.0, ge=1, le=3)
    order: Literal["given", "attacker-first", "shuffled"] = "given"
    shuffle: int = Field(0, ge=0, le=9999)
    page: ClassVar[str] = "overlaps"
    hands_on: ClassVar[bool] = True

    @field_validator("points")
    @classmethod
    def _points_can_be_read(cls, text: str) -> str:
        try:
            plane_data.parse(text)
        except DataError as error:
            raise ValueError(str(error)) from None
        return text

    @property
    def setting(self) -> sandbox.Setting:
        values = self.model_dump(exclude={"show", "part", "upto", "sigma", "move"})
        return sandbox.Setting(**values, level=self.sigma)

    def draw(self, run: Run) -> None:
        if self.part == "play":
            sandbox.play(self.setting, upto=self.upto)
        else:
            sandbox.over_orders(self.setting)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        words = {"data": sandbox.DATA[self.data], "order": ORDERS[self.order], "view": sandbox.TITLE}
        numbers = {"level": self.sigma, "spread": self.spread, "stretch": self.stretch, "shuffle": self.shuffle}
        numbers |= {} if self.data == "own" else {"discs": self.discs, "seed": self.seed}
        own = {"points": self.points} if self.data == "own" else {}
        return words | {key: f"{value:g}" for key, value in numbers.items()} | own

    def facts(self, run: Run) -> dict[str, Fact]:
        _, scene = sandbox.scene_of(self.setting)
        cases = [entry.case for entry in scene.entries]
        [*_, hostile] = [entry for entry, sent in zip(scene.entries, scene.attacker, strict=True) if sent] or [None]
        found: dict[str, Fact] = {"inputs": len(cases), "changed": scene.changed, "wrong": scene.wrong}
        found |= {case: cases.count(case) for case in ("disjoint", "same_label", "trimmed", "aligned", "none")}
        areas = scene.areas
        found |= {"claimed": areas.claimed, "contested": areas.contested, "answered": areas.answered}
        found |= {"trimmed_away": areas.trimmed / areas.claimed if areas.claimed else 0.0}
        if hostile is not None:
            found |= {"attacker_before": hostile.radius_before, "attacker_case": hostile.case}
        _, last = sandbox.scene_of(replace(self.setting, order="given"))
        lost = last.areas.trimmed / last.areas.claimed if last.areas.claimed else 0.0
        return found | {"trimmed_away_attacker_last": lost}
