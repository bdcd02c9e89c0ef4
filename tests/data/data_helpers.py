"""Random data sets for the tests of the data layer."""

from typing import Any

import gymnasium as gym
import numpy as np


def random_steps(lengths: list[int], *, discrete: bool = False, seed: int = 0) -> dict[str, Any]:
    """D4RL-style arrays of trajectories of these lengths; every third one truly terminates."""
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    last = np.cumsum(lengths) - 1
    terminals, timeouts = np.zeros(steps, bool), np.zeros(steps, bool)
    terminals[last[::3]] = True
    timeouts[np.setdiff1d(last, last[::3])] = True
    actions = rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
    return {
        "observations": (3 * rng.standard_normal((steps, 3)) + 1).astype(np.float32),
        "actions": rng.integers(0, 4, steps) if discrete else actions,
        "rewards": rng.standard_normal(steps).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
    }


def stack(space: gym.Space, samples: list[Any]) -> Any:
    """Elements of a space as Minari stores them: an array, or a dictionary or tuple of such."""
    if isinstance(space, gym.spaces.Dict):
        return {k: stack(s, [x[k] for x in samples]) for k, s in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(stack(s, [x[i] for x in samples]) for i, s in enumerate(space.spaces))
    return np.array(samples)
