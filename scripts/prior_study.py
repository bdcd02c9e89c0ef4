"""How well plans fill the prior: the aggregated posterior in z0 against N(0, I), for trained runs.

    python scripts/prior_study.py runs/with-unet runs/without --out prior.json

Data are explained best where the plans that a model remembers from learning, draws of the
aggregated posterior q(z0), are distributed as the prior (Tomczak and Welling, 2018). With a U-Net
(`model.prior_width` above 0) plans z are bent away from z0, so that z0 may be normal though they
are not; without one z is z0. Runs must remember plans (`model.remembered_plans`).
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from lpt.evaluation import LPTPolicy
from lpt.machine.files import atomic_write, json_text
from lpt.model import LatentPlanTransformer

MOST = 2000
"""Remembered plans that distances are measured between."""


def energy_distance(one: Tensor, two: Tensor) -> float:
    """`2 E|X - Y| - E|X - X'| - E|Y - Y'|` of samples `[n, D]` and `[m, D]`, unbiased.

    Zero for one distribution, up to noise of either sign (Szekely and Rizzo, 2013).
    """

    def within(sample: Tensor) -> Tensor:
        count = len(sample)
        return torch.cdist(sample, sample).sum() / (count * (count - 1))

    return float(2 * torch.cdist(one, two).mean() - within(one) - within(two))


def match(plans: Tensor, generator: torch.Generator) -> dict[str, Any]:
    """Return how well remembered plans `[S, N, D]` match N(0, I), and how a normal sample does."""
    flat = plans.flatten(1)
    if len(flat) < 2:
        raise ValueError(f"{len(flat)} remembered plan: a distribution needs 2, train for longer")
    some = flat[torch.randperm(len(flat), generator=generator)[:MOST]]
    normal, other = (torch.randn(some.shape, generator=generator) for _ in range(2))
    return {
        "plans": len(flat),
        "mean": flat.mean(0).tolist(),
        "variance": flat.var(0).tolist(),
        "mean_square": float(flat.square().mean()),
        "energy_distance": energy_distance(some, normal),
        "energy_distance_of_normal": energy_distance(other, normal),
    }


def measure(run: Path) -> dict[str, Any]:
    """Return one run's record: the match, and the plans that its target chooses among.

    Raises:
        ValueError: if it infers no plans, or remembers none.
    """
    policy = LPTPolicy.load(run)
    if not isinstance(policy.model, LatentPlanTransformer):
        raise ValueError(
            f"{run} is of --algorithm {policy.algorithm.name}, without plans: give lpt"
        )
    generator = torch.Generator().manual_seed(0)
    found = match(policy.model.remembered.draws(), generator)
    policy.planning = dataclasses.replace(policy.planning, method="aggregated")
    return {
        "run": run.name,
        "task": policy.metadata.task,
        "updates": policy.metadata.updates,
        "prior_width": policy.metadata.config.model.prior_width,
        "target": policy.target,
        "weight": policy.used_weight(),
        **policy.describe(policy.plan()),
        **found,
    }


def study(runs: tyro.conf.Positional[tuple[Path, ...]], out: Path, overwrite: bool = False) -> None:
    """Measure runs and write one JSON.

    Args:
        runs: run folders of lpt-train.
        out: JSON file to write.
        overwrite: replace the file if it is there.
    """
    with atomic_write(out, overwrite=overwrite) as made:
        records = [measure(run) for run in runs]
        made.write_text(json_text({"runs": records}), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        tyro.cli(study, args=arguments, description=__doc__)
    except (ValueError, OSError) as error:
        print(f"prior_study: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
