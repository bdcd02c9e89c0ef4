"""Chains say how they are: measured on a Gaussian, where all of it is known."""

import pytest
import torch

from lpt.config.command_line import parse_config
from lpt.inference.health import complaints, energy_excess, largest_curvature
from lpt.training import start

PRECISION = torch.tensor([[1.0, 4.0, 25.0, 100.0]])  # [N, D] = [1, 4]


def energy(z0):
    return 0.5 * (PRECISION * z0.square()).flatten(1).sum(1)


def rows_mean(rows):
    return rows.mean(0)


def draws(scale: float) -> torch.Tensor:
    noise = torch.randn(512, 1, 4, generator=torch.Generator().manual_seed(0))
    return scale * noise / PRECISION.sqrt()


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 0.0), (2.0, 1.5), (0.5, -0.375)])
@pytest.mark.parametrize("size", [0.5, 8.0, 1e3])
def test_excess_is_what_longer_chains_lose(scale, expected, size):
    """Draws `scale` times too wide have `(scale^2 - 1) / 2` nats a coordinate too much."""
    noise = torch.Generator().manual_seed(1)
    std = PRECISION.rsqrt()
    found = energy_excess(energy, energy, draws(scale), std, size, noise, rows_mean)
    assert found == pytest.approx(expected, rel=0.25, abs=0.05)


def test_draws_of_the_posterior_are_not_called_hot_for_the_noise_of_their_segments():
    """A longer chain fits the noise of the segments it sees; others of the same steps tell."""
    generator = torch.Generator().manual_seed(3)
    z0, std = draws(1.0), PRECISION.rsqrt()
    shifts = [torch.randn(z0.shape, generator=generator) * std for _ in range(2)]
    seen, fresh = (lambda z, shift=shift: energy(z - shift) for shift in shifts)
    assert energy_excess(seen, seen, z0, std, 0.5, generator, rows_mean) > 0.3
    assert energy_excess(seen, fresh, z0, std, 0.5, generator, rows_mean) < 0.1


def test_no_verdict_where_every_step_is_refused():
    cliff = torch.tensor(0)

    def refuses(z0):
        nonlocal cliff
        cliff = cliff + 1  # every call is higher than the one before, by a thousand nats
        return energy(z0) + 1000.0 * cliff

    noise = torch.Generator().manual_seed(1)
    found = energy_excess(refuses, energy, draws(1.0), torch.ones(1, 4), 1.0, noise, rows_mean)
    assert found != found
    assert complaints({"chain/energy_excess": found}, finished=True) == {}


def test_a_process_without_rows_examines_nothing():
    none, noise = torch.zeros(0, 1, 4), torch.Generator().manual_seed(1)

    def others(rows):
        return torch.tensor(0.5)

    assert energy_excess(energy, energy, none, torch.ones(1, 4), 1.0, noise, others) == 0.125


def test_largest_curvature_is_that_of_the_stiffest_direction_in_the_metric():
    z0, noise = draws(1.0)[:16], torch.Generator().manual_seed(2)
    plain = largest_curvature(energy, z0, torch.ones(1, 4), noise, rounds=12)
    assert plain == pytest.approx(torch.full((16,), 100.0), rel=1e-2)
    round_ = largest_curvature(energy, z0, PRECISION.rsqrt(), noise)
    assert round_ == pytest.approx(torch.ones(16), rel=1e-3)


def test_healthy_chains_say_nothing_and_sick_ones_what_mends_them():
    healthy = {"chain/energy_excess": 0.05, "chain/unstable": 0.01}
    assert complaints({**healthy, "chain/unvisited": 0.9}, finished=False) == {}
    assert complaints({}, finished=True) == {}
    sick = {"chain/energy_excess": 0.4, "chain/unstable": 0.3}
    said = complaints({**sick, "chain/unvisited": 0.9}, finished=True)
    assert said.keys() == {"hot", "unstable", "unvisited"}
    assert "0.40 nats a coordinate" in said["hot"] and "posterior.step_size" in said["unstable"]
    assert "90%" in said["unvisited"] and "posterior.trajectories" in said["unvisited"]


def test_a_run_with_overheated_chains_warns_once(umaze, flags, tmp_path):
    lines = []
    hot = "--engine langevin-paper --posterior.step-size 1.5 --training.log-every 1".split()
    run = start(parse_config([*flags(umaze, tmp_path / "run", 6), *hot]), log=lines.append)
    run.train()
    warnings = [line for line in lines if line.startswith("warning: at update 3")]
    assert sum("chains are overheated" in line for line in warnings) == 1
    assert len([line for line in lines if "chains are overheated" in line]) == 1
