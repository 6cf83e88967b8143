"""The stage that gives every image its noise level, with what the Noise page shows of the way there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from certssb_core.config.parse import override
from certssb_core.errors import RunError
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import context_of, load_base, single_path
from certssb_core.pipeline.engines.local import Engine
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.runs.inputs import SETS, Inputs, run_inputs
from certssb_core.runs.run import Run

CHUNK = 64
"""Images per task on a CPU."""
CURVE_POINTS, CURVES_PER_TASK = 32, 16


def noise_levels(
    run: Run, inputs: Inputs, engine: Engine, *, progress: Callable[[int, int], None]
) -> dict[str, np.ndarray]:
    """The noise of the training images, ``train``, and of the two test sets, by the run's maps.

    Args:
        progress: told how many images of how many are done; stops the stage by raising.

    Returns:
        per set ``(n,)`` float64, and of searched sets the kept paths (``path_index``, ``path_sigma``, ``path_radius``)
        and curves (``curve_sigma``, ``curve_radius``).
    """
    noise = run.config.noise
    counts = {"train": len(inputs.poisoned.labels)} | dict.fromkeys(SETS, len(inputs.dataset.test_labels))
    searches = {"train": noise.searches_train} | dict.fromkeys(SETS, noise.searches_test)
    arrays = {which: np.full(count, noise.level) for which, count in counts.items()}
    arrays["train_labels"] = inputs.poisoned.labels
    searched = {which: count for which, count in counts.items() if searches[which]}
    if not searched:
        return arrays
    for which, found in _searched(run, engine, searched, progress).items():
        kept = _path_index(run, inputs, which, counts[which])
        arrays[which] = found["sigma"]
        arrays[f"path_index/{which}"] = kept
        arrays[f"path_sigma/{which}"] = found["path_sigma"][kept]
        arrays[f"path_radius/{which}"] = found["path_radius"][kept]
    total = sum(searched.values())
    indices = {which: arrays[f"path_index/{which}"] for which in searched}
    return arrays | _curves(run, engine, indices, partial(progress, total, total))


def one_curve(run: Run, which: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """r(x, σ) of any image of a finished run, as the stage traces it for the images whose curves it keeps.

    Args:
        which: ``train``, ``clean`` or ``triggered``.
        index: number of the image in its set.

    Returns:
        σ ``(G,)`` and r(x, σ) ``(G,)``, in L2 pixel units.

    Raises:
        DataError: the images are not here, or are others than those of the run.
        RunError: there is no such image, or the run has no base classifier that could tell.
    """
    if not (single_path(run, "base")).exists():
        raise RunError(f"{run.name} has no base classifier, which r(x, σ) is computed with: its σ was not searched")
    inputs = run_inputs(run)
    counts = {"train": len(inputs.poisoned.labels)} | dict.fromkeys(SETS, len(inputs.dataset.test_labels))
    if which not in counts or index >= counts[which]:
        raise RunError(f"{run.name} has no image {which} {index}: {', '.join(f'{n} {c}' for n, c in counts.items())}")
    here = override(run.config, {"training.device": "auto", "training.precision": "auto"})
    context = context_of(settled(here, inputs), inputs)
    grid = _grid(run)
    return grid, tasks.curves(context, load_base(run, context), which, (index,), tuple(grid.tolist()))[0]


def _grid(run: Run) -> np.ndarray:
    return np.geomspace(run.config.noise.sigma_min, run.config.noise.sigma_max, CURVE_POINTS)


def _searched(
    run: Run, engine: Engine, counts: dict[str, int], progress: Callable[[int, int], None]
) -> dict[str, dict[str, np.ndarray]]:
    chunk = CHUNK * tasks.search_factor(run.config)
    work = [
        (run.path, which, start, min(start + chunk, count))
        for which, count in counts.items()
        for start in range(0, count, chunk)
    ]
    found: dict[str, dict[int, dict[str, np.ndarray]]] = {which: {} for which in counts}
    done = 0
    for (_, which, start, stop), result in engine.map(tasks.search_sigma, work):
        found[which][start] = result
        done += stop - start
        progress(done, sum(counts.values()))
    return {which: _joined([chunk for _, chunk in sorted(chunks.items())]) for which, chunks in found.items()}


def _joined(chunks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _path_index(run: Run, inputs: Inputs, which: str, count: int) -> np.ndarray:
    """The images whose path is kept: evenly spread, half of the training ones poisoned."""
    wanted = min(run.config.noise.paths, count)
    poisoned = inputs.poisoned.indices if which == "train" else np.empty(0, np.int64)
    spread = np.linspace(0, count - 1, wanted - min(wanted // 2, len(poisoned))).astype(np.int64)
    return np.unique(np.concatenate([spread, poisoned[: wanted // 2]]))


def _curves(run: Run, engine: Engine, kept: dict[str, np.ndarray], check: Callable[[], None]) -> dict[str, np.ndarray]:
    """r(x, σ) of the kept images over a grid of σ."""
    grid = _grid(run)
    kept = {which: index for which, index in kept.items() if len(index)}
    work = [
        (run.path, which, tuple(part.tolist()), tuple(grid.tolist()))
        for which, index in kept.items()
        for part in np.array_split(index, max(1, len(index) // CURVES_PER_TASK))
    ]
    curves: dict[str, dict[int, np.ndarray]] = {which: {} for which in kept}
    for (_, which, index, _), curve in engine.map(tasks.trace_curves, work):
        curves[which] |= dict(zip(index, curve, strict=True))
        check()
    stacked = {
        f"curve_radius/{which}": np.stack([curves[which][i] for i in index.tolist()]) for which, index in kept.items()
    }
    return {"curve_sigma": grid} | stacked
