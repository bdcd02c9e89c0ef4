"""Making MuJoCo environments without the noise that their users can do nothing about."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import mujoco


def make_env(env_id: str, **options: Any) -> gym.Env:
    """Makes an environment as `gymnasium.make` does.

    Two warnings are left out: gymnasium's that v4 environments are old (D4RL's scores hold in no
    newer ones), and MuJoCo's of an attribute in gymnasium's own half-cheetah, which would be
    printed and written to `MUJOCO_LOG.TXT` in the working folder for each environment made.

    Args:
        env_id: gymnasium id.
        options: of `gymnasium.make`.
    """
    with warnings.catch_warnings(), _without("attribute 'settotalmass' is deprecated"):
        warnings.filterwarnings("ignore", ".*is out of date.*")
        return gym.make(env_id, **options)


@contextmanager
def _without(known: str) -> Iterator[None]:
    """Keeps MuJoCo's warnings with these words back and turns others into Python's."""
    messages: list[str] = []
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(messages.append)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
    for message in messages:
        if known not in message:
            warnings.warn(f"MuJoCo: {message}", stacklevel=3)
