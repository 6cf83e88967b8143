import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from certssb_core.config.schema import AttackConfig, NoiseConfig, RunConfig
from certssb_core.results.summary import facts
from certssb_core.store.overlaps import survey


@pytest.fixture
def found():
    config = RunConfig(attack=AttackConfig(norm=0.5, target=0), noise=NoiseConfig(sigma=0.25))
    metrics = {"clean": {"accuracy": 0.5, "certified_accuracy": {"0.25": 0.125}}, "undefended": None}
    samples = pd.DataFrame(
        [
            ("train", 0, "a", 0.2, False, None, None, None),
            ("train", 1, "b", 0.1, True, None, None, None),
            ("clean", 0, "a", 0.4, False, 1.0, 0.4, True),
            ("clean", 1, "b", 0.3, False, 0.0, 0.0, False),
            ("triggered", 0, "a", 0.4, True, 0.0, 0.0, False),
            ("triggered", 1, "b", 0.6, True, 0.0, 0.0, False),
            ("triggered", 1, "b", 0.6, True, 1.0, 0.6, True),
        ],
        columns=["set", "label", "name", "sigma", "poisoned", "margin", "radius", "right"],
    ).astype({"right": "boolean", "poisoned": bool})
    balls = np.array([[0.0], [1.0], [5.0]]), np.array([0, 1, 1]), np.array([0.4, 0.5, 0.2])
    return facts(config, metrics, samples, survey(*balls), survey(*balls), dimensions=1)


def test_settings_and_metrics_by_their_own_names(found):
    assert (found["attack.norm"], found["clean.accuracy"], found["clean.certified_accuracy.0.25"]) == (0.5, 0.5, 0.125)
    assert "undefended" not in found, "what the run does not know"


def test_images(found):
    assert (found["images.train"], found["images.poisoned"]) == (2, 1)
    assert (found["images.asked"], found["images.certified"]) == (5, 2), "to abstain is no certificate"
    assert (found["sigma.poisoned_median"], found["sigma.unpoisoned_median"]) == (0.1, 0.2)
    assert (found["sigma.boldest_class"], found["sigma.shyest_class"]) == ("a", "b")
    assert found["radius.median"] == found["radius.max"] == 0.4
    assert found["triggered.abstained"] == 0.5, "of the two that are not of the target class"


def test_balls_and_promises(found):
    assert (found["balls.pairs"], found["balls.conflicts"]) == (3, 0)
    assert found["balls.smallest_gap"] == pytest.approx(0.1)
    assert found["certificates.wrong_at_most"] == pytest.approx(0.005)


def test_the_mass_that_two_gaussians_share(found):
    points = np.linspace(-6, 8, 200_001)
    shared = np.minimum(norm.pdf(points), norm.pdf(points, found["attack.shift"]))
    assert found["attack.shift"] == 2
    assert found["attack.overlap"] == pytest.approx(np.trapezoid(shared, points), abs=1e-6)
