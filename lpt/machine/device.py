"""Which device computes."""

from __future__ import annotations

import torch


def find_device(name: str | torch.device) -> torch.device:
    """Return the device of a name; `auto` is a GPU if there is one.

    Raises:
        ValueError: if the machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: use 'auto', 'cpu', 'cuda' or 'mps'") from error
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, True):
        raise ValueError(f"device {name} is not available on this machine: use 'cpu' or 'auto'")
    return device


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked for; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
