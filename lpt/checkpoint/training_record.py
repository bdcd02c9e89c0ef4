"""The form of `training.json`: what resuming needs besides tensors."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lpt.machine.schema import Count, Finite, checked


class TrainingRecord(BaseModel):
    """What is stored, in format 2 and, as `step` and `best_step`, in format 1."""

    model_config = ConfigDict(extra="allow")

    updates: Count = 0
    step: Count = 0
    sampler: dict[str, Any] = {}
    trajectories: Count = 0
    wall_seconds: Annotated[Finite, Field(ge=0)] = 0.0
    best_return: Finite | None = None
    best_updates: Count | None = None
    best_step: Count | None = None
    preconditioner_updates: Count | None = None


def check_training(values: dict[str, Any], where: str) -> None:
    """Raise ValueError if an entry is not of this form; what is missing shows on resuming."""
    checked(TrainingRecord, values, where, "Resume from another checkpoint of the run.")
