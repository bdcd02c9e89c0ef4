"""The figures of a page, as dictionaries that plotly takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex
from torch import Tensor

from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import Evaluation
from lpt.model import LatentPlanTransformer
from lpt.reporting.figures import COLORS
from lpt.reporting.plan_space import from_one_start, principal
from lpt.reporting.statistics import bootstrap_interval
from lpt.reporting.views import BoardView, View

Figure = dict[str, Any]
PLANS = 120
"""Most plans that a map shows."""
EPISODES = 100
"""Most episodes that are drawn."""


def targets_panel(evaluations: list[Evaluation]) -> Figure:
    """Return asked for, predicted by the plans, and earned with its 95 % interval."""
    ordered = sorted(evaluations, key=lambda e: e.target)
    asked = [e.target for e in ordered]
    mean = np.array([e.returns.mean() for e in ordered])
    low, high = np.array([bootstrap_interval(e.returns) for e in ordered]).T
    spread = {"type": "data", "array": (high - mean).tolist(), "symmetric": False}
    earned = {"error_y": {**spread, "arrayminus": (mean - low).tolist()}}
    lines = [
        _line("asked", asked, asked, "#a0aec0", "dot"),
        _line("predicted", asked, [e.predicted_return for e in ordered], COLORS[1], "dash"),
        {**_line("earned (95 % interval)", asked, mean.tolist(), COLORS[0], "solid"), **earned},
    ]
    return _figure(lines, "return asked for", "return", legend=True)


def returns_panel(evaluations: list[Evaluation]) -> Figure:
    """Return the histogram of every target's episodes; the first target's is shown."""
    bars = [
        {
            "type": "histogram",
            "name": f"asked for {e.target:g}",
            "x": e.returns.tolist(),
            "nbinsx": 30,
            "opacity": 0.7,
            "visible": True if i == 0 else "legendonly",
        }
        for i, e in enumerate(evaluations)
    ]
    return _figure(bars, "return earned", "episodes", legend=True, barmode="overlay")


def episodes_panel(view: View, evaluation: Evaluation) -> Figure:
    """Return a recorded evaluation's paths, or its games with a slider to choose one."""
    episodes = evaluation.observations[:EPISODES]
    traces = [view.trace(episode) for episode in episodes]
    shown = evaluation.returns[: len(episodes)]
    for trace, earned in zip(traces, shown.tolist(), strict=True):
        trace.update(name=f"return {earned:g}", hoverinfo="name", showlegend=False)
    if isinstance(view, BoardView):
        for i, trace in enumerate(traces):
            trace["visible"] = i == 0
        return {"data": traces, "layout": {**view.layout, "sliders": [_slider(shown.tolist())]}}
    for trace, color in zip(traces, _shades(shown), strict=True):
        trace["line"]["color"] = color
    scale = {"color": shown.tolist(), "colorscale": "Viridis", "showscale": True, "size": 6}
    starts = {
        "x": [trace["x"][0] for trace in traces],
        "y": [trace["y"][0] for trace in traces],
        "text": [trace["name"] for trace in traces],
        "mode": "markers",
        "hoverinfo": "text",
        "showlegend": False,
        "marker": {**scale, "colorbar": {"title": {"text": "return"}}},
    }
    return {"data": [*traces, starts], "layout": view.layout}


def plans_panel(policy: LPTPolicy, evaluations: list[Evaluation], view: View | None) -> Figure:
    """Return the main plane of the plans, colored by the return that each predicts.

    With a view each point brings along, as its `customdata`, the trajectory that its plan makes
    from one and the same start.
    """
    model = policy.model
    assert isinstance(model, LatentPlanTransformer)
    z = _plans(policy, model, [e.target for e in evaluations])
    with torch.no_grad():
        standardized = model.predicted_return(z).cpu().numpy()
    predicted = standardized * policy.metadata.return_std + policy.metadata.return_mean
    points, share = principal(z.flatten(1).cpu().numpy())
    texts, traces = [f"predicts {value:.4g}" for value in predicted], None
    if view is not None:
        first = evaluations[0]
        asked = np.full(len(z), first.target)
        episodes, earned = from_one_start(policy, z, asked, first.env_id, first.seed)
        traces = [view.trace(episode) for episode in episodes]
        texts = [f"{t}, earns {e:.4g}" for t, e in zip(texts, earned, strict=True)]
    scale = {"color": predicted.tolist(), "colorscale": "Plasma", "showscale": True, "size": 9}
    marks = {
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "text": texts,
        "customdata": traces,
        "mode": "markers",
        "hoverinfo": "text",
        "marker": {**scale, "colorbar": {"title": {"text": "predicted<br>return"}}},
    }
    names = (f"{n} component ({part:.0%})" for n, part in zip(("1st", "2nd"), share, strict=True))
    return _figure([marks], *names)


def trajectory_panel(view: View, plans: Figure) -> Figure:
    """Return the trajectory of the plan that predicts the most; pointing changes it."""
    marks = plans["data"][0]
    best = int(np.argmax(marks["marker"]["color"]))
    trace = {**marks["customdata"][best], "hoverinfo": "skip"}
    if "line" in trace:
        trace["line"] = {"width": 2.5, "color": COLORS[0]}
    return {"data": [trace], "layout": {**view.layout, "title": {"text": marks["text"][best]}}}


def _plans(policy: LPTPolicy, model: LatentPlanTransformer, targets: list[float]) -> Tensor:
    """Return remembered plans from the lowest prediction to the highest, or plans for targets."""
    if not model.remembered.size or not int(model.remembered.count):
        each = max(PLANS // len(targets), 2)
        return torch.cat([policy.plan(target, each).z for target in targets]).detach()
    with policy.evaluation_mode(), torch.no_grad():
        z = model.plan_from_noise(model.remembered.draws())
        order = model.predicted_return(z).argsort()
        kept = torch.linspace(0, len(z) - 1, min(PLANS, len(z))).round().long()
        return z[order[kept.to(order.device)]]


def _figure(data: list[Figure], x: str, y: str, *, legend: bool = False, **layout: Any) -> Figure:
    grid = {"gridcolor": "#e2e8f0", "zeroline": False}
    axes = {"xaxis": {"title": {"text": x}, **grid}, "yaxis": {"title": {"text": y}, **grid}}
    return {"data": data, "layout": {**axes, "showlegend": legend, **layout}}


def _line(name: str, x: list[float], y: list[float], color: str, dash: str) -> Figure:
    line = {"color": color, "dash": dash}
    return {"name": name, "x": x, "y": y, "mode": "lines+markers", "line": line}


def _shades(values: np.ndarray) -> list[str]:
    """Return a color of viridis for each value."""
    spread = max(float(np.ptp(values)), 1e-9)
    return [to_hex(colormaps["viridis"]((v - values.min()) / spread)) for v in values]


def _slider(returns: list[float]) -> Figure:
    """Return a slider that shows one game at a time."""
    steps = [
        {
            "method": "restyle",
            "label": str(i + 1),
            "args": [{"visible": [i == j for j in range(len(returns))]}],
        }
        for i in range(len(returns))
    ]
    return {"steps": steps, "currentvalue": {"prefix": "game "}}
