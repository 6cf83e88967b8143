"""Views of the attack: its images and labels, what one change looks like, and the fates of the test images."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import flatten
from certssb_core.data.poisoning import attacked_label, counts_for_attack
from certssb_core.figures import teaching
from certssb_core.figures.images import picture
from certssb_core.results import per_image as sampling
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.kit import charts, run_files, tables
from ui.lessons.view import SetName, View
from ui.poison import attack_charts


def attack_link(run: Run) -> dict[str, str | list[str]]:
    """The URL parameters that open Poison at the run's data and attack."""
    usual = flatten(PRESETS[DEFAULT_PRESET])
    return {
        key.partition(".")[2]: value if isinstance(value, list) else str(value)
        for key, value in flatten(run.config).items()
        if key.startswith(("data.", "attack.")) and value is not None and value != usual[key]
    }


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
