"""Student's t distribution for whole degrees of freedom, by its finite sums.

Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4. SciPy has the
same, but its import would take a second of every start.
"""

from __future__ import annotations

import math


def t_within(t: float, df: int) -> float:
    """Return P(|T| <= t) for `df` degrees of freedom.

    Raises:
        ValueError: for a negative `t` or `df` below 1.
    """
    if t < 0 or df < 1:
        raise ValueError(f"t must be 0 or more and df 1 or more, got t={t}, df={df}")
    angle = math.atan2(t, math.sqrt(df))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    if df % 2 == 0:
        return sine * _series(square, range(1, df - 2, 2))
    if df == 1:
        return 2 * angle / math.pi
    odd = sine * math.cos(angle) * _series(square, range(2, df - 2, 2))
    return 2 / math.pi * (angle + odd)


def _series(square: float, numerators: range) -> float:
    """Return 1 + a/(a+1) c + a/(a+1) (a+2)/(a+3) c^2 + ..., one term for each numerator."""
    total = term = 1.0
    for numerator in numerators:
        term *= square * numerator / (numerator + 1)
        total += term
    return total


def t_quantile(df: int, within: float = 0.95) -> float:
    """Return the t with P(|T| <= t) = `within`; for 0.95 that is the 0.975 quantile.

    Raises:
        ValueError: for `df` below 1 or `within` outside of (0, 1).
    """
    if not 0 < within < 1:
        raise ValueError(f"within must lie between 0 and 1, got {within}")
    low, high = 0.0, 1.0
    while t_within(high, df) < within:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_within(middle, df) < within else (low, middle)
    return high
