"""Recording agents in any gymnasium environment whose observations are vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from lpt.data.action_bounds import DETAIL, ActionBounds
from lpt.data.dataset import TrajectoryDataset
from lpt.data.provenance import Provenance, library_versions
from lpt.data.recipes.agents import Agent, load_agent
from lpt.data.recipes.recipe import Progress
from lpt_envs.making import make_env

STEP_LIMIT = 100_000
"""Steps after which an episode of an environment without a time limit is given up."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What agents did, and the observation after each episode's last action."""

    dataset: TrajectoryDataset
    """The episodes, in the order of their seeds."""
    final_observations: np.ndarray
    """`[n, observation_dim]`, which Minari stores and data sets do not."""


def record(
    env_id: str,
    agents: Sequence[str],
    episodes: int,
    *,
    seed: int = 0,
    deterministic: bool = False,
    progress: Progress | None = None,
) -> Recording:
    """Let agents act in turns, episode `i` by agent `i % len(agents)`, reset with `seed + i`.

    An agent named twice has twice as many episodes. The same call gives the same data, whatever
    ran before; the process's global generators are reseeded (stable-baselines3 draws from them).

    Args:
        env_id: gymnasium id; `module:Name-v0` imports the module that registers it first.
        agents: paths of agents that stable-baselines3 saved, and `random`.
        episodes: number of episodes.
        seed: of resets and actions.
        deterministic: saved agents take the mode of their policy; else they explore.
        progress: called with (done, all) after each episode.

    Raises:
        FileNotFoundError: there is no such agent.
        ValueError: the environment is unknown or has spaces that no policy can learn, an agent is
            of another one, an episode does not end, or a number is out of range.
    """
    if episodes < 1 or not agents:
        raise ValueError(
            f"--episodes {episodes} with {len(agents)} agents: expected at least 1 of each, as in "
            "--agent random --episodes 100"
        )
    env = make_recordable(env_id)
    try:
        band = [load_agent(name, env, deterministic=deterministic) for name in agents]
        recorded = []
        for i in range(episodes):
            recorded.append(_episode(env, band[i % len(band)], seed + i))
            if progress is not None:
                progress(i + 1, episodes)
        return _recording(env, env_id, band, recorded, seed)
    finally:
        env.close()


@dataclass(eq=False)
class _Episode:
    """One episode: T steps, and T + 1 observations."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool


def make_recordable(env_id: str) -> gym.Env:
    """Make an environment whose spaces a policy can learn.

    Raises:
        ValueError: it is unknown, or has other spaces.
    """
    try:
        env = make_env(env_id, disable_env_checker=True)
    except (gym.error.Error, ImportError) as error:
        raise ValueError(
            f"cannot make the environment {env_id!r} ({error}): give the id with the module that "
            "registers it, as in 'my_package:My-v0'"
        ) from error
    _check_spaces(env, env_id)
    return env


def _check_spaces(env: gym.Env, env_id: str) -> None:
    """Raise ValueError for spaces that no policy of this toolkit is for."""
    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, gym.spaces.Box) or len(seen.shape) != 1:
        raise ValueError(
            f"{env_id} has observations {seen}; expected a vector: register it with "
            "additional_wrappers=(gymnasium.wrappers.FlattenObservation.wrapper_spec(),)"
        )
    discrete = isinstance(done, gym.spaces.Discrete) and done.start == 0
    floats = isinstance(done, gym.spaces.Box) and len(done.shape) == 1 and done.dtype.kind == "f"
    if not (discrete or floats):
        raise ValueError(
            f"{env_id} has actions {done}; expected a vector of floats, or discrete ones numbered "
            "from 0: wrap it so (gymnasium.wrappers.TransformAction)"
        )


def _episode(env: gym.Env, agent: Agent, seed: int) -> _Episode:
    observation, _ = env.reset(seed=seed)
    agent.seed(seed)
    observations, actions, rewards = [observation], [], []
    for _ in range(STEP_LIMIT):
        action = agent.act(observation)
        if isinstance(env.action_space, gym.spaces.Discrete):
            action = int(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
        if terminated or truncated:
            return _Episode(
                np.asarray(observations, np.float32),
                np.asarray(actions),
                np.asarray(rewards, np.float32),
                bool(terminated),
            )
    raise ValueError(
        f"an episode of {env.spec and env.spec.id} did not end within {STEP_LIMIT} steps: register "
        "the environment with max_episode_steps"
    )


def _recording(
    env: gym.Env, env_id: str, band: Sequence[Agent], episodes: list[_Episode], seed: int
) -> Recording:
    """Put episodes end to end, actions in [-1, 1], and say where they come from."""
    actions = np.concatenate([episode.actions for episode in episodes])
    bounds = ActionBounds.of_space(env.action_space)
    details: dict[str, Any] = {
        "generator": "lpt-data record",
        "agents": _describe_agents(band, episodes),
        "horizon": env.spec and env.spec.max_episode_steps,
        "episodes": len(episodes),
        "seed": seed,
        "versions": library_versions(("numpy", "gymnasium", "stable-baselines3")),
    }
    if bounds is not None:
        details[DETAIL] = bounds.to_details()
        actions = bounds.to_unit(actions)
    name = env_id.rpartition(":")[2]
    number = env.action_space.n if isinstance(env.action_space, gym.spaces.Discrete) else None
    dataset = TrajectoryDataset.from_offsets(
        np.concatenate([episode.observations[:-1] for episode in episodes]),
        actions,
        np.concatenate([episode.rewards for episode in episodes]),
        np.cumsum([0, *(len(episode.rewards) for episode in episodes)]),
        np.array([episode.terminated for episode in episodes]),
        provenance=Provenance("recorded", name, env_id, details=details),
        num_actions=None if number is None else int(number),
    )
    return Recording(dataset, np.stack([episode.observations[-1] for episode in episodes]))


def _describe_agents(band: Sequence[Agent], episodes: list[_Episode]) -> list[dict[str, Any]]:
    """Return what each agent is, how often it played and what it earned."""
    parts = [episodes[i :: len(band)] for i in range(len(band))]
    return [
        {
            **agent.describe(),
            "episodes": len(part),
            "mean_return": float(np.mean([e.rewards.sum() for e in part])) if part else None,
        }
        for agent, part in zip(band, parts, strict=True)
    ]
