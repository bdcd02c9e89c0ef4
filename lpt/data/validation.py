"""Checks of step arrays before anything is built from them.

Every error names where the data came from, the field at fault and how to mend it, because these
mistakes are made in files that somebody else wrote.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lpt.data.blocks import blocks, extent
from lpt.machine.untrusted import Refused

ACTION_TOLERANCE = 1e-3
"""How far a continuous action may lie outside [-1, 1] (rounding in stored files)."""

MOST_ACTIONS = 1 << 16
"""Discrete actions that a model is built for at most."""


def problem(where: str, field: str, what: str, mend: str) -> ValueError:
    """Return the error for `field` of the data at `where`: what is wrong and how to mend it."""
    return Refused(f"{where}: field '{field}' {what}. {mend}")


def numeric(array: Any, steps: int, field: str, where: str) -> np.ndarray:
    """Return `array` as a numpy array of real numbers with `steps` rows, without a copy.

    Raises:
        ValueError: it holds something else, or another number of rows.
    """
    values = _numeric(array, field, where)
    _check_length(values, steps, field, where)
    return values


def as_observations(array: Any, where: str) -> np.ndarray:
    """Return observations as float32 `[steps, observation_dim]`, without a copy if they are so.

    Raises:
        ValueError: not numeric, not two-dimensional, empty, or with NaN or infinite entries.
    """
    values = _numeric(array, "observations", where)
    if values.ndim != 2:
        raise problem(
            where,
            "observations",
            f"has shape {list(values.shape)}, expected [steps, observation_dim]",
            "Put all trajectories end to end and flatten each observation to a vector "
            "(gymnasium.spaces.flatten does so for structured spaces).",
        )
    if 0 in values.shape:
        raise problem(
            where,
            "observations",
            f"is empty (shape {list(values.shape)})",
            "Store at least one step with at least one observation entry.",
        )
    return _finite(_float32(values), "observations", where)


def as_rewards(array: Any, steps: int, where: str) -> np.ndarray:
    """Return rewards as float32 `[steps]`; a trailing axis of one is dropped.

    Raises:
        ValueError: not numeric, of another length than the observations, or not finite.
    """
    values = _vector(_numeric(array, "rewards", where), steps, "rewards", where)
    return _finite(_float32(values), "rewards", where)


def as_flags(array: Any, steps: int, field: str, where: str) -> np.ndarray:
    """Return episode flags (`terminals` or `timeouts`) as bool `[steps]`.

    Raises:
        ValueError: of another length than the observations, or with entries other than 0 and 1.
    """
    values = _vector(_numeric(array, field, where), steps, field, where)
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        raise problem(where, field, "has entries other than 0 and 1", "Store one flag per step.")
    return values.astype(bool)


def as_actions(
    array: Any, steps: int, where: str, *, discrete: bool | None, num_actions: int | None
) -> np.ndarray:
    """Return actions as float32 `[steps, act_dim]` or, if discrete, int64 `[steps]`.

    Args:
        array: the stored actions.
        steps: number of observations.
        where: name of the file or data set for errors.
        discrete: what is configured; None infers it (integers are discrete, floats are not).
        num_actions: number of discrete actions, if known.

    Raises:
        ValueError: the kind is not the one configured, the length is wrong, an entry is not
            finite, a continuous action leaves [-1, 1] or a discrete one its range.
    """
    values = numeric(array, steps, "actions", where)
    integral = np.issubdtype(values.dtype, np.integer)
    flat = values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)
    if discrete is None:
        discrete = bool(integral and flat)
    if discrete:
        return _discrete_actions(values, flat, num_actions, where)
    if integral:
        raise problem(
            where,
            "actions",
            f"holds integers ({values.dtype}) where continuous actions are configured",
            "Configure discrete actions (--model.likelihood categorical), or store floats in "
            "[-1, 1].",
        )
    return _continuous_actions(values, where)


def as_offsets(array: Any, steps: int, where: str) -> np.ndarray:
    """Return trajectory offsets as int64 `[n+1]`, from 0 to `steps`, strictly increasing.

    Raises:
        ValueError: any of these does not hold.
    """
    values = _numeric(array, "offsets", where)
    mend = "offsets[i] is the first step of trajectory i and offsets[-1] the number of steps."
    if values.ndim != 1 or len(values) < 2 or not np.issubdtype(values.dtype, np.integer):
        raise problem(
            where,
            "offsets",
            f"is {values.dtype} {list(values.shape)}, expected integers [n+1]",
            mend,
        )
    values = values.astype(np.int64)
    if values[0] != 0 or values[-1] != steps:
        what = f"runs from {values[0]} to {values[-1]}, expected from 0 to {steps}"
        raise problem(where, "offsets", what, mend)
    if (np.diff(values) <= 0).any():
        at = int(np.flatnonzero(np.diff(values) <= 0)[0])
        what = f"does not increase at entry {at + 1} (an empty trajectory)"
        raise problem(where, "offsets", what, mend)
    return values


def as_trajectories(
    observations: Any,
    actions: Any,
    rewards: Any,
    offsets: Any,
    terminated: Any | None,
    where: str,
    *,
    discrete: bool | None,
    num_actions: int | None,
) -> dict[str, np.ndarray]:
    """Return all arrays of a data set, checked, by their names; no `terminated`: never.

    Raises:
        ValueError: as the functions above.
    """
    obs = as_observations(observations, where)
    steps = len(obs)
    act = as_actions(actions, steps, where, discrete=discrete, num_actions=num_actions)
    rew = as_rewards(rewards, steps, where)
    offs = as_offsets(offsets, steps, where)
    if terminated is None:
        terminated = np.zeros(len(offs) - 1, bool)
    ended = as_flags(terminated, len(offs) - 1, "terminated", where)
    names = ("observations", "actions", "rewards", "offsets", "terminated")
    return dict(zip(names, (obs, act, rew, offs, ended), strict=True))


def _discrete_actions(
    values: np.ndarray, flat: bool, num_actions: int | None, where: str
) -> np.ndarray:
    whole = all(
        (np.isfinite(part) & (part == np.floor(part))).all()
        for part in (values[rows] for rows in blocks(values))
    )
    if not flat or not whole:
        raise problem(
            where,
            "actions",
            f"holds {values.dtype} of shape {list(values.shape)} where discrete actions are "
            "configured",
            "Store one integer per step, or configure continuous actions.",
        )
    low, high = map(int, extent(values))
    if high >= MOST_ACTIONS or (num_actions or 1) not in range(1, MOST_ACTIONS + 1):
        raise problem(
            where,
            "actions",
            f"has numbers up to {high} of {num_actions} actions, expected {MOST_ACTIONS} at most",
            "Number the actions from 0 without gaps.",
        )
    if low < 0 or (num_actions is not None and high >= num_actions):
        bound = "the largest number stored" if num_actions is None else str(num_actions - 1)
        raise problem(
            where,
            "actions",
            f"has numbers from {low} to {high}, expected 0 to {bound}",
            "Number the actions from 0 and state the right number of actions.",
        )
    return values.reshape(-1).astype(np.int64, copy=False)


def _continuous_actions(values: np.ndarray, where: str) -> np.ndarray:
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        raise problem(
            where,
            "actions",
            f"has shape {list(values.shape)}, expected [steps, act_dim]",
            "Flatten each action to a vector.",
        )
    actions = _finite(_float32(values), "actions", where)
    low, high = map(float, extent(actions))
    if max(-low, high) > 1 + ACTION_TOLERANCE:
        raise problem(
            where,
            "actions",
            f"ranges from {low:.4g} to {high:.4g}, expected [-1, 1]",
            "Divide the actions by the environment's bound and evaluate in "
            "gymnasium.wrappers.RescaleAction(env, -1, 1).",
        )
    return actions


def _numeric(array: Any, field: str, where: str) -> np.ndarray:
    values = np.asarray(array)
    if not (np.issubdtype(values.dtype, np.floating) or values.dtype.kind in "iub"):
        what = f"has type {values.dtype}, expected real numbers"
        raise problem(where, field, what, "Store a plain numeric array (no objects, no text).")
    return values


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # an overflow to infinity is reported by _finite
        return np.ascontiguousarray(values, dtype=np.float32)


def _finite(values: np.ndarray, field: str, where: str) -> np.ndarray:
    count, step = 0, 0
    for rows in blocks(values):
        # The sum is finite whenever every entry is (in float64), and needs no temporary array.
        with np.errstate(invalid="ignore"):
            total = values[rows].sum(dtype=np.float64)
        if not np.isfinite(total):
            bad = ~np.isfinite(values[rows])
            step = step if count else rows.start + int(np.argwhere(bad)[0][0])
            count += int(bad.sum())
    if count:
        raise problem(
            where,
            field,
            f"has {count} NaN or infinite entries in float32, the first at step {step}",
            "Remove the trajectories that contain them.",
        )
    return values


def _vector(values: np.ndarray, steps: int, field: str, where: str) -> np.ndarray:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        what = f"has shape {list(values.shape)}, expected [{steps}]"
        raise problem(where, field, what, "Store one number per step.")
    _check_length(values, steps, field, where)
    return values


def _check_length(values: np.ndarray, steps: int, field: str, where: str) -> None:
    if values.ndim == 0 or len(values) != steps:
        length = "no" if values.ndim == 0 else str(len(values))
        raise problem(
            where,
            field,
            f"has {length} steps where observations has {steps}",
            "Store one row per step in every field (D4RL convention: the observation after the "
            "last action is not stored).",
        )
