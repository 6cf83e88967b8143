"""Views of the noise: σ* over the images, one image under noise, clouds of noisy copies, radii against σ."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import ndtr

from certssb_core.errors import DataError
from certssb_core.figures import teaching
from certssb_core.figures.images import picture
from certssb_core.results import per_image as sampling
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.kit import charts, run_files, tables
from ui.lessons.view import SetName, View
from ui.noise import one_image, sigma_charts


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


class Clouds(View):
    """Noisy copies of an image and of its changed twin: how far apart, and how alike."""

    show: Literal["clouds"]
    norm: float = Field(1.0, gt=0)
    sigma: float = Field(0.3, gt=0)
    page: ClassVar[str] = "noise"

    def draw(self, run: Run) -> None:
        shift = self.norm / self.sigma
        charts.show(
            teaching.noise_clouds(shift),
            key="clouds",
            summary=f"A change of norm {self.norm:g} under noise of σ = {self.sigma:g}: the clouds stand "
            f"**{shift:.1f}** σ apart and look alike **{2 * ndtr(-shift / 2):.0%}** of the time.",
            table=pd.DataFrame({"σ": [self.sigma], "apart, in σ": [shift], "look alike": [2 * ndtr(-shift / 2)]}),
        )

    def facts(self, run: Run) -> dict[str, Fact]:
        shift = self.norm / self.sigma
        return {"shift": shift, "overlap": float(2 * ndtr(-shift / 2))}


class RadiusCurves(View):
    """r(x, σ) of several images in one picture, all read at one σ."""

    show: Literal["radius-curves"]
    set: SetName = "clean"
    images: tuple[int, ...] = Field(min_length=1, max_length=3)
    sigma: float = Field(0.3, gt=0)
    page: ClassVar[str] = "noise"

    def draw(self, run: Run) -> None:
        found = self._ascents(run)
        charts.pictures(
            [
                charts.Picture(picture(pixels, side=170), f"{name}: best σ {one.best_sigma:.2f}")
                for (name, one), pixels in zip(found.items(), self._pixels(run), strict=True)
            ],
            side=170,
        )
        at = {name: float(np.interp(self.sigma, one.curve_sigma, one.curve_radius)) for name, one in found.items()}
        charts.show(
            teaching.radius_curves(
                {name: (one.curve_sigma, one.curve_radius) for name, one in found.items()}, self.sigma
            ),
            key="radius-curves",
            summary=f"At σ = {self.sigma:g}: "
            + "; ".join(f"{name} r = **{at[name]:.2f}** of {one.best_radius:.2f}" for name, one in found.items())
            + ".",
            table=pd.concat(sampling.ascent_table(one).assign(image=name) for name, one in found.items()),
        )

    def facts(self, run: Run) -> dict[str, Fact]:
        found: dict[str, Fact] = {"sigma": self.sigma}
        for number, (name, one) in enumerate(self._ascents(run).items(), start=1):
            found |= {f"label{number}": name.split(", ")[-1], f"best_sigma{number}": one.best_sigma}
            found |= {f"best_radius{number}": one.best_radius}
            found[f"radius{number}"] = float(np.interp(self.sigma, one.curve_sigma, one.curve_radius))
        return found

    def _ascents(self, run: Run) -> dict[str, sampling.Ascent]:
        table = tables.samples(run)
        names = table[table["set"] == self.set].set_index("index")
        found = {}
        for index in self.images:
            one = sampling.ascent(run_files.arrays(run, "sigma"), self.set, index)
            if one is None:
                raise DataError(f"{run.name} kept no curve of image {index}")
            bad = "poisoned, labelled " if self.set == "train" and names["poisoned"][index] else "a "
            found[f"image {index}, {bad}{names['name'][index]}"] = one
        return found

    def _pixels(self, run: Run) -> list[np.ndarray]:
        images = sampling.images(run_files.inputs(run), self.set)
        return [images[index] for index in self.images]
