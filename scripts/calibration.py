"""Whether engines sample the posterior, where it is known: docs/calibration.md.

    python scripts/calibration.py closed-form --out results/calibration/closed_form.json
    python scripts/calibration.py ranks --out results/calibration/ranks.json

`scripts/calibration_runs.py` measures trained runs, and draws the figure.

Cost is counted in gradients of the energy for each draw: `langevin` spends one at the proposal's
draw and one a step, the others one a step. Chains that persist start at the prior and go on.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import tyro
from torch import Tensor

from lpt.algorithms.latent_plan import LANGEVIN
from lpt.config import ModelConfig, PosteriorConfig, ProposalConfig
from lpt.inference.engines import (
    Evidence,
    LangevinEngine,
    LangevinSettings,
    PosteriorEngine,
    ProposalNetwork,
    Variational,
)
from lpt.inference.noise import Noise
from lpt.inference.proposal import Proposal
from lpt.machine.files import write_json
from lpt.model import LatentPlanTransformer, Spaces

SHAPE, BLOCKS, NOISE = (2, 64), 32, 0.6
"""Of the closed form: the presets' plans, as 32 independent copies of the tests' model of 4."""
MATRIX = torch.tensor([[0.8, 0.5, 0.0, -0.3], [0.0, 0.6, 0.6, 0.0], [0.2, 0.0, 0.0, 0.9]])
SEEN = torch.tensor([1.0, -0.5, 0.8])
CASES = (
    *(("amortized", 0.0), ("amortized", 1.0), ("langevin", 0.0), ("langevin", 1.0)),
    *(("langevin-paper", 0.0), ("preconditioned", 0.0), ("variational", 0.0)),
)
"""Engines, and by how many deviations their proposal is off."""
BUDGETS = (2, 3, 5, 9, 17, 33, 65, 129)
"""Gradients a draw."""
VISITS = 80
"""In which a corrected engine's step size adapts before it is measured."""
RANKED = {
    "amortized": (0,),
    "langevin": (2, 5, 17, 65),
    "langevin-paper": (3, 30, 150),
    "preconditioned": (8, 80),
    "variational": (8, 80),
}
"""Gradients a draw at which engines are ranked."""
STEPS, ENTRIES, DRAWS = 8, 3, 9
"""Of a ranked model: a trajectory's length, an observation's entries, draws of each posterior."""


class Simulated(NamedTuple):
    """Trajectories of a model with the noise that made them."""

    z0: Tensor
    """`[B, N, D]`."""
    observations: Tensor
    """`[B, 1, T, obs]`."""
    actions: Tensor
    """`[B, 1, T, act]`."""
    returns: Tensor
    """`[B]` standardized."""


def engine_at(
    name: str, gradients: int, shape: tuple[int, int], proposal: ProposalNetwork
) -> PosteriorEngine:
    """Return a named engine that spends so many gradients on a draw."""
    if name == "variational":
        return Variational(PosteriorConfig(steps=gradients), shape)
    settings = LangevinSettings.of(
        LANGEVIN[name], PosteriorConfig(steps=gradients - (name == "langevin"))
    )
    if settings.start == "chains":  # one long visit, of a chain that starts as all do
        settings = replace(settings, start="prior")
    return LangevinEngine(settings, shape, proposal=proposal if settings.proposes else None)


def adapt(engine: PosteriorEngine, evidence: Evidence, noise: Noise) -> None:
    """Let a corrected engine's step size settle, as it does in learning."""
    if isinstance(engine, LangevinEngine) and engine.settings.corrected:
        for _ in range(VISITS):
            engine.infer(evidence, noise)


def exact(weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean `[4]`, covariance and precision of a block's posterior, its likelihood to 1 / weight."""
    precision = torch.eye(4) + MATRIX.T @ MATRIX / (weight * NOISE**2)
    covariance = precision.inverse()
    return SEEN @ MATRIX @ covariance / (weight * NOISE**2), covariance, precision


def closed_evidence(weight: float, rows: int) -> Evidence:
    """Return `[rows]` times the same observation of every block."""

    def energy(z0: Tensor) -> Tensor:
        blocks = z0.reshape(len(z0), BLOCKS, 4)
        error = (SEEN - blocks @ MATRIX.T) / NOISE
        return 0.5 * (blocks.square().sum((1, 2)) + error.square().sum((1, 2)) / weight)

    return Evidence(energy, torch.arange(rows), torch.zeros(rows), None, weight)


def closed_proposal(weight: float, off: float) -> ProposalNetwork:
    """Return the evidence bound's best Gaussian, its means `off` of its deviations beside it."""
    mean, _, precision = exact(weight)
    std = precision.diagonal() ** -0.5
    moments = [part.repeat(BLOCKS).view(SHAPE) for part in (mean + off * std, std)]

    def propose(_: Tensor, returns: Tensor) -> tuple[Tensor, Tensor]:
        wanted = (len(returns), *SHAPE)
        return moments[0].expand(wanted), moments[1].expand(wanted)

    return ProposalNetwork(cast(Any, None), lambda index, begin: index, propose)


def errors(z0: Tensor, weight: float) -> dict[str, float | None]:
    """Compare draws `[B, N, D]` of all blocks with the posterior: by moments, nats a coordinate."""
    mean, covariance, precision = exact(weight)
    blocks = z0.reshape(-1, 4).double()
    off, spread = blocks.mean(0) - mean, blocks.T.cov()
    relative = precision.double() @ spread
    excess = 0.5 * (off @ precision.double() @ off + relative.trace() - 4)
    found = {
        "mean_error": (off.square() / covariance.diagonal()).mean().sqrt(),
        "variance_ratio": (spread.diagonal() / covariance.diagonal()).mean(),
        "energy_excess": excess / 4,
        "divergence": (excess - 0.5 * relative.logdet()) / 4,
    }
    return {name: float(value) if value.isfinite() else None for name, value in found.items()}


def closed_form(out: Path, rows: int = 200, overwrite: bool = False) -> None:
    """Engines on a linear-Gaussian model of 128 coordinates, whose posterior is known.

    Args:
        out: file to write.
        rows: draws of each engine.
        overwrite: replace the file if it is there.
    """
    noise, points = torch.Generator().manual_seed(0), []
    for weight, (name, off) in itertools.product((1.0, 0.05), CASES):
        for gradients in (0,) if name == "amortized" else BUDGETS:
            engine = engine_at(name, gradients, SHAPE, closed_proposal(weight, off))
            adapt(engine, closed_evidence(weight, 100), noise)
            sample = engine.infer(closed_evidence(weight, rows), noise)
            given = {"engine": name, "proposal_off": off, "prior_weight": weight}
            found = errors(sample.z0.detach(), weight) | chain_of(sample.diagnostics)
            points.append({**given, "gradients": gradients, **found})
    write_json({"rows": rows, "points": points}, out, overwrite=overwrite)


def chain_of(told: dict[str, float | Tensor]) -> dict[str, float]:
    """Return what is kept of an engine's diagnostics."""
    kept = ("chain/acceptance", "chain/step_size")
    return {name.removeprefix("chain/"): float(told[name]) for name in kept if name in told}


def small_model() -> LatentPlanTransformer:
    """Return a model whose likelihoods are drawn from, 16 coordinates, weights at random."""
    torch.manual_seed(0)
    sizes = dict(width=8, heads=2, layers=1, context=1, plan_tokens=2, return_hidden=16)
    other = dict(inputs="states", likelihood="censored", action_std=0.5, return_std=0.5)
    config = ModelConfig(**sizes, **other, prior_width=0)  # type: ignore[arg-type]
    spaces = Spaces(observation_dim=ENTRIES, action_dim=2, discrete=False)
    model = LatentPlanTransformer(config, spaces).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(2.0).add_(0.2 * torch.randn(parameter.shape))
    return model


def simulate(model: LatentPlanTransformer, count: int, noise: torch.Generator) -> Simulated:
    """Draw noise from the prior and trajectories and returns from the model's likelihoods."""
    seen = torch.randn(count, 1, STEPS, ENTRIES, generator=noise)
    z0 = torch.randn(count, *model.plan_shape, generator=noise)
    z = model.plan_from_noise(z0)
    actions = model.actions(z, seen, seen[..., :2]).sample(noise)  # which the model does not read
    error = torch.randn(count, generator=noise)
    return Simulated(z0, seen, actions, model.predicted_return(z) + model.config.return_std * error)


def log_joint(model: LatentPlanTransformer, given: Simulated, z0: Tensor) -> Tensor:
    """`log p(tau, y, z0)` of draws `[B * n, N, D]`, n for each trajectory."""
    seen, actions, returns = (
        part.repeat_interleave(len(z0) // len(given.z0), 0)
        for part in (given.observations, given.actions, given.returns)
    )
    z = model.plan_from_noise(z0)
    score = model.log_actions(z, seen, seen[..., :2], actions, torch.ones(seen.shape[:3]))
    return model.log_prior(z0) + score + model.log_return(z, returns)


def evidence_of(model: LatentPlanTransformer, given: Simulated, draws: int) -> Evidence:
    """Return the evidence for several draws of each posterior."""
    index = torch.arange(len(given.z0)).repeat_interleave(draws)

    def energy(z0: Tensor) -> Tensor:
        return -log_joint(model, given, z0)

    return Evidence(energy, index, given.returns[index], None, 1.0)


def shown(network: Proposal, given: Simulated) -> ProposalNetwork:
    """Return the proposal, which sees all steps of the trajectories."""
    time = torch.linspace(0, 1, STEPS).expand(len(given.z0), STEPS)[..., None]
    glance = torch.cat((given.observations[:, 0], given.actions[:, 0], time), -1)
    return ProposalNetwork(network, lambda index, begin: glance[index], network.forward)


def learn_proposal(model: LatentPlanTransformer, updates: int, noise: torch.Generator) -> Proposal:
    """Learn a proposal by the evidence bound, on trajectories that are never seen again."""
    torch.manual_seed(1)
    sizes = ProposalConfig(steps=STEPS, width=32, layers=1, heads=2)
    network = Proposal(sizes, model.spaces, model.plan_shape)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, max(updates, 1))
    for _ in range(updates):
        given = simulate(model, 128, noise)
        engine = engine_at("amortized", 0, model.plan_shape, shown(network, given))
        sample = engine.infer(evidence_of(model, given, 1), noise)
        likelihood = log_joint(model, given, sample.z0) - model.log_prior(sample.z0)
        optimizer.zero_grad()
        (sample.penalty - likelihood.mean()).backward()
        optimizer.step()
        schedule.step()
    return network


def ranked(model: LatentPlanTransformer, given: Simulated, z0: Tensor) -> dict[str, Any]:
    """Rank the true values among draws `[B * n, N, D]`: coordinates of z0, return, log joint."""
    with torch.no_grad():
        tests = [
            torch.cat((z.flatten(1), r[:, None], log_joint(model, given, z)[:, None]), 1)
            for z in (given.z0, z0)
            for r in (model.predicted_return(model.plan_from_noise(z)),)
        ]
    true, drawn = tests[0][:, None], tests[1].view(len(given.z0), -1, tests[1].shape[1])
    ranks, draws = (drawn < true).sum(1), drawn.shape[1]
    counts = torch.stack([r.bincount(minlength=draws + 1) for r in ranks.T])  # [tests, bins]
    parts = {"z0": counts[:-2], "return": counts[-2:-1], "joint": counts[-1:]}
    return {
        name: {"counts": part.sum(0).tolist(), "p": min(1.0, len(part) * min(map(uniform, part)))}
        for name, part in parts.items()
    }


def uniform(counts: Tensor) -> float:
    """Return the chi-square test's p of `[bins]` counts that should be equal."""
    expected = counts.double().mean()
    square = ((counts - expected) ** 2 / expected).sum()
    return float(torch.special.gammaincc(torch.tensor((len(counts) - 1) / 2).double(), square / 2))


def ranks(out: Path, count: int = 1000, updates: int = 1000, overwrite: bool = False) -> None:
    """Simulation-based calibration (Talts et al., 2018) of engines, on a small model.

    Args:
        out: file to write.
        count: trajectories.
        updates: of the proposal.
        overwrite: replace the file if it is there.
    """
    noise, model, points = torch.Generator().manual_seed(0), small_model(), []
    given, few = simulate(model, count, noise), simulate(model, 50, noise)
    network = learn_proposal(model, updates, noise).requires_grad_(False)
    for name, gradients in [(n, g) for n, budgets in RANKED.items() for g in budgets]:
        engine = engine_at(name, gradients, model.plan_shape, shown(network, few))
        adapt(engine, evidence_of(model, few, 1), noise)
        if isinstance(engine, LangevinEngine) and engine.proposal is not None:
            engine.proposal = shown(network, given)
        sample = engine.infer(evidence_of(model, given, DRAWS), noise)
        found = ranked(model, given, sample.z0.detach()) | chain_of(sample.diagnostics)
        points.append({"engine": name, "gradients": gradients, **found})
    prior = torch.randn(count * DRAWS, *model.plan_shape, generator=noise)
    points.append({"engine": "prior", "gradients": 0, **ranked(model, given, prior)})
    write_json({"trajectories": count, "draws": DRAWS, "points": points}, out, overwrite=overwrite)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"closed-form": closed_form, "ranks": ranks}, args=arguments, description=__doc__
        )
    except (ValueError, OSError) as error:
        print(f"calibration: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
