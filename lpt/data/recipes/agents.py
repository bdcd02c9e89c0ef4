"""Agents that record data: those that stable-baselines3 has saved, and random play."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

RANDOM = "random"
"""The agent that draws from the action space."""
_KINDS = {
    "stable_baselines3.dqn.policies": "DQN",
    "stable_baselines3.sac.policies": "SAC",
    "stable_baselines3.td3.policies": "TD3",
    "stable_baselines3.common.policies": "PPO",
}
"""Classes of stable-baselines3 by the module of their policies; DDPG's is TD3's, A2C's is PPO's."""


class Agent(Protocol):
    """Something that acts in an environment."""

    @property
    def name(self) -> str:
        """What the record calls it."""

    def seed(self, seed: int) -> None:
        """Restart its random numbers before an episode."""

    def act(self, observation: np.ndarray) -> Any:
        """Return the action for an observation, as the environment takes it."""

    def describe(self) -> dict[str, Any]:
        """Return what identifies it, in plain JSON types."""


@dataclass(frozen=True, kw_only=True)
class RandomAgent:
    """Draws from the action space."""

    space: gym.Space[Any]
    """The action space."""
    name: str = RANDOM

    def seed(self, seed: int) -> None:
        """Restart the space's own generator."""
        self.space.seed(seed)

    def act(self, observation: np.ndarray) -> Any:
        """Return a draw."""
        return self.space.sample()

    def describe(self) -> dict[str, Any]:
        """Return the name."""
        return {"name": self.name}


@dataclass(frozen=True, kw_only=True)
class SavedAgent:
    """An agent of stable-baselines3."""

    path: Path
    """The file it was saved in."""
    model: Any = field(repr=False)
    """The agent, a `BaseAlgorithm`."""
    deterministic: bool = False
    """Whether it takes the mode of its policy, else it explores as in training."""

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.name.removesuffix(".zip")

    def seed(self, seed: int) -> None:
        """Restart the generators that it draws from, which are the process's own."""
        self.model.set_random_seed(seed)

    def act(self, observation: np.ndarray) -> Any:
        """Return an action, clipped to the bounds."""
        action, _ = self.model.predict(observation, deterministic=self.deterministic)
        return action

    def describe(self) -> dict[str, Any]:
        """Return class, training steps and the hash of the file."""
        return {
            "name": self.name,
            "class": type(self.model).__name__,
            "trained_steps": int(self.model.num_timesteps),
            "deterministic": self.deterministic,
            "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
        }


def load_agent(name: str, env: gym.Env, *, deterministic: bool = False) -> Agent:
    """Return an agent for an environment.

    Loading a file runs code that is in it (stable-baselines3 pickles): take files of people you
    trust.

    Args:
        name: `random`, or the path of a file that `save` of a stable-baselines3 agent wrote.
        env: the environment to act in.
        deterministic: take the mode of a saved agent's policy.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or the agent acts in other spaces.
    """
    if name == RANDOM:
        return RandomAgent(space=env.action_space)
    path = Path(name).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"--agent {name}: no such file; give a .zip that model.save() of stable-baselines3 "
            f"wrote, or {RANDOM}"
        )
    import stable_baselines3  # a second of imports, for agents only

    model = getattr(stable_baselines3, _kind(path)).load(path, device="cpu")
    for what in ("observation_space", "action_space"):
        own, there = getattr(model, what), getattr(env, what)
        if (type(own), own.shape) != (type(there), there.shape) or _count(own) != _count(there):
            raise ValueError(
                f"--agent {name} was trained with {what} {own}, but the environment has {there}: "
                "give an agent of this environment"
            )
    return SavedAgent(path=path, model=model, deterministic=deterministic)


def _kind(path: Path) -> str:
    """Return the name of the class that a file's agent is of."""
    try:
        with zipfile.ZipFile(path) as file:
            data = json.loads(file.read("data"))
        module = data["policy_class"]["__module__"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"--agent {path} is no agent of stable-baselines3 ({error}): give a .zip that "
            f"model.save() wrote, or {RANDOM}"
        ) from error
    if module not in _KINDS:
        raise ValueError(
            f"--agent {path} has a policy of {module}: expected one of PPO, A2C, DQN, SAC, TD3 "
            "or DDPG of stable-baselines3"
        )
    actor_critic = module == "stable_baselines3.common.policies"
    return "A2C" if actor_critic and "clip_range" not in data else _KINDS[module]


def _count(space: gym.Space[Any]) -> int | None:
    return int(space.n) if isinstance(space, gym.spaces.Discrete) else None
