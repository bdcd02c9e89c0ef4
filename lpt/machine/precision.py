"""Faster arithmetic for learning, both optional: bfloat16 products and compiled code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lpt.config import Precision

Function = TypeVar("Function", bound=Callable[..., Any])


def in_precision(function: Function, precision: Precision, device: torch.device) -> Function:
    """Return the function with its matrix products computed in `precision`; weights stay float32.

    Raises:
        ValueError: if the device has no bfloat16 autocast, or nothing has decided for `auto` yet.
    """
    if precision == "auto":
        raise ValueError(
            "training.precision=auto is decided where a run is opened (lpt-train, lpt.train): set "
            "it to float32 or bfloat16"
        )
    if precision == "float32":
        return function
    if device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"training.precision=bfloat16 needs --device cpu or cuda, not {device.type}: "
            "set training.precision to float32"
        )

    @wraps(function)
    def lower(*arguments: Any) -> Any:
        # The proposal's: a CPU's fused attention has a backward pass 5x slower in bfloat16.
        plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
        with torch.autocast(device.type, torch.bfloat16), plain:
            return function(*arguments)

    return cast(Function, lower)


def compiled(function: Function, device: torch.device) -> Function:
    """`torch.compile` of a function of few shapes: each new one is compiled anew.

    Raises:
        ValueError: if nothing can be compiled on this machine, which a small trial tells at once.
    """
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=False)(torch.zeros(8, device=device))
    except Exception as error:  # a missing compiler shows in many ways, each with its own type
        raise ValueError(
            f"training.compile: torch.compile does not work on this machine ({_first(error)}): "
            "install a C++ compiler (apt-get install g++ python3-dev), or leave it out"
        ) from error
    return cast(Function, torch.compile(function, dynamic=False))


def _first(error: Exception) -> str:
    """Return the first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(":.") if lines else type(error).__name__
