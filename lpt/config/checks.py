"""What settings are checked for where they are made, and the error of those that cannot be."""

from __future__ import annotations

import math

MOST = {
    "layers": 1024,
    "heads": 1024,
    "width": 1 << 16,
    "context": 1 << 20,
    "plan_tokens": 1 << 16,
    "frequencies": 64,
    "return_hidden": 1 << 16,
    "prior_width": 1 << 16,
    "remembered_plans": 1 << 24,
    "draws": 1 << 16,
    "episodes": 1 << 20,
    "parallel": 1 << 14,
    "threads": 1 << 12,
}
"""Sizes that are far beyond use, by field: a configuration may come from anywhere."""


class SettingError(ValueError):
    """A setting that cannot be; the message names it, and says what is expected."""


def check_positive(group: str, config: object, names: tuple[str, ...]) -> None:
    """Raise SettingError if one of the named fields is not positive and finite."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise SettingError(f"{group}.{name}={getattr(config, name)} must be positive, finite")


def check_most(group: str, config: object) -> None:
    """Raise SettingError if a size is beyond use."""
    for name, most in MOST.items():
        if getattr(config, name, 0) > most:
            raise SettingError(f"{group}.{name}={getattr(config, name)} must be at most {most}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise SettingError if the value is none of the choices."""
    if value not in choices:
        raise SettingError(
            f"{name} is {value!r}, expected {', '.join(choices[:-1])} or {choices[-1]}"
        )
