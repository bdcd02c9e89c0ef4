"""What a GPU makes of this toolkit, measured in minutes: launches, graphs, training, acting.

python scripts/gpu.py --out results/speed             # on the GPU; no part begins after 8 minutes
python scripts/gpu.py --out /tmp/trial --smoke        # tiny sizes on any machine: does it run?

Random data of Hopper's shapes, no environment. Updates are made in up to four ways: `eager` (every
kernel is launched), `compiled` (`training.compile`), `recorded` (one CUDA graph) and both. The
record, FOLDER/gpu.json, is saved after each part, so that a run that is cut off leaves what it had
measured; a part that fails says so and the next one begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lpt.bench.machine import describe_machine, peak_memory, seconds_per_call, summary
from lpt.checkpoint.metadata import current_versions
from lpt.config import Config, DatasetConfig
from lpt.config.command_line import parse_config
from lpt.data import TrajectoryDataset
from lpt.evaluation import LPTPolicy
from lpt.machine.device import find_device, synchronize
from lpt.machine.disk import check_writable
from lpt.machine.files import check_absent, write_json
from lpt.training.run import Run
from lpt.training.trainer import Trainer

PRESET = ["--env", "hopper-medium"]
PAPER = [*PRESET, "--preset", "paper", "--sampler.batch-trajectories", "64"]
BFLOAT16 = ["--training.precision", "bfloat16"]
RECORDED = ["--training.cuda-graph", "auto"]
COMPILED = "--training.compile"
WAYS = {"eager": [], "compiled": [COMPILED], "recorded": RECORDED, "both": [*RECORDED, COMPILED]}
"""Flags of the ways in which updates are made."""
TINY = """
--model.width 8 --model.heads 2 --model.layers 1 --model.context 4 --model.prior-width 4
--model.prior-multipliers 1 2 --model.remembered-plans 32 --proposal.width 16 --proposal.layers 1
--proposal.heads 2 --sampler.batch-trajectories 4
""".split()
"""What makes the sizes of a trial tiny."""


@dataclass
class Session:
    """The device, how much is measured, and the record so far."""

    path: Path
    device: torch.device
    smoke: bool
    until: float
    """Clock at which nothing more is begun."""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Return the least seconds of a repeat."""
        return 0.0 if self.smoke else 1.5

    @property
    def repeats(self) -> int:
        """Return how many repeats are measured, in turns."""
        return 1 if self.smoke else 3

    def config(self, flags: list[str]) -> Config:
        """Return the configuration of flags, tiny in a trial."""
        given = [*flags, "--device", self.device.type, "--training.evaluate-every", "0"]
        return parse_config([*given, *(TINY if self.smoke else [])])

    def trainer(self, flags: list[str]) -> Trainer:
        """Return a new trainer on random data."""
        config = self.config(flags)
        return Trainer(config, self.data(config), self.device, log=self.say)

    def data(self, config: Config) -> TrajectoryDataset:
        """Return random data of Hopper's shapes, all trajectories of one length."""
        count, horizon = (8, 20) if self.smoke else (200, 1000)
        count = max(count, config.sampler.batch_trajectories)
        rng, steps = np.random.default_rng(0), count * horizon
        ends = np.zeros(steps, bool)
        ends[horizon - 1 :: horizon] = True
        return TrajectoryDataset.from_steps(
            rng.standard_normal((steps, 11), np.float32),
            2 * rng.random((steps, 3), np.float32) - 1,
            rng.standard_normal(steps, np.float32),
            np.zeros(steps, bool),
            ends,
            config=DatasetConfig(horizon=horizon),
        )

    def say(self, text: str) -> None:
        """Print a line, and keep it."""
        print(text, flush=True)
        self.record["said"].append(text)

    @contextmanager
    def part(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield a part's record, and save all of them when it is done or has failed."""
        found: dict[str, Any] = {}
        self.record["parts"][name] = found
        began = time.monotonic()
        try:
            yield found
        except Exception as error:  # whatever it is, the other parts are worth measuring
            found["failed"] = f"{type(error).__name__}: {error}"
        found["seconds"] = time.monotonic() - began
        self.say(f"{name}: {found.get('failed', 'done')} ({found['seconds']:.0f} s)")
        write_json(self.record, self.path, overwrite=True)


def losses_of(trainer: Trainer, updates: int) -> list[float]:
    """Return the losses of some updates, looked at when all are made."""
    told = [trainer.update()["loss/total"] for _ in range(updates)]
    return [float(loss) for loss in told]


def weights_of(trainer: Trainer) -> Tensor:
    """Return all weights as one vector."""
    return torch.cat([w.detach().flatten().clone() for w in trainer.model.parameters()])


def numerics(session: Session, found: dict[str, Any], flags: list[str]) -> None:
    """Compare recorded updates with eager ones from the same seed, and after a resume."""
    found["updates"] = count = 2 if session.smoke else 20
    resumed = session.trainer([*flags, *WAYS["recorded"]])
    began = weights_of(resumed)
    losses_of(resumed, count)  # it has a graph of its own by now, to be dropped
    # One after the other: a new trainer, or a state, seeds the dropout that all share.
    eager = session.trainer([*flags, *WAYS["eager"]])
    losses = losses_of(eager, count)
    recorded = session.trainer([*flags, *WAYS["recorded"]])
    others = losses_of(recorded, count)
    found["losses"] = {"eager": losses, "recorded": others}
    found["replays"] = 0 if recorded._recorded is None else recorded._recorded.replays
    found["apart"] = apart(eager, recorded, began, losses, others)
    tensors, values = recorded.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    losses = losses_of(recorded, count)
    resumed.load_state(tensors, values)
    others = losses_of(resumed, count)
    found["apart_after_resuming"] = apart(recorded, resumed, began, losses, others)


def apart(
    one: Trainer, two: Trainer, began: Tensor, losses: list[float], others: list[float]
) -> dict[str, float]:
    """Return how far losses differ, relatively, and weights, in units of how far they moved."""
    moved = (weights_of(one) - began).norm()
    return {
        "loss": max(abs(a - b) / abs(a) for a, b in zip(losses, others, strict=True)),
        "weights": float((weights_of(one) - weights_of(two)).norm() / moved),
    }


def launches(trainer: Trainer, updates: int) -> dict[str, float]:
    """Return an update's kernels, launches and device time by the profiler; on a CPU operations."""
    cuda = trainer.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    synchronize(trainer.device)
    with profile(activities=kinds) as profiler:
        for _ in range(updates):
            trainer.update()
        synchronize(trainer.device)
    events = profiler.events() or []
    if not cuda:
        return {"operations": sum(e.name.startswith("aten::") for e in events) / updates}
    on_device = [e for e in events if e.device_type.name == "CUDA"]
    kernels = [e for e in on_device if not e.name.startswith(("Memcpy", "Memset"))]
    return {
        "kernels": len(kernels) / updates,
        "launches": sum("LaunchKernel" in e.name for e in events) / updates,
        "graph_launches": sum("GraphLaunch" in e.name for e in events) / updates,
        "device_ms": sum(e.time_range.elapsed_us() for e in on_device) / 1000 / updates,
    }


def training(session: Session, found: dict[str, Any], flags: list[str], ways: list[str]) -> None:
    """Measure updates in several ways, in turns, and count what each launches."""
    trainers = {way: session.trainer([*flags, *WAYS[way]]) for way in ways}
    warm_up, profiled = (1, int(flags == PRESET)) if session.smoke else (8, 5)
    for way, trainer in trainers.items():
        began = time.monotonic()
        transitions = [trainer.update()["data/transitions"] for _ in range(warm_up)]
        synchronize(session.device)
        found[way] = {
            "first_updates_s": time.monotonic() - began,
            "transitions": float(sum(transitions)) / warm_up,
            "replays": trainer._recorded is not None and trainer._recorded.replays > 0,
        }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(session.repeats):
        for way, trainer in trainers.items():
            times[way].append(seconds_per_call(trainer.update, session.device, session.seconds))
    for way, trainer in trainers.items():
        own = found[way]
        own["update_ms"] = summary(1000 * s for s in times[way])
        own["transitions_per_second"] = summary(own["transitions"] / s for s in times[way])
        drawing = seconds_per_call(trainer._next_inputs, session.device, session.seconds / 3)
        own["drawing_batches_ms"] = 1000 * drawing  # of update_ms, or hidden behind the device
        own["profile"] = launches(trainer, profiled) if profiled else {}
        print(f"  {way}: {own['update_ms']['median']:.2f} ms, {own['profile']}", flush=True)
    found["memory"] = peak_memory(session.device)


def acting(session: Session, found: dict[str, Any], flags: list[str]) -> None:
    """Measure the plans of 50 episodes, by two methods, and a step of the policy in them."""
    episodes = 4 if session.smoke else 50
    with TemporaryDirectory(prefix="lpt-gpu-") as folder:
        config = replace(session.config(flags), out=Path(folder))
        trainer = Trainer(config, session.data(config), session.device, log=session.say)
        losses_of(trainer, 2)  # plans to remember
        run = Run(config, trainer, log=lambda text: None)
        steps = 2 if session.smoke else 20
        longer = replace(config.planning, method="langevin", steps=steps)
        chosen = replace(config.planning, method="aggregated")
        for name, planning in ((f"langevin, {steps} steps", longer), ("aggregated", chosen)):
            policy = LPTPolicy(
                trainer.policy_model,
                run.metadata(),
                planning=planning,
                target=float(trainer.dataset.returns.max()),
                device=str(session.device),
            )
            found[f"{episodes} plans by {name}, ms"] = timed(
                session, partial(policy.plan, n=episodes)
            )
        state = policy.begin(policy.plan(n=episodes).z)
        seen = np.zeros((episodes, trainer.dataset.observation_dim), np.float32)
        with policy.evaluation_mode():
            found[f"a step of {episodes} episodes, ms"] = timed(
                session, lambda: policy.predict(seen, state, deterministic=True)
            )


def timed(session: Session, function: Callable[[], Any]) -> dict[str, Any]:
    """Return milliseconds a call, after one call."""
    function()
    seconds = [
        seconds_per_call(function, session.device, session.seconds) for _ in range(session.repeats)
    ]
    return summary(1000 * s for s in seconds)


def main(
    out: Path,
    smoke: bool = False,
    device: str = "auto",
    minutes: float = 8,
    overwrite: bool = False,
) -> None:
    """Measure, and save FOLDER/gpu.json after each part.

    Args:
        out: folder of the record.
        smoke: tiny sizes, once each: shows that it runs, measures nothing.
        device: where; auto takes a GPU if there is one.
        minutes: no part begins later than this.
        overwrite: replace the record if there is one.
    """
    path, began = out / "gpu.json", time.monotonic()
    check_absent(path, overwrite)
    check_writable(out, folder=True)
    session = Session(path, find_device(device), smoke, began + 60 * minutes)
    figures = "a GPU's" if session.device.type == "cuda" else "a CPU's: they say nothing of a GPU"
    trial = "; a trial of tiny sizes, which measures nothing" if smoke else ""
    session.record.update(
        figures=f"{figures}{trial}",
        machine=describe_machine(session.device),
        versions=current_versions(),
        said=[],
        parts={},
    )
    session.say(f"figures are {session.record['figures']}")
    plain = ["eager"] if smoke else ["eager", "recorded"]  # a CPU records nothing
    compiled = [] if smoke else ["recorded", "compiled", "both"]  # that takes minutes
    parts: dict[str, Callable[[dict[str, Any]], None]] = {
        "numerics, preset": lambda found: numerics(session, found, PRESET),
        "training, preset": lambda found: training(session, found, PRESET, plain),
        "training, paper's sizes, bfloat16": lambda found: training(
            session, found, [*PAPER, *BFLOAT16], plain
        ),
        "acting, paper's sizes": lambda found: acting(
            session, found, [*PAPER, "--model.remembered-plans", "4096"]
        ),
        "numerics, paper's sizes": lambda found: numerics(session, found, PAPER),
        "training, preset, bfloat16": lambda found: training(
            session, found, [*PRESET, *BFLOAT16], plain
        ),
        "training, preset, compiled": lambda found: training(session, found, PRESET, compiled),
    }
    for name, measured in parts.items():
        if time.monotonic() > session.until:
            session.record["parts"][name] = {"left_out": f"begins after {minutes:g} minutes"}
            write_json(session.record, path, overwrite=True)
            continue
        with session.part(name) as found:
            measured(found)
    print(f"record: {path}")


if __name__ == "__main__":
    tyro.cli(main)
