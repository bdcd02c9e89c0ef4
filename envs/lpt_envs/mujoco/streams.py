"""One simulated environment under a schedule of saved actors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from lpt_envs.making import make_env
from lpt_envs.mujoco.actors import ActorFile, read_actors

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
_REPORT = 1000  # steps between reports of progress


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One environment's run, from its first reset to the end of an episode."""

    env_id: str
    """Gymnasium id; the environment must have a time limit."""
    actors: str
    """File of actors, as text; empty if none is needed."""
    schedule: tuple[tuple[int, int], ...]
    """Pairs (step of training of the actor, steps to act); actor 0 acts uniformly at random. An
    actor takes over in the middle of an episode, as in training. The last one then goes on to
    the end of its episode."""
    seed: int
    """Of the data set."""
    index: int
    """Of this stream among those of the data set; streams draw different numbers."""

    @property
    def steps(self) -> int:
        """Step without those that end the last episode."""
        return sum(steps for _, steps in self.schedule)


def run_stream(stream: Stream, report: Callable[[int], None]) -> dict[str, np.ndarray]:
    """Run one stream.

    Args:
        stream: what to run.
        report: called with a number of steps whenever so many more are done.

    Returns:
        `observations` and `next_observations` `[S, observation_dim]`, `actions` `[S, act_dim]`,
        `rewards` `[S]`, all float32; `terminals`, `timeouts` `[S]` bool: the step ended the task,
        or met the time limit.

    Raises:
        ValueError: the environment has no time limit, or an actor is missing.
    """
    rng = np.random.default_rng(np.random.SeedSequence(stream.seed, spawn_key=(stream.index,)))
    env = make_env(stream.env_id, disable_env_checker=True)
    try:
        return _run(env, stream, rng, report)
    finally:
        env.close()


def _run(
    env: gym.Env, stream: Stream, rng: np.random.Generator, report: Callable[[int], None]
) -> dict[str, np.ndarray]:
    file = read_actors(stream.actors) if stream.actors else None
    arrays = _allocate(env, stream.steps)
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    row, end, ended = 0, 0, False
    for place, (step, count) in enumerate(stream.schedule):
        act = _policy(env, file, step, rng)
        end, last = end + count, place == len(stream.schedule) - 1
        while row < end or (last and not ended):
            arrays["observations"][row] = observation
            action = act(arrays["observations"][row])
            observation, reward, terminated, truncated, _ = env.step(action)
            arrays["actions"][row], arrays["rewards"][row] = action, reward
            arrays["next_observations"][row] = observation
            arrays["terminals"][row] = terminated
            arrays["timeouts"][row] = truncated and not terminated
            row += 1
            if ended := bool(terminated or truncated):
                observation, _ = env.reset()
            if row % _REPORT == 0 and row <= stream.steps:
                report(_REPORT)
    report(stream.steps % _REPORT)
    return {key: array[:row] for key, array in arrays.items()}


def _allocate(env: gym.Env, steps: int) -> dict[str, np.ndarray]:
    limit = env.spec.max_episode_steps if env.spec else None
    if limit is None:
        raise ValueError(f"{env}: expected an environment with a time limit")
    observation, action = env.observation_space.shape or (), env.action_space.shape or ()
    rows = steps + limit
    shapes = {"observations": observation, "next_observations": observation, "actions": action}
    arrays = {key: np.empty((rows, *shapes.get(key, ())), np.float32) for key in KEYS}
    return arrays | {key: np.zeros(rows, bool) for key in ("terminals", "timeouts")}


def _policy(
    env: gym.Env, file: ActorFile | None, step: int, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    if step == 0:
        space = env.action_space
        if not isinstance(space, gym.spaces.Box):
            raise ValueError(f"{env}: expected continuous actions, not {space}")
        return lambda _: rng.uniform(space.low, space.high).astype(np.float32)
    if file is None:
        raise ValueError(f"the schedule names the actor of step {step}, but no file of actors")
    actor = file.actor(step)
    return lambda observation: actor.sample(observation, rng)
