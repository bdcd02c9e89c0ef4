"""Plans follow p(z0) p(y | z0)^w, known in closed form for a linear return predictor."""

import pytest
import torch
from torch import nn

from lpt.config import PlanningConfig
from lpt.inference import planning
from lpt.inference.planning import infer_plans

COUNT = 2000
TARGET = 1.5


def linear_model(make_model, return_std=0.5, slope=None):
    """Plain normal prior and `r(z) = c'z + b`: then p(z0 | y)^w is Gaussian."""
    model = make_model(prior_width=0, return_std=return_std)
    linear = nn.Linear(16, 1)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        c = torch.randn(16, generator=generator) / 4 if slope is None else torch.full((16,), slope)
        linear.weight.copy_(c)
        linear.bias.fill_(0.3)
    model.return_predictor = nn.Sequential(nn.Flatten(), linear, nn.Flatten(0))
    return model, c


def closed_form(c, weight, return_std):
    """Mean and covariance of z0, and mean and deviation of r(z): with k = w / sigma_y^2,
    precision `I + k c c'` and mean `k c (y - b) / (1 + k |c|^2)`."""
    k = weight / return_std**2
    stretch = 1 + k * c.dot(c)
    mean = k * c * (TARGET - 0.3) / stretch
    covariance = torch.eye(16) - k * torch.outer(c, c) / stretch
    return mean, covariance, float(0.3 + c.dot(mean)), float((c.dot(c) / stretch) ** 0.5)


def make_plan(model, count=COUNT, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    return infer_plans(model, torch.full((count,), TARGET), PlanningConfig(**settings), generator)


@pytest.fixture
def sampled(monkeypatch):
    """What the samplers of planning give, a list that grows: chains and Gaussian fits."""
    seen = []

    def recording(sampler):
        def run(*arguments, **options):
            seen.append(sampler(*arguments, **options))
            return seen[-1]

        return run

    for name in ("adjusted_langevin", "fit_gaussian"):
        monkeypatch.setattr(planning, name, recording(getattr(planning, name)))
    return seen


WEIGHTS = pytest.mark.parametrize("weight", [1.0, 5.0, 100.0, 1e4])


@WEIGHTS
@pytest.mark.parametrize("step_size", [0.1, 1.0])
def test_langevin_plans_are_samples_of_the_closed_form(make_model, sampled, weight, step_size):
    """The default 100 steps from prior noise; tolerance 5 standard errors, plus 3 % of mixing."""
    model, c = linear_model(make_model)
    mean, covariance, predicted, deviation = closed_form(c, weight, 0.5)
    result = make_plan(model, method="langevin", weight=weight, step_size=step_size)
    (chain,) = sampled
    assert result.z0.isfinite().all() and chain.energies.isfinite().all()
    assert chain.acceptance > 0.2
    flat = result.z0.flatten(1)
    slack = 5 / COUNT**0.5
    torch.testing.assert_close(flat.mean(0), mean, rtol=0, atol=slack + 0.03)
    torch.testing.assert_close(flat.T.cov(), covariance, rtol=0, atol=1.5 * slack + 0.03)
    returns = result.predicted_return
    assert float(returns.mean()) == pytest.approx(predicted, abs=deviation * (slack + 0.03))
    assert float(returns.std()) == pytest.approx(deviation, rel=slack + 0.05)


@pytest.mark.parametrize(
    ("weight", "steps", "tolerance"), [(1.0, 100, 0.03), (5.0, 100, 0.08), (100.0, 400, 0.03)]
)
def test_variational_plans_are_the_closed_forms_mode(make_model, weight, steps, tolerance):
    """The fitted mean is the posterior's; a large weight takes Adam longer to settle."""
    model, c = linear_model(make_model)
    mean, *_ = closed_form(c, weight, 0.5)
    result = make_plan(model, count=200, weight=weight, steps=steps)
    torch.testing.assert_close(result.z0.flatten(1).mean(0), mean, rtol=0, atol=tolerance)
    assert float((result.z0.flatten(1) - mean).square().mean().sqrt()) < 0.15


@WEIGHTS
def test_variational_plans_have_the_closed_forms_return(make_model, sampled, weight):
    """With the default 100 steps, for any weight: within 0.02 on average, 0.15 for one plan.

    Off the return's direction only the prior pulls, `w` times weaker, so for very large weights
    100 steps leave the plan longer than the closed form's, but never far out.
    """
    model, c = linear_model(make_model)
    mean, _, predicted, _ = closed_form(c, weight, 0.5)
    result = make_plan(model, count=200, weight=weight)
    (fit,) = sampled
    assert result.z0.isfinite().all() and fit.energies.isfinite().all()
    assert float(result.predicted_return.mean()) == pytest.approx(predicted, abs=0.02)
    assert float((result.predicted_return - predicted).square().mean().sqrt()) < 0.15
    assert float(result.z0.square().sum((1, 2)).mean()) < 2 * float(mean.square().sum())


def test_variational_samples_have_the_mean_field_deviations(make_model):
    model, c = linear_model(make_model)
    result = make_plan(model, weight=5.0, sample=True, steps=300)
    want = (1 + 5.0 / 0.5**2 * c.square()) ** -0.5
    torch.testing.assert_close(result.z0.flatten(1).std(0), want, rtol=0.15, atol=0)


@pytest.mark.parametrize("method", ["langevin", "variational"])
def test_planning_stays_stable_on_a_steep_predictor(make_model, method):
    """At a curvature of 1.8e8, an explicit step of 0.1 would be thrown out at once."""
    model, c = linear_model(make_model, return_std=0.3, slope=10.0)
    result = make_plan(model, count=64, method=method, weight=1e4)
    assert result.z0.isfinite().all()
    *_, predicted, _ = closed_form(c, 1e4, 0.3)
    tolerance = {"langevin": 0.05, "variational": 1.5}[method]
    assert float(result.predicted_return.mean()) == pytest.approx(predicted, abs=tolerance)


@pytest.mark.parametrize("method", ["langevin", "variational"])
def test_a_larger_weight_comes_closer_to_the_target(make_model, method):
    model = make_model(return_hidden=32, spread=0.3)
    errors = [
        float(
            (make_plan(model, 32, method=method, weight=w, steps=40).predicted_return - TARGET)
            .abs()
            .mean()
        )
        for w in (1.0, 20.0)
    ]
    assert errors[0] > errors[1]


def test_each_plan_follows_its_own_target(make_model):
    model, _ = linear_model(make_model)
    targets = torch.linspace(-2, 2, 9)
    config = PlanningConfig(weight=1000.0, steps=200)
    result = infer_plans(model, targets, config, torch.Generator().manual_seed(0))
    torch.testing.assert_close(result.predicted_return, targets, rtol=0, atol=0.4)
    assert (result.predicted_return.diff() > 0).all()


@pytest.mark.parametrize("method", ["langevin", "variational"])
def test_a_plan_is_consistent_detached_and_repeatable(make_model, sampled, method):
    model = make_model(spread=0.3)
    one, two = (make_plan(model, 5, method=method, steps=7) for _ in range(2))
    assert torch.equal(one.z0, two.z0)
    assert not torch.equal(one.z0, make_plan(model, 5, seed=1, method=method, steps=7).z0)
    with torch.no_grad():
        torch.testing.assert_close(one.z, model.plan_from_noise(one.z0))
        torch.testing.assert_close(one.predicted_return, model.predicted_return(one.z))
    assert one.z0.shape == one.z.shape == (5, 2, 8) and len(sampled[0].energies) == 7
    assert not (one.z0.requires_grad or one.z.requires_grad or one.predicted_return.requires_grad)
    assert all(p.grad is None for p in model.parameters())


def test_the_generator_is_not_consulted(make_model):
    model = make_model()
    before = make_plan(model, 3, steps=5).z0
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.fill_(torch.nan)
    assert torch.equal(make_plan(model, 3, steps=5).z0, before)


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_given_back_even_after_an_error(make_policy, training):
    policy = make_policy(dropout=0.5)
    model = policy.model.train(training)
    policy.plan(n=2)
    assert all(module.training == training for module in model.modules())
    policy.planning = PlanningConfig(method="aggregated")  # of plans that it does not have
    with pytest.raises(ValueError, match="remembered-plans"):
        policy.plan(n=2)
    assert all(module.training == training for module in model.modules())


@pytest.mark.parametrize("field", ["weight", "steps", "step_size"])
def test_settings_that_cannot_plan_are_refused(field):
    with pytest.raises(ValueError, match=f"planning.{field}=0 must be positive"):
        PlanningConfig(**{field: 0})
    with pytest.raises(ValueError, match=r"planning\.draws=0 must be 1 or more"):
        PlanningConfig(draws=0)


def remembering_model(make_model, predicted, remembered=6):
    """A model that predicts `z[0, 0]` as the return, and remembers a plan for each given one."""
    model = make_model(prior_width=0, return_std=0.5, remembered_plans=remembered)
    first = torch.zeros(16).index_fill(0, torch.tensor(0), 1.0)
    model.return_predictor = nn.Sequential(nn.Flatten(), _Dot(first))
    plans = torch.randn(len(predicted), *model.plan_shape)
    plans[:, 0, 0] = torch.tensor(predicted)
    model.remembered.add(plans)
    return model, plans


class _Dot(nn.Module):
    def __init__(self, vector: torch.Tensor) -> None:
        super().__init__()
        self.vector = vector

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.vector


@pytest.mark.parametrize("weight", [0.5, 1.0, 4.0])
def test_remembered_plans_are_drawn_in_proportion_to_the_likelihood_of_the_return(
    make_model, weight
):
    """By Bayes' rule: P(plan i) ~ exp(-w (y - r_i)^2 / (2 sigma_y^2)); within 5 standard errors."""
    returns = [0.0, 1.0, 1.6, 2.5]
    model, plans = remembering_model(make_model, returns)
    result = make_plan(model, method="aggregated", weight=weight)
    exact = torch.softmax(-0.5 * weight * ((TARGET - torch.tensor(returns)) / 0.5) ** 2, 0)
    share = (result.z0[:, None] == plans[None]).all(-1).all(-1).float().mean(0)
    assert float(share.sum()) == pytest.approx(1.0)  # every plan is one of those remembered
    error = (exact * (1 - exact) / COUNT).sqrt()
    assert ((share - exact).abs() <= 5 * error).all()
    assert result.choice.effective[0] == pytest.approx(float(1 / exact.square().sum()), rel=1e-4)
    mean = float((exact * torch.tensor(returns)).sum())
    spread = float((exact * (torch.tensor(returns) - mean).square()).sum().sqrt())
    assert result.choice.spread[0] == pytest.approx(spread, rel=1e-4)
    assert float(result.choice.highest) == 2.5


def test_the_mean_of_draws_keeps_what_they_share_and_loses_the_rest(make_model):
    """Plans of one return, unlike in all else: n draws have the mean's spread, 1 / sqrt(n)."""
    model, plans = remembering_model(make_model, [TARGET] * 400, remembered=400)
    spread = {}
    for draws in (1, 16):
        result = make_plan(model, method="aggregated", draws=draws)
        torch.testing.assert_close(result.predicted_return, torch.full((COUNT,), TARGET))
        torch.testing.assert_close(result.z0[:, 0, 0], torch.full((COUNT,), TARGET))
        torch.testing.assert_close(result.z0.mean(0), plans.mean(0), atol=0.15, rtol=0)
        spread[draws] = float(result.z0[:, 1:].std(0).mean())
    assert spread[16] == pytest.approx(spread[1] / 4, rel=0.1)


@pytest.mark.parametrize("target", [1e3, 1e12, 1e30])
def test_a_target_beyond_every_remembered_plan_takes_the_nearest(make_model, target):
    """The square of such a target swallows the plans' differences, or overflows, in float32."""
    model, _ = remembering_model(make_model, [0.0, 1.0, 1.6, 2.5, 2.0])
    settings = PlanningConfig(method="aggregated")
    targets = torch.tensor([target, -target])
    result = infer_plans(model, targets, settings, torch.Generator().manual_seed(0))
    assert result.predicted_return.tolist() == [2.5, 0.0]


def test_the_newest_plans_are_remembered(make_model):
    model, plans = remembering_model(make_model, [float(i) for i in range(10)])
    kept = model.remembered.draws()[:, 0, 0].sort().values
    torch.testing.assert_close(kept, torch.arange(4.0, 10.0))
    model.remembered.add(plans[:2])
    kept = model.remembered.draws()[:, 0, 0].sort().values
    torch.testing.assert_close(kept, torch.tensor([0.0, 1.0, 6.0, 7.0, 8.0, 9.0]))


@pytest.mark.parametrize("remembered", [0, 4])
def test_without_remembered_plans_there_is_nothing_to_choose_from(make_model, remembered):
    model = make_model(remembered_plans=remembered)
    with pytest.raises(ValueError, match=r"--model\.remembered-plans 1024"):
        make_plan(model, count=1, method="aggregated")
