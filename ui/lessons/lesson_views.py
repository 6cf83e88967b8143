"""The views that a lesson can pin: sections of the pages with their controls fixed, and a link to the page itself.

A view is written in a lesson's file as ``{show = "sigma-histogram", by = "class"}``; the fields of a view are the
controls of its page. A new view is a class here and an entry of :data:`PinnedView`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.config.choices import OneOf
from certssb_core.errors import DataError
from certssb_core.figures import curves
from certssb_core.figures.images import picture
from certssb_core.query.edit_image import triggered
from certssb_core.results import certification, comparison
from certssb_core.results import per_image as sampling
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from certssb_core.sandbox import plane_data
from certssb_core.sandbox.scene import ORDERS
from ui.certify import certificate_charts
from ui.kit import charts, conditions, headline, run_files, tables
from ui.lessons.lesson_pictures import (
    Clouds,
    Failures,
    Outcome,
    RadiusCurves,
    SetName,
    Sheet,
    Stamp,
    Votes,
    attack_link,
)
from ui.lessons.subset_views import Margins, Replaced
from ui.lessons.view import View
from ui.noise import one_image, sigma_charts
from ui.overlaps import ball_charts, meeting_balls, one_pair, sandbox
from ui.poison import attack_charts
from ui.query import stage

Mode = Annotated[str, OneOf(certification.MODES)]
Bound = Annotated[str, OneOf(BOUNDS)]


class Headline(View):
    """The run's main numbers."""

    show: Literal["headline"]
    page: ClassVar[str] = "train"

    def draw(self, run: Run) -> None:
        headline.show(run)


class Attack(View):
    """One part of the Poison page: images, actual norms, or the change of labels."""

    show: Literal["attack"]
    part: Literal["images", "norms", "labels"] = "images"
    page: ClassVar[str] = "poison"

    def draw(self, run: Run) -> None:
        inputs = run_files.inputs(run)
        if self.part == "images":
            attack_charts.gallery(inputs)
        elif self.part == "norms":
            attack_charts.norms(run.config, inputs)
        else:
            attack_charts.labels(inputs)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return attack_link(run)

    def facts(self, run: Run) -> dict[str, Fact]:
        norms = run_files.arrays(run, "poison")["norms"]
        return {
            "norm_median": float(sorted(norms)[len(norms) // 2]),
            "norm_min": float(norms.min()),
            "norm_max": float(norms.max()),
        }


class SigmaHistogram(View):
    """Histogram of σ*, split by set, by poisoned or clean, or by class."""

    show: Literal["sigma-histogram"]
    by: Literal["set", "poisoned", "class"] = "set"
    of: SetName = "clean"
    page: ClassVar[str] = "noise"

    def draw(self, run: Run) -> None:
        sigma_charts.spread(run, self.by, self.of, clickable=False)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        words = {"by": sampling.GROUPINGS[self.by], "of": one_image.SET_NAMES[self.of]}
        return super().link(run) | {key: words[key] for key in (("by", "of") if self.by == "class" else ("by",))}

    def facts(self, run: Run) -> dict[str, Fact]:
        test = tables.samples(run).query("set == 'clean'")["sigma"]
        return {"below_start": float((test < run.config.noise.sigma).mean()), "images": len(test)}


class SigmaGain(View):
    """σ* against certified radius or margin."""

    show: Literal["sigma-gain"]
    against: Literal["radius", "margin"] = "radius"
    page: ClassVar[str] = "noise"

    def draw(self, run: Run) -> None:
        sigma_charts.gain(run, self.against, clickable=False)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return super().link(run) | {"against": sigma_charts.VALUES[self.against]}


class Image(View):
    """One image under the microscope: with noise at σ* and at another σ, and its r(x, σ)."""

    show: Literal["image"]
    set: SetName = "clean"
    index: int = Field(0, ge=0)
    sigma: float = Field(0.3, ge=0)
    page: ClassVar[str] = "noise"

    def draw(self, run: Run) -> None:
        self._row(run)
        one_image.view(run, self.set, self.index, self.sigma)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        words = {"set": one_image.SET_NAMES[self.set], "index": str(self.index), "sigma": f"{self.sigma:g}"}
        return super().link(run) | words

    def facts(self, run: Run) -> dict[str, Fact]:
        row = self._row(run)
        found: dict[str, Fact] = {"sigma": float(row["sigma"]), "label": str(row["name"])}
        pixels = tables.facts(run)["images.dimensions"]
        found |= {"pixels": pixels, "noise_norm": self.sigma * pixels**0.5}
        ascent = sampling.ascent(run_files.arrays(run, "sigma"), self.set, self.index)
        if ascent is None:
            return found
        at_sigma = float(np.interp(self.sigma, ascent.curve_sigma, ascent.curve_radius))
        best = {"best_sigma": ascent.best_sigma, "best_radius": ascent.best_radius}
        return found | best | {"tried": self.sigma, "radius_tried": at_sigma}

    def _row(self, run: Run) -> Any:
        table = tables.samples(run)
        rows = table[(table["set"] == self.set) & (table["index"] == self.index)]
        if rows.empty:
            raise DataError(f"{run.name} has no image {self.index} among its {one_image.SET_NAMES[self.set]} images")
        return rows.iloc[0]


class CertifyView(View):
    """Shared by the views of the Certify page."""

    modes: tuple[Mode, ...] = ("sample-specific",)
    bound: Bound = "clopper-pearson"
    alpha: float = Field(0.001, gt=0, lt=1)
    page: ClassVar[str] = "certify"

    def choices(self, run: Run) -> list[tables.Choice]:
        return tables.choices([run], list(self.modes), self.bound, self.alpha)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        modes = [certification.label(mode) for mode in self.modes]
        return {"runs": [run.name], "modes": modes, "bound": BOUNDS[self.bound].title, "alpha": f"{self.alpha:g}"}


class Certified(CertifyView):
    """Certified accuracy, read at one radius."""

    show: Literal["certified"]
    radius: float = Field(0.25, ge=0)

    def draw(self, run: Run) -> None:
        chosen = self.choices(run)
        table = comparison.curves([choice.series for choice in chosen])
        colours = curves.colours([choice.name for choice in chosen])
        certificate_charts.accuracy(run_files.run_votes(run).kind, chosen, table, self.radius, colours)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return super().link(run) | {"r": f"{self.radius:g}"}

    def facts(self, run: Run) -> dict[str, Fact]:
        rates = comparison.rates([choice.series for choice in self.choices(run)][:1], radius=self.radius)
        certified = rates[rates["measure"].str.startswith("Certified")]
        names = ("clean", "triggered")
        return {"radius": self.radius} | {
            name: float(share) for name, share in zip(names, certified["share"], strict=True)
        }


class Budget(CertifyView):
    """Inputs that stay certified while training images move too."""

    show: Literal["budget"]
    norm: float = Field(0.05, gt=0, le=1)
    images: int = Field(1, ge=0)

    def draw(self, run: Run) -> None:
        budgets, table = certificate_charts.joint_budgets(self.choices(run), self.norm)
        certificate_charts.budget(budgets, table, norm=self.norm, images=self.images)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return super().link(run) | {"tau": f"{self.norm:g}", "n": str(self.images)}

    def facts(self, run: Run) -> dict[str, Fact]:
        _, table = certificate_charts.joint_budgets(self.choices(run), self.norm)
        rows = table[table["series"] == table["series"].iloc[0]]
        standing = rows.loc[rows["images"] == self.images, "count"]
        return {"norm": self.norm, "images": self.images} | {
            "standing": int(standing.iloc[0]) if len(standing) else 0,
            "of": int(rows["n"].iloc[0]),
            "test_input_alone": int(rows.loc[rows["images"] == 0, "count"].iloc[0]),
        }


class Promises(CertifyView):
    """Promise of the numbers, and its condition."""

    show: Literal["promises"]

    def draw(self, run: Run) -> None:
        conditions.promises(self.choices(run), self.alpha)


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


class Stage(View):
    """The live stage of Query: one image, a trigger to drag, the undefended network's answer beside the ensemble's."""

    show: Literal["stage"]
    index: int | None = Field(None, ge=0)
    strength: float = Field(0.0, ge=0)
    page: ClassVar[str] = "query"
    wide: ClassVar[bool] = True
    hands_on: ClassVar[bool] = True

    def draw(self, run: Run) -> None:
        if not charts.recording():
            stage.stage(run, key="lesson-stage", image=self.index, strength=self.strength)
            return
        index = stage.telling(run) if self.index is None else self.index
        attack, picked = run.config.attack, run_files.inputs(run).dataset.test_images[index]
        shown = [
            charts.Picture(
                picture(triggered(picked, attack, attack.trigger, share * attack.norm), side=170),
                f"trigger of norm {share * attack.norm:g}",
            )
            for share in (0.0, 0.5, 1.0)
        ]
        charts.pictures(shown, side=170)

    def facts(self, run: Run) -> dict[str, Fact]:
        inputs, table = run_files.inputs(run), run_files.certificates(run)
        voted = run.arrays("undefended")
        misled = (voted["triggered"] == inputs.attacked) & (voted["clean"] == inputs.dataset.test_labels)
        misled &= inputs.measures_attack
        answers = table[table["set"] == "triggered"].sort_values("index")["prediction"].to_numpy()
        obeyed = int((misled & (answers == inputs.attacked)).sum())
        return {"misled": int(misled.sum()), "obeyed": obeyed, "share": obeyed / max(int(misled.sum()), 1)}


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


PinnedView = Annotated[
    Headline
    | Attack
    | SigmaHistogram
    | SigmaGain
    | Image
    | Certified
    | Budget
    | Promises
    | Pairs
    | Cases
    | Pair
    | Arrival
    | Stage
    | Sandbox
    | Sheet
    | Stamp
    | Outcome
    | Votes
    | Clouds
    | RadiusCurves
    | Failures
    | Margins
    | Replaced,
    Field(discriminator="show"),
]
