"""Regenerating D4RL's MuJoCo data sets with actors saved in the course of SAC training.

Recipes (D4RL's, as far as its paper states them):

- `random`: actions uniform over the action space.
- `medium`: actions sampled from the actor whose return is nearest that of D4RL's medium.
- `medium-replay`: what the replay buffer held when the medium actor was reached: the uniformly
  random warm-up, then all actors up to the medium one in the order of training. Each acts for the
  steps of training that are nearest its own (halfway from the actor before to the one after), an
  episode under way goes on under the next, and all durations are stretched by one factor so that
  they fill D4RL's number of rows.
- `expert`: actions sampled from the expert; `medium-expert`: half medium, then half expert. No
  expert is shipped: train one with `scripts/train_behavior.py --expert`.

All but medium-replay consist of streams of whole episodes, run one after the other or at once; the
rows are cut at D4RL's number, so that the last episode may be unfinished (it carries no flag, as in
D4RL, and loading drops it).

The actors were trained in gymnasium's v5 environments. The data are recorded in v4, where D4RL's
scores hold and the medium actors earn the same. Mean ± standard error over 100,000 steps, v5 then
v4: halfcheetah 4783 ± 8, 4783 ± 8; hopper 1220 ± 13, 1221 ± 13; walker2d 2409 ± 83, 2634 ± 88
(D4RL's medium: 4770, 1422, 2852). Of the three, only walker2d's dynamics differ, by the friction of
a foot.

The same seed gives the same bytes with any number of processes, on one kind of machine: another
processor or version of MuJoCo may round differently, and trajectories that began alike then part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lpt_envs.mujoco.actors import FOLDER, ActorFile, actor_path, read_actors
from lpt_envs.mujoco.streams import Stream
from lpt_envs.mujoco.workers import run_streams

ROBOTS = ("halfcheetah", "hopper", "walker2d")
RECIPES = ("random", "medium", "medium-replay", "expert", "medium-expert")
MEDIUM_RETURN = {"halfcheetah": 4770.0, "hopper": 1422.0, "walker2d": 2852.0}
"""Mean returns of D4RL's medium data, to choose the medium actor by."""

_STREAM_STEPS = 50_000  # fixed: the number of streams must not depend on that of processes


@dataclass(frozen=True, kw_only=True)
class ActorReturn:
    """What an actor earns with sampled actions."""

    mean: float
    """Mean return of an episode."""
    std: float
    """Standard deviation of the returns."""
    episodes: int
    """Number of episodes."""
    length: float
    """Their mean number of steps."""


def has_recipe(robot: str, recipe: str) -> bool:
    """Return whether the data of a robot, such as `hopper`'s `medium-replay`, can be generated."""
    if robot not in ROBOTS or recipe not in RECIPES:
        return False
    return "expert" not in recipe or read_actors(actor_path(robot)).expert is not None


def actors_tag(robot: str) -> str:
    """Return the first digits of the hash of a robot's actors."""
    return read_actors(actor_path(robot)).sha256[:8]


def generate(
    robot: str,
    recipe: str,
    steps: int,
    seed: int,
    env_id: str,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Generate data with saved actors; deterministic in `seed` whatever `workers` is.

    Args:
        robot: such as `hopper`.
        recipe: such as `medium-replay`.
        steps: rows.
        seed: of resets and actions.
        env_id: environment to record in.
        workers: processes; None takes one per processor.
        progress: called with (rows done, rows) now and then.

    Returns:
        Arrays under D4RL's keys (`observations`, `actions`, `rewards`, `terminals`, `timeouts`,
        `next_observations`), one row per step.

    Raises:
        ValueError: there is no such recipe, or a number is out of range.
        FileNotFoundError: the recipe wants an expert and there is none.
    """
    if robot not in ROBOTS or recipe not in RECIPES:
        raise ValueError(
            f"{robot}-{recipe} has no recipe: expected one of {', '.join(ROBOTS)} with one of "
            f"{', '.join(RECIPES)}"
        )
    if steps < 1 or seed < 0:
        raise ValueError(f"steps={steps}, seed={seed}: expected steps >= 1 and seed >= 0")
    file = read_actors(actor_path(robot))
    schedules = _schedules(recipe, file, steps)
    arrays = run_streams(_streams(schedules, file, env_id, seed), workers, progress)
    return {key: array[:steps] for key, array in arrays.items()}


def describe_actors(robot: str) -> dict[str, Any]:
    """Return what a data set should say of the actors that made it."""
    file = read_actors(actor_path(robot))
    return {
        "file": file.path.name,
        "sha256": file.sha256,
        "trained_in": file.env_id,
        "warmup": file.warmup,
        "medium": file.medium,
        "expert": file.expert,
    }


def actor_return(
    file: ActorFile, step: int, env_id: str, *, steps: int = 20_000, seed: int = 0
) -> ActorReturn:
    """Measure an actor over whole episodes of at least `steps` steps in all."""
    streams = _streams([((step, steps),)], file, env_id, seed)
    arrays = run_streams(streams, workers=1)
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    starts = np.concatenate([[0], ends[:-1]])
    returns = np.add.reduceat(arrays["rewards"].astype(np.float64), starts)
    return ActorReturn(
        mean=float(returns.mean()),
        std=float(returns.std()),
        episodes=len(ends),
        length=float((ends - starts).mean()),
    )


def replay_schedule(file: ActorFile, steps: int) -> tuple[tuple[int, int], ...]:
    """Return who acts for how many rows of a medium-replay set, in order; 0 is the warm-up.

    Raises:
        ValueError: the file names no medium actor.
    """
    medium = _named(file, "medium")
    saved = [step for step in file.steps if step <= medium]
    turns = [file.warmup, *((a + b) / 2 for a, b in pairwise(saved)), medium]
    ends = [round(min(turn, medium) * steps / medium) for turn in turns]
    counts = np.diff(np.maximum.accumulate([0, *ends]))
    return tuple(zip([0, *saved], counts.tolist(), strict=True))


def _schedules(recipe: str, file: ActorFile, steps: int) -> list[tuple[tuple[int, int], ...]]:
    """Return the schedule of each stream of a data set."""
    if recipe == "medium-replay":
        return [replay_schedule(file, steps)]
    if recipe == "medium-expert":
        half = steps // 2
        return [*_schedules("medium", file, half), *_schedules("expert", file, steps - half)]
    step = 0 if recipe == "random" else _named(file, recipe)
    count = max(math.ceil(steps / _STREAM_STEPS), 1)
    return [((step, math.ceil(steps / count)),)] * count


def _streams(
    schedules: Sequence[tuple[tuple[int, int], ...]], file: ActorFile, env_id: str, seed: int
) -> list[Stream]:
    return [
        Stream(env_id=env_id, actors=str(file.path), schedule=schedule, seed=seed, index=index)
        for index, schedule in enumerate(schedules)
    ]


def _named(file: ActorFile, name: str) -> int:
    step = file.medium if name == "medium" else file.expert
    if step is None:
        raise FileNotFoundError(
            f"{file.path} has no {name} actor: train one with scripts/train_behavior.py and set "
            f"{FOLDER} to its folder, or use D4RL's own file (--source d4rl)"
        )
    return step
