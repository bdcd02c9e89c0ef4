"""A CUDA graph on a CPU: operations on tensors that stay where they are, played again as recorded.

Whatever Python decided or computed in the recorded call is fixed, as in a graph: a number that
should have been read from a tensor shows as a difference.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lpt.machine.graphs import Recorded


class Tape(TorchDispatchMode):
    """Records every operation while it is active, with the tensors that it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def play(self) -> None:
        """Do it all again; what is not in place is written where it was written before."""
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for new, old in zip(tree_leaves(again), tree_leaves(out), strict=True):
                if isinstance(old, Tensor) and new.data_ptr() != old.data_ptr():
                    old.copy_(new)


class Taped(Recorded):
    """Records tapes instead of graphs; recording one makes the call, which is not played then."""

    def _record(self) -> None:
        self._tape, self._graph, self._made = Tape(), self, True
        with self._tape:
            self._note()

    def replay(self) -> None:
        """Play the tape, as a graph does."""
        if not self._made:
            self._tape.play()
        self._made = False
