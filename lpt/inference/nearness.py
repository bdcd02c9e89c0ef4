"""How near plans are to those inferred in learning: whether anybody ever had such a plan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.model import LatentPlanTransformer

SOME = 512
"""Kept plans whose own nearest ones are looked for, spread evenly over all that are kept."""
SAME = 1e-2
"""Distance, as a share of the plans' length, below which float32 does not tell plans apart."""


@dataclass(frozen=True)
class Nearness:
    """Distances to the nearest kept plan, in units of what is usual among kept plans."""

    nearest: Tensor
    """`[B]`; 0 is a kept plan itself, 1 as near as kept plans are to one another (median)."""
    remote: Tensor
    """Scalar: the same of kept plans, which one in a hundred exceeds."""


def nearness(plans: Tensor, kept: Tensor) -> Nearness | None:
    """Compare plans `[B, ...]` with kept ones `[S, ...]`; nothing is random.

    None where most kept plans are the same, or there is one only: nothing is usual then.
    """
    plans, kept = plans.flatten(1), kept.flatten(1)
    looked = torch.arange(0, len(kept), max(1, len(kept) // SOME), device=kept.device)[:SOME]
    among = torch.cdist(kept[looked], kept)
    among[torch.arange(len(looked), device=kept.device), looked] = torch.inf  # itself
    usual = among.amin(1)
    median = usual.median()
    if not SAME * float(kept.norm(dim=1).mean()) < float(median) < torch.inf:
        return None
    return Nearness(torch.cdist(plans, kept).amin(1) / median, usual.quantile(0.99) / median)


def nearness_to_kept(model: LatentPlanTransformer, z: Tensor) -> Nearness | None:
    """Compare latent plans `[B, N, D]` with those that a model keeps; None as `nearness`.

    Plans are compared as the generator reads them, through its layer norm, for which a plan's
    length is nothing: plans that act the same are the same.
    """
    if model.remembered.size == 0 or int(model.remembered.count) == 0:
        return None
    with torch.no_grad():
        kept = model.plan_from_noise(model.remembered.draws())
        return nearness(*(model.generator.norm_plan(plans) for plans in (z, kept)))
