"""`lpt-data list` and `lpt-data show`: what data are here, and what is in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from lpt.cli.ending import at_once
from lpt.config import DatasetConfig
from lpt.config.presets import find_preset, starting_point
from lpt.machine.disk import check_writable

if TYPE_CHECKING:
    from lpt.data.dataset import TrajectoryDataset


@dataclass(frozen=True, kw_only=True)
class List:
    """Say which data sets are on this machine and in the working folder, and which can be made."""


@dataclass(frozen=True, kw_only=True)
class Show:
    """Print what is in a data set: returns as its preset labels them, lengths, actions."""

    name_or_path: tyro.conf.Positional[str]
    """Task, file, converted .lpt folder, or Minari id."""
    source: str = "auto"
    """Where from: auto, d4rl, minari, minari:ID, regenerated, shipped, or a path."""
    preset: str | None = None
    """Whose labels are shown (dataset.returns and so on); unset: the task's own."""
    plot: Path | None = None
    """Draw histograms of returns, lengths and actions to this .png, .pdf or .svg."""


def run_list(command: List) -> None:
    """Print a table of all data sets."""
    with at_once():
        from lpt.data.sources.inventory import inventory
        from lpt.data.tasks import TASKS

    rows = [(h.name, h.source, f"{h.megabytes:.1f} MB", str(h.place)) for h in inventory()]
    for name, source, size, place in rows:
        print(f"{name:<24} {source:<12} {size:>10}  {place}")
    made = [task.name for task in TASKS.values() if task.generated]
    print(f"{len(rows)} data sets\ncan be made (lpt-data make NAME): {', '.join(made)}")


def run_show(command: Show) -> TrajectoryDataset:
    """Load a data set and print what is in it; returns it.

    Raises:
        FileNotFoundError: there are no such data on this machine.
        ValueError: unknown or malformed data, or an unknown preset.
    """
    with at_once():
        from lpt.data.sources.load import load
        from lpt.reporting.data_figure import action_ranges, data_figure, histogram
        from lpt.reporting.figures import save_figure

    if command.plot is not None:
        check_writable(command.plot)
    config = _labels(command)
    dataset = load(command.name_or_path, config, command.source)
    print(dataset)
    print(f"returns, {dataset.config.returns}\n{histogram(dataset.returns)}")
    print(f"lengths\n{histogram(dataset.lengths)}")
    units = " in [-1, 1]" if not dataset.discrete else ""
    print(f"actions{units}\n{action_ranges(dataset)}")
    if command.plot is not None:
        print(f"wrote {save_figure(data_figure(dataset), command.plot)}")
    return dataset


def _labels(command: Show) -> DatasetConfig | None:
    """Return how the preset labels trajectories; None where there is none."""
    name = command.preset or find_preset(command.name_or_path)
    return None if name is None else starting_point("", True, name).dataset
