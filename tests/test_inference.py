"""Every sampler recovers the posterior of a linear-Gaussian model, known in closed form.

`z0 ~ Normal(0, I)`, `x | z0 ~ Normal(A z0, s^2)`: the posterior is Gaussian with precision
`P = I + A'A / s^2` and mean `P^-1 A'x / s^2`. Many chains run side by side; a tolerance of
"k standard errors" is Monte Carlo error only, and a bias of the method is written down as such.
"""

from dataclasses import dataclass

import pytest
import torch

from lpt.inference.noise import noise_like
from lpt.inference.samplers import (
    Preconditioner,
    adjusted_langevin,
    energy_and_gradient,
    langevin,
    metropolis_langevin,
    preconditioned_langevin,
)
from lpt.inference.variational import fit_gaussian, gaussian_kl

CHAINS = 4000
SHAPE = (2, 2)  # N, D


@dataclass(frozen=True)
class LinearGaussian:
    """One observation `x` of a linear map of `z0`, and its exact posterior."""

    matrix: torch.Tensor
    x: torch.Tensor
    noise: float = 0.5

    @property
    def precision(self):
        return torch.eye(4) + self.matrix.T @ self.matrix / self.noise**2

    @property
    def covariance(self):
        return self.precision.inverse()

    @property
    def mean(self):
        return self.covariance @ self.matrix.T @ self.x / self.noise**2

    def energy(self, z0):
        flat = z0.flatten(1)
        error = (self.x - flat @ self.matrix.T) / self.noise
        return 0.5 * flat.square().sum(1) + 0.5 * error.square().sum(1)


DIAGONAL = LinearGaussian(
    torch.diag(torch.tensor([1.0, 0.5, 0.25, 0.0])), torch.tensor([1.0, -1, 0.5, 2])
)
CORRELATED = LinearGaussian(
    torch.tensor([[0.8, 0.5, 0.0, -0.3], [0.0, 0.6, 0.6, 0.0], [0.2, 0.0, 0.0, 0.9]]),
    torch.tensor([1.0, -0.5, 0.8]),
)
BOTH = pytest.mark.parametrize("model", [DIAGONAL, CORRELATED], ids=["diagonal", "correlated"])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def prior_draws(seed=1):
    return torch.randn((CHAINS, *SHAPE), generator=seeded(seed))


def assert_moments(z0, mean, covariance, errors=5.0, bias=0.0):
    """Sample moments of `[B, N, D]` within `errors` standard errors plus `bias` times std."""
    flat, variance = z0.flatten(1), covariance.diagonal()
    slack = errors * (variance / len(flat)) ** 0.5 + bias * variance**0.5
    assert ((flat.mean(0) - mean).abs() <= slack).all(), (flat.mean(0), mean, slack)
    products = variance[:, None] * variance[None, :]
    slack = errors * ((products + covariance**2) / len(flat)) ** 0.5 + bias * products**0.5
    assert ((flat.T.cov() - covariance).abs() <= slack).all(), (flat.T.cov(), covariance, slack)


@BOTH
def test_energy_gradient_is_the_closed_form(model):
    z0 = prior_draws()
    value, gradient = energy_and_gradient(model.energy, z0)
    want = (z0.flatten(1) - model.mean) @ model.precision
    torch.testing.assert_close(gradient.flatten(1), want, rtol=1e-4, atol=1e-4)
    assert value.shape == (CHAINS,) and not value.requires_grad


@BOTH
def test_langevin_recovers_mean_and_covariance(model):
    """A small step's bias is `s^2/4` of the curvature: here under 2 % of the variance."""
    chain = langevin(model.energy, prior_draws(), 600, 0.12, seeded())
    assert_moments(chain.z0, model.mean, model.covariance, bias=0.02)
    assert chain.energies.shape == (600, CHAINS)


@pytest.mark.parametrize("step_size", [0.3, 0.5])
def test_langevin_bias_is_of_second_order_in_the_step(step_size):
    """Unadjusted Langevin has covariance `(P - s^2/4 P^2)^-1`, exactly: the bias is O(s^2)."""
    precision = CORRELATED.precision
    biased = (precision - step_size**2 / 4 * precision @ precision).inverse()
    chain = langevin(CORRELATED.energy, prior_draws(), 300, step_size, seeded())
    assert_moments(chain.z0, CORRELATED.mean, biased)
    if step_size == 0.5:  # and the bias is there to be seen
        with pytest.raises(AssertionError):
            assert_moments(chain.z0, CORRELATED.mean, CORRELATED.covariance)


@BOTH
def test_preconditioned_langevin_recovers_mean_and_covariance(model):
    """Bias of the same order, `s^2/4` of the preconditioned curvature: 2 % allowed."""
    preconditioner = Preconditioner(SHAPE)
    chain = preconditioned_langevin(
        model.energy, prior_draws(), 600, 0.15, seeded(), preconditioner
    )
    assert_moments(chain.z0, model.mean, model.covariance, bias=0.02)
    # At the posterior the mean square gradient is the curvature P_ii; its root divides.
    scale = 1 / preconditioner.mean_square.sqrt().flatten()
    torch.testing.assert_close(scale, model.precision.diagonal() ** -0.5, rtol=0.05, atol=0)


def test_preconditioner_leaves_a_unit_normal_alone_and_keeps_its_memory():
    preconditioner = Preconditioner(SHAPE)
    first = preconditioner.update(prior_draws())
    torch.testing.assert_close(first, torch.ones(SHAPE), rtol=0.05, atol=0)
    second = preconditioner.update(100 * prior_draws(2))
    assert (second < first).all() and (second > 1 / 100).all()


@BOTH
@pytest.mark.parametrize("step_size", [0.01, 0.5, 3.0])
def test_adjusted_langevin_is_exact_from_any_first_step(model, step_size):
    chain = adjusted_langevin(model.energy, prior_draws(), 300, step_size, seeded(), adapt=200)
    assert_moments(chain.z0, model.mean, model.covariance)
    assert 0.45 < chain.acceptance < 0.8  # adapted towards 0.574


def test_adjusted_langevin_corrects_a_step_that_biases_the_unadjusted():
    start = prior_draws()
    exact = adjusted_langevin(CORRELATED.energy, start, 300, 0.6, seeded(), adapt=0)
    assert_moments(exact.z0, CORRELATED.mean, CORRELATED.covariance)
    assert exact.step_size == pytest.approx(0.6)
    biased = langevin(CORRELATED.energy, start, 300, 0.6, seeded())
    with pytest.raises(AssertionError):
        assert_moments(biased.z0, CORRELATED.mean, CORRELATED.covariance)


@BOTH
@pytest.mark.parametrize("factors", [[1.0, 1.0, 1.0, 1.0], [0.6, 1.6, 1.0, 0.8]])
def test_metropolis_langevin_is_exact_in_any_metric(model, factors):
    """A metric of the posterior's own deviations, and one that is wrong by up to 1.6."""
    std = (model.precision.diagonal() ** -0.5 * torch.tensor(factors)).view(1, *SHAPE)
    chain = metropolis_langevin(model.energy, prior_draws(), 400, 0.7, seeded(), std)
    assert_moments(chain.z0, model.mean, model.covariance)
    assert 0.3 < chain.acceptance < 1 and chain.step_size == 0.7


def test_adjusted_langevin_survives_an_energy_that_overflows():
    def energy(z0):
        return torch.cosh(40 * z0.flatten(1)).sum(1) + 0.5 * z0.flatten(1).square().sum(1)

    chain = adjusted_langevin(energy, 0.1 * prior_draws()[:64], 300, 1.0, seeded())
    assert chain.z0.isfinite().all() and chain.energies[-1].isfinite().all()


@BOTH
def test_gaussian_fit_has_the_posterior_mean_and_the_mean_field_variances(model):
    """The best diagonal Gaussian has the posterior's mean and variances `1 / P_ii`.

    With a diagonal posterior these are its variances; with a correlated one they are smaller.
    Adam at a step of 0.005 leaves noise: 0.1 std for a single row, averaged away over the rows;
    and because it divides by the recent size of a skewed gradient, deviations come out 3 % wide.
    """
    rows = 256
    start = torch.zeros(rows, *SHAPE)
    fit = fit_gaussian(model.energy, start, start + 1, 800, 0.05, seeded())
    mean, std = fit.mean.flatten(1), fit.std.flatten(1)
    want = model.precision.diagonal() ** -0.5
    torch.testing.assert_close(mean.mean(0), model.mean, rtol=0, atol=0.01)
    torch.testing.assert_close(std.mean(0), want, rtol=0.05, atol=0)
    assert ((mean - model.mean).square().mean(0).sqrt() < 0.1 * want).all()
    assert ((std / want - 1).square().mean(0).sqrt() < 0.15).all()
    marginal = model.covariance.diagonal() ** 0.5
    if model is DIAGONAL:
        torch.testing.assert_close(want, marginal)
    else:
        assert (want < 0.99 * marginal).any()
    assert fit.energies.shape == (800, rows)


def test_gaussian_kl_agrees_with_torch():
    mean, std = prior_draws()[:7], prior_draws(2)[:7].exp()
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(gaussian_kl(mean, std), theirs.flatten(1).sum(1))


def test_rows_are_independent_densities():
    """A row's chain does not change when the other rows' densities do (their noise apart)."""

    def energy(shift):
        target = torch.tensor([0.0, shift])[:, None]
        return lambda z0: 0.5 * (z0.flatten(1) - target).square().sum(1)

    for sampler in (langevin, adjusted_langevin):
        ends = [
            sampler(energy(shift), torch.zeros(2, *SHAPE), 20, 0.3, seeded()).z0 for shift in (0, 9)
        ]
        assert torch.equal(ends[0][0], ends[1][0])
        assert not torch.equal(ends[0][1], ends[1][1])


def test_samplers_are_deterministic_in_their_generator_and_detached():
    start = prior_draws()[:8]
    energy = CORRELATED.energy

    def run(seed):
        g = seeded(seed)
        return [
            langevin(energy, start, 5, 0.3, g).z0,
            preconditioned_langevin(energy, start, 5, 0.3, g, Preconditioner(SHAPE)).z0,
            adjusted_langevin(energy, start, 5, 0.3, g).z0,
            fit_gaussian(energy, start, start.exp(), 5, 0.3, g).mean,
        ]

    before = start.clone()
    for one, two, other in zip(run(0), run(0), run(1), strict=True):
        assert torch.equal(one, two) and not torch.equal(one, other)
        assert not one.requires_grad
    assert torch.equal(start, before)


def test_samplers_run_inside_no_grad_and_leave_parameters_without_gradient():
    matrix = CORRELATED.matrix.clone().requires_grad_()
    energy = LinearGaussian(matrix, CORRELATED.x).energy
    with torch.no_grad():
        chain = langevin(energy, prior_draws()[:4], 3, 0.3, seeded())
        fit = fit_gaussian(energy, chain.z0, torch.ones(4, *SHAPE), 3, 0.3, seeded())
    assert matrix.grad is None and not fit.std.requires_grad
    assert noise_like(chain.z0, seeded()).shape == chain.z0.shape
