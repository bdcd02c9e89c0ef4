"""CUDA graphs: a function of tensors is recorded once, and then replayed in a single launch.

The kernels of a small network take a GPU less time than their launches take a CPU. A graph keeps
the launches and where each kernel reads and writes. So all that differs from call to call lies in
buffers that stay where they are: tensors and scalars from the host are copied there first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

WARM_UP = 3
"""Calls with inputs of one kind before it is recorded: the first ones set up libraries, kernels
and the optimizer's memory, none of which can be recorded."""
Given = TypeVar("Given")


def mapped(tree: Given, change: Callable[[Any], Any]) -> Given:
    """Return dataclasses within each other with every leaf changed; None stays None."""
    if is_dataclass(tree) and not isinstance(tree, type):
        parts = {f.name: mapped(getattr(tree, f.name), change) for f in fields(tree)}
        return replace(tree, **parts)
    return tree if tree is None else change(tree)


def leaves(tree: object) -> list[Any]:
    """Return the tensors and scalars of dataclasses within each other, in their order."""
    found: list[Any] = []
    mapped(tree, found.append)
    return found


class Recorded(Generic[Given]):
    """A function that is recorded after a few calls, again whenever its inputs are of another kind.

    The function must not wait for the device, nor depend on anything but shapes, `phase` and what
    lies in tensors, and must leave nothing on the host that a replay would have to change. On a
    device without CUDA graphs it is called as it is, with its inputs in the same buffers.
    """

    def __init__(
        self,
        function: Callable[[Given], dict[str, Any]],
        device: torch.device,
        generators: Sequence[torch.Generator] = (),
        log: Callable[[str], None] = print,
    ) -> None:
        """Prepare to record.

        Args:
            function: takes dataclasses of tensors and scalars; gives scalars by name, tensors or
                numbers that are always the same.
            device: where it computes.
            generators: what it draws from on the device, besides PyTorch's own.
            log: receives the line that says why nothing can be recorded.
        """
        self.function, self.device, self.log = function, device, log
        self.generators = list(generators)
        self.replays = 0
        """How many calls were replays."""
        self._refused = device.type != "cuda"
        self._stream = None if self._refused else torch.cuda.Stream(device)
        self.forget()

    def forget(self) -> None:
        """Begin anew, after something that the function uses lies elsewhere than before."""
        if self.replays and self._stream is not None:
            torch.cuda.synchronize(self.device)  # the graph that goes may still be running
        self._graph: torch.cuda.CUDAGraph | None = None
        self._key: Hashable = None
        self._calls = 0
        self._buffers: Given | None = None

    def __call__(self, given: Given, phase: Hashable = None) -> dict[str, Any]:
        """Call the function; its inputs are on the CPU.

        Args:
            given: its inputs.
            phase: what else decides what it does.
        """
        key = (phase, *map(_kind, leaves(given)))
        if key != self._key:
            self.forget()
            self._key, self._buffers = key, mapped(given, self._buffer)
        self._fill(given)
        if self._graph is None and self._calls >= WARM_UP and not self._refused:
            self._record()
        if self._graph is None:
            self._calls += 1
            with self._aside():
                return self._call()
        self._graph.replay()
        self.replays += 1
        values = dict(zip(self._names, self._values.clone().unbind(), strict=True))
        return {name: values.get(name, value) for name, value in self._told.items()}

    def _buffer(self, leaf: Tensor | float) -> Tensor:
        if isinstance(leaf, Tensor):
            return torch.empty_like(leaf, device=self.device)
        return torch.zeros((), device=self.device)

    def _fill(self, given: Given) -> None:
        """Copy inputs to their buffers, behind what the device still has to do."""
        for buffer, leaf in zip(leaves(self._buffers), leaves(given), strict=True):
            if isinstance(leaf, Tensor):
                # From pinned memory the copy is not waited for, and that memory kept until then.
                source = leaf.pin_memory() if self.device.type == "cuda" else leaf
                buffer.copy_(source, non_blocking=True)
            else:
                buffer.fill_(leaf)

    def _record(self) -> None:
        """Record the function, or say why that cannot be, and never try again."""
        assert self._stream is not None
        graph = torch.cuda.CUDAGraph()
        default = torch.cuda.default_generators[self._stream.device.index]
        kept = [(one, one.get_state()) for one in (default, *self.generators)]
        try:
            for generator in self.generators:
                graph.register_generator_state(generator)
            with self._aside(), torch.cuda.graph(graph, stream=self._stream):
                self._note()
        except Exception as error:  # of any library; nothing has been computed yet
            for generator, state in kept:
                _renew(generator, state)
            self._refused = True
            self.log(
                f"cuda graph: not recorded ({_reason(error)}); every kernel is launched by itself"
            )
            return
        self._graph = graph

    def _call(self) -> dict[str, Any]:
        assert self._buffers is not None  # there are some since `__call__` began
        return self.function(self._buffers)

    def _note(self) -> None:
        """Call the function while it is recorded, and keep where its scalars will lie."""
        told = self._call()
        self._names = [name for name, value in told.items() if isinstance(value, Tensor)]
        self._values = torch.stack([told[name].detach().float() for name in self._names])
        self._told = {name: None if name in self._names else told[name] for name in told}

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Work on the stream that is recorded, between what came before and comes after."""
        if self._stream is None:
            yield
            return
        outside = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            yield
        outside.wait_stream(self._stream)


def _kind(leaf: Tensor | float) -> Hashable:
    """Return what a recording fixes of a leaf."""
    return (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else float


def _reason(error: BaseException) -> str:
    """Return the first line of what came first: a recording that is broken off fails once more."""
    while error.__context__ is not None:
        error = error.__context__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _renew(generator: torch.Generator, state: Tensor) -> None:
    """Put a generator back that a failed recording may have left in the middle of it."""
    fresh = torch.Generator(generator.device)
    fresh.set_state(state)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())
