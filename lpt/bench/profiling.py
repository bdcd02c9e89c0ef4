"""What takes the time of an update: its parts, and PyTorch's operations (kernels) by their own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from lpt.machine.device import synchronize
from lpt.training.trainer import Trainer

Methods = dict[str, list[tuple[Any, str]]]
"""Objects and the names of their methods, by the name to clock them under."""
SHOWN = 15
"""Kernels that are listed, those of the most time."""


def profile_update(trainer: Trainer, updates: int) -> dict[str, Any]:
    """Return milliseconds an update by part and by kernel, each in updates of their own.

    Returns:
        `parts`: `data` (batches), `posterior` (plans are inferred), `likelihood` (learning's
        forward pass), `optimizer`, `average` (of weights), and `backward and the rest`, all by
        the clock, with the device waited for after each. `kernels`: `name`, `ms`, `share` and
        `calls` an update, by the profiler, which takes time itself; of a GPU those that ran there.
    """
    with trainer.unrecorded():
        return {"parts": _parts(trainer, updates), "kernels": _kernels(trainer, updates)}


def _parts(trainer: Trainer, updates: int) -> dict[str, float]:
    methods: Methods = {
        "data": [(trainer.batches, "to_infer"), (trainer.batches, "to_learn")],
        "posterior": [(trainer.inference, name) for name in ("look", "infer")],
        "likelihood": [(trainer, "_learning_log_actions")],
        "optimizer": [(trainer.optimizer, "step")],
        "average": [(trainer.average, "fold")],
    }
    began = time.perf_counter()
    with clocked(methods, trainer.device) as seconds:
        for _ in range(updates):
            trainer.update()
    synchronize(trainer.device)
    whole = 1000 * (time.perf_counter() - began) / updates
    parts = {name: 1000 * sum(found) / updates for name, found in seconds.items()}
    return {**parts, "backward and the rest": whole - sum(parts.values())}


@contextmanager
def clocked(methods: Methods, device: torch.device) -> Iterator[dict[str, list[float]]]:
    """Clock calls of methods while the block runs: seconds of each call, by name.

    Args:
        methods: see `Methods`.
        device: waited for before and after each call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    with ExitStack() as stack:
        for name, places in methods.items():
            for owner, method in places:
                stack.enter_context(_clocked(owner, method, device, seconds[name]))
        yield seconds


@contextmanager
def _clocked(owner: Any, name: str, device: torch.device, seconds: list[float]) -> Iterator[None]:
    method, own = getattr(owner, name), name in vars(owner)

    def timed(*arguments: Any, **named: Any) -> Any:
        synchronize(device)
        began = time.perf_counter()
        result = method(*arguments, **named)
        synchronize(device)
        seconds.append(time.perf_counter() - began)
        return result

    object.__setattr__(owner, name, timed)
    try:
        yield
    finally:
        if own:
            object.__setattr__(owner, name, method)
        else:
            object.__delattr__(owner, name)  # the class's own method is there again


def _kernels(trainer: Trainer, updates: int) -> list[dict[str, Any]]:
    cuda = trainer.device.type == "cuda"
    activities = [ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        for _ in range(updates):
            trainer.update()
        synchronize(trainer.device)
    clock = "self_device_time_total" if cuda else "self_cpu_time_total"
    return _top(((e.key, getattr(e, clock), e.count) for e in profiler.key_averages()), updates)


def _top(events: Iterable[tuple[str, float, int]], updates: int) -> list[dict[str, Any]]:
    """Return the longest of (name, microseconds, calls), and all others as one."""
    rows = sorted(events, key=lambda event: -event[1])
    whole = sum(row[1] for row in rows) or 1.0
    others = ("others", sum(r[1] for r in rows[SHOWN:]), sum(r[2] for r in rows[SHOWN:]))
    return [
        {"name": n, "ms": t / 1000 / updates, "share": t / whole, "calls": c / updates}
        for n, t, c in [*rows[:SHOWN], *([others] if len(rows) > SHOWN else [])]
    ]


def print_profile(found: dict[str, Any], console: Console) -> None:
    """Print what `profile_update` found."""
    parts = Table("part of an update", "ms", "share", title_justify="left")
    whole = sum(found["parts"].values())
    for name, ms in sorted(found["parts"].items(), key=lambda pair: -pair[1]):
        parts.add_row(name, f"{ms:.3g}", f"{ms / whole:.0%}")
    kernels = Table("kernel", "ms", "share", "calls", title_justify="left")
    for row in found["kernels"]:
        cells = f"{row['ms']:.3g}", f"{row['share']:.0%}", f"{row['calls']:.0f}"
        kernels.add_row(row["name"][:60], *cells)
    console.print(parts)
    console.print(kernels)
