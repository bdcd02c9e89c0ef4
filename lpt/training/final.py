"""The evaluation of a finished run: its last and its best checkpoint, as LPT and as LPT-EI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lpt.checkpoint.files import Which
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.config import Config
from lpt.evaluation import Evaluation, LPTPolicy, evaluate
from lpt.reporting.console import print_evaluations
from lpt.reporting.curve import NAME as CURVE
from lpt.reporting.curve import Point, read_curve
from lpt.reporting.results import result_name, save_result
from lpt.training.board import Board


def evaluate_finally(
    config: Config,
    metadata: PolicyMetadata,
    env_id: str,
    *,
    device: str,
    log: Callable[[str], None],
    wall_seconds: float,
    best_updates: int | None,
) -> Path:
    """Evaluate the checkpoints in a run's folder, print and store what they earn.

    Args:
        config: the run's.
        metadata: of its last policy.
        env_id: where to evaluate.
        device: where to compute.
        log: receives warnings.
        wall_seconds: how long the run learned.
        best_updates: after how many updates the best checkpoint was saved, if one was.

    Returns:
        The folder of results.
    """
    base, own = config.results or config.run / "results", config.planning.weight
    names = {result_name(config.algorithm, weight, config.label): weight for weight in (own, 1.0)}
    own_name = result_name(config.algorithm, own, config.label)
    curve, rows = _curve(config), dict[str, Evaluation]()
    for name, weight in sorted(names.items(), key=lambda pair: pair[1]):
        last = _evaluate(config, env_id, "last", weight, device)
        if last.complaint is not None:
            log(f"warning: {last.complaint}")
        rows[f"{name} last"], best = last, None
        if (config.run / "best").is_dir():
            rows[f"{name} best"] = best = _evaluate(config, env_id, "best", weight, device)
        save_result(
            base,
            metadata,
            name,
            last,
            best,
            wall_seconds=wall_seconds,
            best_updates=best_updates,
            curve=curve if name == own_name else None,
        )
    print_evaluations(config.task, rows)
    board = Board(config, config.run)
    board.final({name: float(np.mean(e.returns)) for name, e in rows.items()})
    board.close()
    return base


def _curve(config: Config) -> list[Point]:
    """Return the evaluations while learning, which were made with the run's own weight."""
    return read_curve(config.run) if (config.run / CURVE).is_file() else []


def _evaluate(config: Config, env_id: str, which: Which, weight: float, device: str) -> Evaluation:
    return evaluate(
        LPTPolicy.load(config.run, which=which, device=device),
        env_id,
        episodes=config.evaluation.episodes,
        seed=config.evaluation_seed,
        weight=weight,
        deterministic=config.evaluation.deterministic,
        parallel=config.evaluation.parallel,
        progress=True,
    )
