"""Checks of what users hand to a policy, with errors that name the mistake and the mend."""

from __future__ import annotations

from typing import Any

import numpy as np


def observation_rows(observation: Any, size: int, task: str, hint: str = "") -> np.ndarray:
    """Observations `[size]` or `[n, size]` as `[n, size]` float32.

    Args:
        observation: what the policy was given.
        size: numbers that the model takes.
        task: the policy's, for the error.
        hint: ends the error of a wrong shape.

    Raises:
        ValueError: for anything else; names the mistake and the mend.
    """
    if isinstance(observation, tuple) and len(observation) == 2:
        if isinstance(observation[1], dict):
            raise ValueError(
                "you passed the (observation, info) tuple of reset(): "
                "use `observation, info = env.reset()`"
            )
    if isinstance(observation, dict):
        raise ValueError(
            f"observation is a dictionary of {sorted(observation)}; expected a vector of "
            f"{size}: wrap the environment in gymnasium.wrappers.FlattenObservation"
        )
    array = np.asarray(observation, dtype=np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] != size:
        raise ValueError(
            f"observation has shape {array.shape}; expected ({size},) or (n, {size}), as in "
            f"the training data of {task}{hint}"
        )
    array = np.atleast_2d(array)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise ValueError(
            f"observation holds NaN or infinity in row {row}: the simulation has diverged "
            "or a sensor is missing; reset that environment"
        )
    return array


def finite_target(target: float) -> float:
    """Return the target as a float.

    Raises:
        ValueError: if it is not finite.
    """
    if not np.isfinite(target):
        raise ValueError(f"target={target} must be a finite return in the task's raw units")
    return float(target)
