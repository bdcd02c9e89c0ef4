"""The opponent of `lpt-play`: a trained policy as the player of a game."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpt.evaluation import LPTPolicy, PolicyState
from lpt_envs.connect_four.board import CELLS, COLUMNS


class PolicyPlayer:
    """A trained policy as the player of a game (`lpt_envs.connect_four.play.Player`)."""

    def __init__(self, policy: LPTPolicy, weight: float | None, seed: int) -> None:
        """Take a policy of Connect Four.

        Raises:
            ValueError: if it was trained on other observations or actions; says which.
        """
        _check(policy)
        self.policy = policy
        self.weight = policy.planning.weight if weight is None else weight
        self.plans = policy.algorithm.infers_plans
        metadata = policy.metadata
        self.name = (
            f"{metadata.task}, {metadata.algorithm}, {metadata.updates} updates, seed {seed}"
        )

    def plan(self, target: float) -> tuple[float, PolicyState]:
        """Return the predicted return and the first state.

        Raises:
            ValueError: if the target is not finite, the weight not positive, or either so large
                that planning overflows.
        """
        overflow = ValueError(
            f"no plan can be found for a return of {target:g} with weight {self.weight:g}: the "
            "numbers overflow; choose a target nearer to the data's returns or a smaller weight"
        )
        if abs(self.policy.standardized(target)) > float(np.finfo(np.float32).max):
            raise overflow
        plan = self.policy.plan(target, 1, self.weight)
        predicted = float(self.policy.predicted_returns(plan)[0])
        if not np.isfinite(predicted):
            raise overflow
        return predicted, self.policy.begin(plan.z)

    def describe_plan(self, target: float, predicted: float) -> str:
        """Return a sentence on the plan, or on what the policy has in its place."""
        if self.plans:
            asked = f"asked for a return of {target:g} with w = {self.weight:g}"
            return f"Its plan, {asked}, predicts {predicted:+.2f}."
        if not self.policy.algorithm.reads_return:
            return "It imitates the games of its data and plans for no return."
        return f"It is prompted with a return of {target:g} and makes no prediction."

    def probabilities(self, observation: np.ndarray, state: PolicyState) -> np.ndarray:
        """Return the probability `[7]` of asking for each column."""
        probabilities: np.ndarray = self.policy.probabilities(observation, state)[0]
        return probabilities

    def move(
        self, observation: np.ndarray, state: PolicyState, deterministic: bool
    ) -> tuple[int, Any]:
        """Return the column asked for and the next state."""
        action, state = self.policy.predict(observation, state, deterministic=deterministic)
        return int(action), state


def _check(policy: LPTPolicy) -> None:
    """Raise ValueError for a policy that does not play Connect Four."""
    spaces, observations = policy.spaces, 2 * CELLS
    if policy.algorithm.observation_hint:
        raise ValueError(
            f"a policy of --algorithm {policy.algorithm.name} needs its return-to-go at every "
            "step, which lpt-play does not keep: give a run of another algorithm"
        )
    wanted = (observations, COLUMNS, True)
    if (spaces.observation_dim, spaces.action_dim, spaces.discrete) != wanted:
        kind = "discrete actions" if spaces.discrete else "continuous action dimensions"
        raise ValueError(
            f"a policy of {policy.metadata.task} cannot play connect-four: it takes "
            f"{spaces.observation_dim} observations and has {spaces.action_dim} {kind}, expected "
            f"{observations} and {COLUMNS} discrete actions; give a run of "
            "lpt-train --env connect-four"
        )
