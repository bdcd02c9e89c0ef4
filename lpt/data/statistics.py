"""Statistics of a data set, and its printed summary."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpt.data.blocks import release
from lpt.machine.untrusted import short

STD_FLOOR = 1e-3
"""Smallest standard deviation an observation is divided by, so that nothing explodes."""

SHOWN = (
    *("path", "converted_from", "generator", "seed", "noise", "maze", "versions"),
    *("action_bounds", "clipped_actions"),
)
"""Details of the provenance that the summary prints, where there are any."""

_CHUNK = 16384


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the columns of `values` `[S, dim]`, float32 `[dim]`.

    The standard deviation is at least `STD_FLOOR`, and one for a column that never changes.
    Summed in float64, in chunks that stay in the processor's cache; the first row is subtracted
    so that nothing cancels and a constant column gives exactly zero.
    """
    shift = values[0].astype(np.float64)
    total, squares = np.zeros_like(shift), np.zeros_like(shift)
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK] - shift
        total += chunk.sum(axis=0)
        squares += np.einsum("sd,sd->d", chunk, chunk)
        release(values)
    mean = total / len(values)
    variance = np.maximum(squares / len(values) - mean**2, 0.0)
    std = np.where(squares == 0.0, 1.0, np.maximum(np.sqrt(variance), STD_FLOOR))
    return (mean + shift).astype(np.float32), std.astype(np.float32)


def describe(dataset: Any) -> str:
    """Return the summary of a `TrajectoryDataset` that `repr` and `lpt-data info` print."""
    names = ("min", "10%", "50%", "90%", "max")
    quantiles = np.quantile(dataset.returns, [0.0, 0.1, 0.5, 0.9, 1.0])
    origin, lengths = dataset.provenance, dataset.lengths
    action = f"Discrete({dataset.num_actions})" if dataset.discrete else f"[{dataset.action_dim}]"
    dropped = origin.details.get("dropped_short_trajectories", 0)
    tail = origin.details.get("dropped_tail_steps", 0)
    lines = [
        f"TrajectoryDataset {origin.id} (source: {origin.source})",
        f"  fingerprint  {origin.fingerprint}",
        f"  env_id       {origin.env_id or 'unknown'}",
        f"  size         {len(dataset)} trajectories, {dataset.num_steps} steps",
        f"  shapes       observation [{dataset.observation_dim}], action {action}",
        f"  lengths      {lengths.min()} to {lengths.max()}, mean {lengths.mean():.1f}; "
        f"{int(dataset.terminated.sum())} terminated",
        f"  dropped      {dropped} trajectories under {dataset.config.min_length} steps, "
        f"{tail} steps of unfinished tail",
        f"  returns      {dataset.config.returns} (horizon {dataset.config.horizon}): mean "
        f"{dataset.return_mean:.4g}, std {dataset.return_std:.4g}",
        "  quantiles    "
        + "  ".join(f"{name} {value:.4g}" for name, value in zip(names, quantiles, strict=True)),
    ]
    if dataset.config.held_steps:
        held = int((dataset.learned_lengths - lengths).sum())
        lines.append(f"  held steps   {held}, at most {dataset.config.held_steps} a trajectory")
    for key in SHOWN:
        if key in origin.details:
            lines.append(f"  {key:<12} {short(str(origin.details[key]), 1000)}")
    return "\n".join(lines)
