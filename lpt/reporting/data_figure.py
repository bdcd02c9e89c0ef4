"""What is in a data set: returns, lengths and actions, in a figure or in text."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lpt.data.dataset import TrajectoryDataset

BINS = 12
"""Bars of a histogram in text."""
_COLOR = "#2b6cb0"


def data_figure(dataset: TrajectoryDataset) -> Figure:
    """Return histograms of labels, of lengths, and of each dimension of the actions."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    labels, lengths, actions = figure.subplots(1, 3)
    labels.hist(dataset.returns, bins=40, color=_COLOR)
    labels.set(xlabel=f"return, {dataset.config.returns}", ylabel="trajectories")
    lengths.hist(dataset.lengths, bins=40, color=_COLOR)
    lengths.set(xlabel="steps", ylabel="trajectories")
    if dataset.discrete:
        counts = np.bincount(dataset.actions, minlength=dataset.action_dim)
        actions.bar(np.arange(dataset.action_dim), counts, color=_COLOR)
    else:
        values = list(np.asarray(dataset.actions).T)
        actions.hist(values, bins=20, histtype="step", label=[str(i) for i in range(len(values))])
        actions.legend(title="dimension", fontsize="small")
    actions.set(xlabel="action", ylabel="steps")
    figure.suptitle(f"{dataset.provenance.id} ({dataset.provenance.source})")
    return figure


def histogram(values: np.ndarray, width: int = 40) -> str:
    """Return a histogram of `[n]` values as lines: from, to, a bar, and how many."""
    counts, edges = np.histogram(values, bins=BINS)
    full = max(counts.max(), 1)
    return "\n".join(
        f"  {low:>10.4g} to {high:<10.4g} {'█' * round(width * count / full):<{width}} {count}"
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )


def action_ranges(dataset: TrajectoryDataset) -> str:
    """Return what actions were taken: how often each, or each dimension's range, as lines."""
    if dataset.discrete:
        counts = np.bincount(dataset.actions, minlength=dataset.action_dim)
        shares = 100 * counts / counts.sum()
        return "\n".join(f"  action {i:<3} {share:5.1f} %" for i, share in enumerate(shares))
    low, high = dataset.actions.min(0), dataset.actions.max(0)
    mean, std = dataset.actions.mean(0), dataset.actions.std(0)
    return "\n".join(
        f"  dimension {i:<3} {low[i]:6.3f} to {high[i]:6.3f}, mean {mean[i]:6.3f}, std {std[i]:.3f}"
        for i in range(dataset.action_dim)
    )
