"""How far the chains of trained runs end from longer ones, and the figure of docs/calibration.md.

    python scripts/calibration_runs.py measure RUN --out results/calibration/maze2d-large.json
    python scripts/calibration_runs.py figure docs/images/calibration.png

The first moves draws of a run's proposal by corrected steps, at the run's weights, each number of
steps with the step size that it would adapt to. The second draws all that lies in
`results/calibration`, also what `scripts/calibration.py` made.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lpt.data import Batch
from lpt.inference.engines import ACCEPTANCE, LangevinEngine, ProposalNetwork
from lpt.inference.noise import Noise, noise_like
from lpt.inference.samplers import Energy, metropolis_langevin
from lpt.inference.variational import gaussian_kl
from lpt.machine.files import write_json
from lpt.model import LatentPlanTransformer
from lpt.reporting.figures import COLORS, INK, save_figure
from lpt.training import Trainer, resume

AT = (1, 4, 16, 64)
"""Steps after which chains are measured; the first with the run's own step size."""
VISITS = 12
"""In which a step size adapts, by so many of `FEW` chains of each trajectory."""
FEW = 2
EVERY = 8
"""Steps of the longer chain after which it is looked at, or its step size adapts."""


def repeated(batch: Batch, rows: int, times: int) -> Batch:
    """Return the first rows of a batch, each so many times."""
    parts = {f.name: getattr(batch, f.name)[:rows] for f in fields(batch)}
    return Batch(**{name: part.repeat_interleave(times, 0) for name, part in parts.items()})


def whole(trainer: Trainer, batch: Batch) -> Batch:
    """Return all steps of the trajectories, or of their ends, that segments were drawn from."""
    found, data = trainer.batches.sampler.whole(batch.index), trainer.dataset
    length, recorded = (torch.tensor(n)[found.index] for n in (data.learned_lengths, data.lengths))
    skipped = (batch.begin.double() * recorded).long()
    kept = (torch.arange(found.weight.shape[-1]) >= skipped[:, None]).float()
    if trainer.config.sampler.counted_steps:  # an end counts as much as the whole
        kept *= (length / (length - skipped))[:, None]
    return replace(found, weight=found.weight * kept[:, None])


def longer(
    energy: Energy, z0: Tensor, std: Tensor, size: float, rounds: int, noise: Noise
) -> Tensor:
    """Return states `[rounds / 2, B, N, D]` of a chain's second half; in its first it adapts."""
    states = []
    for count in range(rounds):
        chain = metropolis_langevin(energy, z0, EVERY, size, noise, std)
        z0 = chain.z0
        if count < rounds // 2:
            size *= math.exp(chain.acceptance - ACCEPTANCE)
        else:
            states.append(z0)
    return torch.stack(states)


def compare(states: Tensor, last: Tensor, times: int) -> dict[str, float]:
    """Compare draws with a longer chain, coordinate by coordinate, and average.

    Args:
        states: `[B * times, N, D]`, so many draws for each trajectory.
        last: `[S, B * times, N, D]` states of the longer chains.
        times: draws of each.

    Returns:
        `mean_error`, the means' distance in standard deviations (root mean square, less what so
        few draws have by chance), and `variance_ratio`.
    """
    own = states.view(-1, times, *states.shape[1:])
    long = last.view(len(last), -1, times, *states.shape[1:]).transpose(1, 2).flatten(0, 1)
    ratio = own.var(1) / long.var(0)
    off = (own.mean(1) - long.mean(0)).square() / long.var(0) - ratio / times
    return {
        "mean_error": math.sqrt(max(0.0, float(off.mean()))),
        "variance_ratio": float(ratio.mean()),
    }


def adapted(
    energy: Energy, mean: Tensor, std: Tensor, steps: int, size: float, noise: Noise
) -> float:
    """Return the step size of 0.6 acceptance over so many steps from draws of a proposal."""
    for _ in range(VISITS):
        start = mean + std * noise_like(mean, noise)
        chain = metropolis_langevin(energy, start, steps, size, noise, std)
        size *= math.exp(chain.acceptance - ACCEPTANCE)
    return size


def follow(
    energies: dict[str, Energy],
    mean: Tensor,
    std: Tensor,
    sizes: dict[int, float],
    rounds: int,
    times: int,
) -> dict[str, Any]:
    """Move draws of a proposal `[B * times, N, D]` by the energy that chains have `seen`.

    Returns:
        `points`, of no step and of each number of `sizes`: energies above a longer chain's, nats a
        coordinate, and moments; `drift`, by how much this one's second half still falls; `prior`,
        what draws of N(0, I) have.
    """
    noise, per = torch.Generator().manual_seed(0), math.prod(mean.shape[1:])
    ends = [(0, 0.0, 1.0, mean + std * noise_like(mean, noise))]
    for steps, size in sizes.items():
        start = mean + std * noise_like(mean, noise)
        chain = metropolis_langevin(energies["seen"], start, steps, size, noise, std)
        ends.append((steps, size, float(chain.acceptance), chain.z0))
    last = longer(energies["seen"], chain.z0, std, size, rounds, noise)

    def level(z0: Tensor) -> np.ndarray:
        with torch.no_grad():
            return np.array([float(energy(z0).mean()) / per for energy in energies.values()])

    levels = np.stack([level(z0) for z0 in last[:: max(1, len(last) // 8)]])
    half, base = len(levels) // 2, levels.mean(0)

    def above(z0: Tensor) -> dict[str, float]:
        return dict(zip(energies, (level(z0) - base).tolist(), strict=True))

    points = [
        {"steps": n, "step_size": size, "acceptance": share, **above(z), **compare(z, last, times)}
        for n, size, share, z in ends
    ]
    drift = float((levels[:half].mean(0) - levels[half:].mean(0))[0])
    return {"points": points, "drift": drift, "prior": above(noise_like(mean, noise))}


def measure(
    run: tyro.conf.Positional[Path],
    out: Path,
    trajectories: int = 16,
    times: int = 16,
    rounds: int = 64,
    overwrite: bool = False,
) -> None:
    """Measure one trained run of an engine with a proposal.

    Args:
        run: run folder, opened as by --resume; give a copy of one that is still training.
        out: file to write.
        trajectories: of one batch, each with the segments that its chain sees.
        times: chains of each.
        rounds: 8 steps each of the longer chain, which goes on where the others end.
        overwrite: replace the file if it is there.
    """
    trainer = resume(run, log=lambda text: None).trainer
    engine, weight = trainer.inference.engine, trainer.config.posterior.weight_at(trainer.updates)
    if not isinstance(engine, LangevinEngine) or engine.proposal is None:
        raise ValueError(f"{run} has no proposal for chains to start at: give one of langevin")
    trainer.model.eval().requires_grad_(False)
    drawn = trainer.batches.to_infer()
    batch, few = (repeated(drawn, trajectories, n) for n in (times, FEW))
    mean, std = proposed(trainer, engine.proposal, batch)
    seen, some = energy_of(trainer, batch, weight), energy_of(trainer, few, weight)
    own, scale = (x.view(-1, times, *x.shape[1:])[:, :FEW].flatten(0, 1) for x in (mean, std))
    noise, sizes = torch.Generator().manual_seed(1), {AT[0]: engine.step_size}
    for steps in AT[1:]:
        sizes[steps] = adapted(some, own, scale, steps, [*sizes.values()][-1], noise)
    energies = {"seen": seen, "whole": energy_of(trainer, whole(trainer, batch), weight)}
    record = {
        **{"task": trainer.config.task, "updates": trainer.updates, "prior_weight": weight},
        **{"posterior_steps": engine.settings.steps, "chains": len(mean), "times": times},
        "proposal_kl": float(gaussian_kl(mean, std).mean()),
    }
    found = follow(energies, mean, std, sizes, rounds, times)
    write_json(record | found, out, overwrite=overwrite)


def proposed(trainer: Trainer, proposal: ProposalNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the proposal's means and deviations for a batch."""
    with torch.no_grad():
        begin = batch.begin if trainer.config.evidence_ends else None
        return proposal.propose(proposal.overview(batch.index, begin), batch.returns)


def energy_of(trainer: Trainer, batch: Batch, weight: float) -> Energy:
    """Return the energy that a batch's plans are inferred by."""
    joint, model = trainer.joint(batch), trainer.model
    assert isinstance(model, LatentPlanTransformer)  # no other has an engine
    return lambda z0: -model.log_prior(z0) - joint(z0) / weight


def figure(out: tyro.conf.Positional[Path], results: Path = Path("results/calibration")) -> None:
    """Draw the closed form, the ranks and the trained runs.

    Args:
        out: figure to write.
        results: folder of the files.
    """
    read = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in results.glob("*.json")}
    drawn = Figure(figsize=(12.6, 4.3), layout="constrained")
    closed, ranked, followed = drawn.subplots(1, 3)
    draw_closed(closed, read.pop("closed_form")["points"])
    draw_ranks(ranked, read.pop("ranks"))
    for (name, record), color in zip(sorted(read.items()), COLORS, strict=False):
        for kind, style in (("seen", "o-"), ("whole", "s:")):
            values = [point[kind] for point in record["points"]]
            label = f"{name}, {'steps seen' if kind == 'seen' else 'all steps'}"
            followed.plot(range(len(values)), values, style, color=color, ms=4, label=label)
    followed.set_xticks(range(len(AT) + 1), (0, *AT))
    followed.set(
        yscale="log", xlabel="corrected steps", ylabel="nats a coordinate above a longer chain"
    )
    titles = ("closed form, b = 1", "ranks of the log joint", "trained runs: energy")
    for axes, title in zip(drawn.axes, titles, strict=True):
        axes.set_title(title, color=INK, fontsize=11)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    print(save_figure(drawn, out))


def draw_closed(axes: Axes, points: list[dict[str, Any]]) -> None:
    """Divergence from the posterior against gradients, b = 1; proposals' draws as levels."""
    kinds = dict.fromkeys((p["engine"], p["proposal_off"]) for p in points)
    colors = dict(zip(dict.fromkeys(name for name, _ in kinds), COLORS, strict=False))
    for name, off in kinds:
        own = [p for p in points if (p["engine"], p["proposal_off"]) == (name, off)]
        own = [p for p in own if p["prior_weight"] == 1.0]
        label = f"{name}, q off by {off:g} sd" if off else name
        style = "--" if off else "-"
        if len(own) == 1:
            axes.axhline(own[0]["divergence"], color=colors[name], ls=style, lw=1.2, label=label)
            continue
        x, y = [p["gradients"] for p in own], [p["divergence"] for p in own]
        axes.plot(x, y, style, color=colors[name], marker="o", ms=3, label=label)
    axes.set(xscale="log", yscale="log", xlabel="gradients of the energy a draw")
    axes.set_ylabel("KL from the posterior, nats a coordinate")


def draw_ranks(axes: Axes, record: dict[str, Any]) -> None:
    """Cumulated ranks of the log joint less a uniform one's, with what 95 in 100 stay within."""
    shown = [
        ("amortized", 0),
        ("langevin", 2),
        ("langevin", 17),
        ("langevin-paper", 3),
        ("variational", 8),
    ]
    bins, count = record["draws"] + 1, record["trajectories"]
    place = np.arange(1, bins + 1) / bins
    band = 2.8 * np.sqrt(place * (1 - place) / count)  # of all bins together, nearly
    axes.fill_between(place, -band, band, color="#cbd5e0", lw=0)
    for (name, gradients), color in zip(shown, COLORS, strict=False):
        point = next(
            p for p in record["points"] if (p["engine"], p["gradients"]) == (name, gradients)
        )
        cumulated = np.cumsum(point["joint"]["counts"]) / count - place
        axes.plot(place, cumulated, "o-", ms=3, color=color, label=f"{name}, {gradients} gradients")
    axes.set(xlabel="rank / (draws + 1)", ylabel="share of ranks up to it, less a uniform one's")


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"measure": measure, "figure": figure}, args=arguments, description=__doc__
        )
    except (ValueError, OSError) as error:
        print(f"calibration_runs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
