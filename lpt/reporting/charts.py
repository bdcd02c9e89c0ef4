"""Figures of a report: scores, differences, profiles, returns asked for, curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpt.reporting.asked import Line
from lpt.reporting.figures import COLORS, INK, finish
from lpt.reporting.pairs import Pair
from lpt.reporting.profiles import Profile
from lpt.reporting.results import DISPLAY_NAMES
from lpt.reporting.rows import PLANS, Row, names_of, split_name
from lpt.reporting.tables import UNITS

GRAY = "#a0aec0"
_COLORS = dict(zip(DISPLAY_NAMES, (*COLORS, "#4a5568"), strict=True))


def color_of(algorithm: str) -> str:
    """Return an algorithm's color, the same in every figure; variants have that of their kind."""
    return _COLORS.get(split_name(algorithm)[0], GRAY)


def _label(algorithm: str) -> str:
    name, variant = split_name(algorithm)
    return " ".join([DISPLAY_NAMES.get(name, name), *[variant] * bool(variant)])


def scores_figure(rows: Sequence[Row]) -> Figure:
    """Draw each task's algorithms: every seed as a dot, the mean and its interval beside them."""
    names = names_of(rows)
    panels = list(dict.fromkeys(names))
    figure, axes = _grid(len(panels), width=3.4, height=2.9)
    for axis, name in zip(axes, panels, strict=True):
        here = [row for row, own in zip(rows, names, strict=True) if own == name]
        here.sort(key=lambda row: list(DISPLAY_NAMES).index(split_name(row.algorithm)[0]))
        for place, row in enumerate(here):
            _draw_row(axis, place, row)
        labels = [_label(split_name(row.algorithm)[0]) for row in here]
        axis.set_xticks(range(len(here)), labels, rotation=35, ha="right", fontsize=7)
        axis.set_title(name, fontsize=9, color=INK)
        axis.set_xlim(-0.6, len(here) - 0.4)
        axis.set_ylabel(UNITS[here[0].kind].partition(",")[0], fontsize=8)
        _plain(axis)
    return figure


def _draw_row(axis: Axes, place: int, row: Row) -> None:
    color, mean = color_of(row.algorithm), row.mean
    axis.plot([place - 0.15] * len(row.means), row.means, "o", ms=3.5, color=color, alpha=0.6)
    low, high = mean.interval.low, mean.interval.high
    if low is not None and high is not None:
        style = "-" if len(row.means) > 1 else ":"  # dotted: of episodes only
        axis.plot([place + 0.12] * 2, [low, high], style, color=color, lw=2)
    axis.plot([place + 0.12], [mean.value], "D", ms=5, color=color)


def pairs_figure(pairs: Sequence[Pair]) -> Figure:
    """Draw how much plans earn more than baselines, with intervals; one panel a unit."""
    units = list(dict.fromkeys(pair.unit for pair in pairs))
    counts = [sum(pair.unit == unit for pair in pairs) for unit in units]
    figure = Figure(figsize=(9.5, 0.24 * sum(counts) + 1.1 * len(units)), layout="constrained")
    axes = figure.subplots(len(units), 1, squeeze=False, height_ratios=counts)[:, 0]
    for axis, unit in zip(axes, units, strict=True):
        here = [pair for pair in pairs if pair.unit == unit][::-1]
        for place, pair in enumerate(here):
            _draw_pair(axis, place, pair)
        labels = [f"{pair.place}: {_label(pair.one)} - {_label(pair.two)}" for pair in here]
        axis.set_yticks(range(len(here)), labels, fontsize=7)
        axis.axvline(0, color=GRAY, lw=1, zorder=0)
        axis.set_ylim(-0.7, len(here) - 0.3)
        axis.set_xlabel(f"difference, {UNITS[unit]}", fontsize=8)
        _plain(axis)
    return figure


def _draw_pair(axis: Axes, place: int, pair: Pair) -> None:
    if pair.mean is None:
        return
    color = color_of(pair.one)
    low, high = pair.mean.interval.low, pair.mean.interval.high
    inside = "white"
    if low is not None and high is not None:
        style, inside = "-" if len(pair.seeds) > 1 else ":", color
        axis.plot([low, high], [place] * 2, style, color=color, lw=2)
    axis.plot([pair.mean.value], [place], "D", ms=4.5, color=color, markerfacecolor=inside)


def profiles_figure(profiles: Sequence[Profile]) -> Figure:
    """Draw the share of runs above each score, one panel a domain."""
    places = list(dict.fromkeys(profile.place for profile in profiles))
    figure, axes = _grid(len(places), width=4.6, height=3.8)
    for axis, place in zip(axes, places, strict=True):
        here = [profile for profile in profiles if profile.place == place]
        for profile in here:
            color, seeds = color_of(profile.algorithm), sorted(set(profile.seeds))
            label = f"{_label(profile.algorithm)} ({'/'.join(map(str, seeds))})"
            if profile.band is not None:
                axis.fill_between(profile.levels, *profile.band, color=color, alpha=0.12, lw=0)
            axis.step(profile.levels, profile.shares, where="post", color=color, label=label)
        axis.set_xlabel(here[0].unit.partition(",")[0], fontsize=8)
        axis.set_ylabel("share of runs above", fontsize=8)
        axis.set_title(place.replace(", ", "\n", 1), fontsize=8, color=INK)
        axis.set_ylim(-0.03, 1.03)
        finish(figure, axis)
        # Below: steps leave no corner free.
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False, fontsize=7
        )
    return figure


def asked_figure(lines: Sequence[Line]) -> Figure:
    """Draw returns earned, and predicted where plans predict, against returns asked for."""
    tasks = list(dict.fromkeys(line.task for line in lines))
    figure, axes = _grid(len(tasks), width=4.0, height=3.2)
    for axis, task in zip(axes, tasks, strict=True):
        here = [line for line in lines if line.task == task]
        for line in here:
            _draw_line(axis, line)
        ends = [f(t for line in here for t in line.points) for f in (min, max)]
        axis.plot(ends, ends, color=GRAY, lw=1, label="asked", zorder=0)
        axis.set_xlabel("return asked for", fontsize=8)
        axis.set_ylabel("return", fontsize=8)
        axis.set_title(task, fontsize=9, color=INK)
        finish(figure, axis)
    return figure


def _draw_line(axis: Axes, line: Line) -> None:
    color, targets = color_of(line.algorithm), list(line.points)
    plans = split_name(line.algorithm)
    style = "-" if not plans[1] else "-."
    means = [line.earned(target) for target in targets]
    seeds = len(line.points[targets[0]])
    label = f"{_label(line.algorithm)} ({seeds})"
    axis.plot(targets, [m.value for m in means], "o", ls=style, ms=3, color=color, label=label)
    ends = [(m.interval.low, m.interval.high) for m in means]
    if all(low is not None for low, _ in ends):
        low, high = np.array(ends, float).T
        axis.fill_between(targets, low, high, color=color, alpha=0.13, lw=0)
    predicted = [[one.predicted for one in line.points[target]] for target in targets]
    if plans[0] in PLANS and all(None not in values for values in predicted):
        axis.plot(targets, np.mean(np.array(predicted, float), axis=1), ":", lw=1, color=color)


def learning_figure(curves: dict[str, list[Row]]) -> Figure:
    """Draw returns against updates, one panel a task, one thin line a seed.

    Args:
        curves: rows whose records have a curve, by task.
    """
    figure, axes = _grid(len(curves), width=4.0, height=3.2)
    for axis, (name, rows) in zip(axes, curves.items(), strict=True):
        for row in rows:
            label: dict[str, Any] = {"label": _label(row.algorithm)}
            for record in row.records:
                points = record.get("curve") or []
                values = [row.value(point["returns"]).mean() for point in points]
                updates = [point["updates"] for point in points]
                axis.plot(updates, values, "o-", ms=2, lw=1, color=color_of(row.algorithm), **label)
                label = {}
        axis.set_xlabel("updates", fontsize=8)
        axis.set_ylabel(UNITS[rows[0].kind].partition(",")[0], fontsize=8)
        axis.set_title(name, fontsize=9, color=INK)
        finish(figure, axis)
    return figure


def _grid(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of `count` panels, three in a row."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.set_axis_off()
    for axis in axes:
        axis.tick_params(labelsize=7)
    return figure, axes[:count]


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
