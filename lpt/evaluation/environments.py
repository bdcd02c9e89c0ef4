"""Environments for policies: made with errors that mend, and checked against what was trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from lpt.algorithms import find_algorithm
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.data.action_bounds import ActionBounds
from lpt.model import Spaces
from lpt_envs.making import make_env

MakeEnvironment = Callable[[], gymnasium.Env]
"""Makes one environment."""


def make_environment(env_id: str, **options: Any) -> gymnasium.Env:
    """`gymnasium.make` with errors that say how to mend them.

    Raises:
        ValueError: if the environment is not registered or cannot be built.
    """
    if env_id.count(":") > 1:
        raise ValueError(f"{env_id!r} is no environment's id: expected module:Name-v0 or Name-v0")
    try:
        # The checker would test every transition; spaces are checked once, by check_spaces.
        return make_env(env_id, disable_env_checker=True, **options)
    except (gymnasium.error.Error, ImportError, TypeError) as error:  # TypeError: of its options
        raise ValueError(
            f"cannot make the environment {env_id!r} ({error}): give the id with the module that "
            "registers it, as in 'lpt_envs:lpt/Maze2D-umaze-v1' or 'my_package:My-v0'"
        ) from error


def policy_environment(
    metadata: PolicyMetadata, env: str | MakeEnvironment, target: float, **options: Any
) -> gymnasium.Env:
    """Return an environment with the observations that a policy was trained on, spaces unchecked.

    Args:
        metadata: the policy's; `dt`'s observations end with the return-to-go.
        env: gymnasium id, or a function that makes the environment.
        target: return asked for, raw units.
        **options: of `gymnasium.make`, such as `render_mode`.

    Raises:
        ValueError: if the environment is not registered or cannot be built.
    """
    if callable(env):
        made = env()
    else:
        made = make_environment(env, **{**environment_kwargs(metadata, env), **options})
    return find_algorithm(metadata.algorithm).wrap(made, target)


def environment_kwargs(metadata: PolicyMetadata, env_id: str) -> dict[str, Any]:
    """Return what the data's own environment is made with besides its id; nothing for others.

    Raises:
        ValueError: it would open a file that the checkpoint chose.
    """
    origin = metadata.provenance
    if env_id != origin.get("env_id"):
        return {}
    options = dict(origin.get("details", {}).get("env_kwargs", {}))
    files = [name for name in options if name.endswith(("file", "path"))]
    if files:
        raise ValueError(
            f"the checkpoint of {metadata.task} makes {env_id} with {files[0]}="
            f"{options[files[0]]!r}, a file of its choice: register an environment of your own "
            "with that file, and name it with --env-id"
        )
    return options


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


def _check_bounds(name: str, space: gymnasium.Space[Any], bounds: ActionBounds | None) -> None:
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


def env_name(env: gymnasium.Env) -> str:
    """Return an environment's id, or the name of its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
