"""What a source is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lpt.data.recipes.recipe import Recipe
from lpt.data.sources.folders import d4rl_folder
from lpt.data.tasks import Task

Log = Callable[[str], None]
"""Receives the lines to print."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The data that are wanted, and from where."""

    source: str
    """`auto`, or the name of the sources to ask."""
    name: str
    """What the lines that are printed call the data."""
    task: Task | None
    """Whose data; None for a Minari set of no known task."""
    minari_id: str | None
    """Minari's set of the data, None if there is none."""
    steps: int | None = None
    """Rows of regenerated data; None takes the published number."""
    seed: int = 0
    """Of regenerated data."""
    say: Log
    """Receives the lines to print."""

    @property
    def auto(self) -> bool:
        """Whether any source will do."""
        return self.source == "auto"

    @property
    def published(self) -> bool:
        """Whether published data will do.

        Who asks for a size or a seed asks for regenerated data: nothing else has them.
        """
        return not self.auto or (self.steps is None and self.seed == 0)

    @property
    def files(self) -> list[Path]:
        """Where the D4RL cache would hold the data, in order of preference."""
        return [] if self.task is None else [d4rl_folder() / file for file in self.task.files]

    @property
    def recipe(self) -> Recipe | None:
        """How the data can be made on this machine, None if they cannot."""
        return self.task.recipe if self.task is not None and self.task.generated else None


@dataclass(frozen=True)
class Found:
    """Data that can be read now."""

    place: str | Path
    """The file or folder, or the Minari id."""
    kind: str
    """Kind of source: that of the provenance, `lpt` for a converted folder."""


@dataclass(frozen=True)
class Missing:
    """A source does not have the data."""

    reason: str = ""
    """Why not, where the error message should say it."""


class Source(Protocol):
    """One place that data come from."""

    @property
    def name(self) -> str:
        """What the source is asked for by."""

    def find(self, request: Request) -> Found | Missing:
        """Find the data, or download or make them, if that is this source's way.

        Says which data it takes and why.

        Raises:
            FileNotFoundError: asked for by name, it does not have them; says what to do instead.
        """
