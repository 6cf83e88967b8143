"""Views of votes and certificates: the main numbers, votes on one image, curves, budgets, promises, failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import pandas as pd
from pydantic import Field

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.input_votes import InputVotes
from certssb_core.config.choices import OneOf
from certssb_core.errors import DataError
from certssb_core.figures import curves, teaching, votes
from certssb_core.figures.images import picture
from certssb_core.results import certification, comparison
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.certify import certificate_charts
from ui.kit import charts, conditions, headline, run_files, tables
from ui.lessons.view import View

Mode = Annotated[str, OneOf(certification.MODES)]
Bound = Annotated[str, OneOf(BOUNDS)]


class Headline(View):
    """The run's main numbers."""

    show: Literal["headline"]
    page: ClassVar[str] = "train"

    def draw(self, run: Run) -> None:
        headline.show(run)


class Votes(View):
    """The votes of the first ``members`` on one test image, and the radius that so many certify."""

    show: Literal["votes"]
    set: Literal["clean", "triggered"] = "clean"
    index: int = Field(0, ge=0)
    members: int = Field(10_000, ge=1)
    page: ClassVar[str] = "query"

    def draw(self, run: Run) -> None:
        row, names = self._certified(run), tables.class_names(run)
        counts = [int(row[f"votes_{label}"]) for label in range(len(names))]
        image = tables.picture_of(run, self.set, self.index)
        if image is not None:
            charts.pictures(
                [
                    charts.Picture(
                        picture(image, side=110), f"{self.set} image {self.index}: a {names[int(row['label'])]}"
                    )
                ],
                side=110,
            )
        answer = int(row["prediction"])
        said = (
            f"the answer is **{names[answer]}**, certified to radius **{row['radius']:.3f}**"
            if answer >= 0
            else "**no answer**: so few or so divided votes certify nothing"
        )
        charts.show(
            votes.bars(votes.table(counts, names), names={"asked": "votes"}),
            key="lesson-votes",
            summary=f"Votes of **{int(row['members']):,}** members: {said}.",
            table=votes.table(counts, names),
        )

    def facts(self, run: Run) -> dict[str, Fact]:
        row, names = self._certified(run), tables.class_names(run)
        answer = int(row["prediction"])
        return {
            "label": names[int(row["label"])],
            "answer": names[answer] if answer >= 0 else "none",
            "radius": float(row["radius"]),
            "votes": int(max(row[f"votes_{label}"] for label in range(len(names)))),
            "members": int(row["members"]),
        }

    def _certified(self, run: Run) -> pd.Series:
        whole = run_files.run_votes(run)
        if self.index >= len(whole.labels):
            raise DataError(f"{run.name} has no {self.set} image {self.index}")
        votes_of, chosen = whole.sets[self.set], [self.index]
        some = InputVotes(
            votes={name: cast[: self.members, chosen] for name, cast in votes_of.votes.items()},
            softmax={name: mean[chosen] for name, mean in votes_of.softmax.items()},
            sigma={name: level[chosen] for name, level in votes_of.sigma.items()},
        )
        alone = replace(whole, sets={self.set: some}, labels=whole.labels[chosen])
        return certification.certify_votes(alone, bound="clopper-pearson").iloc[0]


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


class Failures(View):
    """The number of certificates that may be wrong."""

    show: Literal["failures"]
    inputs: int = Field(100, ge=1, le=1_000_000)
    alpha: float = Field(0.001, gt=0, lt=1)
    page: ClassVar[str] = "certify"

    def draw(self, run: Run) -> None:
        none = (1 - self.alpha) ** self.inputs
        charts.show(
            teaching.failures(self.inputs, self.alpha),
            key="failures",
            summary=f"{self.inputs:,} inputs, each certified wrongly with probability {self.alpha:g} at the worst: on "
            f"average **{self.inputs * self.alpha:.2g}** wrong, none with probability **{none:.1%}** if they fail "
            "independently.",
            table=pd.DataFrame(
                {"inputs": [self.inputs], "α": [self.alpha], "expected at most": [self.inputs * self.alpha]}
            ),
        )

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return {"runs": [run.name], "alpha": f"{self.alpha:g}"}
