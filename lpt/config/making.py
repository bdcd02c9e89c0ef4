"""What `lpt-data make` may be asked for, besides a task."""

from __future__ import annotations

from typing import Literal

Format = Literal["games", "d4rl", "minari", "npz"]
"""A kind of file that is written."""
NOISE = 0.5
"""Standard deviation of the action noise in a maze that fits D4RL's released data."""
