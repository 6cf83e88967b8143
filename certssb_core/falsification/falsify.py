"""Try to break the certificates of a run within a budget of time, and write what was tried and found into its folder.

Certificates that are L2 balls are attacked on the test input (:mod:`.test_input`), through its noise level
(:mod:`.moved_levels`), on the training set (:mod:`.training_set`), through the store (:mod:`.store_orders`), and with
known noise (:mod:`.known_noise`); certificates against replaced images by replacing them (:mod:`.replaced_images`).

A violation is a broken claim that the votes establish at the run's own confidence. A certificate may be wrong with
probability α; the store's promises admit no exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from certssb_core.certify.certificate import FIXED
from certssb_core.errors import RunError
from certssb_core.falsification.known_noise import attack_with_known_noise, known_noise_in_words
from certssb_core.falsification.moved_levels import attack_levels
from certssb_core.falsification.overstatement import overstated, overstatement
from certssb_core.falsification.replaced_images import attack_replaced
from certssb_core.falsification.store_orders import ORDERS, Replay, replay
from certssb_core.falsification.test_input import attack_inputs, searchers
from certssb_core.falsification.training_set import attack_training
from certssb_core.falsification.violations import CONFIDENCE, Claims, Part, claims, units
from certssb_core.pipeline import context
from certssb_core.pipeline.engines.choose import make_engine
from certssb_core.pipeline.engines.local import Engine
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import generator

REPLAYS = 20
"""Number of times that the store is filled again."""
SHARES = {"store": 0.1, "test": 0.3, "levels": 0.4, "power": 0.6, "joint": 0.97}
"""Share of the whole time at which each part must end; a part that ends early leaves its time to the next."""

KNOWN = 0.25
"""Share of the whole time in which inputs are chosen with known noise, before the other parts."""


def falsify(
    run: Run,
    *,
    minutes: float = 10.0,
    worlds: int = 20,
    searches: int = 2000,
    members: int | None = None,
    seed: int = 0,
    mode: str | None = None,
    engine: str = "local",
    address: str | None = None,
    announce: Callable[[Part], None] = lambda part: None,
    factors: bool = True,
) -> dict[str, Any]:
    """Attack a finished run and write ``falsification.json`` into its folder.

    Args:
        minutes: for all of it; what does not fit is left out, and said.
        worlds: worlds to retrain; searches: gradient searches on the test side.
        members: at most so many per world; default: as many as the run has.
        seed: of the attack; with ``members`` and time enough, its result is a function of it.
        mode: of the certificates attacked; default: the run's own.
        engine, address: where the work is done, as in :class:`~certssb_core.config.schema.TrainingConfig`.
        announce: told of each part as it ends.
        factors: whether to measure by which factor a claim must be overstated to be found.

    Returns:
        the content of falsification.json.

    Raises:
        RunError: the run is not finished, has no votes in this mode, or lacks its members.
    """
    mode = mode or run.config.noise.test_map
    if run.status().state != "done":
        raise RunError(f"{run.name} is not finished; resume it first")
    if not any((run.path / "members").glob("shard-*")):
        raise RunError(f"{run.path / 'members'} holds no members: they are needed to attack this run")
    run_votes = read_run_votes(run)
    draws = run_votes.kind.sees == "subset"
    if not run_votes.kind.balls and not draws:
        raise RunError(
            f"{run.name} certifies {run_votes.kind.unit}: only L2 balls and subset certificates can be attacked so far"
        )
    if mode == FIXED:
        raise RunError("the fixed ensemble is another classifier than the members' vote, and cannot be attacked so far")
    inputs = run_inputs(run)
    claimed = claims(run_votes, inputs, mode=mode)
    with run.lock():
        context.write_scratch(run, inputs)
        try:
            started = time.monotonic()
            with _workers(run, engine, address) as workers:
                soon = started + 60 * minutes * KNOWN
                known = None if draws else attack_with_known_noise(run, workers, claimed, deadline=soon, seed=seed)
                if draws:
                    voters = min(members or run.config.training.members, run.config.training.members)
                    until = started + 60 * minutes
                    part = attack_replaced(
                        run,
                        workers,
                        claimed,
                        count=worlds,
                        members=voters,
                        deadline=until,
                        seed=seed,
                        factors=factors,
                    )
                    announce(part)
                    parts = [part]
            if not draws:
                parts, _ = attack(
                    run,
                    claimed,
                    minutes=max(0.0, minutes - (time.monotonic() - started) / 60),
                    worlds=worlds,
                    searches=searches,
                    members=members,
                    seed=seed,
                    engine=engine,
                    address=address,
                    announce=announce,
                    factors=factors,
                )
            seconds = time.monotonic() - started
        finally:
            context.scratch_path(run).unlink(missing_ok=True)
        report = {
            "run": run.name,
            "mode": mode,
            "label": certification.label(mode),
            "bound": claimed.bound,
            "alpha": claimed.alpha,
            "confidence": CONFIDENCE,
            "seed": seed,
            "claims": len(claimed),
            "minutes_asked": minutes,
            "minutes": round(seconds / 60, 3),
            "known_noise": known,
            "parts": [part.report(0.0 if part.name.startswith("store") else claimed.alpha) for part in parts],
        }
        files.write_json(run.path / "falsification.json", report)
    return report


@contextmanager
def _workers(run: Run, engine: str, address: str | None) -> Iterator[Engine]:
    """The engine on which a run is attacked, closed at the end."""
    place = run.config.training.model_copy(update={"engine": engine, "address": address})
    workers = make_engine(place, reads=["members/shard-*"])
    try:
        yield workers
    finally:
        workers.close()


def attack(
    run: Run,
    claimed: Claims,
    *,
    minutes: float,
    worlds: int,
    searches: int,
    members: int | None = None,
    seed: int = 0,
    engine: str = "local",
    address: str | None = None,
    announce: Callable[[Part], None] = lambda part: None,
    factors: bool = True,
) -> tuple[list[Part], float]:
    """Run the parts against ``claimed`` in order; the run's scratch file must exist. Also returns the seconds."""
    started = time.monotonic()
    ends = {part: started + 60 * minutes * share for part, share in SHARES.items()}
    parts: list[Part] = []

    def finish(*finished: Part) -> None:
        parts.extend(finished)
        for part in finished:
            announce(part)

    training = run.config.training
    with _workers(run, engine, address) as workers:
        finish(*attack_store(claimed, deadline=ends["store"], seed=seed))
        part, closest = attack_inputs(run, workers, claimed, count=searches, deadline=ends["test"], seed=seed)
        levels = [attack_levels(run, workers, claimed, deadline=ends["levels"], seed=seed)] if claimed.searched else []
        if factors and part.trials:
            told = overstatement(run, workers, claimed, deadline=ends["power"], seed=seed)
            facts = part.facts | {"overstated": told["factors"], "slack": told["slack"]}
            part = replace(part, power=f"{part.power}. {overstated(told)}", facts=facts)
        finish(part, *levels)
        finish(
            attack_training(
                run,
                workers,
                claimed,
                closest,
                count=worlds,
                members=members or training.members,
                steering=searchers(training.members, seed=seed),
                deadline=ends["joint"],
                seed=seed,
            )
        )
    return parts, time.monotonic() - started


def attack_store(claimed: Claims, *, deadline: float, seed: int) -> list[Part]:
    """Fill stores with the certified inputs in hostile orders; check the invariant, and that answers last."""
    started = time.monotonic()
    centres = claimed.images.reshape(len(claimed), -1)
    replays: list[Replay] = []
    for number in range(REPLAYS if len(claimed) else 0):
        order = list(ORDERS)[number % len(ORDERS)]
        draws = generator(seed, "falsification replay", number)
        replays.append(replay(centres, claimed.prediction, claimed.radius, order=order, generator=draws))
        if time.monotonic() >= deadline:
            break
    facts = {"replays": len(replays), "conflicts": sum(one.conflicts for one in replays)}
    told = {"replays": [asdict(one) for one in replays]}
    pairs, queries = (np.sum([getattr(one, name) for one in replays], dtype=int) for name in ("pairs", "queries"))
    crossed, lost = (int(np.sum([getattr(one, name) for one in replays])) for name in ("crossed", "lost"))
    seconds = time.monotonic() - started
    orders = f"the certified inputs arrive in the orders {', '.join(ORDERS)}"
    counted: dict[str, Any] = {
        "unit": "replays",
        "units": len(replays),
        "attack": orders,
        "power": "every pair of balls is compared, every answer read: nothing is estimated",
    }
    return [
        Part(
            name="store-invariant",
            title="store: pairs of balls of different label",
            trials=int(pairs),
            flips=crossed,
            violations=crossed,
            broken_units=sum(one.crossed > 0 for one in replays),
            seconds=seconds,
            facts=told,
            **counted,
        ),
        Part(
            name="store-promises",
            title="store: answers inside stored balls",
            trials=int(queries),
            flips=lost,
            violations=lost,
            broken_units=sum(one.lost > 0 for one in replays),
            seconds=seconds,
            facts=facts,
            **counted,
        ),
    ]


def table(report: dict[str, Any]) -> str:
    """Write a report as a table for people."""
    level = f"{report['confidence']:.0%}"
    lines = [
        f"{report['run']}: {report['claims']} claims in mode {report['label']}, judged by {report['bound']} at "
        f"α {report['alpha']:g}; {report['minutes']:.1f} of {report['minutes_asked']:g} minutes",
        f"{'':58}{'trials':>10}{'flips':>8}{'violations':>12}{'broken units':>22}{'rate ≤ (' + level + ')':>16}"
        f"{'allowed':>9}",
    ]
    for part in report["parts"]:
        upper = f"{part['rate_upper']:.2g}" if part["trials"] else "nothing tried"
        lines.append(
            f"{part['title']:58}{part['trials']:>10,}{part['flips']:>8,}{part['violations']:>12,}"
            f"{units(part):>22}{upper:>16}{part['allowed']:>9g}"
        )
    lines += [f"{part['name']}: {part['attack']}. Power: {part['power']}." for part in report["parts"]]
    if report["known_noise"] is not None:
        lines.append(f"known noise: {known_noise_in_words(report['known_noise'])}")
    return "\n".join(lines + [_shortfall(part) for part in report["parts"] if _shortfall(part)])


def _shortfall(part: dict[str, Any]) -> str:
    """Say what a part had no time for; empty if it did everything."""
    facts = part["facts"]
    if "asked" not in facts:
        return ""
    if "reason" in facts:
        return f"{part['name']}: {facts['reason']}"
    if facts["done"] and not part["trials"]:
        return f"{part['name']}: too few votes to establish any flip; more members are needed"
    if facts["done"] < facts["asked"]:
        return f"{part['name']}: {facts['done']} of {facts['asked']} done; give it more --minutes"
    return ""
