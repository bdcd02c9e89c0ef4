"""Which packages an environment's id may import when it was read from a file.

`package:Name-v0` imports `package`, and importing runs its code. An id that the user typed says so
on purpose. One that a checkpoint, a data file or a stored configuration brings along does not: it
may only name what this toolkit itself works with, or what this process has imported already.
"""

from __future__ import annotations

import sys

KNOWN_PACKAGES = ("gymnasium", "gymnasium_robotics", "lpt_envs")
"""Packages that ids of any origin may name."""


def is_known(env_id: str) -> bool:
    """Return whether making an id's environment imports nothing but known or imported packages."""
    module, colon, _ = env_id.partition(":")
    return not colon or module.partition(".")[0] in KNOWN_PACKAGES or module in sys.modules


def check_environment(env_id: str, origin: str) -> str:
    """Return an id that was read from a file, if making its environment imports nothing unknown.

    Args:
        env_id: a gymnasium id, with or without a module in front.
        origin: what named it, for the error.

    Raises:
        ValueError: it names a package that is neither known nor imported; says how to allow it.
    """
    if not is_known(env_id):
        module = env_id.partition(":")[0]
        raise ValueError(
            f"{origin} names the environment {env_id!r}, which would run the code of the package "
            f"{module!r}: if you trust it, name it yourself with --env-id {env_id} (in Python: "
            f"give env_id, or import {module} first)"
        )
    return env_id
