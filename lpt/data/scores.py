"""Normalized scores: D4RL's reference returns, and where they hold.

score = 100 (return - minimum) / (maximum - minimum), with D4RL's reference returns
(`d4rl/infos.py`). A reference holds for the environment it was measured in. In a successor of it
(MuJoCo's v5, gymnasium-robotics) there is a score, labeled as not D4RL's; elsewhere there is none,
and the label says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpt.data.tasks import find_task


@dataclass(frozen=True, kw_only=True)
class ScoreReference:
    """Reference returns of a family of tasks."""

    name: str
    """Of the family, such as `maze2d-umaze` or `hopper`."""
    minimum: float
    """Return that scores 0 (a random policy)."""
    maximum: float
    """Return that scores 100."""
    env_ids: tuple[str, ...]
    """Environments in which these returns hold."""
    measured: str = ""
    """Where they were measured, in words."""
    near_ids: tuple[str, ...] = ()
    """Successors of those environments, in which scores are not D4RL's metric."""
    ceiling: float | None = None
    """Practical ceiling, raw return, where one was measured."""
    note: str = ""
    """What a reader of the score must know."""

    def score(self, returns: np.ndarray | float) -> np.ndarray:
        """Return the score of raw `returns`, of any shape."""
        return 100.0 * (np.asarray(returns, float) - self.minimum) / (self.maximum - self.minimum)

    def describe(self, env_id: str | None = None) -> str:
        """Return one line to print beside a score earned in `env_id`; None: in the right one."""
        text = f"D4RL reference {self.name}: 0 = {self.minimum:g}, 100 = {self.maximum:g}"
        if self.ceiling is not None:
            text += f"; practical ceiling {self.score(self.ceiling):.1f} (return {self.ceiling:g})"
        if env_id in self.near_ids:
            text += f"; NOT D4RL's metric: valid in {self.measured}, evaluated in {env_id}"
        elif self.measured:
            text += f"; measured in {self.measured}"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalizedScore:
    """Scores of episodes, or the reason why there are none."""

    scores: np.ndarray | None
    """`[episodes]`, or None without a reference."""
    label: str
    """The reference used, or why there is none; always to be printed."""
    reference: ScoreReference | None
    """The reference used."""
    exact: bool = True
    """Whether this is D4RL's metric. False where there is a score all the same: tables mark it,
    and keep it out of rows of exact ones."""

    @property
    def mean(self) -> float | None:
        """Mean score, or None."""
        return None if self.scores is None else float(self.scores.mean())


def _maze(name: str, minimum: float, maximum: float, ceiling: float | None) -> ScoreReference:
    stem, dense = name.removesuffix("-dense"), "-dense" if name.endswith("-dense") else ""
    own = f"lpt/Maze2D-{stem.removeprefix('maze2d-')}{dense}-v1"
    note = ""
    if ceiling is not None:
        note = "ceiling: a fresh waypoint controller in every episode; D4RL's 100 reuses one"
    return ScoreReference(
        name=name,
        minimum=minimum,
        maximum=maximum,
        env_ids=(f"lpt_envs:{own}", own, f"{name}-v1"),
        ceiling=ceiling,
        note=note,
    )


def _mujoco(name: str, env: str, minimum: float, maximum: float) -> ScoreReference:
    return ScoreReference(
        name=name,
        minimum=minimum,
        maximum=maximum,
        env_ids=tuple(f"{env}-v{version}" for version in (2, 3, 4)),
        measured="v2 (v4 is the closest living one)",
        near_ids=(f"{env}-v5",),
    )


def _robotics(
    name: str, maximum: float, env_ids: tuple[str, ...], near: tuple[str, ...], note: str
) -> ScoreReference:
    return ScoreReference(
        name=name,
        minimum=0.0,
        maximum=maximum,
        env_ids=env_ids,
        measured="D4RL's own environment (mujoco-py)",
        near_ids=tuple(prefix + env for env in near for prefix in ("gymnasium_robotics:", "")),
        note=note,
    )


_ANTMAZES = (
    "umaze",
    "umaze-diverse",
    "medium-play",
    "medium-diverse",
    "large-play",
    "large-diverse",
)

REFERENCES: dict[str, ScoreReference] = {
    reference.name: reference
    for reference in (
        _maze("maze2d-umaze", 23.85, 161.86, 222.0),
        _maze("maze2d-medium", 13.13, 277.39, 419.0),
        _maze("maze2d-large", 6.7, 273.99, 557.0),
        _maze("maze2d-umaze-dense", 68.537689, 193.66285642381482, None),
        _maze("maze2d-medium-dense", 44.264742, 297.4552547777125, None),
        _maze("maze2d-large-dense", 30.569041, 303.4857382709002, None),
        _mujoco("halfcheetah", "HalfCheetah", -280.178953, 12135.0),
        _mujoco("hopper", "Hopper", -20.272305, 3234.3),
        _mujoco("walker2d", "Walker2d", 1.629008, 4592.3),
        _mujoco("ant", "Ant", -325.6, 3879.7),
        _robotics(
            "antmaze",
            1.0,
            tuple(f"antmaze-{maze}-v{version}" for version in (0, 2) for maze in _ANTMAZES),
            ("AntMaze_UMaze-v4", "AntMaze_UMaze-v5"),
            "the share of episodes that reach the goal, where they end there",
        ),
        _robotics(
            "kitchen",
            4.0,
            tuple(f"kitchen-{data}-v0" for data in ("complete", "partial", "mixed")),
            ("FrankaKitchen-v1",),
            "the share of the four subtasks that is done",
        ),
    )
}
"""D4RL's references by family."""


def find_reference(task: str) -> ScoreReference | None:
    """Return the reference of a task name such as `hopper-medium-v2`, or None."""
    known = find_task(task)
    name = known.name if known else task
    if name in REFERENCES:
        return REFERENCES[name]
    return None if name.startswith("maze2d") else REFERENCES.get(name.split("-")[0])


def normalized_score(
    task: str, returns: Sequence[float] | np.ndarray, env_id: str | None = None
) -> NormalizedScore:
    """Score raw returns of evaluation episodes.

    Args:
        task: task name, such as `maze2d-umaze`.
        returns: `[episodes]` raw returns.
        env_id: environment they were earned in; None trusts that it is the reference's.

    Returns:
        Scores with the reference used, or None with the reason. `exact` is False for scores that
        are not D4RL's metric, since the environment is a successor of the right one.
    """
    reference = find_reference(task)
    if reference is None:
        label = f"no score: there is no D4RL reference for {task!r}; returns are raw"
        return NormalizedScore(scores=None, label=label, reference=None, exact=False)
    exact = env_id is None or env_id in reference.env_ids
    if not exact and env_id not in reference.near_ids:
        label = (
            f"no score: D4RL's reference for {reference.name} holds in "
            f"{', '.join(reference.env_ids)}, not in {env_id}; returns are raw"
        )
        return NormalizedScore(scores=None, label=label, reference=None, exact=False)
    label = reference.describe(env_id)
    if env_id is None:
        label += "; environment not stated"
    scores = reference.score(np.asarray(returns))
    return NormalizedScore(scores=scores, label=label, reference=reference, exact=exact)
