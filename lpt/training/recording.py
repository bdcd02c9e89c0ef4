"""Whether a run's updates are recorded as one CUDA graph (`lpt.machine.graphs`)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lpt.config import Config
from lpt.data import TrajectoryDataset
from lpt.inference.engines import PosteriorEngine
from lpt.machine.processes import Ranks


def records_updates(
    config: Config,
    dataset: TrajectoryDataset,
    device: torch.device,
    ranks: Ranks,
    engine: PosteriorEngine | None,
    log: Callable[[str], None],
) -> bool:
    """Return whether updates are recorded, as `training.cuda_graph` says; `auto` says why not.

    Raises:
        ValueError: if they have to be and cannot.
    """
    wanted = config.training.cuda_graph
    if wanted == "never" or (wanted == "auto" and device.type != "cuda"):
        return False
    reason = obstacle(config, dataset, device, ranks, engine)
    if reason and wanted == "always":
        raise ValueError(f"training.cuda_graph=always: {reason}: set it to auto or never")
    if reason:
        log(f"cuda graph: none, {reason}; every kernel is launched by itself")
    return reason is None


def obstacle(
    config: Config,
    dataset: TrajectoryDataset,
    device: torch.device,
    ranks: Ranks,
    engine: PosteriorEngine | None,
) -> str | None:
    """Return why updates cannot be recorded, None if they can."""
    if device.type != "cuda":
        return f"graphs need --device cuda, not {device.type}"
    if ranks.count > 1:
        return "several processes share an update"
    lengths, posterior = dataset.learned_lengths, config.posterior
    whole = config.sampler.segments == 0 or (posterior.trajectories and posterior.segments == 0)
    if whole and lengths.min() != lengths.max():
        return "whole trajectories vary in length, and a graph has one shape"
    if engine is not None and not engine.same_work:
        return f"engine {config.engine} counts on the host, so that its work differs each time"
    return None
