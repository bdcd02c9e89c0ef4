"""Flags that fill dataclasses, by tyro; a setting that cannot be is refused as everywhere else."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr
from typing import Any

import tyro

from lpt.config.checks import SettingError


def parse_flags(kind: Any, **options: Any) -> Any:
    """Return what `tyro.cli(kind, **options)` does.

    Raises:
        SettingError: a group of settings refuses its values. tyro would draw a box of many lines
            around what it says, and end the process.
        SystemExit: for `--help`, unknown flags and values of a wrong type (tyro prints usage).
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(kind, **options)
    except SystemExit as stop:
        refused = _refusal(stop)
        if refused is not None:
            said = io.StringIO()
            raise refused from None
        raise
    finally:
        sys.stderr.write(said.getvalue())


def _refusal(error: BaseException | None) -> SettingError | None:
    """Return the refusal that made tyro stop, which is an ancestor of its own error."""
    while error is not None and not isinstance(error, SettingError):
        error = error.__context__
    return error
