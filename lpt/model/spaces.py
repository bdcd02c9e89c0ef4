"""The environment's spaces as the model sees them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """Sizes of observations and actions."""

    observation_dim: int
    """Length of the flat observation vector."""
    action_dim: int
    """Length of the action vector, or the number of discrete actions."""
    discrete: bool
    """Whether actions are integers."""
