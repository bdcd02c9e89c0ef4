"""Where the speed of training comes from: variants of one update, interleaved in one process.

python scripts/speed.py steps --out results/speed/steps.json
python scripts/speed.py length --out results/speed/length.json

`steps` undoes what makes an update fast, one thing after the other; `length` asks whether a
transition costs the same in longer trajectories. Random data of Hopper's shapes, one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from lpt import attention, inference
from lpt.bench.machine import describe_machine, seconds_per_call, summary
from lpt.bench.problem import random_steps, shapes_of
from lpt.cli.train import parse
from lpt.data import DatasetConfig, TrajectoryDataset
from lpt.metadata import current_versions
from lpt.report import write_json
from lpt.training import Trainer

CPU = torch.device("cpu")
PAPER = """
--model.layers 3 --model.heads 1 --model.width 128 --model.context 32 --model.plan-tokens 4
--model.prior-width 16 --inference langevin --posterior.steps 3
--sampler.segments 0 --sampler.batch-trajectories 8
""".split()
"""The paper's Hopper: 64 tokens (32 steps) of context, U-Net prior, three Langevin steps, whole
trajectories; a batch of 8 rather than 500, which costs a transition no less."""
BFLOAT16 = ["--training.precision", "bfloat16"]


def full_matrix(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Attention with every score computed and most of them masked."""
    steps = q.shape[2]
    return attention.attend(q, k, v, attention.band_mask(steps, steps, window, q.device))


def fused_blocks(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """The band by overlapping views and PyTorch's own attention, as it was at first."""
    batch, heads, time, width = q.shape
    block = max(window - 1, 16)
    if time <= 2 * block:
        mask = attention.band_mask(time, time, window, q.device)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    blocks = -(-time // block)
    tail = blocks * block - time
    q = F.pad(q, (0, 0, 0, tail)).view(batch, heads, blocks, block, width)
    k, v = (
        F.pad(x, (0, 0, block, tail)).unfold(2, 2 * block, block).transpose(-1, -2) for x in (k, v)
    )
    mask = attention.band_mask(block, 2 * block, window, q.device).repeat(blocks, 1, 1)
    mask[0, :, :block] = False
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.reshape(batch, heads, blocks * block, width)[:, :, :time]


@dataclass
class Variant:
    """One way to do an update."""

    name: str
    flags: list[str]
    band: Callable[..., Tensor] | None = None
    """What does the attention in a band, if not the package's own."""
    neighbours: bool = True
    """Narrow bands by neighbours."""
    all_gradients: bool = False
    """Chains compute the parameters' gradients too, and drop them."""
    horizon: int = 1000
    trainer: Trainer = field(init=False)
    seconds: list[float] = field(default_factory=list)
    transitions: float = 0.0

    def prepare(self) -> Variant:
        """Build the trainer."""
        config = parse(["--env", "hopper-medium", *self.flags])
        environment = gymnasium.make("Hopper-v4")
        shapes = replace(shapes_of(config, environment, CPU), horizon=self.horizon)
        environment.close()
        steps = random_steps(shapes, 2 * shapes.horizon * shapes.trajectories)
        names = ("observations", "actions", "rewards", "terminals", "timeouts")
        options = DatasetConfig(horizon=self.horizon)
        data = TrajectoryDataset.from_steps(*(steps[name] for name in names), config=options)
        self.trainer = Trainer(config, data, CPU)
        return self

    @contextmanager
    def way(self) -> Iterator[None]:
        """The package, changed to do it this way."""

        def with_parameters(energy: Any, z0: Tensor) -> tuple[Tensor, Tensor]:
            z0 = z0.detach().requires_grad_()
            value = energy(z0)
            wanted = [z0, *self.trainer.model.parameters()]
            found = torch.autograd.grad(value.sum(), wanted, allow_unused=True)
            return value.detach(), found[0]

        with ExitStack() as stack:
            if self.band is not None:
                stack.enter_context(patch.object(attention, "banded_attention", self.band))
            if self.band is not None or not self.neighbours:
                stack.enter_context(patch.object(attention, "NEIGHBOURS", 0))
            if self.all_gradients:
                stack.enter_context(patch.object(inference, "energy_and_gradient", with_parameters))
            yield

    def measure(self, at_least: float) -> None:
        """Time updates for so many seconds."""
        with self.way():
            self.transitions = float(self.trainer.update()["data/transitions"])
            self.seconds.append(seconds_per_call(self.trainer.update, CPU, at_least))

    def record(self) -> dict[str, Any]:
        """What was measured, without the warm-up."""
        seconds = self.seconds[1:]
        return {
            "name": self.name,
            "flags": self.flags,
            "horizon": self.horizon,
            "transitions_per_update": self.transitions,
            "update_ms": summary(1000 * s for s in seconds),
            "transitions_per_second": summary(self.transitions / s for s in seconds),
        }


def measure(variants: list[Variant], repeats: int, seconds: float, out: Path) -> None:
    """Interleave the variants, print and write."""
    torch.set_num_threads(1)
    for variant in variants:
        variant.prepare()
    for _ in range(repeats + 1):
        for variant in variants:
            variant.measure(seconds)
    records = [variant.record() for variant in variants]
    for record in records:
        rate, update = record["transitions_per_second"], record["update_ms"]
        print(
            f"{record['name']:48} {rate['median']:10,.0f} transitions/s "
            f"[{rate['low']:,.0f}, {rate['high']:,.0f}]  {update['median']:8.1f} ms"
        )
    write_json(
        {"machine": describe_machine(CPU), "versions": current_versions(), "variants": records},
        out,
        overwrite=True,
    )


def steps(out: Path, repeats: int = 5, seconds: float = 1.0) -> None:
    """The paper's sizes and the preset's, from the plain way to ours.

    Args:
        out: JSON file.
        repeats: after one for warming up.
        seconds: least seconds a repeat.
    """
    no_prior = [*PAPER, "--model.prior-width", "0"]
    measure(
        [
            Variant("paper: full matrix, all gradients", PAPER, full_matrix, all_gradients=True),
            Variant("paper: full matrix", PAPER, full_matrix),
            Variant("paper: fused blocks", PAPER, fused_blocks),
            Variant("paper: band by blocks", PAPER),
            Variant("paper: fused blocks, bfloat16", [*PAPER, *BFLOAT16], fused_blocks),
            Variant("paper: band by blocks, bfloat16", [*PAPER, *BFLOAT16]),
            Variant("paper, no U-Net: band by blocks, bfloat16", [*no_prior, *BFLOAT16]),
            Variant("preset: fused", [], fused_blocks),
            Variant("preset: band by blocks", [], neighbours=False),
            Variant("preset: band by neighbours", []),
            Variant("preset: fused, bfloat16", BFLOAT16, fused_blocks),
            Variant("preset: band by neighbours, bfloat16", BFLOAT16),
        ],
        repeats,
        seconds,
        out,
    )


def length(out: Path, repeats: int = 5, seconds: float = 1.0) -> None:
    """8000 transitions an update, in trajectories of 100 to 4000 steps.

    Args:
        out: JSON file.
        repeats: after one for warming up.
        seconds: least seconds a repeat.
    """
    variants = []
    for horizon in (100, 250, 500, 1000, 2000, 4000):
        flags = [*PAPER, "--model.prior-width", "0"]
        flags += ["--sampler.batch-trajectories", str(8000 // horizon)]
        variants.append(Variant(f"T = {horizon}: band by blocks", flags, horizon=horizon))
        if horizon <= 2000:
            variants.append(
                Variant(f"T = {horizon}: full matrix", flags, full_matrix, horizon=horizon)
            )
    measure(variants, repeats, seconds, out)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"steps": steps, "length": length})
