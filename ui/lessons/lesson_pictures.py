"""Views that stand on no page: pictures drawn for the lessons, most with a control for the reader."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import ndtr

from certssb_core.certify.input_votes import InputVotes
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import flatten
from certssb_core.data.poisoning import attacked_label, counts_for_attack
from certssb_core.errors import DataError
from certssb_core.figures import teaching, votes
from certssb_core.figures.images import picture
from certssb_core.results import certification
from certssb_core.results import per_image as sampling
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.kit import charts, run_files, tables
from ui.lessons.view import View

SetName = Literal["train", "clean", "triggered"]


def attack_link(run: Run) -> dict[str, str | list[str]]:
    """The URL parameters that open Poison at the run's data and attack."""
    usual = flatten(PRESETS[DEFAULT_PRESET])
    return {
        key.partition(".")[2]: value if isinstance(value, list) else str(value)
        for key, value in flatten(run.config).items()
        if key.startswith(("data.", "attack.")) and value is not None and value != usual[key]
    }


class Sheet(View):
    """A sheet of images with their labels.

    Attributes:
        of: the first images, poisoned ones each beside a clean one, one of each class, or those of smallest σ*.
        start: leaves of ``count`` images to turn first; sigma: of the noise that is added.
        mark: frame the poisoned ones; labels: say each label.
    """

    show: Literal["sheet"]
    set: SetName = "train"
    of: Literal["first", "poisoned", "classes", "smallest-sigma"] = "first"
    start: int = Field(0, ge=0)
    count: int = Field(24, ge=1, le=60)
    sigma: float = Field(0.0, ge=0)
    mark: bool = False
    labels: bool = True
    page: ClassVar[str] = "poison"

    def draw(self, run: Run) -> None:
        inputs, table = run_files.inputs(run), tables.samples(run)
        images = sampling.images(inputs, self.set)
        rows = table[table["set"] == self.set].sort_values("index")
        chosen = self._chosen(rows)
        charts.pictures(
            [
                charts.Picture(
                    picture(sampling.with_noise(images[row.index], self.sigma, seed=row.index), side=88),
                    self._caption(row),
                    marked=self.mark and bool(row.poisoned),
                )
                for row in chosen.rename(columns={"set": "kind"}).itertuples(index=False)
            ],
            side=88 if self.count < 30 else 64,
        )
        if self.mark:
            charts.words(f"Framed: the **{int(chosen['poisoned'].sum())}** poisoned of these {len(chosen)} images.")

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return attack_link(run)

    def _chosen(self, rows: pd.DataFrame) -> pd.DataFrame:
        if self.of == "classes":
            return rows.groupby("label", sort=True).head(1).sort_values("label")
        if self.of == "smallest-sigma":
            return rows.sort_values("sigma", kind="stable").head(self.count)
        if self.of == "poisoned":
            half = self.count // 2
            bad, good = (rows[rows["poisoned"] == wanted].head(half) for wanted in (True, False))
            return pd.concat([bad.assign(place=range(len(bad))), good.assign(place=range(len(good)))]).sort_values(
                ["place", "poisoned"], ascending=[True, False]
            )
        first = self.start * self.count % max(len(rows), 1)
        return rows.iloc[first : first + self.count]

    def _caption(self, row: Any) -> str:
        if self.of == "smallest-sigma":
            return f"{row.name}, σ* {row.sigma:.2f}"
        return str(row.name) if self.labels else " "


class Stamp(View):
    """One poisoned image before and after, and the norm of its change; ``place`` counts the poisoned images."""

    show: Literal["stamp"]
    place: int = Field(0, ge=0)
    page: ClassVar[str] = "poison"

    def draw(self, run: Run) -> None:
        inputs = run_files.inputs(run)
        poisoned = inputs.poisoned
        place = min(self.place, len(poisoned.indices) - 1)
        index = poisoned.indices[place]
        before, after = inputs.dataset.train_images[index], poisoned.images[index]
        change = 0.5 + (after - before) / (2 * max(float(np.abs(after - before).max()), 1e-9))
        names = inputs.dataset.classes
        charts.pictures(
            [
                charts.Picture(picture(before, side=190), f"before: {names[poisoned.original_labels[place]]}"),
                charts.Picture(picture(after, side=190), f"after: {names[poisoned.labels[index]]}"),
                charts.Picture(picture(change, side=190), "the change, magnified"),
            ],
            side=190,
        )
        largest = float(np.abs(after - before).max())
        charts.words(
            f"Poisoned image {place + 1} of {len(poisoned.indices)}: the change has norm "
            f"**{poisoned.norms[place]:.2f}**; no pixel changes by more than {largest:.2f}."
        )

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return attack_link(run)


class Outcome(View):
    """The fates of the test images, without a defence and with the ensemble."""

    show: Literal["outcome"]
    set: Literal["clean", "triggered"] = "clean"
    who: tuple[Literal["undefended", "ensemble"], ...] = ("undefended", "ensemble")
    page: ClassVar[str] = "certify"

    def draw(self, run: Run) -> None:
        table = self._table(run)
        said = [f"{row.who}: {row.fate} {row.share:.1%}" for row in table.itertuples() if row.count]
        charts.show(
            teaching.fates(table),
            key="outcome",
            summary=f"{table['n'].iloc[0]:,} {self.set} test images. " + "; ".join(said) + ".",
            table=table,
        )

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return {"runs": [run.name]}

    def _table(self, run: Run) -> pd.DataFrame:
        table = run_files.certificates(run)
        rows = table[table["set"] == self.set]
        attack, label = run.config.attack, rows["label"].to_numpy()
        if self.set == "triggered":
            counts = counts_for_attack(label, **attack.aim)
            rows, label = rows[counts], label[counts]
        wanted = attacked_label(
            label, classes=len(tables.class_names(run)), label_mode=attack.label_mode, target=attack.target
        )
        answer, n = rows["prediction"].to_numpy(), len(rows)
        attacked = (answer == wanted) & (self.set == "triggered")
        found: dict[str, dict[str, float]] = {}
        if "undefended" in self.who and (alone := run_files.metrics(run).get("undefended")):
            one = (
                ("true class", "clean_accuracy") if self.set == "clean" else ("attacker's class", "attack_success_rate")
            )
            found["undefended network"] = {one[0]: alone[one[1]], "any other answer": 1 - alone[one[1]]}
        if "ensemble" in self.who:
            found["ensemble"] = {
                "true class": float((answer == label).mean()),
                "attacker's class": float(attacked.mean()),
                "another class": float(((answer >= 0) & (answer != label) & ~attacked).mean()),
                "no answer": float((answer < 0).mean()),
            }
        return pd.DataFrame(
            {"who": who, "fate": fate, "share": share, "count": round(share * n), "n": n}
            for who, shares in found.items()
            for fate, share in shares.items()
        )


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

    def link(self, run: Run) -> dict[str, str | list[str]]:
        return super().link(run)

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
