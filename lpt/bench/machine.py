"""What a figure of speed depends on besides the code: the machine, and the most it can do."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from lpt.config import Precision


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked for; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_per_call(
    function: Callable[[], Any], device: torch.device, at_least: float = 0.0
) -> float:
    """Return seconds a call, averaged over at least one call and `at_least` seconds."""
    synchronize(device)
    began, calls, took = time.perf_counter(), 0, 0.0
    while calls == 0 or took < at_least:
        function()
        calls += 1
        took = time.perf_counter() - began
    synchronize(device)
    return (time.perf_counter() - began) / calls


def summary(values: Iterable[float]) -> dict[str, Any]:
    """Return `median`, `low`, `high` (the spread) and all `values` of repeats."""
    values = [float(value) for value in values]
    ends = {"low": min(values), "high": max(values)}
    return {"median": statistics.median(values), **ends, "values": values}


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return device, processor, cores, threads, and how busy the machine was (load average)."""
    cuda = device.type == "cuda"
    return {
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(terse=True),
        "load_average": os.getloadavg()[0],
    }


def matrix_peak(
    precision: Precision, device: torch.device, repeats: int, at_least: float
) -> dict[str, Any]:
    """Measure square matrix products in the run's precision and threads; the fastest size counts.

    Returns:
        `flops` (a second, the summary of repeats), `size` and `precision`.
    """
    sizes = (4096, 8192) if device.type == "cuda" else (512, 1024, 2048)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    best: dict[str, Any] = {}
    for size in sizes:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

        def product(a: torch.Tensor = a, b: torch.Tensor = b) -> torch.Tensor:
            return a @ b

        product()
        times = [seconds_per_call(product, device, at_least) for _ in range(repeats)]
        found = summary(2 * size**3 / seconds for seconds in times)
        if not best or found["median"] > best["flops"]["median"]:
            best = {"flops": found, "size": size, "precision": precision}
    return best


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Return the most memory this process has held so far, MiB: resident, and on a CUDA device."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    cuda = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "resident_mib": resident / 2**20,
        "cuda_mib": None if cuda is None else cuda / 2**20,
    }


def _cpu_name() -> str:
    """Return the processor's name, as the kernel has it where there is `/proc`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
