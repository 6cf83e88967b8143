"""One row per image of a run: its σ*, whether it is poisoned, its certificate; and the search for σ*."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtri

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.config.schema import NoiseConfig
from certssb_core.runs.inputs import Inputs

SETS: dict[str, str] = {
    "train": "training images",
    "clean": "clean test images",
    "triggered": "triggered test images",
}

GROUPINGS: dict[str, str] = {
    "set": "training / test",
    "poisoned": "clean / poisoned training",
    "class": "class",
}


@dataclass(frozen=True)
class Ascent:
    """The search for σ* of one image; radii in L2 pixel units.

    Attributes:
        sigma_star: where the ascent ended.
        radius_star: r(x, σ*), read off the dense curve.
        best_sigma, best_radius: the optimum of the dense curve.
        curve_sigma, curve_radius: ``(G,)`` the dense curve.
        path_sigma, path_radius: ``(T + 1,)`` the ascent, start first.
    """

    sigma_star: float
    radius_star: float
    best_sigma: float
    best_radius: float
    curve_sigma: np.ndarray
    curve_radius: np.ndarray
    path_sigma: np.ndarray
    path_radius: np.ndarray


def samples(
    sigma: dict[str, np.ndarray],
    poison: dict[str, np.ndarray],
    certificates: pd.DataFrame,
    classes: tuple[str, ...],
) -> pd.DataFrame:
    """Join the run's files into one row per image.

    Args:
        sigma: arrays of ``sigma.safetensors``; an imported run's hold no training images.
        poison: arrays of ``poison.safetensors``; not read for an imported run.
        certificates: rows of ``certificates.csv``.
        classes: names of the labels.

    Returns:
        Columns ``set`` (train, clean, triggered), ``index``, ``label``, ``name`` of the label, ``poisoned``,
        ``sigma``; of test images also ``margin``, ``radius`` and ``right`` (the true class was answered).
    """
    tables = []
    if "train" in sigma:
        columns = {"label": sigma["train_labels"], "sigma": sigma["train"]}
        train = pd.DataFrame({"set": "train", "index": np.arange(len(sigma["train"]))} | columns)
        train["poisoned"] = train["index"].isin(poison["indices"])
        tables.append(train)
    test = certificates[["set", "index", "label", "margin", "radius"]].copy()
    test["right"] = (certificates["prediction"] == certificates["label"]).astype("boolean")
    test["poisoned"] = test["set"] == "triggered"
    for name in ("clean", "triggered"):
        rows = test["set"] == name
        test.loc[rows, "sigma"] = sigma[name][test.loc[rows, "index"]]
    table = pd.concat([*tables, test], ignore_index=True)
    table["name"] = np.array(classes, dtype=object)[table["label"]]
    return table


def groupings(table: pd.DataFrame) -> dict[str, str]:
    """The entries of ``GROUPINGS`` that a table of :func:`samples` can be split by."""
    known = "train" in set(table["set"])
    return {name: words for name, words in GROUPINGS.items() if known or name != "poisoned"}


def grouped(table: pd.DataFrame, by: str, of: str = "clean") -> pd.DataFrame:
    """Choose the rows of the images to compare, and name their ``group``.

    Args:
        table: of :func:`samples`.
        by: one of ``GROUPINGS``: all three sets, poisoned against clean training images, or the classes
            of the set ``of``.
        of: one of ``SETS``.
    """
    if by == "set":
        return table.assign(group=table["set"])
    rows = table[table["set"] == ("train" if by == "poisoned" else of)].sort_values("label", kind="stable")
    group = rows["poisoned"].map({False: "clean", True: "poisoned"}) if by == "poisoned" else rows["name"]
    return rows.assign(group=group)


def in_bar(shown: pd.DataFrame, bins: pd.DataFrame, bar: int, group: str = "") -> pd.DataFrame:
    """The rows of :func:`grouped` in bar number ``bar`` of its histogram, smallest σ* first.

    Args:
        shown: the rows that were binned.
        bins: of :func:`certssb_core.figures.sigma.binned`.
        bar: from 0; group: of the bar; every group where empty.
    """
    edges = np.append(bins["low"].unique(), bins["high"].max())
    inside = (shown["sigma"] >= edges[bar]) & (shown["sigma"] < edges[bar + 1])
    if bar == len(edges) - 2:
        inside |= shown["sigma"] == edges[-1]  # the last bin is closed
    if group:
        inside &= shown["group"] == group
    return shown[inside].sort_values("sigma", kind="stable")


def beside_release(ours: pd.DataFrame, released: pd.DataFrame) -> pd.DataFrame:
    """σ* of the clean test images in two tables of :func:`samples` over the same test set.

    Returns:
        Columns ``set, index, name, ours, theirs``.
    """
    columns = ["set", "index", "name", "sigma"]
    left = ours.loc[ours["set"] == "clean", columns].rename(columns={"sigma": "ours"})
    right = released.loc[released["set"] == "clean", ["index", "sigma"]].rename(columns={"sigma": "theirs"})
    return left.merge(right, on="index", validate="one_to_one")


def with_ascent(sigma: dict[str, np.ndarray], set_name: str) -> np.ndarray:
    """Indices, ascending, of the images whose ascent the run kept."""
    return np.sort(sigma.get(f"path_index/{set_name}", np.empty(0, np.int64)))


def ascent(sigma: dict[str, np.ndarray], set_name: str, index: int) -> Ascent | None:
    """The search for σ* of one image; None where the run did not keep it."""
    rows = np.flatnonzero(sigma.get(f"path_index/{set_name}", np.empty(0, np.int64)) == index)
    if not len(rows):
        return None
    found = traced(sigma, set_name, index, sigma["curve_sigma"], sigma[f"curve_radius/{set_name}"][rows[0]])
    path = {name: sigma[f"{name}/{set_name}"][rows[0]] for name in ("path_sigma", "path_radius")}
    return replace(found, **path)


def traced(
    sigma: dict[str, np.ndarray], set_name: str, index: int, curve_sigma: np.ndarray, curve_radius: np.ndarray
) -> Ascent:
    """σ* of one image on a curve ``(G,)`` that was traced apart; the way of the ascent is empty."""
    star = float(sigma[set_name][index])
    return Ascent(
        sigma_star=star,
        radius_star=float(np.interp(np.log(star), np.log(curve_sigma), curve_radius)),
        best_sigma=float(curve_sigma[curve_radius.argmax()]),
        best_radius=float(curve_radius.max()),
        curve_sigma=curve_sigma,
        curve_radius=curve_radius,
        path_sigma=np.empty(0),
        path_radius=np.empty(0),
    )


def ascent_table(search: Ascent) -> pd.DataFrame:
    """Columns ``kind`` (curve, ascent), ``step, sigma, radius``."""
    curve = pd.DataFrame({"kind": "curve", "sigma": search.curve_sigma, "radius": search.curve_radius})
    path = pd.DataFrame({"kind": "ascent", "sigma": search.path_sigma, "radius": search.path_radius})
    return pd.concat([path, curve]).rename_axis("step").reset_index()[["kind", "step", "sigma", "radius"]]


def regret(sigma: dict[str, np.ndarray]) -> pd.DataFrame:
    """Quality of σ*: 1 − mean r(x, σ*) / mean max_σ r(x, σ), beside that of the best single σ.

    Returns:
        One row per set with kept curves: ``set, images, regret, best_uniform_sigma, best_uniform_regret``.
    """
    rows = []
    for name, words in SETS.items():
        found = (ascent(sigma, name, int(index)) for index in with_ascent(sigma, name))
        kept = [search for search in found if search is not None]
        if kept and (best := np.mean([search.best_radius for search in kept])) > 0:
            uniform = np.mean([search.curve_radius for search in kept], axis=0)
            rows.append(
                {
                    "set": words,
                    "images": len(kept),
                    "regret": 1 - np.mean([search.radius_star for search in kept]) / best,
                    "best_uniform_sigma": kept[0].curve_sigma[uniform.argmax()],
                    "best_uniform_regret": 1 - uniform.max() / best,
                }
            )
    return pd.DataFrame(rows)


def images(inputs: Inputs, set_name: str) -> np.ndarray:
    """``(n, C, H, W)`` images of a set: the poisoned training set, the clean or the triggered test images."""
    return inputs.poisoned.images if set_name == "train" else inputs.test_images(set_name)


def with_noise(image: np.ndarray, sigma: float, *, seed: int = 0) -> np.ndarray:
    """``image + σ z``, clamped to [0, 1] for display; one draw, the same z for every σ."""
    noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + np.float32(sigma) * noise, 0, 1)


def sigma_at_ends(sigma: dict[str, np.ndarray], noise: NoiseConfig) -> dict[str, dict[str, float]]:
    """Share of the images of each searched set whose σ* lies at either end of the range.

    An image there would take a larger or smaller σ if the range allowed it: its σ* says more about the setting than
    about the image.

    Returns:
        ``{set: {"low": share, "high": share}}``; empty where no σ* was searched.
    """
    shares = {}
    for name in SETS:
        searched = (noise.train_map if name == "train" else noise.test_map) == "sample-specific"
        if searched and name in sigma and len(sigma[name]):
            ends = {"low": noise.sigma_min, "high": noise.sigma_max}
            shares[name] = {end: float(np.isclose(sigma[name], at, rtol=1e-6).mean()) for end, at in ends.items()}
    return shares


def unanimous_margin(bound: str, *, members: int, classes: int, alpha: float) -> float:
    """The margin of an input on which all members agree: no certificate of this run can exceed it."""
    votes, softmax = np.zeros((members, 1), np.uint8), np.eye(1, classes)
    bounds = BOUNDS[bound].from_votes(votes, classes=classes, alpha=alpha, softmax=softmax)
    return float((ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper))[0] / 2)
