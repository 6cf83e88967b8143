"""Find the balls that a ball around a point may intersect, by one float32 matrix product that never misses one.

Point ``(x, r)`` and ball ``(c, R)`` intersect where the *power* ``‖x − c‖² − (r + R)²`` is negative. It is the product
of a row per point and a row per ball, ``(−2x, 1, ‖x‖² − r², −2r) · (c, ‖c‖² − R², 1, R)``. Everything here is a lower
bound of it: twice what rounding can do is taken off.
"""

from __future__ import annotations

import numpy as np

_EPS = float(np.finfo(np.float32).eps)  # one operation is off by half of it
_LARGEST, _SMALLEST = 1e36, 1e-30  # squares that float32 holds, and below which its products vanish


def point_rows(coordinates: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """``(n, k + 3)`` float32 of points ``(n, k)`` float64 with the radii ``(n,)`` around them."""
    constant = _constant(squares(coordinates), radii, _row_error(coordinates))
    return _float32(np.column_stack([-2 * coordinates, np.ones_like(radii), constant, -2 * radii]))


def ball_rows(coordinates: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """``(n, k + 3)`` float32 of balls with centres ``(n, k)`` float64 and radii ``(n,)``."""
    constant = _constant(squares(coordinates), radii, _row_error(coordinates))
    return _float32(np.column_stack([coordinates, constant, np.ones_like(radii), radii]))


def full_power(
    points: np.ndarray, radii: np.ndarray, centres: np.ndarray, centre_squares: np.ndarray, ball_radii: np.ndarray
) -> np.ndarray:
    """``(n, m)`` float32: the powers of points ``(n, d)`` and balls ``(m, d)``, both float32, from all coordinates."""
    # Twice the error of a product of d terms, and of the few operations after it.
    error = (points.shape[1] + 10) * _EPS
    with np.errstate(over="ignore", invalid="ignore"):
        power = points @ centres.T
        power *= -2
        power += _float32(_constant(centre_squares, ball_radii, error))
        power += _float32(_constant(squares(points), radii, error))[:, None]
        power -= np.outer(_float32(2 * radii), _float32(ball_radii))
    return power


def squares(points: np.ndarray) -> np.ndarray:
    """``(n,)`` float64, of the norms of ``(n, d)``."""
    return np.einsum("nd,nd->n", points, points, dtype=np.float64)


def _constant(square: np.ndarray, radii: np.ndarray, error: float) -> np.ndarray:
    """The terms of the power that depend on one side only, less its share of the rounding error.

    NaN, which may intersect anything, where float32 cannot tell.
    """
    size = square + radii**2 + _SMALLEST
    return np.where(size < _LARGEST, square - radii**2 - error * size, np.nan)


def _row_error(coordinates: np.ndarray) -> float:
    """Twice the error of a product of k + 3 rounded terms, whose magnitudes sum to at most twice both sizes."""
    return 2 * (coordinates.shape[1] + 3 + 8) * _EPS


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
