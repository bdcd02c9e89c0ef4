"""Where chains, plans and views take their random numbers from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class SharedNoise:
    """Noise for some rows of a batch that does not depend on which rows these are.

    It is drawn for the whole batch and cut, so that processes with a part each, and generators in
    the same state, together have the noise of a process on its own.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.rows: Tensor | None = None
        self.total = 0

    def share(self, rows: Tensor, total: int) -> None:
        """From now on noise is for `rows` `[b]` of a batch of `total`."""
        self.rows, self.total = rows.to(self.generator.device), total

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal, shaped like `[b, ...]`."""
        return self._cut(torch.randn, like)

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform in [0, 1), shaped like `[b, ...]`."""
        return self._cut(torch.rand, like)

    def _cut(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        settings = {"generator": self.generator, "device": like.device, "dtype": like.dtype}
        if self.rows is None or self.total == len(like):
            return draw(like.shape, **settings)
        return draw((self.total, *like.shape[1:]), **settings)[self.rows]


Noise = torch.Generator | SharedNoise
"""Where noise comes from."""


def noise_like(z0: Tensor, generator: Noise) -> Tensor:
    """Return standard normal noise shaped like `z0`."""
    if isinstance(generator, SharedNoise):
        return generator.normal(z0)
    return torch.randn(z0.shape, generator=generator, device=z0.device, dtype=z0.dtype)


def uniform_like(x: Tensor, generator: Noise) -> Tensor:
    """Uniform numbers in [0, 1) shaped like `x`."""
    if isinstance(generator, SharedNoise):
        return generator.uniform(x)
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
