"""Views of a run whose members see a few images each: one input's votes with their margins, and the map of attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from certssb_core.certify.margin_votes import STEP, votes_needed
from certssb_core.certify.subset import Drawing
from certssb_core.errors import RunError
from certssb_core.figures.images import picture
from certssb_core.figures.margin_histogram import margin_histogram
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.certify import replaced_map
from ui.kit import charts, run_files, tables
from ui.lessons.view import View


@dataclass(frozen=True)
class Backing:
    """Votes on one input.

    Attributes:
        label: its class, by name; margins: ``(M,)`` of all votes, those for another class negative.
        backing: votes for it that no change can win; needed: so many of them make a certificate.
        unseen: share of the members that see no replaced image.
    """

    label: str
    margins: np.ndarray
    backing: int
    needed: int
    unseen: float


class OtherRun(View):
    """A view of ``run``, which lies beside the run of the lesson, or among those that ship."""

    run: str = "subset-digits-01"

    def other(self, run: Run) -> Run:
        beside = Run(run.path.parent / self.run)
        return beside if beside.is_done() else Run.open(self.run, run_files.BESIDE_APP / "checkpoints")


class Margins(OtherRun):
    """The votes on one image by margin, and how many are needed while ``images`` training images are replaced."""

    show: Literal["margins"]
    set: Literal["clean", "triggered"] = "triggered"
    index: int = Field(0, ge=0)
    norm: float = Field(0.5, ge=0)
    images: int = Field(11, ge=0)
    page: ClassVar[str] = "certify"

    def draw(self, run: Run) -> None:
        found, other = self._counted(run), self.other(run)
        image = tables.picture_of(other, self.set, self.index)
        if image is not None:
            charts.pictures([charts.Picture(picture(image, side=110), f"a {found.label}, {self.set}")], side=110)
        verdict = "**Certified**" if found.backing >= found.needed else "**Not certified**"
        charts.show(
            margin_histogram(found.margins, self.norm, name=found.label),
            key="margins",
            summary=f"{self.images} training images replaced: {found.unseen:.0%} of the members see none of them. "
            f"{found.backing:,} of {len(found.margins):,} votes are for {found.label} whatever the change below "
            f"{self.norm:g}; {found.needed:,} are needed. {verdict}.",
            table=pd.DataFrame({"margin": found.margins}),
        )

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return {"runs": [self.run]}

    def facts(self, run: Run) -> dict[str, Fact]:
        found = self._counted(run)
        return {
            "label": found.label,
            "backing": found.backing,
            "needed": found.needed,
            "unseen": found.unseen,
            "members": len(found.margins),
            "images": self.images,
            "norm": self.norm,
            "seen": self._drawing(self.other(run)).seen,
            "of": self._drawing(self.other(run)).images,
        }

    def _counted(self, run: Run) -> Backing:
        other = self.other(run)
        votes, drawing = run_files.run_votes(other), self._drawing(other)
        cast = votes.sets[self.set]
        if cast.margins is None or self.index >= len(votes.labels):
            raise RunError(f"{other.name} has no margins of {self.set} image {self.index}")
        label = votes.labels[self.index]
        own = cast.votes["uniform"][:, self.index] == label
        margins = np.where(own, 1, -1) * cast.margins[:, self.index] * STEP
        backing = int((own & (margins >= self.norm)).sum())
        alpha = other.config.certification.alpha
        return Backing(
            label=tables.class_names(other)[label],
            margins=margins,
            backing=backing,
            needed=votes_needed(len(own), alpha, drawing),
            unseen=float(drawing.unseen),
        )

    def _drawing(self, other: Run) -> Drawing:
        drawing = other.config.drawing
        if drawing is None:
            raise RunError(f"the members of {other.name} do not draw a few images each")
        return Drawing(drawing.images, drawing.seen, min(self.images, drawing.images))


class Replaced(OtherRun):
    """Certified accuracy while training images are replaced and the test input moves, with the planted attack."""

    show: Literal["replaced"]
    page: ClassVar[str] = "certify"

    def draw(self, run: Run) -> None:
        other = self.other(run)
        mode, rule = other.config.noise.test_map, other.config.certification
        [choice] = tables.choices([other], [mode], rule.bound, rule.alpha)
        replaced_map.draw(choice, rule.bound, rule.alpha)

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return {"runs": [self.run]}

    def facts(self, run: Run) -> dict[str, Fact]:
        planted = run_files.metrics(self.other(run))["planted_attack"]
        return {"images": planted["images"], "norm": planted["norm"], "of": planted["clean"]["n"]} | {
            name: planted[name]["certified"] for name in ("clean", "triggered")
        }
