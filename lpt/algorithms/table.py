"""All algorithms by name. To add one: an object as `Algorithm` says, and its name in the config."""

from __future__ import annotations

from lpt.algorithms.algorithm import Algorithm
from lpt.algorithms.goal import Goal
from lpt.algorithms.latent_plan import LatentPlan
from lpt.algorithms.prompted import Prompted
from lpt.algorithms.return_to_go import StepwisePrompted

BEST_SHARE = 0.1
"""Share of the trajectories that `bc-10` learns from."""

_ALL: tuple[Algorithm, ...] = (
    LatentPlan(),
    Prompted(name="bc"),
    Prompted(name="bc-10", share=BEST_SHARE),
    Prompted(name="dt-final", reads_return=True),
    StepwisePrompted(name="dt"),
    Goal(name="goal"),
)
ALGORITHMS: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in _ALL}
"""The algorithms, in the order of tables."""


def find_algorithm(name: str) -> Algorithm:
    """Return the algorithm of a name.

    Raises:
        ValueError: if there is none; lists those there are.
    """
    if name not in ALGORITHMS:
        raise ValueError(
            f"unknown algorithm {name!r}: this lpt-toolkit knows {', '.join(ALGORITHMS)}"
        )
    return ALGORITHMS[name]
