"""Charts of the attack: what the trigger looks like, how large the change really is, what becomes of the labels."""

from __future__ import annotations

import pandas as pd

from certssb_core.config.schema import RunConfig
from certssb_core.figures.attack import flow_counts, label_map, norm_histogram
from certssb_core.figures.images import magnification, trigger_gallery
from certssb_core.runs.inputs import Inputs
from ui.kit import charts

SHOWN = 6  # columns of images; more would be too small from the back of a lecture hall


def gallery(inputs: Inputs) -> None:
    """Some poisoned training images, before and after."""
    dataset, poisoned = inputs.dataset, inputs.poisoned
    count = len(poisoned.indices)
    rows = list(range(0, count, max(1, count // SHOWN)))[:SHOWN]
    shown = poisoned.indices[rows]
    before, after = poisoned.original_labels[rows], poisoned.labels[shown]
    titles = [f"{dataset.classes[old]} → {dataset.classes[new]}" for old, new in zip(before, after, strict=True)]
    clean, triggered = dataset.train_images[shown], poisoned.images[shown]
    charts.show(
        trigger_gallery(clean, triggered, titles=titles),
        key="trigger-images",
        summary=f"{len(rows)} of the {count:,} poisoned training images, headed by their label before → after; "
        f"the change is magnified {magnification(clean, triggered):.3g} times about mid-grey.",
        table=pd.DataFrame({"training image": shown, "label change": titles, "actual norm": poisoned.norms[rows]}),
    )


def norms(config: RunConfig, inputs: Inputs) -> None:
    """The actual norms of the poisoned images' changes."""
    poisoned = inputs.poisoned
    nominal = config.attack.nominal_norm
    found = pd.Series(poisoned.norms)
    charts.show(
        norm_histogram(poisoned.norms, nominal=nominal),
        key="norms",
        summary=f"Actual norms run from {found.min():.3f} to {found.max():.3f}, median {found.median():.3f} "
        f"({len(found):,} images); clamping to [0, 1] only ever shrinks them.",
        table=pd.DataFrame({"training image": poisoned.indices, "actual norm": poisoned.norms}),
    )


def labels(inputs: Inputs) -> None:
    """True class to the label that the trainer sees."""
    classes, before = inputs.dataset.classes, inputs.poisoned.original_labels
    after = inputs.poisoned.labels[inputs.poisoned.indices]
    flows = flow_counts(before, after, classes=len(classes))
    charts.show(
        label_map(before, after, classes=classes),
        key="labels",
        summary=f"Left the true class, right the label that the trainer sees, for the {len(before):,} poisoned images.",
        table=pd.DataFrame(flows, columns=classes).assign(true_class=classes),
    )
