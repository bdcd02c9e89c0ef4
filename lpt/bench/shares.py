"""How a whole run's time divides into its start, its updates and its evaluations."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from lpt.bench.machine import summary
from lpt.config import Config
from lpt.reporting.results import result_name

IMPORTS = "import lpt.cli.train, lpt.training.opening"
"""What `lpt-train` imports before it opens a run."""


def measure_imports(repeats: int) -> dict[str, Any]:
    """Seconds from the command to all that a training needs being imported, in a new process."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        seconds.append(time.perf_counter() - began)
    return summary(seconds)


def evaluated_episodes(config: Config) -> int:
    """Return how many episodes a run evaluates: now and then, and at its end."""
    every, own = config.training.evaluate_every, config.planning.weight
    periodic = config.updates // every if every else 0
    names = {result_name(config.algorithm, weight, config.label) for weight in (own, 1.0)}
    final = len(names) * (2 if periodic else 1)  # the last policy, and the best of the periodic
    return periodic * config.training.evaluate_episodes + final * config.evaluation.episodes


def run_shares(
    config: Config,
    horizon: int,
    *,
    imports: dict[str, Any],
    opening: float,
    update_ms: float,
    steps_per_second: float,
    plan_ms: float,
) -> dict[str, Any]:
    """Return seconds of a whole run by part, computed from what was measured, and their shares.

    Args:
        config: of the run.
        horizon: steps of an episode, each of which is taken to last so long.
        imports: of `measure_imports`.
        opening: seconds to open the run on the random data.
        update_ms: of an update.
        steps_per_second: of all episodes side by side.
        plan_ms: of a plan among many.
    """
    episodes = evaluated_episodes(config)
    seconds = {
        "start": imports["median"] + opening,
        "updates": config.updates * update_ms / 1000,
        "evaluations": episodes * (horizon / steps_per_second + plan_ms / 1000),
    }
    whole = sum(seconds.values())
    return {
        "seconds": seconds,
        "shares": {name: part / whole for name, part in seconds.items()},
        "imports": imports,
        "opening_seconds": opening,
        "evaluated_episodes": episodes,
    }
