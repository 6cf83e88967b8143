"""Noise levels dealt out anew among test inputs: does σ* give a class away that the image should tell?

Permutation importance (Breiman, 2001) of σ*: what changes where inputs exchange their levels and nothing else.
"""

from __future__ import annotations

import numpy as np

from certssb_core.smoothing.seeds import generator

MOST = 200
"""Maximum number of inputs that are asked a second time."""


def permutation(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose inputs, evenly spaced among ``count``, and deal their levels out among them.

    Returns:
        ``(k,)`` int64 the inputs, and ``(k,)`` int64 the input whose level each of them gets.
    """
    rows = np.arange(min(count, MOST), dtype=np.int64) * count // max(min(count, MOST), 1)
    return rows, rows[generator(seed, "permuted levels").permutation(len(rows))]
