"""The one pipeline: data → poisoning → σ* → members → votes → certificates → store → metrics.

Every stage writes its result into the run's folder before the next one starts, and is skipped when it lies there
already: resuming a run is running it again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache, partial, reduce
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch

from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.metrics import collapsed, store_metrics
from certssb_core.data.system_memory import memory
from certssb_core.data.triggers import actual_norms
from certssb_core.ensemble import shards
from certssb_core.errors import RunError, ShardError
from certssb_core.pipeline import context, fixed_ensemble, sigma_stage, store_stage, tasks
from certssb_core.pipeline.engines.choose import make_engine
from certssb_core.pipeline.engines.local import Engine, Task
from certssb_core.pipeline.manifest import write_manifest
from certssb_core.pipeline.resolve_auto import (
    resolve_denoiser,
    resolve_device,
    resolve_drawing,
    resolve_model,
    resolve_together,
)
from certssb_core.results import certification
from certssb_core.results.attack_verdict import undefended_metrics
from certssb_core.results.enough_members import too_few_members
from certssb_core.results.per_image import sigma_at_ends
from certssb_core.results.permuted_levels import PERMUTED, permuted_levels
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs import data_record, files, integrity, server_limits
from certssb_core.runs.inputs import SETS, Inputs, crafted_images, run_inputs
from certssb_core.runs.run import Run

PROGRESS_SECONDS = 0.3
"""Shortest time between two progress events."""


class Pipeline:
    """Takes one run through the stages."""

    members_task = staticmethod(tasks.train_members)
    """The task that trains members and lets them vote."""

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
        integrity.mend(self.run)
        self._draw_secret()
        resolve_device(self.run)
        engine = make_engine(self.run.config.training)
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
            "data": lambda: self._prepare(engine),
            "undefended": lambda: self._singles(engine),
            "sigma": lambda: self._sigma(engine),
            "members": lambda: self._members(engine),
            "votes": lambda: self._votes(engine),
            "store": self._store,
        }

    @cached_property
    def inputs(self) -> Inputs:
        return run_inputs(self.run, download=server_limits.current().downloads)

    def _prepare(self, engine: Engine) -> None:
        self._lay_out()
        crafted = crafted_images(self.run)
        if self.run.config.attack.crafted and crafted is None and len(self.inputs.poisoned.indices):
            ((_, crafted),) = engine.map(tasks.craft, [(self.run.path,)])
            self.inputs = run_inputs(self.run, crafted=crafted)
            context.write_scratch(self.run, self.inputs)
        poisoned, made = self.inputs.poisoned, {} if crafted is None else {"images": crafted}
        kept = {name: getattr(poisoned, name) for name in ("indices", "norms", "original_labels")}
        self._write("poison", **kept, **made)

    def _draw_secret(self) -> None:
        """Draw the secret seed of the noise when the run starts; a resumed run keeps its own."""
        path = self.run.path / files.SECRET
        if self.run.config.noise_seed == "secret" and not path.exists():
            files.write_json(path, {"seed": str(secrets.randbits(128))})
            path.chmod(0o600)

    def _lay_out(self) -> None:
        """Settle network and denoiser, and lay the images out for the workers."""
        data_record.record(self.run, self.inputs.dataset)
        _, channels, side, _ = self.inputs.dataset.test_images.shape
        resolve_model(self.run, channels=channels, side=side)
        resolve_denoiser(self.run, channels=channels, side=side)
        resolve_together(self.run, self.inputs.poisoned.images, len(self.inputs.dataset.classes))
        resolve_drawing(self.run, self.inputs)
        self._check_memory()
        if warning := too_few_members(self.run.config, len(self.inputs.dataset.classes)):
            self.run.log("message", message=warning)
        for folder in ("models", "members"):
            (self.run.path / folder).mkdir(exist_ok=True)
        context.write_scratch(self.run, self.inputs)

    def _check_memory(self) -> None:
        """Refuse, before anything is trained, more votes than the memory holds when they are collected."""
        members = self.run.config.training.members
        votes = len(SETS) * len(self.inputs.dataset.test_labels) * self.run.config.bytes_per_vote * members
        if 2 * votes > memory():
            raise RunError(
                f"{members:,} members cast {votes / 1e9:,.0f} GB of votes, which do not fit in the memory twice: fewer "
                "training.members, data.max_test or noise.test_candidates need less"
            )

    def _singles(self, engine: Engine) -> None:
        """The undefended model, and the base classifier that σ* is found on."""
        results = {"undefended": self.run.path / "undefended.safetensors"}
        if self._needs_sigma:
            results["base"] = context.single_path(self.run, "base")
        work = [(self.run.path, kind) for kind, result in results.items() if not result.exists()]
        for done, ((_, kind), votes) in enumerate(engine.map(tasks.train_single, work), 1):
            integrity.note(self.run, f"models/{kind}.safetensors")
            if kind == "undefended":
                self._write("undefended", **votes)
            self._progress("undefended", done, len(work))

    @property
    def _needs_sigma(self) -> bool:
        return self.run.config.noise.searches

    def _sigma(self, engine: Engine) -> None:
        if not (self.run.path / "sigma.safetensors").exists():
            progress = partial(self._progress, "sigma")
            self._write("sigma", **sigma_stage.noise_levels(self.run, self.inputs, engine, progress=progress))

    def _members(self, engine: Engine) -> None:
        folder, training = self.run.path / "members", self.run.config.training
        self._drop_damaged_parts(folder)
        there = shards.finished(folder)
        found: list[float] = []
        for (_, *members), made in engine.map(self.members_task, self._groups(there)):
            for member, trained in zip(members, made, strict=True):
                if member not in there:
                    self._note_member(member, trained)
                found += [] if trained.accuracy is None else [trained.accuracy]
            gathered = len(there) // training.shard_members
            there |= {*members}
            if len(there) // training.shard_members > gathered:
                self._gather()
            so_far = {"accuracy": round(fmean(found), 4)} if found else {}
            self._progress("members", len(there), training.members, **so_far)
        self._gather()

    def _groups(self, there: set[int]) -> Iterator[Task]:
        """Groups still to train. They follow from the config alone, so a stopped run ends with the same votes."""
        members, together = self.run.config.training.members, self.run.config.training.together or 1
        for start in range(0, members, together):
            group = range(start, min(start + together, members))
            if not there.issuperset(group):
                yield (self.run.path, *group)

    def _note_member(self, member: int, made: tasks.Trained) -> None:
        for reason in made.diverged:
            self.run.log("diverged", message=reason)
        if made.accuracy is None:
            self.run.log("left_out", message=f"member {member} diverged at every attempt and is left out")

    def _drop_damaged_parts(self, folder: Path) -> None:
        """Members that a power cut damaged before their shard was written are trained again."""
        for path in folder.glob("part-*.safetensors"):
            try:
                shards.read_part(path)
            except ShardError:
                path.unlink()
                self.run.log(
                    "damaged", message=f"members/{path.name} is not what was written: the member is made again"
                )

    def _gather(self) -> None:
        folder, training = self.run.path / "members", self.run.config.training
        shards.drop_gathered(folder)
        read_tensors = lru_cache(maxsize=1)(shards.read_part)  # several shards may come from one part
        for members in list(shards.gatherable(folder, training.members, training.shard_members)):
            stacked = shards.gather(folder, members, read_tensors)
            for name in [name for name in stacked if name.startswith("softmax/")]:
                stacked[name] = stacked[name].double().sum(0)
            target = shards.shard_path(folder, members)
            files.write_atomically(target, partial(shards.save_tensors, tensors=stacked))
            integrity.note(self.run, f"members/{target.name}")
        shards.drop_gathered(folder)

    def _votes(self, engine: Engine) -> None:
        self._collect_votes()
        rule = self.run.config.certification
        if rule.fixed_draws and not (self.run.path / "fixed.json").exists():
            own, public = self.run.config.training, self.run.config.noise_seed == "public"
            local = engine if own.engine == "local" else make_engine(own.model_copy(update={"engine": "local"}))
            try:
                fixed_ensemble.draw(
                    self.run,
                    local,
                    draws=rule.fixed_draws,
                    jury=rule.jury,
                    seed=self.run.config.seed if public else fixed_ensemble.fresh_seed(),
                    progress=partial(self._progress, "votes"),
                )
            finally:
                if local is not engine:
                    local.close()
            integrity.note(self.run, *files.FIXED_FILES)

    def _collect_votes(self) -> None:
        folder, training = self.run.path / "members", self.run.config.training
        if (self.run.path / "votes.safetensors").exists():
            return
        found = shards.shards(folder)
        if shards.finished(folder) != set(range(training.members)):
            raise RunError(
                f"{folder} holds shards that do not add up to {training.members} members; delete the odd one and resume"
            )
        held = [member for members, _ in found for member in members]
        left_out = sorted({*range(training.members)}.difference(held))
        self._check_quorum(held, left_out)
        parts = [shards.read(path, prefixes=("votes/", "softmax/")) for members, path in found if members]
        arrays = {
            name: torch.cat([part[name] for part in parts]).numpy()
            if name.startswith("votes/")
            else (reduce(torch.add, (part[name] for part in parts)) / len(held)).numpy()
            for name in parts[0]
            if all(name in part for part in parts)
        }
        arrays |= {"left_out": np.array(left_out, np.int64)} if left_out else {}
        labels = self.inputs.dataset.test_labels
        arrays |= tasks.bound_draws(self.run.config, dict.fromkeys(SETS, len(labels)), seed=self.run.noise_seed)
        if len(arrays.get(PERMUTED, ())) == len(held):
            arrays |= tasks.permuted_inputs(self.run.config, len(labels))
        else:  # members that an earlier version trained did not cast these votes
            arrays.pop(PERMUTED, None)
        self._write("votes", **arrays | {"labels": labels})

    def _check_quorum(self, held: list[int], left_out: list[int]) -> None:
        """Check that enough members are left for the kind of certificate."""
        advice = "start a run with a lower training.learning_rate"
        if not held:
            raise RunError(f"every member diverged: {advice}")
        if left_out and not CERTIFICATES[self.run.config.certification.certificate].may_leave_out:
            raise RunError(
                f"{len(left_out)} members diverged. A certificate that counts changes of the training images cannot "
                f"leave members out: such a change might make others diverge; {advice}"
            )

    def _store(self) -> None:
        """Certify all inputs; where certificates are balls, let the store see them too."""
        run_votes = read_run_votes(self.run)
        table = certification.certify_votes(run_votes)
        self._metrics = (
            {"unit": run_votes.kind.unit}
            | ({"left_out": list(run_votes.left_out)} if run_votes.left_out else {})
            | certification.assess(run_votes, table)
            | {"collapsed": collapsed(*(table.loc[table["set"] == "clean", name] for name in ("prediction", "label")))}
            | {"undefended": self._undefended(), "store": None}
            | {"planted_attack": self._planted_attack(run_votes, table)}
            | {"joint_budget": self._joint_budget(run_votes, table) if run_votes.budgets else None}
        )
        if run_votes.kind.balls:
            table, entries = store_stage.fill(self.run, self.inputs, table, progress=partial(self._progress, "store"))
            self._metrics["store"] = store_metrics(entries)
            after = certification.after_store(table)
            self._metrics["after_store"] = certification.assess(run_votes, after)
        if shares := sigma_at_ends(self.run.arrays("sigma"), self.run.config.noise):
            self._metrics["sigma_at_ends"] = shares
        if found := permuted_levels(self.run.arrays("votes")):
            self._metrics["permuted_levels"] = found
        files.write_text(self.run.path / "certificates.csv", table.to_csv(index=False))

    def _undefended(self) -> dict[str, Any] | None:
        return undefended_metrics(
            self.run.arrays("undefended"),
            self.inputs.dataset.test_labels,
            self.run.config.attack,
            classes=len(self.inputs.dataset.classes),
            poisoned=len(self.inputs.poisoned.indices),
        )

    def _planted_attack(self, run_votes: RunVotes, table: pd.DataFrame) -> dict[str, Any] | None:
        poisoned = self.inputs.poisoned
        norms = actual_norms(self.inputs.dataset.test_images, self.inputs.triggered)
        kept = self.run.config.attack.label_mode == "clean-label"
        return certification.planted_attack(
            run_votes,
            table,
            images=len(poisoned.indices),
            norm=float(norms.max(initial=0.0)),
            moved=float(poisoned.norms.max(initial=0.0)) if kept else None,
        )

    def _joint_budget(self, run_votes: RunVotes, table: pd.DataFrame) -> dict[str, Any] | None:
        norm = float(self.inputs.poisoned.norms.max(initial=0.0)) or self.run.config.attack.norm
        rows = table[(table["set"] == "clean") & (table["prediction"] == table["label"])]

        def budget(**rule: bool) -> dict[str, Any]:
            images = certification.joint_budget(run_votes, rows, norm=norm, **rule) if len(rows) else np.array([-1])
            return {
                "images_median": int(np.median(images)),
                "images_max": int(images.max()),
                "certified_without_training_change": float((images >= 0).sum() / max(len(run_votes.labels), 1)),
            }

        found = {"norm": norm} | budget(share_counted=False)
        seen = certification.budget_share(run_votes).seen
        return found | ({"share": {"seen": seen} | budget()} if self.run.config.training.share < 1 else {})

    def _finish(self, peak_memory: int) -> None:
        seconds = self._seconds | {"total": sum(self._seconds.values())}
        files.write_json(
            self.run.path / "metrics.json",
            self._metrics
            | {"seconds": {name: round(value, 3) for name, value in seconds.items()}}
            | {"peak_memory_bytes": peak_memory},
        )
        context.scratch_path(self.run).unlink(missing_ok=True)
        write_manifest(self.run)
        self.run.log("finished", message="finished", seconds=round(seconds["total"], 3))

    # -- bookkeeping --------------------------------------------------------------------------------

    def _stage(self, name: str, work: Callable[[], None]) -> None:
        self.run.check_stop()
        self._started, self._logged = time.perf_counter(), 0.0
        self._first: tuple[float, int] | None = None
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
        self.run.check_stop()

    def _write(self, name: str, **arrays: np.ndarray) -> None:
        files.write_arrays(self.run.path / f"{name}.safetensors", arrays)
        integrity.note(self.run, f"{name}.safetensors")
