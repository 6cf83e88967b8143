"""Ask a finished run about images: a stored ball answers first, else the members vote.

Asking promises nothing about other images, because nothing is stored. Whoever serves the run may let queries insert
their certificates: from then on every image in such a ball gets its answer.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import filelock
import numpy as np
import torch
from torch import nn

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import FIXED, Certificates
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.input_votes import InputVotes
from certssb_core.certify.margin_votes import in_steps
from certssb_core.certify.run_off import in_ranks
from certssb_core.ensemble import shards
from certssb_core.ensemble.models import build, projected
from certssb_core.ensemble.voting import Ballot, vote, vote_together
from certssb_core.errors import RunError
from certssb_core.pipeline import context, fixed_ensemble, tasks
from certssb_core.query.reply import Reply, check_can_answer, promise
from certssb_core.results import certification
from certssb_core.results.fixed_figures import fixed_settings
from certssb_core.results.vote_bounds import bound_votes
from certssb_core.runs import files, integrity, server_limits
from certssb_core.runs.inputs import SETS, Inputs, binarised, run_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.seeds import key
from certssb_core.smoothing.sigma_search import ascend
from certssb_core.store.answer import Answer
from certssb_core.store.store import Store

HELD_BYTES = 2 * 2**30
"""Largest size of all members, as float32, that are kept in memory; larger ones are read at every question."""

VOTING_PIXELS = 2**24
"""Pixels of noisy images that vote in one computation: it bounds the memory, not the result."""

Group = tuple[list[int], dict[str, torch.Tensor]]
"""Some members and their stacked weights."""


class LoadedEnsemble:
    """The members of a finished run, loaded once for many questions.

    Raises:
        RunError: the run is not finished, or its members are not there.
    """

    def __init__(self, run: Run) -> None:
        check_can_answer(run)
        integrity.check(run)
        self.run, self.config = run, run.config
        inputs = run_inputs(run)
        self.classes = inputs.dataset.classes
        self.shape = inputs.dataset.test_images.shape[1:]
        # Test noise is drawn on the device: elsewhere members see another draw, as good but not the same.
        wanted = torch.device(self.config.training.device)
        self.device = wanted if wanted.type == "cpu" or torch.cuda.is_available() else torch.device("cpu")
        self._network = self._build(0, self.config.training.model)
        self._levels = self._known(inputs, run.arrays("sigma")) if self.config.noise.searches_test else {}
        votes = run.arrays("votes") if BOUNDS[self.config.certification.bound].randomised else {}
        drawn = {which: votes[f"draws/{which}"] for which in SETS if f"draws/{which}" in votes}
        self._draws = self._known(inputs, drawn) if drawn else {}
        self._base = self._single("base") if self.config.noise.searches_test else None
        self._undefended = self._single("undefended")
        self._opened: tuple[object, Store] | None = None
        weights = sum(weight.numel() for weight in self._network.parameters())
        fits = 4 * weights * self.config.training.members <= HELD_BYTES
        self._held = [*self._read_groups()] if fits else None
        self._drawn = fixed_settings(run)

    def ask(self, image: np.ndarray, *, insert: bool = False, fixed: bool = True) -> Reply:
        """Answer one image, by a stored ball or the members.

        Args:
            image: ``(C, H, W)`` float32 in [0, 1].
            insert: store the certificate, for good, where no ball holds the image yet.
            fixed: draw the fixed ensemble's votes, too, in a run that has them; that takes most of the time.

        Raises:
            RunError: the image has another shape, or nothing may be written here.
        """
        if image.shape != self.shape:
            raise RunError(f"{self.run.name} answers images of shape {self.shape}, not {image.shape}")
        image = binarised(image) if self.config.data.binary else image
        x = torch.from_numpy(image[None]).to(self.device)
        if NOISE_LAWS[self.config.noise.law].isotropic:
            x = projected(self.config.training.model, x)
        sigma = self._sigma(image, x)
        levels = tasks.test_levels(self.config, sigma)
        candidates = [*tasks.candidate_levels(self.config, sigma)] if self.config.noise.chosen_by_votes else []
        ballot = self._vote(x, [*levels.values(), *candidates])
        votes, shares = ballot.hard.cpu().numpy(), ballot.softmax.double().mean(0).cpu().numpy()  # (M, L), (L, C)
        input_votes = InputVotes(
            votes={name: votes[:, k, None] for k, name in enumerate(levels)},
            softmax={name: shares[k, None] for k, name in enumerate(levels)},
            sigma={
                "uniform": np.full(1, self.config.noise.level),
                "sample-specific": sigma.double().cpu().numpy(),
            },
            margins=None if ballot.margin is None else in_steps(ballot.margin[:, 0, None].cpu().numpy()),
            ranks=None if ballot.order is None else in_ranks(ballot.order[:, 0, None].cpu().numpy()),
            candidates=self.config.noise.test_candidates if candidates else (),
            candidate_votes=votes[:, len(levels) :, None],
            candidate_softmax=shares[len(levels) :, None],
            draws=self._draw(image),
        )
        reply = replace(self._reply(image, input_votes, insert), undefended=self._undefended_answer(image))
        return replace(reply, fixed=self._fixed(x, reply.sigma)) if fixed and self._drawn else reply

    def _fixed(self, x: torch.Tensor, sigma: float) -> dict[str, Any]:
        """Draw the fixed ensemble's votes on ``x`` ``(1, C, H, W)`` afresh, and certify them."""
        settings, drawn = self.config.certification, self._drawn or {}
        seed, level = fixed_ensemble.fresh_seed(), np.array([sigma])
        how = {"draws": int(drawn["draws"]), "jury": int(drawn["jury"]), "seed": seed}
        hard, softmax = fixed_ensemble.votes_on(
            self.run.path, self._network, x, torch.from_numpy(level).to(self.device), **how
        )
        votes = InputVotes(votes={FIXED: hard[:, None]}, softmax={FIXED: softmax[None]}, sigma={FIXED: level})
        read = bound_votes(votes, self.config, mode=FIXED, bound=drawn["bound"], alpha=settings.alpha)
        certified = certification.certify_bounds(read, self.config)
        numbers = {
            name: float(getattr(certified, name)[0]) for name in ("p_a_lower", "p_b_upper", "margin", "sigma", "radius")
        }
        prediction = int(certified.prediction[0])
        return (
            how
            | numbers
            | {
                "votes": read.counts[0].tolist(),
                "prediction": prediction,
                "answer": self.classes[prediction] if prediction >= 0 else "ABSTAIN",
                "promise": certification.promise(self.config, FIXED).test_radius,
                "condition": certified.condition,
            }
        )

    def _reply(self, image: np.ndarray, votes: InputVotes, insert: bool) -> Reply:
        settings, mode = self.config.certification, self.config.noise.test_map
        kind = CERTIFICATES[settings.certificate]
        read = bound_votes(votes, self.config, mode=mode, bound=settings.bound, alpha=settings.alpha)
        certified = certification.certify_bounds(read, self.config)
        prediction, radius = int(certified.prediction[0]), float(certified.radius[0])
        found, inserted = Answer(prediction, radius, None), False
        if kind.balls:
            found = self._store().answer(image.ravel(), prediction=prediction, radius=radius)
            if insert and found.ball is None and found.radius > 0:
                found, inserted = self._insert(image, certified), True
        return Reply(
            answered_by="members" if found.ball is None or inserted else "store",
            answer=self.classes[found.label] if found.label >= 0 else "ABSTAIN",
            label=found.label,
            radius=found.radius,
            unit=kind.unit,
            ball=found.ball,
            inserted=inserted,
            votes=tuple(read.counts[0].tolist()),
            prediction=prediction,
            p_a_lower=float(certified.p_a_lower[0]),
            p_b_upper=float(certified.p_b_upper[0]),
            margin=float(certified.margin[0]),
            sigma=float(certified.sigma[0]),
            members_radius=radius,
            promise=promise(
                certification.promise(self.config, mode).test_radius,
                in_a_ball=found.ball is not None,
                own_level=kind.balls and mode != "uniform",
            ),
            condition=certified.condition,
        )

    def _store(self) -> Store:
        """The store that answers first; opened anew where its file is another one than at the last question."""
        path = self.run.asked_path
        there = (file for file in (path, path.with_name(f"{path.name}-wal")) if file.exists())
        state = (path, *((found.st_mtime_ns, found.st_size, found.st_ino) for found in (file.stat() for file in there)))
        if self._opened is None or self._opened[0] != state:
            if self._opened:
                self._opened[1].close()
            self._opened = state, Store.read(path)
        return self._opened[1]

    def _undefended_answer(self, image: np.ndarray) -> int | None:
        if self._undefended is None:
            return None
        return int(vote(self._undefended, torch.from_numpy(image[None]).to(self.device)).hard[0])

    def _insert(self, image: np.ndarray, certified: Certificates) -> Answer:
        """Store the certificate after the run's own balls and all earlier queries, in a copy of the run's store."""
        server_limits.check_writable()
        path = self.run.answered_path
        with filelock.FileLock(path.with_suffix(".lock")):
            if not path.exists():
                files.write_atomically(path, lambda partial: shutil.copyfile(self.run.store_path, partial))
        columns = certified.prediction, certified.radius, certified.sigma
        with Store.open(path) as store:
            store.insert(image.reshape(1, -1), *columns, ["query"], [0])
            return store.answer(image.ravel())

    def _vote(self, x: torch.Tensor, levels: list[torch.Tensor]) -> Ballot:
        """Let every member answer ``x`` ``(1, C, H, W)`` at every level: ``(M, L)`` and ``(M, L, C)``."""
        law, kind, seed = NOISE_LAWS[self.config.noise.law], self.config.kind, self.run.noise_seed
        copies, together = x.expand(len(levels), *x.shape[1:]), torch.cat(levels)  # a member's noise is drawn once
        ballots = []
        for members, weights in self._held or self._read_groups():
            seen = [law.test_inputs(copies, together, seed=seed, member=m) for m in members]
            ballots.append(
                vote_together(self._network, weights, torch.stack(seen), margins=kind.margins, order=kind.ranks)
            )
        margins = [ballot.margin for ballot in ballots if ballot.margin is not None]
        orders = [ballot.order for ballot in ballots if ballot.order is not None]
        return Ballot(
            hard=torch.cat([ballot.hard for ballot in ballots]),
            softmax=torch.cat([ballot.softmax for ballot in ballots]),
            margin=torch.cat(margins) if margins else None,
            order=torch.cat(orders) if orders else None,
        )

    def _sigma(self, image: np.ndarray, x: torch.Tensor) -> torch.Tensor:
        """``(1,)``: the run's own σ*_x of a test image it knows, else found on the base classifier as the run did."""
        if self._base is None:
            return torch.tensor([self.config.noise.level], device=self.device)
        known = self._levels.get(image.tobytes())
        if known is not None:
            return torch.tensor([known], dtype=torch.float64, device=self.device)
        precision = self.config.training.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=precision):
            search = tasks.search_settings(self.config, len(self.classes))
            return ascend(self._base, x, search, seed=self.run.noise_seed).sigma

    def _draw(self, image: np.ndarray) -> np.ndarray | None:
        """``(1,)``, the uniform draw of a randomised bound: the stored one of a test image that the run knows, else one
        that follows from the seed of the run's noise and the image's pixels; None where the bound takes none."""
        if not BOUNDS[self.config.certification.bound].randomised:
            return None
        pixels = image.tobytes()
        if pixels in self._draws:
            return np.array([self._draws[pixels]])
        own = key(self.run.noise_seed, f"query {hashlib.sha256(pixels).hexdigest()}")
        seed = int.from_bytes(own, "little")
        return tasks.bound_draws(self.config, {"query": 1}, seed=seed)["draws/query"]

    @staticmethod
    def _known(inputs: Inputs, values: Mapping[str, np.ndarray]) -> dict[bytes, float]:
        """Values ``(n,)`` of each test set by their image's pixels."""
        return {
            image.tobytes(): float(value)
            for which in reversed(SETS)  # an image that is in both counts as clean
            for image, value in zip(inputs.test_images(which), values[which], strict=True)
        }

    def _single(self, kind: str) -> nn.Module | None:
        """The run's own base or undefended network, in evaluation mode; None where the run has none."""
        path = context.single_path(self.run, kind)
        if kind == "undefended" and not path.exists():
            return None
        training = self.config.training
        network = self._build(context.SINGLES[kind], training.model if kind == "base" else training.undefended_network)
        network.load_state_dict(shards.read(path))
        return network.eval()

    def _build(self, member: int, model: str) -> nn.Module:
        channels, side, _ = self.shape
        network = build(
            model,
            channels=channels,
            side=side,
            classes=len(self.classes),
            seed=self.run.noise_seed,
            member=member,
        )
        return network.to(self.device)

    def _read_groups(self) -> Iterator[Group]:
        """Read the members in order, in groups that vote together, weights as float32."""
        size = max(1, VOTING_PIXELS // int(np.prod(self.shape)))
        for members, path in ((members, path) for members, path in shards.shards(self.run.path / "members") if members):
            stacked = shards.read(path, (shards.WEIGHT,))
            for start in range(0, len(members), size):
                rows = slice(start, start + size)
                weights = {name.removeprefix(shards.WEIGHT): tensor[rows] for name, tensor in stacked.items()}
                yield (
                    [*members[rows]],
                    {name: tensor.to(self.device, torch.float32) for name, tensor in weights.items()},
                )


def ask(run: Run, image: np.ndarray) -> Reply:
    """Ask a finished run about one image; a program with more questions keeps a :class:`LoadedEnsemble`.

    Raises:
        RunError: the run is not finished, or its members are not there.
    """
    return LoadedEnsemble(run).ask(image)
