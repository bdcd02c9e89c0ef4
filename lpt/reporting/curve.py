"""A run's curve: its periodic evaluations, one line of JSON each in `evaluations.jsonl`.

The file grows in place, so that a kill may leave half a last line, which readers pass over. What is
read was perhaps written by somebody else: every line is checked before anything is made of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from lpt.machine.disk import writing
from lpt.machine.files import write_text
from lpt.machine.schema import Count, Finite, checked
from lpt.machine.untrusted import parse_object, parsing, read_bounded

NAME = "evaluations.jsonl"
"""The file in the run's folder."""
LARGEST = 64 << 20
"""Bytes of the largest curve that is read; a thousand evaluations have some hundred thousand."""
_MEND = "Remove the file: it is only drawn."


class Point(BaseModel):
    """One evaluation."""

    model_config = ConfigDict(extra="allow")

    updates: Annotated[Count, Field(validation_alias=AliasChoices("updates", "step"))]
    """After how many updates it was made; version 0.1 called it step."""
    returns: Annotated[list[Finite], Field(min_length=1)]
    """Of its episodes, raw units."""
    score: Finite | None = None
    """D4RL's, where the task has one."""


def add_point(run: Path, record: dict[str, Any]) -> None:
    """Add an evaluation to a run's curve; raises DiskError if that cannot be written."""
    path = run / NAME
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_curve(run: Path | str) -> list[Point]:
    """Return the evaluations of a run in the order of their updates, each once.

    Raises:
        FileNotFoundError: if the run has none.
        ValueError: if a line is not an evaluation.
    """
    path = Path(run) / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: give run folders of lpt-train, trained with evaluations "
            "(training.evaluate_every above 0)"
        )
    points = {point.updates: point for _, point in _lines(path)}  # of repeated ones the last holds
    return [points[updates] for updates in sorted(points)]


def drop_later(run: Path, updates: int) -> None:
    """Remove from a run's curve, if it has one, what was evaluated after so many updates.

    Raises:
        ValueError: if a line is not an evaluation.
        DiskError: if the rest cannot be written.
    """
    path = run / NAME
    if path.exists():
        kept = [line + "\n" for line, point in _lines(path) if point.updates <= updates]
        write_text("".join(kept), path, overwrite=True)


def _lines(path: Path) -> list[tuple[str, Point]]:
    """Return the whole lines of a curve, as they are and as evaluations."""
    with parsing(f"{path}: not text", _MEND):
        lines = read_bounded(path, LARGEST).decode("utf-8").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        if line.endswith("}"):
            where = f"{path}, line {number}"
            with parsing(f"{where}: no evaluation", _MEND):
                record = parse_object(line)
            found.append((line, checked(Point, record, where, _MEND)))
    return found
