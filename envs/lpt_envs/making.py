"""Making environments without the noise that users can do nothing about, and their time limits."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np


def make_env(env_id: str, **options: Any) -> gym.Env:
    """Make an environment as `gymnasium.make` does, with a vector for an observation.

    An environment whose observations are dictionaries (gymnasium-robotics) is wrapped in
    `gymnasium.wrappers.FlattenObservation`: all entries end to end, keys in the order of its space
    (sorted), as Minari stores them.

    Two warnings are left out: gymnasium's that v4 environments are old (D4RL's scores hold in no
    newer ones), and MuJoCo's of an attribute in gymnasium's own half-cheetah, which would be
    printed and written to `MUJOCO_LOG.TXT` in the working folder for each environment made.

    Args:
        env_id: gymnasium id; `module:Name-v0` imports the module that registers it first.
        options: of `gymnasium.make`.

    Raises:
        ImportError: the module is not installed; says which extra brings it.
        gymnasium.error.Error: there is no such environment.
    """
    if env_id.startswith("gymnasium_robotics:"):
        _prepare_robotics()
    with warnings.catch_warnings(), _without("attribute 'settotalmass' is deprecated"):
        warnings.filterwarnings("ignore", ".*is out of date.*")
        env = gym.make(env_id, **options)
    if isinstance(env.observation_space, gym.spaces.Dict):
        return gym.wrappers.FlattenObservation(env)
    return env


def time_limit(env_id: str) -> int | None:
    """Return the steps after which an environment's episodes are truncated.

    Args:
        env_id: gymnasium id; `module:Name-v0` imports the module that registers it first.

    Returns:
        None where it has no limit or is not known here, which making it would say.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module == "gymnasium_robotics":
            _prepare_robotics()
        if module:
            importlib.import_module(module)
        return gym.spec(name).max_episode_steps
    except (ImportError, gym.error.Error):
        return None


def _prepare_robotics() -> None:
    """Import gymnasium-robotics and mend what keeps its kitchen from MuJoCo 4.

    It compares a joint's type, a numpy integer, with members of MuJoCo's enumeration by `in`, which
    since MuJoCo 4.0 finds them equal from one side only. It is given plain integers.
    """
    try:
        with redirect_stderr(io.StringIO()):  # it prints a notice of its hands, not used here
            utils: Any = importlib.import_module("gymnasium_robotics.utils.mujoco_utils")
    except ImportError as error:
        raise ImportError(
            f"{error}: antmaze and kitchen need gymnasium-robotics, pip install "
            "'lpt-toolkit[robotics]'"
        ) from error
    kinds = mujoco.mjtJoint
    if kinds.mjJNT_HINGE != np.int32(int(kinds.mjJNT_HINGE)):
        names = ("mjJNT_FREE", "mjJNT_BALL", "mjJNT_SLIDE", "mjJNT_HINGE")
        joints = SimpleNamespace(**{name: int(getattr(kinds, name)) for name in names})
        utils.mujoco = SimpleNamespace(**{**vars(mujoco), "mjtJoint": joints})


@contextmanager
def _without(known: str) -> Iterator[None]:
    """Keep MuJoCo's warnings with these words back and turn others into Python's."""
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
