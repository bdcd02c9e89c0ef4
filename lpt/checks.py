"""Checks of what users hand to a policy, with errors that name the mistake and the mend."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from lpt.data.action_bounds import ActionBounds
from lpt.model import Spaces

Group = TypeVar("Group")


def observation_rows(observation: Any, size: int, task: str, hint: str = "") -> np.ndarray:
    """Observations ``[size]`` or ``[n, size]`` as ``[n, size]`` float32.

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


def check_spaces(
    env: gymnasium.Env, expected: Spaces, task: str, bounds: ActionBounds | None = None
) -> None:
    """Check that an environment has the spaces the policy was trained on.

    Args:
        env: the environment.
        expected: sizes of the policy's spaces.
        task: the policy's, for the error.
        bounds: between which the policy's actions lie; unset: -1 and 1. Of an environment with
            other bounds a policy of these only warns: its data may have been in the environment's
            own units.

    Raises:
        ValueError: if not; says which space, what it is and what the policy expects.
    """
    name = env_name(env)
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, spaces.Box) or observation.shape != (expected.observation_dim,):
        flatten = not isinstance(observation, spaces.Box) or len(observation.shape) != 1
        mend = "wrap it in gymnasium.wrappers.FlattenObservation" if flatten else "is it this task?"
        raise ValueError(
            f"{name} has observations {observation}, but the policy was trained on vectors of "
            f"{expected.observation_dim} ({task}): {mend}"
        )
    size = expected.action_dim
    if expected.discrete:
        fits = isinstance(action, spaces.Discrete) and action.start == 0 and action.n >= size
        wanted = f"{size} discrete actions, numbered from 0"
    else:
        fits = isinstance(action, spaces.Box) and action.shape == (size,)
        wanted = f"continuous actions of {size} dimensions"
    if not fits:
        raise ValueError(f"{name} has actions {action}, but the policy was trained on {wanted}")
    if not expected.discrete:
        _check_bounds(name, action, bounds)


def _check_bounds(name: str, space: gymnasium.Space, bounds: ActionBounds | None) -> None:
    takes, size = ActionBounds.of_space(space), int(np.prod(space.shape or ()))
    answers = bounds or ActionBounds.unit(size)
    if (takes or ActionBounds.unit(size)).to_details() == answers.to_details():
        return
    text = f"{name} takes actions of {space}, and the policy answers in {answers.to_details()}"
    if bounds is not None:
        raise ValueError(f"{text}, the bounds of its data's environment: evaluate in that one")
    warnings.warn(
        f"{text}: if the data's actions were rescaled, evaluate in "
        "gymnasium.wrappers.RescaleAction(env, -1, 1)",
        stacklevel=3,
    )


def finite_target(target: float) -> float:
    """The target as a float.

    Raises:
        ValueError: if it is not finite.
    """
    if not np.isfinite(target):
        raise ValueError(f"target={target} must be a finite return in the task's raw units")
    return float(target)


def find_device(name: str | torch.device) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one.

    Raises:
        ValueError: if the machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: use 'auto', 'cpu', 'cuda' or 'mps'") from error
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, True):
        raise ValueError(f"device {name} is not available on this machine: use 'cpu' or 'auto'")
    return device


def config_group(cls: type[Group], values: dict[str, Any], name: str) -> Group:
    """A configuration dataclass from a checkpoint's plain values.

    Raises:
        ValueError: for unknown fields, naming them.
    """
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if set(values) - known:
        raise ValueError(
            f"the checkpoint's configuration has unknown fields "
            f"{sorted(f'{name}.{key}' for key in set(values) - known)}: it was written by another "
            "version of lpt-toolkit; load it with that one"
        )
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return cls(**{**values, **lists})


def env_name(env: gymnasium.Env) -> str:
    """An environment's id, or the name of its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
