"""`write_page`: an evaluation as one HTML file that needs no network and no other file."""

from __future__ import annotations

from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import Evaluation
from lpt.machine.files import write_text
from lpt.reporting.figures import INK
from lpt.reporting.panels import (
    episodes_panel,
    plans_panel,
    returns_panel,
    targets_panel,
    trajectory_panel,
)
from lpt.reporting.views import view_of

_TEMPLATE = Path(__file__).with_name("page.html")
_POINTING = """
document.getElementById('plans').on('plotly_hover', event => {
  const point = event.points[0], trace = point.customdata;
  if (!trace) return;
  const shown = {x: [trace.x], y: [trace.y]};
  if (trace.text) Object.assign(shown, {text: [trace.text], 'marker.color': [trace.marker.color]});
  Plotly.update('trajectory', shown, {'title.text': point.text});
});
"""


def check_plotly() -> None:
    """Raise ModuleNotFoundError where plotly is missing."""
    if find_spec("plotly") is None:
        raise ModuleNotFoundError("--html needs plotly: pip install 'lpt-toolkit[html]'")


def write_page(
    policy: LPTPolicy,
    evaluations: list[Evaluation],
    path: Path | str,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a page of evaluations of one policy.

    It shows the returns asked for, predicted and earned; every episode's return; the paths of
    a maze or the games of Connect Four; and the plans, where pointing at one shows the trajectory
    that it makes (in mazes and Connect Four).

    Args:
        policy: the policy.
        evaluations: of several targets or one, the first made with `record=True`.
        path: the file.
        overwrite: replace it if it is there.

    Raises:
        ModuleNotFoundError: the extra `html` is not installed.
        FileExistsError: the file is there and `overwrite` is False.
    """
    check_plotly()
    from plotly.offline import get_plotlyjs

    panels = "\n".join(
        _panel(name, title, note, figure)
        for name, title, note, figure in _panels(policy, evaluations)
    )
    metadata, first = policy.metadata, evaluations[0]
    title = f"{metadata.task}, {metadata.algorithm}, {metadata.updates} updates"
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title), facts=escape(_facts(first)), plotly=get_plotlyjs(), panels=panels
    )
    return write_text(text, path, overwrite=overwrite)


def _facts(first: Evaluation) -> str:
    """Return a sentence on how the episodes were made."""
    actions = "most probable" if first.deterministic else "drawn"
    return (
        f"{len(first.returns)} episodes for each target in {first.env_id}, planning weight "
        f"w = {first.weight:g}, {actions} actions, seed {first.seed}."
    )


def _panels(
    policy: LPTPolicy, evaluations: list[Evaluation]
) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return name, title, explanation and figure of every panel."""
    first = evaluations[0]
    view = view_of(policy, first.env_id)
    found = [
        ("targets", "Asked, predicted, earned", "Mean returns; --sweep adds targets.",
         targets_panel(evaluations)),
        ("returns", "Returns", "Every episode. The legend shows other targets.",
         returns_panel(evaluations)),
    ]  # fmt: skip
    if policy.algorithm.infers_plans:
        plans = plans_panel(policy, evaluations, view)
        pointing = f"Pointing at a plan shows its {view.name}." if view is not None else ""
        note = (
            f"Plans known from learning, or made for the targets, in their main plane. {pointing}"
        )
        found.append(("plans", "The plan space", note, plans))
        if view is not None:
            note = f"From one start, the {view.name} of the plan that is pointed at."
            found.append(("trajectory", "One plan", note, trajectory_panel(view, plans)))
    if view is not None and first.observations:
        note = f"Asked for a return of {first.target:g}."
        found.append(("episodes", f"Each {view.name}", note, episodes_panel(view, first)))
    return found


def _panel(name: str, title: str, note: str, figure: dict[str, Any]) -> str:
    """Return a section of the page."""
    from plotly.io import to_html

    margin = {"l": 50, "r": 20, "t": 30, "b": 45}
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    layout = {"height": 420, "margin": margin, "font": {"color": INK}, "legend": legend}
    drawn = to_html(
        {**figure, "layout": {"plot_bgcolor": "white", **layout, **figure["layout"]}},
        config={"responsive": True, "displayModeBar": False},
        include_plotlyjs=False,
        full_html=False,
        div_id=name,
        post_script=_POINTING if name == "plans" else None,
    )
    return f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p>{drawn}</section>"
