"""The form of `training.json`: what resuming needs besides tensors."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lpt.machine.schema import Count, Finite, checked


class TrainingRecord(BaseModel):
    """What is stored, in format 2 and, as `step` and `best_step`, in format 1."""

    model_config = ConfigDict(extra="allow")

    updates: Count | None = None
    step: Count | None = None
    sampler: dict[str, Any] = {}
    trajectories: Count = 0
    wall_seconds: Annotated[Finite, Field(ge=0)] = 0.0
    best_return: Finite | None = None
    best_updates: Count | None = None
    best_step: Count | None = None
    preconditioner_updates: Count | None = None


def check_training(values: dict[str, Any], where: str) -> None:
    """Raise ValueError if a record is not of this form; names the entry."""
    mend = "Resume from another checkpoint of the run."
    checked(TrainingRecord, values, where, mend)
    if values.get("updates", values.get("step")) is None:
        raise ValueError(f"{where}: updates is missing. {mend}")
