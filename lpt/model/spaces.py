"""The environment's spaces as the model sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """Sizes of observations and actions."""

    observation_dim: Annotated[int, Field(ge=1, le=1 << 20)]
    """Length of the flat observation vector."""
    action_dim: Annotated[int, Field(ge=1, le=1 << 16)]
    """Length of the action vector, or the number of discrete actions."""
    discrete: bool
    """Whether actions are integers."""
