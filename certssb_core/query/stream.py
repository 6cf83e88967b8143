"""A stream of queries that meets: images between two answers, certified by the members and offered to a store.

Balls of unlike test images lie far apart. An image on the way from one to the other does not: where the answer changes,
two neighbours may be certified at different σ* to different answers, and their balls meet. The stream walks such ways
(morphs of two test images, images under a growing trigger) and halves the gap about every change of the answer, as
somebody would who looks for a contradiction. Every certificate is the members' own; the store is empty at first, and
is the stream's alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.errors import RunError
from certssb_core.query.edit_image import triggered
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.query.reply import Reply
from certssb_core.results import store_ledger
from certssb_core.runs import files
from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run
from certssb_core.store.store import Store

MORPHS, ATTACKED, TRIGGERS = 6, 2, 2
"""Ways of each kind: morphs as they come, morphs whose change of answer an attacker sends first, growing triggers."""
STEPS, HALVINGS = 7, 5
STRONGEST = 3.0
"""L2 norm of the trigger at the end of its way, in norms of the run's own."""


@dataclass(frozen=True)
class Way:
    """A way through the space of images.

    Attributes:
        name: in words, in the store as the set of its inputs.
        image: from a place in [0, 1] to the image ``(C, H, W)`` there.
        attacker: the images about the change of the answer are sent before the others.
    """

    name: str
    image: Callable[[float], np.ndarray]
    attacker: bool = False


def ways(run: Run) -> list[Way]:
    """The ways of a run's stream: between its nearest clean test images of different answer, and under its trigger.

    Raises:
        RunError: its certificates are no balls, or no two of its balls have different labels.
    """
    if not CERTIFICATES[run.config.certification.certificate].balls:
        raise RunError(f"the certificates of {run.name} are not balls: nothing can meet")
    inputs = run_inputs(run)
    images = inputs.dataset.test_images
    with Store.read(run.store_path) as store:
        balls, ledger = store.balls(), store_ledger.table(store.ledger(), inputs.dataset.classes)
    claims = store_ledger.survey_store(balls, ledger, after=False)
    stored = ledger[ledger["stored"]]
    clean, index = (stored["set"] == "clean").to_numpy(), stored["index"].to_numpy()
    order = np.argsort(claims.distance / claims.radius_sum, kind="stable")
    pairs = [(claims.first[k], claims.second[k]) for k in order if clean[claims.first[k]] and clean[claims.second[k]]]
    if not pairs:
        raise RunError(f"no two clean test images of {run.name} are certified to different answers")
    found = [
        _morph(images, int(index[a]), int(index[b]), attacker=place >= MORPHS)
        for place, (a, b) in enumerate(pairs[: MORPHS + ATTACKED])
    ]
    if run.config.attack.crafted:
        return found
    victims = dict.fromkeys(int(index[row]) for pair in pairs for row in pair if inputs.measures_attack[index[row]])
    return found + [_growing(run, images[victim], victim) for victim in list(victims)[:TRIGGERS]]


def make(run: Run, *, told: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Ask the run's members about every image of its stream, and store the certificates in ``stream.sqlite``.

    Args:
        told: is called with the number of ways done, and of all of them.

    Raises:
        RunError: the run cannot answer, or has no two balls of different label; the folder cannot be written.
    """
    walked, loaded = ways(run), LoadedEnsemble(run)
    images, replies, sets, steps = [], [], [], []
    for done, way in enumerate(walked):
        told(done, len(walked))
        answers = walk(partial(loaded.ask, fixed=False), way)
        places = sorted(answers)
        for place in sent(answers, attacker=way.attacker):
            images.append(way.image(place).ravel())
            replies.append(answers[place])
            sets.append(way.name)
            steps.append(places.index(place))

    def fill(path: Path) -> None:
        with Store.open(path) as store:
            store.insert(
                np.stack(images),
                [reply.prediction for reply in replies],
                [reply.members_radius for reply in replies],
                [reply.sigma for reply in replies],
                sets,
                steps,
            )

    with files.writing(run.path):
        files.write_atomically(run.stream_path, fill)


def walk(ask: Callable[[np.ndarray], Reply], way: Way) -> dict[float, Reply]:
    """Ask at :data:`STEPS` even places of ``way``, then halve the gap about the first change of the answer.

    Returns:
        The replies by place, in the order in which they were asked.
    """
    replies = {place: ask(way.image(place)) for place in np.linspace(0, 1, STEPS).tolist()}
    for _ in range(HALVINGS):
        gap = change(replies)
        if gap is None:
            break
        replies[sum(gap) / 2] = ask(way.image(sum(gap) / 2))
    return replies


def change(replies: dict[float, Reply]) -> tuple[float, float] | None:
    """The last place of the first answer, and the first place after it that is certified to another one."""
    certified = [(place, replies[place].prediction) for place in sorted(replies) if replies[place].prediction >= 0]
    for (place, answer), (after, other) in pairwise(certified):
        if answer != other:
            return place, after
    return None


def sent(replies: dict[float, Reply], *, attacker: bool) -> list[float]:
    """The places in the order in which they are sent to the store: as asked, or those asked last first."""
    asked = list(replies)
    return asked[STEPS:] + asked[:STEPS] if attacker else asked


def _morph(images: np.ndarray, first: int, second: int, *, attacker: bool) -> Way:
    def image(place: float) -> np.ndarray:
        return ((1 - place) * images[first] + place * images[second]).astype(np.float32)

    sender = "attacker's morph" if attacker else "morph"
    return Way(f"{sender} of clean {first} into clean {second}, step", image, attacker)


def _growing(run: Run, image: np.ndarray, index: int) -> Way:
    attack = run.config.attack

    def grown(place: float) -> np.ndarray:
        return triggered(image, attack, attack.trigger, place * STRONGEST * attack.norm)

    return Way(f"growing trigger on clean {index}, step", grown)
