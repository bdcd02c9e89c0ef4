"""Action log-likelihoods are nats, agree with torch.distributions, and integrate to one."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from lpt.model.actions import action_distribution


def head(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gaussian_agrees_with_torch():
    out, actions = head(4, 5, 3), head(4, 5, 3, seed=1).clamp(-1, 1)
    ours = action_distribution(out, "gaussian", 0.3)
    theirs = Independent(Normal(out.tanh(), 0.3), 1)
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.mode(), out.tanh())


def test_categorical_agrees_with_torch():
    logits = head(4, 5, 7)
    actions = torch.randint(7, (4, 5), generator=torch.Generator().manual_seed(0))
    ours = action_distribution(logits, "categorical", 1.0)
    torch.testing.assert_close(ours.log_prob(actions), Categorical(logits=logits).log_prob(actions))
    assert torch.equal(ours.mode(), logits.argmax(-1))
    total = sum(ours.log_prob(torch.full((4, 5), a)).exp() for a in range(7))
    torch.testing.assert_close(total, torch.ones_like(total))


def test_censored_agrees_with_torch():
    out = head(6, 2)
    ours, base = action_distribution(out, "censored", 0.5), Normal(out.tanh(), 0.5)
    inside = torch.full_like(out, 0.25)
    torch.testing.assert_close(ours.log_prob(inside), base.log_prob(inside).sum(-1))
    one = torch.ones_like(out)
    torch.testing.assert_close(ours.log_prob(one), (1 - base.cdf(one)).log().sum(-1))
    torch.testing.assert_close(ours.log_prob(-one), base.cdf(-one).log().sum(-1))
    mixed = torch.stack((one[:, 0], inside[:, 1]), dim=-1)
    want = (1 - base.cdf(one))[:, 0].log() + base.log_prob(inside)[:, 1]
    torch.testing.assert_close(ours.log_prob(mixed), want)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("mean", [-0.99, 0.0, 0.7])
def test_censored_density_and_two_masses_integrate_to_one(mean, sigma):
    out = torch.full((20001, 1), math.atanh(mean), dtype=torch.float64)
    ours = action_distribution(out, "censored", sigma)
    grid = torch.linspace(-1, 1, 20001, dtype=torch.float64)[:, None] * (1 - 2e-6)
    inside = torch.trapezoid(ours.log_prob(grid).exp(), grid[:, 0])
    edges = torch.stack((-torch.ones(1), torch.ones(1))).double()
    masses = action_distribution(out[:2], "censored", sigma).log_prob(edges).exp().sum()
    assert float(inside + masses) == pytest.approx(1.0, abs=1e-5)


def test_censored_samples_follow_the_likelihood():
    count = 200_000
    ours = action_distribution(torch.full((count, 1), 0.6), "censored", 0.5)
    draws = ours.sample(torch.Generator().manual_seed(0))
    for bound in (-1.0, 1.0):
        mass = float(ours.log_prob(torch.full((count, 1), bound))[0].exp())
        tolerance = 5 * (mass * (1 - mass) / count) ** 0.5
        assert float((draws == bound).float().mean()) == pytest.approx(mass, abs=tolerance)


def test_censored_gradient_is_finite_and_pulls_to_the_bound_however_far():
    out = torch.tensor([[-20.0], [0.0], [20.0]], requires_grad=True)
    log_prob = action_distribution(out, "censored", 0.02).log_prob(torch.ones(3, 1))
    (gradient,) = torch.autograd.grad(log_prob.sum(), out)
    assert log_prob.isfinite().all() and gradient.isfinite().all()
    assert gradient[1] > 0


@pytest.mark.parametrize("likelihood", ["gaussian", "censored", "categorical"])
def test_samples_are_shaped_bounded_and_repeatable(likelihood):
    out = head(50, 4).float()
    ours = action_distribution(out, likelihood, 0.8)
    draws = ours.sample(torch.Generator().manual_seed(3))
    assert torch.equal(draws, ours.sample(torch.Generator().manual_seed(3)))
    assert not torch.equal(draws, ours.sample(torch.Generator().manual_seed(4)))
    if likelihood == "categorical":
        assert draws.shape == (50,) and not draws.is_floating_point()
        assert draws.min() >= 0 and draws.max() < 4
    else:
        assert draws.shape == (50, 4) and draws.abs().max() <= 1


def test_categorical_frequencies_follow_the_softmax():
    logits = torch.tensor([0.0, 1.0, -1.0]).expand(60_000, 3)
    draws = action_distribution(logits, "categorical", 1.0).sample(torch.Generator().manual_seed(0))
    share = draws.bincount(minlength=3) / len(draws)
    torch.testing.assert_close(share, logits[0].softmax(-1), rtol=0, atol=0.01)


def test_unknown_likelihood_is_refused():
    with pytest.raises(ValueError, match=r"'laplace'.*gaussian"):
        action_distribution(head(1, 1), "laplace", 1.0)
