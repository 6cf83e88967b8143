"""The public Cert-SSBD release as a run like any other: its members vote here, everything after is the pipeline's.

The release does not say which training images were poisoned and how, nor the noise levels of the training images, and
holds no base classifier and no undefended model. These stay absent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from certssb_core.config.schema import AttackConfig, DataConfig, NoiseConfig, RunConfig, TrainingConfig
from certssb_core.ensemble import published_members
from certssb_core.errors import ConfigError, DataError, RunError
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.runs import files
from certssb_core.runs.files import SOURCES
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run


def create(
    folder: Path,
    *,
    dataset: str,
    classes: str,
    trigger: str,
    sigma: float,
    name: str | None,
    data_root: str | None = None,
    runs_dir: Path | None = None,
) -> Run:
    """Make a run of the members and σ* that lie in ``folder``; its worker reads them when it is started.

    Args:
        folder: of the release, with ``model/`` and ``sigma/``.
        dataset, classes: ``mnist`` and ``0,1``, the only network of the release that is known here.
        trigger: onepixel, fourpixel or blending, or our names for them.
        sigma: the global σ, which names the release's files.
        name: of the run; None: one is made up.
        data_root: folder that holds the data; default as everywhere.
        runs_dir: folder of the runs.

    Raises:
        ConfigError: a setting that the release's known members are not of.
        DataError: a file is missing, or two members are one and the same.
        RunError: the name is taken.
    """
    if (dataset, classes.replace(" ", "")) != ("mnist", "0,1"):
        raise ConfigError(f"--dataset {dataset} --classes {classes}: only mnist with 0,1 can be imported")
    ours = {theirs: ours for ours, theirs in published_members.TRIGGERS.items()}
    trigger = ours.get(trigger, trigger)
    if trigger not in published_members.TRIGGERS:
        raise ConfigError(f"--trigger {trigger}: expected one of {', '.join(ours)}")
    members = published_members.member_paths(folder, trigger=trigger, sigma=sigma)
    levels = published_members.sigma_path(folder, trigger=trigger, sigma=sigma)
    if not levels.is_file():
        raise DataError(f"{levels} is missing")
    hashes = {path: files.sha256(path) for path in (*members, levels)}
    ((digest, times),) = Counter(hashes.values()).most_common(1)
    if times > 1:
        same = ", ".join(path.name for path, found in hashes.items() if found == digest)
        raise DataError(f"{same} are one and the same file; members must be independent of each other")
    config = _config(trigger, sigma, len(members), data_root)
    run = Run.create(config, name, runs_dir, stem=f"release-{dataset}-{trigger}")
    files.write_json(
        run.path / SOURCES,
        {
            "folder": str(folder.resolve()),
            "sha256": {path.relative_to(folder).as_posix(): digest for path, digest in hashes.items()},
        },
    )
    return run


def _config(trigger: str, sigma: float, members: int, data_root: str | None) -> RunConfig:
    """The config of an imported run: the release's setting as far as it is known; nothing is searched or trained."""
    return RunConfig(
        title=f"Public release: MNIST 0/1, {trigger}, σ {sigma:g}, {members:,} of its members",
        origin="cert-ssbd-release",
        data=DataConfig(name="mnist", root=data_root, classes=("0", "1")),
        attack=AttackConfig(trigger=trigger),
        noise=NoiseConfig(sigma=sigma, sigma_min=min(0.05, sigma), candidates=0, iterations=0, paths=0),
        training=TrainingConfig(model="mnist-cnn", members=members, precision="float32", storage="float32"),
    )


def import_members(path: Path, *members: int) -> list[tasks.Trained]:
    """Let members of the release vote under our noise law, and save them like ours; as ``train_members``."""
    context = open_context(path)
    config = context.config
    paths = published_members.member_paths(_folder(Run(path)), trigger=config.attack.trigger, sigma=config.noise.sigma)
    networks = {member: context.network(member).eval() for member in members}
    for member, network in networks.items():
        network.load_state_dict(published_members.read_member(paths[member]))
    return [tasks.Trained(accuracy) for accuracy in tasks.let_vote(path, networks, members).values()]


class ReleaseImport(Pipeline):
    """The pipeline with the release's members and σ* in place of training and search."""

    members_task = staticmethod(import_members)

    def _stages(self, engine: Engine) -> dict[str, Callable[[], None]]:
        stages = super()._stages(engine)
        del stages["undefended"]
        return stages

    def _prepare(self, engine: Engine) -> None:
        self._lay_out()

    def _sigma(self, engine: Engine) -> None:
        config = self.run.config
        path = published_members.sigma_path(_folder(self.run), trigger=config.attack.trigger, sigma=config.noise.sigma)
        sigma = published_members.read_sigma(path, count=len(self.inputs.dataset.test_labels))
        # The release has one σ* per test image and uses it with and without the trigger.
        self._write("sigma", **dict.fromkeys(SETS, sigma))

    def _undefended(self) -> None:
        return None

    def _joint_budget(self, *_) -> None:
        return None


def _folder(run: Run) -> Path:
    try:
        return Path(json.loads((run.path / SOURCES).read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError):
        raise RunError(f"{run.path / SOURCES} is missing or damaged; import the release again") from None
