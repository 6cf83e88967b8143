"""The live stage as a view: one image, a trigger to drag, both answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from certssb_core.figures.images import picture
from certssb_core.query.edit_image import triggered
from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.kit import charts, run_files
from ui.lessons.view import View
from ui.query import stage


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
