"""Early stopping by the time-uniform bound, as the benchmark of the bounds reads votes."""

import numpy as np
from scipy.stats import norm

from benchmarks.bounds import stop_early
from certssb_core.certify.bounds.time_uniform import time_uniform_bounds


def test_stopping_reads_only_what_it_needs_and_says_what_the_votes_so_far_say():
    rng = np.random.default_rng(2)
    votes = (rng.random((400, 12)) < np.linspace(0.01, 0.5, 12)).astype(np.uint8)
    stopped = stop_early(votes, classes=2, alpha=0.01, margin=1.0, every=20)
    for column, used in enumerate(stopped.used.tolist()):
        at = [*range(20, 400, 20), 400]
        margins = {}
        for seen in at:
            ones = int(votes[:seen, column].sum())
            bounds = time_uniform_bounds([[seen - ones, ones]], seen, 0.01)
            decided = bounds.prediction[0] >= 0
            margins[seen] = (norm.ppf(bounds.p_a_lower[0]) - norm.ppf(bounds.p_b_upper[0])) / 2 if decided else 0
        assert used == next((seen for seen in at if margins[seen] >= 1.0), 400)
    assert stopped.used.min() < 100
    assert stopped.used.max() == 400
