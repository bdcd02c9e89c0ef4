"""Rolling a policy out: all episodes at once, each counted exactly once.

Sub-environments are stepped by a plain loop, without gymnasium's `SyncVectorEnv`: an episode that
has ended is simply not stepped any more. No autoreset takes place, so none can be recorded as a
transition; and sub-environment `i` runs episode `i` and no other (in chunks of `parallel`),
so short episodes are not counted more often than long ones. It is also faster, because nothing is
copied twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np
from torch import Tensor
from tqdm import tqdm

from lpt.config import EvaluationConfig
from lpt.data.scores import normalized_score
from lpt.evaluation.environments import MakeEnvironment, env_name, environment_kwargs
from lpt.evaluation.policy import LPTPolicy

STEP_LIMIT = 100_000
"""Steps after which an episode of an environment without a time limit is given up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Episodes of one policy with one target."""

    task: str
    """Task of the policy; decides the reference of the score."""
    env_id: str
    """The environment."""
    returns: np.ndarray
    """`[episodes]` undiscounted sums of rewards, raw units."""
    lengths: np.ndarray
    """`[episodes]` steps."""
    successes: np.ndarray | None
    """`[episodes]` booleans, where the environment's info says `success` or `is_success`."""
    target: float
    """Return asked for, raw units."""
    weight: float
    """Planning weight w."""
    deterministic: bool
    """Whether actions were modes."""
    seed: int
    """Episode i was reset with `seed + i`."""
    plans: dict[str, float]
    """What is known of its plans, see `LPTPolicy.describe`."""
    seconds: float
    """Wall time, with planning."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """What the environment was made with besides its id, such as a maze of one's own."""
    observations: list[np.ndarray] = field(default_factory=list)
    """If recorded: each episode's `[length + 1, obs]`, first observation included."""

    @property
    def predicted_return(self) -> float:
        """Mean return that the model predicts for its plans, raw units."""
        return self.plans["predicted_return"]

    @property
    def complaint(self) -> str | None:
        """What is wrong with the plans: none of the data is known of such a return, or is near."""
        highest, spread = self.plans.get("highest"), self.plans.get("spread", 0.0)
        if highest is not None and self.target > highest + spread:
            return (
                f"target {self.target:g} is beyond what any plan inferred in learning predicts "
                f"({highest:g} at most): the nearest plans are used, and nothing of the data says "
                "that they earn it"
            )
        nearest = self.plans.get("nearest", 0.0)
        if nearest > self.plans.get("remote", math.inf):
            return (
                f"plans for target {self.target:g} are {nearest:.2f} times as far from those "
                "inferred in learning as these are from one another, farther than 99 in 100 of "
                "these: nothing of the data says what they do; planning.method=aggregated draws "
                "among those of the data"
            )
        return None

    @property
    def score(self) -> float | None:
        """Mean D4RL score, None where no reference holds."""
        return normalized_score(self.task, self.returns, self.env_id).mean

    def __repr__(self) -> str:
        return (
            f"Evaluation({self.env_id}, target={self.target:g}, weight={self.weight:g}, "
            f"episodes={len(self.returns)}, mean return={self.returns.mean():.2f}, "
            f"mean length={self.lengths.mean():.1f}, {self.seconds:.1f} s)"
        )


def evaluate(
    policy: LPTPolicy,
    env: str | MakeEnvironment | None = None,
    *,
    episodes: int | None = None,
    seed: int | None = None,
    target: float | None = None,
    weight: float | None = None,
    deterministic: bool | None = None,
    parallel: int | None = None,
    record: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Roll the policy out; the result depends on `seed` only, not on what ran before.

    What is not given is as the run has configured it (`evaluation`).

    Args:
        policy: the policy; its random numbers are restarted from `seed`.
        env: gymnasium id (`module:Name-v0` imports the module first) or a function that makes
            one environment; unset: the one named in the checkpoint.
        episodes: number of episodes, each with a plan of its own.
        seed: seed of planning and sampled actions; episode `i` is reset with `seed + i`.
        target: return to plan for, raw units; unset: the policy's.
        weight: planning weight w; unset: the policy's.
        deterministic: act by the mode of the action likelihood, else draw from it.
        parallel: most episodes to run side by side.
        record: keep every episode's observations.
        progress: show a bar on a terminal.

    Raises:
        ValueError: if the environment is unknown, does not fit the policy, or never ends; or the
            checkpoint's own, where none is given, would run unknown code.
    """
    began = time.perf_counter()
    env = policy.own_environment if env is None else env
    own = _settings(policy, episodes, seed, deterministic, parallel)
    episodes, seed, deterministic, parallel = own
    environments = [policy.environment(env, target) for _ in range(min(episodes, parallel))]
    try:
        policy.check(environments[0])
        policy.seed(seed)
        plan = policy.plan(target, episodes, weight)
        hidden = None if progress else True  # None: shown on terminals only
        with tqdm(total=episodes, unit="episode", leave=False, disable=hidden) as bar:
            rollouts = [
                run_episodes(policy, z, environments[: len(z)], seeds, deterministic, record, bar)
                for z, seeds in _chunks(plan.z, seed, parallel)
            ]
    finally:
        for environment in environments:
            environment.close()
    successes = np.concatenate([r.successes for r in rollouts])
    return Evaluation(
        task=policy.metadata.task,
        env_id=env if isinstance(env, str) else env_name(environments[0]),
        returns=np.concatenate([r.returns for r in rollouts]),
        lengths=np.concatenate([r.lengths for r in rollouts]),
        successes=None if np.isnan(successes).any() else successes.astype(bool),
        target=policy.target if target is None else float(target),
        weight=policy.used_weight(weight),
        deterministic=deterministic,
        seed=seed,
        plans=policy.describe(plan),
        seconds=time.perf_counter() - began,
        env_kwargs=environment_kwargs(policy.metadata, env) if isinstance(env, str) else {},
        observations=[episode for r in rollouts for episode in r.observations],
    )


def _settings(
    policy: LPTPolicy,
    episodes: int | None,
    seed: int | None,
    deterministic: bool | None,
    parallel: int | None,
) -> tuple[int, int, bool, int]:
    """Return what is given, else what the run has configured; raises for counts below one."""
    given = {"episodes": episodes, "deterministic": deterministic, "parallel": parallel}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    config = policy.metadata.config
    own: EvaluationConfig = replace(config.evaluation, **changed)
    seed = config.evaluation_seed if seed is None else seed
    mode = own.acts_by_mode(policy.metadata.spaces.discrete)
    return own.episodes, seed, mode, own.parallel


@dataclass(eq=False)
class Rollout:
    """One chunk of episodes, each in a sub-environment of its own."""

    environments: list[gymnasium.Env]
    """The sub-environments."""
    returns: np.ndarray
    """`[n]` sums of rewards so far."""
    lengths: np.ndarray
    """`[n]` steps so far."""
    successes: np.ndarray
    """`[n]` 1 or 0 at an episode's end, NaN where info says nothing."""
    observations: list[np.ndarray] = field(default_factory=list)
    """If recorded: each episode's `[length + 1, obs]`."""

    def step(self, i: int, action: Any, current: np.ndarray) -> bool:
        """Step sub-environment `i`; its observation goes to `current[i]`. Returns its end."""
        observation, reward, terminated, truncated, info = self.environments[i].step(action)
        current[i] = observation
        self.returns[i] += reward
        self.lengths[i] += 1
        if not (terminated or truncated):
            return False
        success = info.get("success", info.get("is_success"))
        self.successes[i] = np.nan if success is None else bool(success)
        return True


def run_episodes(
    policy: LPTPolicy,
    z: Tensor,
    environments: list[gymnasium.Env],
    seeds: Sequence[int],
    deterministic: bool | None = None,
    record: bool = False,
    bar: Any = None,
) -> Rollout:
    """Run one episode for each plan, all side by side.

    Args:
        policy: the policy.
        z: `[n, N, D]` plans.
        environments: `n` sub-environments.
        seeds: `n` reset seeds.
        deterministic: act by the mode of the action likelihood; None: as the policy is evaluated.
        record: keep observations.
        bar: of tqdm, told of episodes that end, and of steps.

    Raises:
        ValueError: if an episode does not end.
    """
    count = len(environments)
    rollout = Rollout(
        environments, np.zeros(count), np.zeros(count, dtype=np.int64), np.full(count, np.nan)
    )
    state = policy.begin(z)
    pairs = zip(environments, seeds, strict=True)
    current = np.stack([np.asarray(env.reset(seed=s)[0], np.float32) for env, s in pairs])
    history = [current.copy()] if record else []
    live = list(range(count))
    with policy.evaluation_mode():
        while live:
            action, state = policy.predict(current, state, None, deterministic)
            actions = action.tolist() if policy.spaces.discrete else action
            running, live = live, [i for i in live if not rollout.step(i, actions[i], current)]
            if bar is not None:
                bar.set_postfix(step=int(rollout.lengths[running[0]]), refresh=False)
                bar.update(len(running) - len(live))
            if record:
                history.append(current.copy())
            if live and rollout.lengths[live[0]] >= STEP_LIMIT:
                raise ValueError(
                    f"{env_name(environments[live[0]])}: an episode did not end within "
                    f"{STEP_LIMIT} steps: register the environment with max_episode_steps, or "
                    "wrap it in gymnasium.wrappers.TimeLimit"
                )
    if record:
        whole = np.stack(history, axis=1)  # [n, longest + 1, obs]
        rollout.observations = [whole[i, : n + 1] for i, n in enumerate(rollout.lengths)]
    return rollout


def _chunks(z: Tensor, seed: int, size: int) -> Iterator[tuple[Tensor, range]]:
    """Plan and reset seeds of at most `size` episodes at a time."""
    for first in range(0, len(z), size):
        part = z[first : first + size]
        yield part, range(seed + first, seed + first + len(part))
