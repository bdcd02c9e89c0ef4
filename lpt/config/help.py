"""The short help of `lpt-train`: the flags that matter first, with the values they would have.

Nothing heavy is imported for it, so that it is there at once; `--help-all` is the parser's own.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any

from lpt.config.presets import preset_names
from lpt.config.settings import Config
from lpt.config.tree import to_tree

FIRST = (
    *("task", "preset", "source", "env_id", "algorithm", "engine", "seed", "updates", "out"),
    *("device", "init_from", "track", "evaluation.target", "evaluation.episodes"),
    *("planning.method", "planning.weight", "planning.draws"),
    *("sampler.batch_trajectories", "model.width", "model.context", "training.learning_rate"),
    *("training.evaluate_every", "training.precision", "training.threads"),
)
"""The settings that most users change, in the order in which they are shown."""
INSTEAD = {
    "--resume RUN": "go on with a run that was stopped, by its own settings",
    "--extend RUN --steps N": "go on with a run for N updates more than it was made for",
    "--config FILE.yaml": "begin with stored settings, such as a run's config.yaml",
    "--help-all": "all flags, by group",
    "--version": "the version",
}
"""Flags that are no settings."""


def short_help(config: Config | None) -> str:
    """Return the help text.

    Args:
        config: settings that the values shown are of; None: those of no task.
    """
    values = flat(to_tree(config or Config(task="")))
    documented = documentation()
    width = min(shutil.get_terminal_size().columns, 100)
    lines = [
        "usage: lpt-train --env TASK [flags]",
        "",
        "Train a Latent Plan Transformer and evaluate its last checkpoint.",
        "",
        *_wrapped("presets: " + ", ".join(preset_names()), width, ""),
        "",
    ]
    for name in FIRST:
        flag = "--env, --task" if name == "task" else f"--{name.replace('_', '-')}"
        value = values[name]
        lines.append(f"  {flag}" + ("" if value in (None, "") else f" {_shown(value)}"))
        lines += _wrapped(documented[name], width, " " * 6)
    lines.append("")
    lines += [f"  {flag:<24} {text}" for flag, text in INSTEAD.items()]
    return "\n".join(lines)


def documentation() -> dict[str, str]:
    """Return the text below every field of a configuration, by its dotted name."""
    groups = vars(Config(task="")).items()
    prefixes = {type(group): f"{name}." for name, group in groups if is_dataclass(group)}
    found: dict[str, str] = {}
    for kind, prefix in {Config: "", **prefixes}.items():
        (node,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(node, ast.ClassDef)
        found |= {prefix + name: text for name, text in _fields(node.body)}
    return found


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree by dotted name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        found |= {prefix + key: value} if inner is None else inner
    return found


def _fields(body: Sequence[ast.stmt]) -> list[tuple[str, str]]:
    """Return name and text of every field that has a string below it."""
    found = []
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            if isinstance(field.target, ast.Name) and isinstance(below.value, ast.Constant):
                found.append((field.target.id, " ".join(str(below.value.value).split())))
    return found


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    wrapper = textwrap.TextWrapper(width, indent, indent, break_on_hyphens=False)
    return wrapper.wrap(text)
