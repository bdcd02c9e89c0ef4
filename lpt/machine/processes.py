"""Learning in several processes at once, as torchrun starts them (torch.distributed).

Every process draws the same batch from the same random numbers and works on its part of it, and
gradients are summed. Where trajectories have chains, the part is of those that it owns (number
modulo the number of processes), otherwise an equal share: sizes that vary cost a CPU dearly, which
compiles its bfloat16 kernels for each.

Noise is drawn for the whole batch and cut to the process's rows. What is learned therefore does not
depend on the number of processes, but for rounding, and any number of them can resume a run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others within an update; a silent machine is given up then."""
LONG = timedelta(hours=6)
"""How long it waits between updates: the first process may be evaluating or making data."""


class ProcessLost(Exception):
    """Another process of the run has gone, so that nothing can be summed any more."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of a run; the default is a process on its own."""

    rank: int = 0
    """Number of this process, from 0."""
    count: int = 1
    """Processes of the run."""
    slow_group: Any = None
    """torch.distributed's group for what happens between updates, with LONG patience."""

    @property
    def first(self) -> bool:
        """Whether this process logs, evaluates and writes."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of one device over all processes, in place and in one message.

        Raises:
            ProcessLost: if another process has gone.
        """
        self._sum(tensors, None)

    def _sum(self, tensors: Sequence[Tensor], group: Any) -> None:
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        with self._together():
            dist.all_reduce(flat, group=group)
        start = 0
        for tensor in tensors:
            part = flat[start : start + tensor.numel()].view(tensor.shape)
            tensor.detach().copy_(part)
            start += tensor.numel()

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ProcessLost(
                f"another of the run's {self.count} processes has gone ({reason})"
            ) from error

    def mean(self, rows: Tensor) -> Tensor:
        """Return the mean over the rows `[b, ...]` of all processes, `[...]`.

        Raises:
            ProcessLost: if another process has gone.
        """
        if self.count == 1:
            return rows.mean(0)
        total, number = rows.sum(0), rows.new_tensor(float(len(rows)))
        self.sum([total, number])
        return total / number

    def any(self, *flags: bool) -> list[bool]:
        """Which flags are set in at least one process.

        Raises:
            ProcessLost: if another process has gone.
        """
        counts = torch.tensor([float(flag) for flag in flags])
        self._sum([counts], self.slow_group)
        return [bool(value > 0) for value in counts]

    def agree(self, what: str, value: str) -> None:
        """Go on only if all processes have the same value.

        Raises:
            ValueError: in all of them, if they have not.
            ProcessLost: if another process has gone.
        """
        if self.count == 1:
            return
        values: list[Any] = [None] * self.count
        with self._together():
            dist.all_gather_object(values, value, group=self.slow_group)
        if len(set(values)) > 1:
            shown = ", ".join(f"process {rank}: {found}" for rank, found in enumerate(values))
            raise ValueError(
                f"the run's processes have different {what} ({shown}): give all the same"
            )

    def whole(self, part: Tensor, rows: Tensor, total: int) -> Tensor:
        """`[total, ...]` of all processes; `part` `[b, ...]` are this one's `rows` `[b]`.

        Raises:
            ProcessLost: if another process has gone.
        """
        if self.count == 1:
            return part
        full = part.new_zeros(total, *part.shape[1:])
        full[rows] = part
        self.sum([full])
        return full

    def wait(self) -> None:
        """Return when all processes are here.

        Raises:
            ProcessLost: if another process has gone.
        """
        self.any(False)


def join(device: torch.device) -> Ranks:
    """Return the processes that torchrun started, as one group; without it this one alone.

    Args:
        device: of the run; on GPUs, every process takes the one of its number on its machine.

    Raises:
        ValueError: if there are more processes than GPUs, or one GPU is named for all.
    """
    if not dist.is_torchelastic_launched():
        return Ranks()
    if device.type == "cuda":
        _take_gpu(device)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    slow_group = dist.new_group(backend="gloo", timeout=LONG)
    return Ranks(dist.get_rank(), dist.get_world_size(), slow_group)


def _take_gpu(device: torch.device) -> None:
    local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device.index is not None:
        raise ValueError(f"--device {device} under torchrun is one GPU for all: give --device cuda")
    if local >= found:
        raise ValueError(
            f"more processes than this machine's {found} GPUs: --nproc-per-node {found}"
        )
    torch.cuda.set_device(local)


def leave(code: int) -> NoReturn:
    """End this process with an exit code, at once if it is one of several.

    Taking gloo's threads apart, as destroy_process_group or the interpreter's end does, aborts the
    process now and then ("terminate called without an active exception", PyTorch 2.13).
    """
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
