"""Where D4RL's data sets lie on the net: its public address, or a mirror of it."""

from __future__ import annotations

import os

from lpt.data.d4rl_names import d4rl_path

HOME = "https://rail.eecs.berkeley.edu/datasets/offline_rl"
"""D4RL's public address."""

MIRROR = "LPT_D4RL_URL"
"""Environment variable that names a mirror, see `d4rl_url`."""


def d4rl_url(name: str) -> str | None:
    """Return the address of a data set, or None for a name that D4RL does not have.

    `LPT_D4RL_URL` replaces D4RL's own address: `https://host/folder` is followed by D4RL's path
    (`gym_mujoco_v2/hopper_medium-v2.hdf5`); a `{file}` in it is replaced by the file's name alone.
    """
    path = d4rl_path(name)
    if path is None:
        return None
    base = os.environ.get(MIRROR) or HOME
    if "{file}" in base:
        return base.replace("{file}", path.rpartition("/")[2])
    return f"{base.rstrip('/')}/{path}"
