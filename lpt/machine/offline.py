"""Whether this machine may be asked to fetch anything."""

from __future__ import annotations

import os

OFFLINE = "LPT_OFFLINE"
"""Environment variable that forbids downloads: anything but empty and 0."""


def offline() -> bool:
    """Return whether `LPT_OFFLINE` forbids downloads."""
    return os.environ.get(OFFLINE, "") not in ("", "0")
