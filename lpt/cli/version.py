"""What `--version` of every command prints."""

from __future__ import annotations

from collections.abc import Sequence

from lpt.version import __version__


def show_version(program: str, arguments: Sequence[str]) -> bool:
    """Print a command's version if that is asked for; returns whether it was."""
    asked = "--version" in arguments
    if asked:
        print(f"{program} {__version__}")
    return asked
