"""Normalised scores: D4RL's reference returns, and where they hold.

score = 100 (return - minimum) / (maximum - minimum), with D4RL's reference returns (FACTS 3; dense
mazes: `d4rl/infos.py`). A reference holds for the environment it was measured in; elsewhere there
is no score, and the label says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpt.data.tasks import find_task


@dataclass(frozen=True, kw_only=True)
class ScoreReference:
    """Reference returns of a family of tasks.

    Attributes:
        name: of the family, such as `maze2d-umaze` or `hopper`.
        minimum: return that scores 0 (a random policy).
        maximum: return that scores 100.
        env_ids: environments in which these returns hold.
        ceiling: practical ceiling, raw return, where one was measured.
        note: what a reader of the score must know.
    """

    name: str
    minimum: float
    maximum: float
    env_ids: tuple[str, ...]
    ceiling: float | None = None
    note: str = ""

    def score(self, returns: np.ndarray | float) -> np.ndarray:
        """Returns the score of raw `returns`, of any shape."""
        return 100.0 * (np.asarray(returns, float) - self.minimum) / (self.maximum - self.minimum)

    def describe(self) -> str:
        """Returns one line to print beside a score."""
        text = f"D4RL reference {self.name}: 0 = {self.minimum:g}, 100 = {self.maximum:g}"
        if self.ceiling is not None:
            text += f"; practical ceiling {self.score(self.ceiling):.1f} (return {self.ceiling:g})"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalizedScore:
    """Scores of episodes, or the reason why there are none.

    Attributes:
        scores: `[episodes]`, or None without a reference.
        label: the reference used, or why there is none; always to be printed.
        reference: the reference used.
    """

    scores: np.ndarray | None
    label: str
    reference: ScoreReference | None

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
        note="measured in v2; v4 is the closest living environment, v5 differs",
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
        ScoreReference(
            name="antmaze",
            minimum=0.0,
            maximum=1.0,
            env_ids=tuple(
                f"antmaze-{maze}-v{version}"
                for version in (0, 2)
                for maze in (
                    "umaze",
                    "umaze-diverse",
                    "medium-play",
                    "medium-diverse",
                    "large-play",
                    "large-diverse",
                )
            ),
        ),
        ScoreReference(
            name="kitchen",
            minimum=0.0,
            maximum=4.0,
            env_ids=("kitchen-complete-v0", "kitchen-partial-v0", "kitchen-mixed-v0"),
        ),
    )
}
"""D4RL's references by family."""


def find_reference(task: str) -> ScoreReference | None:
    """Returns the reference of a task name such as `hopper-medium-v2`, or None."""
    known = find_task(task)
    name = known.name if known else task
    if name in REFERENCES:
        return REFERENCES[name]
    return None if name.startswith("maze2d") else REFERENCES.get(name.split("-")[0])


def normalized_score(
    task: str, returns: Sequence[float] | np.ndarray, env_id: str | None = None
) -> NormalizedScore:
    """Scores raw returns of evaluation episodes.

    Args:
        task: task name, such as `maze2d-umaze`.
        returns: `[episodes]` raw returns.
        env_id: environment they were earned in; None trusts that it is the reference's.

    Returns:
        Scores with the reference used, or None with the reason.
    """
    reference = find_reference(task)
    if reference is None:
        label = f"no score: there is no D4RL reference for {task!r}; returns are raw"
        return NormalizedScore(scores=None, label=label, reference=None)
    if env_id is not None and env_id not in reference.env_ids:
        label = (
            f"no score: D4RL's reference for {reference.name} holds in "
            f"{', '.join(reference.env_ids)}, not in {env_id}; returns are raw"
        )
        return NormalizedScore(scores=None, label=label, reference=None)
    label = reference.describe()
    if env_id is None:
        label += "; environment not stated"
    return NormalizedScore(
        scores=reference.score(np.asarray(returns)), label=label, reference=reference
    )
