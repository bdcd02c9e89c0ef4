"""The form of a provenance in files: what data sets and policies both store of their data's origin.

`lpt.data.Provenance` is the same as an object. Entries that decide something have types and bounds
here; others are for people to read.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lpt.machine.schema import Count, Finite, Name, checked

Bounds = Annotated[list[Finite], Field(max_length=1 << 20)]
Horizon = Annotated[int, Field(ge=1, le=1 << 32)]


class Details(BaseModel):
    """What is known besides names; other entries pass as they are."""

    model_config = ConfigDict(extra="allow")

    horizon: Horizon | None = None
    cut_at_horizon: Horizon | None = None
    env_kwargs: dict[str, Any] = {}
    action_bounds: tuple[Bounds, Bounds] | None = None
    dropped_short_trajectories: Count = 0
    dropped_tail_steps: Count = 0
    path: str = ""
    converted_from: str = ""

    @field_validator("action_bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[list[float], list[float]] | None) -> Any:
        if bounds is not None:
            low, high = bounds
            if len(low) != len(high) or any(a > b for a, b in zip(low, high, strict=False)):
                raise ValueError("expected as many least as greatest actions, none above the other")
        return bounds


class Origin(BaseModel):
    """A stored provenance."""

    model_config = ConfigDict(extra="forbid")

    source: Name = ""
    id: Name = ""
    env_id: Name | None = None
    fingerprint: Name = ""
    details: Details = Details()


def check_origin(record: Any, where: str, mend: str) -> None:
    """Raise ValueError if a record is no stored provenance; names the entry."""
    checked(Origin, record, where, mend)
