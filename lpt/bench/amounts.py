"""How much is measured, which a command may ask without loading what measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured."""

    repeats: int = 5
    """Repeats of every measurement, after one for warming up; median and range are given."""
    seconds: float = 2.0
    """Least seconds that a repeat of training, planning or a matrix product takes."""
    rows: int = 1_000_000
    """Steps of the random data, which are written as HDF5 and loaded."""
    episodes: int = 50
    """Episodes side by side, in rollouts and in planning (beside a single plan)."""
    rollout_steps: int = 100
    """Steps of each episode in a repeat; an episode that ends begins anew."""

    def __post_init__(self) -> None:
        """Raise ValueError for amounts that measure nothing."""
        for name in ("repeats", "rows", "episodes", "rollout_steps"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} {getattr(self, name)}: expected at least 1")
        if self.seconds < 0:
            raise ValueError(f"--seconds {self.seconds}: expected 0 or more")
