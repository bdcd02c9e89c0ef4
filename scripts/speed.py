"""Where the speed of training comes from: variants of one update, interleaved in one process.

python scripts/speed.py steps --out results/speed/steps.json
python scripts/speed.py length --out results/speed/length.json
python scripts/speed.py mapped --out results/speed/mapped.json --scratch /tmp/speed

`steps` undoes what makes an update fast, one thing after the other; `length` asks whether a
transition costs the same in longer trajectories; `mapped` trains from memory-mapped data. Random
data of Hopper's shapes, one thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium
import h5py
import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from lpt.bench.machine import describe_machine, seconds_per_call, summary
from lpt.bench.problem import random_steps, shapes_of
from lpt.checkpoint.files import latest_checkpoint
from lpt.checkpoint.metadata import current_versions
from lpt.config import DatasetConfig
from lpt.config.command_line import parse_config
from lpt.data import TrajectoryDataset
from lpt.inference import samplers
from lpt.machine.files import write_json
from lpt.model import attention
from lpt.training.trainer import Trainer

CPU = torch.device("cpu")
PAPER = """
--model.layers 3 --model.heads 1 --model.width 128 --model.context 32 --model.plan-tokens 4
--model.prior-width 16 --engine langevin-paper --posterior.steps 3
--sampler.segments 0 --sampler.batch-trajectories 8
""".split()
"""The paper's Hopper: 64 tokens (32 steps) of context, U-Net prior, three Langevin steps, whole
trajectories; a batch of 8 rather than 500, which costs a transition no less."""
BFLOAT16 = ["--training.precision", "bfloat16"]


def full_matrix(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Attend with every score computed and most of them masked."""
    steps = q.shape[2]
    mask = attention.band_mask(steps, steps, window, q.device)
    out: Tensor = attention.attend(q, k, v, mask)
    return out


def fused_blocks(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Return the band by overlapping views and PyTorch's own attention, as it was at first."""
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
    neighbors: bool = True
    """Narrow bands by neighbors."""
    all_gradients: bool = False
    """Chains compute the parameters' gradients too, and drop them."""
    horizon: int = 1000
    trainer: Trainer = field(init=False)
    seconds: list[float] = field(default_factory=list)
    transitions: float = 0.0

    def prepare(self) -> Variant:
        """Build the trainer."""
        config = parse_config(["--env", "hopper-medium", *self.flags])
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
        """Yield the package, changed to do it this way."""

        def with_parameters(energy: Any, z0: Tensor) -> tuple[Tensor, Tensor]:
            z0 = z0.detach().requires_grad_()
            value = energy(z0)
            wanted = [z0, *self.trainer.model.parameters()]
            found = torch.autograd.grad(value.sum(), wanted, allow_unused=True)
            return value.detach(), found[0]

        with ExitStack() as stack:
            if self.band is not None:
                stack.enter_context(patch.object(attention, "banded_attention", self.band))
            if self.band is not None or not self.neighbors:
                stack.enter_context(patch.object(attention, "NEIGHBORS", 0))
            if self.all_gradients:
                stack.enter_context(patch.object(samplers, "energy_and_gradient", with_parameters))
            yield

    def measure(self, at_least: float) -> None:
        """Time updates for so many seconds."""
        with self.way():
            self.transitions = float(self.trainer.update()["data/transitions"])
            self.seconds.append(seconds_per_call(self.trainer.update, CPU, at_least))

    def record(self) -> dict[str, Any]:
        """Return what was measured, without the warm-up."""
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
    """Measure the paper's sizes and the preset's, from the plain way to ours.

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
            Variant("preset: band by blocks", [], neighbors=False),
            Variant("preset: band by neighbors", []),
            Variant("preset: fused, bfloat16", BFLOAT16, fused_blocks),
            Variant("preset: band by neighbors, bfloat16", BFLOAT16),
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


def mapped(
    out: Path, scratch: Path, million_steps: int = 20, updates: int = 400, repeats: int = 3
) -> None:
    """Memory and speed of training from memory-mapped data, beside the same data in memory.

    Args:
        out: JSON file.
        scratch: folder for some gigabytes of data.
        million_steps: size of the data, millions of steps of Hopper's shapes.
        updates: of each run.
        repeats: runs of each kind, in turns.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    source, folder = scratch / "random.hdf5", scratch / "random.lpt"
    _write_random(source, million_steps)
    tool = "from lpt.cli.data import main; import sys; sys.exit(main(sys.argv[1:]))"
    converting = _run(["-c", tool, "convert", str(source), str(folder)])
    runs: dict[str, list[dict[str, float]]] = {"memory": [], "mapped": []}
    for repeat in range(repeats):
        for kind, data in (("memory", source), ("mapped", folder)):
            run = scratch / f"{kind}{repeat}"
            flags = ["--env", "hopper-medium", "--source", str(data), "--updates", str(updates)]
            flags += ["--training.evaluate-every", "0", "--evaluation.episodes", "1"]
            used = _run(["-m", "lpt.cli.train", *flags, "--out", str(run)])
            kept = latest_checkpoint(run) / "training.json"
            seconds = json.loads(kept.read_text(encoding="utf-8"))["wall_seconds"]
            runs[kind].append({**used, "updates_per_second": updates / seconds})
            print(kind, runs[kind][-1])
    kinds = {
        kind: {key: summary(run[key] for run in found) for key in found[0]}
        for kind, found in runs.items()
    }
    write_json(
        {
            "machine": describe_machine(CPU),
            "versions": current_versions(),
            "million_steps": million_steps,
            "folder_mib": sum(path.stat().st_size for path in folder.iterdir()) / 2**20,
            "convert": converting,
            "training": kinds,
        },
        out,
        overwrite=True,
    )


def _write_random(path: Path, million_steps: int) -> None:
    """Random steps in D4RL's layout, a million at a time."""
    rng, total = np.random.default_rng(0), million_steps * 1_000_000
    widths = {"observations": 11, "actions": 3, "rewards": 0, "terminals": 0, "timeouts": 0}
    with h5py.File(path, "w") as file:
        for name, width in widths.items():
            kind = bool if name in ("terminals", "timeouts") else np.float32
            stored = file.create_dataset(name, (total, width) if width else (total,), kind)
            for start in range(0, total, 1_000_000):
                shape = stored[start : start + 1_000_000].shape
                block = np.zeros(shape, kind) if kind is bool else rng.random(shape, np.float32)
                if name == "timeouts":
                    block[999::1000] = True
                stored[start : start + 1_000_000] = block


def _run(arguments: list[str]) -> dict[str, float]:
    """Run Python; seconds, and the most memory it had resident (mapped pages included)."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return {"seconds": time.perf_counter() - began, "resident_mib": usage.ru_maxrss / 1024}


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"steps": steps, "length": length, "mapped": mapped})
