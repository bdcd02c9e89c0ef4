"""Whether chains are where their energy says they should be: measured now and then, never used."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lpt.inference.noise import Noise, noise_like
from lpt.inference.samplers import Energy, energy_and_gradient, metropolis_langevin

Mean = Callable[[Tensor], Tensor]
"""Mean over rows `[B]`, those of other processes included."""
BLOCKS, STEPS = 4, 4
"""A longer chain: so many blocks of so many corrected steps, the step size adapted between them."""
HALVINGS, SOME = 12, 0.2
"""Most halvings of its step size until a step has some chance of being accepted."""
HOT = 0.25
"""Nats a coordinate above a longer chain's energy from which chains are called overheated: those of
draws from a Gaussian that are 1.22 times too wide."""
UNSTABLE = 0.05
"""Share of unstable states from which uncorrected chains are called so."""
UNVISITED = 0.5
"""Share of chains never moved from which a finished run says so."""


def energy_excess(
    energy: Energy,
    fresh: Energy,
    z0: Tensor,
    std: Tensor,
    step_size: float,
    noise: Noise,
    mean: Mean,
) -> float:
    """Return how far the energy falls, nats a coordinate, where chains go on with correction.

    About zero for chains that have arrived: uncorrected steps that are too large hold them above,
    too few leave them on the way. An energy of a few segments is partly their noise, which a longer
    chain would fit; so it goes on by one draw of them and is measured by another.

    Args:
        energy: by which the chains go on, nats.
        fresh: the same of independent segments, by which they are measured.
        z0: `[B, N, D]` the chains' states.
        std: `[B, N, D]` or `[N, D]` their metric.
        step_size: first step size, in units of the metric.
        noise: source of the noise.
        mean: see `Mean`.

    Returns:
        The excess; not a number where even tiny steps are refused.
    """
    state, size = z0, step_size

    def go_on(steps: int) -> float:
        nonlocal state
        chain = metropolis_langevin(energy, state, steps, size, noise, std)
        state = chain.z0
        return float(mean(torch.full((len(z0),), float(chain.acceptance))))

    for _ in range(HALVINGS):
        if go_on(1) > SOME:
            break
        size *= 0.5
    else:
        return math.nan
    for _ in range(BLOCKS):
        size *= math.exp(go_on(STEPS) - 0.6)
    start, end = (energy_and_gradient(fresh, z)[0] for z in (z0, state))
    return float(mean(start - end)) / math.prod(z0.shape[1:])


def largest_curvature(
    energy: Energy, z0: Tensor, std: Tensor, noise: Noise, rounds: int = 4
) -> Tensor:
    """Return the energy's largest curvature at each state, in units of the metric, `[B]`.

    By power iteration on differences of gradients. A step of size s is stable where `s^2 / 2` times
    it is below 2.
    """
    small = 1e-2
    _, gradient = energy_and_gradient(energy, z0)
    direction = noise_like(z0, noise)
    curvature = torch.zeros(len(z0), device=z0.device)
    for _ in range(rounds):
        direction = direction / direction.flatten(1).norm(dim=1)[:, None, None].clamp_min(1e-12)
        _, moved = energy_and_gradient(energy, z0 + small * std * direction)
        direction = std * (moved - gradient) / small
        curvature = direction.flatten(1).norm(dim=1)
    return curvature


def complaints(scalars: dict[str, float], finished: bool) -> dict[str, str]:
    """Return a sentence for each kind of thing that is wrong with chains, by a log's scalars."""
    excess, never = scalars.get("chain/energy_excess", 0.0), scalars.get("chain/unvisited", 0.0)
    unstable = scalars.get("chain/unstable", 0.0)
    found = {
        "hot": excess > HOT
        and f"chains are overheated or young: their energy lies {excess:.2f} nats a coordinate "
        "above that of longer ones; more posterior.steps, a smaller posterior.step_size or "
        "corrected steps (--engine langevin) mend that",
        "unstable": unstable > UNSTABLE
        and f"{unstable:.0%} of the chains stand where a step of this size is unstable: a smaller "
        "posterior.step_size or posterior.corrected mends that",
        "unvisited": finished
        and never > UNVISITED
        and f"{never:.0%} of the trajectories' chains were never moved, and not learned from: more "
        "updates or posterior.trajectories mend that",
    }
    return {kind: text for kind, text in found.items() if text}
