"""Checks of the recorded files: their hashes, the members' votes, the data, the noise levels."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
from safetensors import safe_open

from certssb_core.audit.inspection import inspect
from certssb_core.errors import Differs, NotPossible
from certssb_core.runs import data_record, files
from certssb_core.runs.files import CARRIED, INSPECTION
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run
from certssb_core.verification.evidence import Evidence, same

CORE = ("config.json", "certificates.csv", "metrics.json")
WHERE_PRESENT = ("data.json", "denoiser.json")
"""Files that not every run has."""


def hashes(evidence: Evidence) -> str:
    folder, recorded = evidence.run.path, evidence.run.manifest["sha256"]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    kept = {name for name in present if name in WHERE_PRESENT or name.endswith((".safetensors", ".sqlite"))}
    expected = {*CORE, *kept} - set(Run.UNHASHED)
    if unnamed := sorted(expected - set(recorded)):
        raise Differs(f"{unnamed[0]}: the manifest has no hash of it")
    if evidence.imported:  # a capsule's store is made anew, from a ledger with a hash of its own
        recorded = {name: digest for name, digest in recorded.items() if name in CARRIED}
    for name, digest in recorded.items():
        if name not in present:
            raise Differs(f"{name}: the file is missing")
        if files.sha256(folder / name) != digest:
            raise Differs(f"{name}: its sha256 is not the one in the manifest")
    return f"{len(recorded)} files have the sha256 of the manifest"


def not_carried(evidence: Evidence) -> str:
    count = len(set(evidence.run.manifest["sha256"]) - set(CARRIED))
    raise NotPossible(f"{count} files of the original run cannot be hashed: weights, and the store as a file")


def checklist(evidence: Evidence) -> str:
    """Compare the inspector's findings with the exported ones, except those that need the weights."""
    exported = json.loads((evidence.run.path / INSPECTION).read_text(encoding="utf-8"))
    found = [asdict(finding) for finding in inspect(evidence.run)]
    of_weights = "Batch independence"
    first, second = ({one["title"]: one for one in some if one["title"] != of_weights} for some in (exported, found))
    same("finding", list(first), list(second), list(first))
    for name in ("colour", "reason"):
        same(name, [one[name] for one in first.values()], [one[name] for one in second.values()], list(first))
    return f"{len(first)} findings of the inspector are those that were exported"


def manifest(evidence: Evidence) -> str:
    found, config = evidence.run.manifest, evidence.config
    same("seed", [found["seed"]], [config.seed], ["manifest.json"])
    same("device", [found["device"]["kind"]], [config.training.device], ["manifest.json"])
    if "seal" not in found:
        raise NotPossible("this manifest has no hash of itself (it was made by an earlier version)")
    same("seal", [found["seal"]], [files.seal(found)], ["manifest.json"])
    return "seed and device are the config's, and the manifest has its own sha256"


def published_seed(evidence: Evidence) -> str:
    """Compare the published seed with the one that the manifest holds the hash of."""
    folder = evidence.run.path
    committed = evidence.run.manifest["sha256"].get(files.SECRET)
    same("sha256", [files.sha256(folder / files.PUBLISHED_SEED)], [committed], [files.PUBLISHED_SEED])
    return "the published seed is the one that the run was made with"


def member_votes(evidence: Evidence) -> str:
    shards = sorted((evidence.run.path / "members").glob("shard-*.safetensors"))
    if not shards:
        raise NotPossible("the members' own files are not here: votes are held by their hash and by the counts below")
    left_out = evidence.votes.get("left_out", np.empty(0, np.int64))
    voters = [member for member in range(evidence.config.training.members) if member not in set(left_out.tolist())]
    members = len(voters)
    for name in (name for name in evidence.votes if name.startswith(("votes/", "softmax/"))):
        parts = []
        for path in shards:
            with safe_open(path, framework="numpy") as file:
                parts += [file.get_tensor(name)] if name in file.keys() else []  # noqa: SIM118
        if name.startswith("votes/"):
            cast = np.concatenate(parts)
            same("members", [len(cast)], [members], ["votes.safetensors"])
            same(name, evidence.votes[name], cast, [f"member {member}" for member in voters])
        else:
            mean = sum(parts) / members
            same(name, evidence.votes[name], mean, [f"input {index}" for index in range(len(mean))])
    besides = f", and {len(left_out)} were left out" if len(left_out) else ""
    return f"votes and mean softmax are those in the files of {members} members{besides}"


def dataset(evidence: Evidence) -> str:
    poisoned = evidence.inputs.poisoned
    labels = evidence.inputs.dataset.test_labels
    recorded = data_record.recorded(evidence.run) is not None
    images = ", and so are all images" if recorded else "; the sha256 of the images is not recorded"
    same("label", evidence.votes["labels"], labels, [f"test image {index}" for index in range(len(labels))])
    if not evidence.hashed("poison.safetensors"):
        return f"{len(labels)} test labels are the data's{images}; which images were poisoned is not recorded"
    poison, rows = evidence.run.arrays("poison"), [f"poisoned image {place}" for place in range(len(poisoned.indices))]
    for name in ("indices", "norms", "original_labels"):
        same(name, poison[name], getattr(poisoned, name), rows)
    if "train_labels" in evidence.sigma:
        rows = [f"training image {index}" for index in range(len(poisoned.labels))]
        same("label", evidence.sigma["train_labels"], poisoned.labels, rows)
    counted = f"{len(labels)} test labels, {len(poisoned.indices)} poisoned images and all training labels"
    return f"{counted} are the data's{images}"


def noise_levels(evidence: Evidence) -> str:
    noise, sigma = evidence.config.noise, evidence.sigma
    searches = {"train": noise.searches_train, **dict.fromkeys(SETS, noise.searches_test)}
    for name, searched in searches.items():
        if name not in sigma:
            continue
        low, high = (noise.sigma_min, noise.sigma_max) if searched else (noise.level, noise.level)
        rows = [f"{name} {index}" for index in range(len(sigma[name]))]
        same("σ", sigma[name], np.clip(sigma[name], low, high), rows, tolerance=1e-6)
    same("sigma", evidence.table["sigma"], np.concatenate([read.sigma for read in evidence.certifying]), evidence.rows)
    return "σ of every row is the one that was voted at; all lie in the config's range"
