"""The one pipeline: data → poisoning → σ* → members → votes → certificates → store → metrics.

Every stage writes its result into the run's folder before the next one starts, and is skipped when it lies there
already: resuming a run is running it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from certssb_core.certify.metrics import store_metrics
from certssb_core.certify.store import Store
from certssb_core.ensemble import shards
from certssb_core.experiment import certification, files, tasks
from certssb_core.experiment.engine import Engine, make_engine
from certssb_core.experiment.inputs import SETS, Inputs, load_inputs
from certssb_core.experiment.manifest import write_manifest
from certssb_core.experiment.resolve import resolve_device, resolve_model
from certssb_core.experiment.run import Run, RunError

SIGMA_CHUNK = 64
"""Images per σ* task."""
STORE_BATCH = 500
"""Inputs per transaction of the store."""
PROGRESS_SECONDS = 0.3
"""Shortest time between two progress events."""
ATTACK_WORKS = 0.5
"""Undefended attack success rate below which the attack is called vacuous."""


class Stopped(Exception):
    """The run was asked to stop; what is finished is kept."""


class Pipeline:
    """One run on its way through the stages."""

    member_task = staticmethod(tasks.train_member)
    """What makes a member and lets it vote."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._seconds: dict[str, float] = {
            event["stage"]: event["seconds"] for event in run.events() if event["kind"] == "stage_done"
        }

    def execute(self) -> None:
        """Bring the run to its end.

        Raises:
            Stopped: a stop was requested.
            DataError, PoisonError, RunError, EngineError, ShardError: in plain words, what went wrong.
        """
        resolve_device(self.run)
        engine = make_engine(self.run.config.training.device, self.run.config.training.workers)
        try:
            for name, work in self._stages(engine).items():
                self._stage(name, work)
            peak = engine.peak_memory()
        finally:
            engine.close()
        self._finish(peak)

    # -- stages -------------------------------------------------------------------------------------

    def _stages(self, engine: Engine) -> dict[str, Callable[[], None]]:
        return {
            "data": self._prepare,
            "undefended": lambda: self._singles(engine),
            "sigma": lambda: self._sigma(engine),
            "members": lambda: self._members(engine),
            "votes": self._collect_votes,
            "store": self._store,
        }

    @cached_property
    def inputs(self) -> Inputs:
        return load_inputs(self.run.config, download=True)

    def _prepare(self) -> None:
        poisoned = self.inputs.poisoned
        self._write("poison", indices=poisoned.indices, norms=poisoned.norms, original_labels=poisoned.original_labels)
        self._lay_out()

    def _lay_out(self) -> None:
        """Settle the network, and lay the images out for the workers."""
        _, channels, side, _ = self.inputs.dataset.test_images.shape
        resolve_model(self.run, channels=channels, side=side)
        for folder in ("models", "members"):
            (self.run.path / folder).mkdir(exist_ok=True)
        tasks.write_scratch(self.run, self.inputs)

    def _singles(self, engine: Engine) -> None:
        """The undefended model, and the base classifier that σ* is found on."""
        results = {"undefended": self.run.path / "undefended.safetensors"}
        if self._needs_sigma:
            results["base"] = tasks.single_path(self.run, "base")
        work = [(self.run.path, kind) for kind, result in results.items() if not result.exists()]
        for done, ((_, kind), votes) in enumerate(engine.map(tasks.train_single, work), 1):
            if kind == "undefended":
                self._write("undefended", **votes)
            self._progress("undefended", done, len(work))

    @property
    def _needs_sigma(self) -> bool:
        noise = self.run.config.noise
        return "sample-specific" in (noise.train_map, noise.test_map)

    def _sigma(self, engine: Engine) -> None:
        if (self.run.path / "sigma.safetensors").exists():
            return
        noise, inputs = self.run.config.noise, self.inputs
        counts = {"train": len(inputs.poisoned.labels)} | dict.fromkeys(SETS, len(inputs.dataset.test_labels))
        maps = {"train": noise.train_map} | dict.fromkeys(SETS, noise.test_map)
        arrays = {which: np.full(count, noise.sigma) for which, count in counts.items()}
        arrays["train_labels"] = inputs.poisoned.labels
        searched = [which for which in counts if maps[which] == "sample-specific"]
        work = [
            (self.run.path, which, start, min(start + SIGMA_CHUNK, counts[which]))
            for which in searched
            for start in range(0, counts[which], SIGMA_CHUNK)
        ]
        found: dict[str, dict[int, dict[str, np.ndarray]]] = {which: {} for which in searched}
        total = sum(counts[which] for which in searched)
        done = 0
        for (_, which, start, stop), result in engine.map(tasks.search_sigma, work):
            found[which][start] = result
            done += stop - start
            self._progress("sigma", done, total)
        for which in searched:
            chunks = [chunk for _, chunk in sorted(found[which].items())]
            whole = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
            kept = self._path_index(which, counts[which])
            arrays[which] = whole["sigma"]
            arrays[f"path_index/{which}"] = kept
            arrays[f"path_sigma/{which}"] = whole["path_sigma"][kept]
            arrays[f"path_radius/{which}"] = whole["path_radius"][kept]
        if searched:
            arrays |= self._curves(engine, {which: arrays[f"path_index/{which}"] for which in searched})
        files.write_arrays(self.run.path / "sigma.safetensors", arrays)

    def _path_index(self, which: str, count: int) -> np.ndarray:
        """The images whose path is kept: evenly spread, half of the training ones poisoned."""
        wanted = min(self.run.config.noise.paths, count)
        poisoned = self.inputs.poisoned.indices if which == "train" else np.empty(0, np.int64)
        spread = np.linspace(0, count - 1, wanted - min(wanted // 2, len(poisoned))).astype(np.int64)
        return np.unique(np.concatenate([spread, poisoned[: wanted // 2]]))

    def _curves(self, engine: Engine, kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        noise = self.run.config.noise
        grid = np.geomspace(noise.sigma_min, noise.sigma_max, 32)
        work = [
            (self.run.path, which, tuple(part.tolist()), tuple(grid.tolist()))
            for which, index in kept.items()
            if len(index)
            for part in np.array_split(index, max(1, len(index) // 16))
        ]
        curves: dict[str, dict[int, np.ndarray]] = {which: {} for which in kept}
        for (_, which, index, _), curve in engine.map(tasks.trace_curves, work):
            curves[which] |= dict(zip(index, curve, strict=True))
            self._check_stop()
        stacked = {
            f"curve_radius/{which}": np.stack([curves[which][i] for i in index.tolist()])
            for which, index in kept.items()
            if len(index)
        }
        return {"curve_sigma": grid} | stacked

    def _members(self, engine: Engine) -> None:
        folder, training = self.run.path / "members", self.run.config.training
        there = shards.finished(folder)
        missing = [member for member in range(training.members) if member not in there]
        done = training.members - len(missing)
        right = 0.0
        for new, (_, accuracy) in enumerate(engine.map(self.member_task, ((self.run.path, m) for m in missing)), 1):
            done, right = done + 1, right + accuracy
            if done % training.shard_members == 0:
                self._gather()
            self._progress("members", done, training.members, accuracy=round(right / new, 4))
        self._gather()

    def _gather(self) -> None:
        folder, training = self.run.path / "members", self.run.config.training
        for members in list(shards.gatherable(folder, training.members, training.shard_members)):
            stacked = shards.gather(folder, members)
            for name in [name for name in stacked if name.startswith("softmax/")]:
                stacked[name] = stacked[name].double().sum(0)
            target = shards.shard_path(folder, members)
            files.write_atomically(target, lambda part, tensors=stacked: shards.save_tensors(part, tensors))
            for member in members:
                shards.part_path(folder, member).unlink()

    def _collect_votes(self) -> None:
        folder, training = self.run.path / "members", self.run.config.training
        if (self.run.path / "votes.safetensors").exists():
            return
        found = shards.shards(folder)
        if sum(len(members) for members, _ in found) != training.members:
            raise RunError(
                f"{folder} holds shards that do not add up to {training.members} members; delete the odd one and resume"
            )
        parts = [shards.read(path, prefixes=("votes/", "softmax/")) for _, path in found]
        arrays = {
            name: torch.cat([part[name] for part in parts]).numpy()
            if name.startswith("votes/")
            else (sum(part[name] for part in parts) / training.members).numpy()
            for name in parts[0]
        }
        files.write_arrays(self.run.path / "votes.safetensors", arrays | {"labels": self.inputs.dataset.test_labels})

    def _store(self) -> None:
        """Certify all inputs, and let the store see them in the configured order."""
        config = self.run.config
        settings = config.certification
        voted = certification.voted(self.run)
        table = certification.certify(voted, mode=config.noise.test_map, bound=settings.bound, alpha=settings.alpha)
        images = np.concatenate([self.inputs.test_images(which) for which in SETS]).reshape(len(table), -1)
        order = self._store_order(table)
        with Store.open(self.run.store_path) as store:
            for start in range(len(store.ledger()), len(order), STORE_BATCH):
                rows = order[start : start + STORE_BATCH]
                part = table.iloc[rows]
                store.insert(
                    images[rows],
                    part["prediction"].to_numpy(),
                    part["radius"].to_numpy(),
                    part["sigma"].to_numpy(),
                    part["set"].tolist(),
                    part["index"].to_numpy(),
                )
                self._progress("store", min(start + STORE_BATCH, len(order)), len(order))
            entries = store.ledger()
        answers = pd.DataFrame(
            [(*entry.key, entry.case, entry.label, entry.radius_after) for entry in entries],
            columns=["set", "index", "store_case", "store_prediction", "store_radius"],
        )
        table = table.merge(answers, on=["set", "index"], how="left", validate="one_to_one")
        files.write_text(self.run.path / "certificates.csv", table.to_csv(index=False))
        self._metrics = (
            certification.assess(voted, table, radii=settings.radii)
            | {"undefended": self._undefended(), "store": store_metrics(entries)}
            | {"joint_budget": self._joint_budget(voted, table)}
        )

    def _store_order(self, table: pd.DataFrame) -> np.ndarray:
        order, half = np.arange(len(table)), len(table) // len(SETS)
        match self.run.config.certification.store_order:
            case "triggered-first":
                return np.concatenate([order[half:], order[:half]])
            case "shuffled":
                return np.random.default_rng(self.run.config.seed).permutation(order)
            case _:
                return order

    def _undefended(self) -> dict[str, Any] | None:
        votes, inputs = self.run.arrays("undefended"), self.inputs
        attacked = votes["triggered"][inputs.counts] == inputs.attacked[inputs.counts]
        success = float(attacked.mean()) if len(attacked) else 0.0
        return {
            "clean_accuracy": float((votes["clean"] == inputs.dataset.test_labels).mean()),
            "attack_success_rate": success,
            "attack_works": success >= ATTACK_WORKS,
        }

    def _joint_budget(self, voted: certification.Voted, table: pd.DataFrame) -> dict[str, Any] | None:
        norm = float(self.inputs.poisoned.norms.max(initial=0.0)) or self.run.config.attack.norm
        rows = table[(table["set"] == "clean") & (table["prediction"] == table["label"])]
        images = certification.joint_budget(voted, rows, norm=norm) if len(rows) else np.array([-1])
        return {
            "norm": norm,
            "images_median": int(np.median(images)),
            "images_max": int(images.max()),
            "certified_without_training_change": float((images >= 0).sum() / max(len(voted.labels), 1)),
        }

    def _finish(self, peak_memory: int) -> None:
        seconds = self._seconds | {"total": sum(self._seconds.values())}
        files.write_json(
            self.run.path / "metrics.json",
            self._metrics
            | {"seconds": {name: round(value, 3) for name, value in seconds.items()}}
            | {"peak_memory_bytes": peak_memory},
        )
        tasks.scratch_path(self.run).unlink(missing_ok=True)
        write_manifest(self.run)
        self.run.log("finished", message="finished", seconds=round(seconds["total"], 3))

    # -- bookkeeping --------------------------------------------------------------------------------

    def _stage(self, name: str, work: Callable[[], None]) -> None:
        self._check_stop()
        self._started, self._first, self._logged = time.perf_counter(), None, 0.0
        self.run.log("stage", stage=name, message=name)
        work()
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - self._started
        self.run.log("stage_done", stage=name, seconds=round(self._seconds[name], 3))

    def _progress(self, stage: str, done: int, total: int, **fields: float) -> None:
        """Log how far a stage is and how long it will take, at most every PROGRESS_SECONDS; stop if asked to."""
        now = time.perf_counter()
        if self._first is None:
            self._first = (now, done)
        if done >= total or now - self._logged >= PROGRESS_SECONDS:
            self._logged = now
            start, before = self._first
            rate = (done - before) / (now - start) if done > before else 0.0
            left = round((total - done) / rate, 1) if rate else None
            self.run.log("progress", stage=stage, done=done, total=total, seconds_left=left, **fields)
        self._check_stop()

    def _check_stop(self) -> None:
        if self.run.stop_requested():
            raise Stopped

    def _write(self, name: str, **arrays: np.ndarray) -> None:
        files.write_arrays(self.run.path / f"{name}.safetensors", arrays)
