"""The posterior engines, on a linear-Gaussian model with a known posterior.

Trajectory `i` has the observation `x_i`, kept in its overview for the proposal; the energy is
`-log p(z0) - log Normal(x | A z0, s^2) / b` with the prior's weight `b`, so the posterior has
precision `P = I + A'A / (b s^2)` and mean `P^-1 A'x / (b s^2)`.
"""

import math
from dataclasses import replace

import pytest
import torch

from lpt.algorithms.latent_plan import ENGINES, LANGEVIN
from lpt.config import PosteriorConfig, ProposalConfig, from_tree
from lpt.inference.chains import Chains
from lpt.inference.engines import (
    Evidence,
    LangevinEngine,
    LangevinSettings,
    ProposalNetwork,
    Variational,
)
from lpt.inference.proposal import Proposal
from lpt.inference.variational import gaussian_kl
from lpt.model import Spaces

SHAPE = (2, 2)
NOISE = 0.6
DIAGONAL = torch.diag(torch.tensor([1.0, 0.6, 0.3]))[:, [0, 1, 2, 2]] * torch.tensor([1.0, 1, 1, 0])
CORRELATED = torch.tensor([[0.8, 0.5, 0.0, -0.3], [0.0, 0.6, 0.6, 0.0], [0.2, 0.0, 0.0, 0.9]])
X = torch.tensor([1.0, -0.5, 0.8])
BOTH = pytest.mark.parametrize("matrix", [DIAGONAL, CORRELATED], ids=["diagonal", "correlated"])


def exact(matrix, x, weight=1.0):
    """Mean `[..., 4]`, covariance and precision of the posterior."""
    precision = torch.eye(4) + matrix.T @ matrix / (weight * NOISE**2)
    covariance = precision.inverse()
    return x @ matrix @ covariance / (weight * NOISE**2), covariance, precision


def make_energy(matrix, x, weight=1.0):
    def energy(z0):
        flat = z0.flatten(1)
        error = (x - flat @ matrix.T) / NOISE
        return 0.5 * flat.square().sum(1) + 0.5 * error.square().sum(1) / weight

    return energy


def make_engine(name, chains=8, **settings):
    config = PosteriorConfig(**settings)
    if name == "variational":
        return Variational(config, SHAPE)
    settings, proposal, kept = LangevinSettings.of(LANGEVIN[name], config), None, None
    if settings.proposes:
        torch.manual_seed(0)
        network = Proposal(
            ProposalConfig(steps=2, width=32, layers=1, heads=2),
            Spaces(observation_dim=3, action_dim=1, discrete=False),
            SHAPE,
        )
        proposal = ProposalNetwork(network, None, network.forward)  # `sample` gives the overview
    if settings.start == "chains":
        kept = Chains(chains, SHAPE, torch.Generator().manual_seed(1))
    return LangevinEngine(settings, SHAPE, chains=kept, proposal=proposal)


def overview_of(x):
    """`[B, 3]` observations as an overview `[B, 2, 3 + 1 + 1]`."""
    return torch.cat((x, torch.zeros(len(x), 2)), dim=1)[:, None].expand(-1, 2, -1)


def sample(engine, matrix, x, generator, weight=1.0, index=None):
    index = torch.arange(len(x)) if index is None else index
    if getattr(engine, "proposal", None) is not None:
        glance = overview_of(x)
        engine.proposal = replace(engine.proposal, overview=lambda asked, begin: glance[asked])
    evidence = Evidence(make_energy(matrix, x, weight), index, torch.zeros(len(x)), None, weight)
    return engine.infer(evidence, generator)


def moments(z0):
    flat = z0.detach().flatten(1)
    return flat.mean(0), flat.T.cov()


@BOTH
@pytest.mark.parametrize(("name", "step_size"), [("langevin-paper", 0.15), ("preconditioned", 0.2)])
def test_persistent_chains_recover_mean_and_covariance(name, step_size, matrix):
    """3000 chains, 100 visits of 5 steps. Tolerance 5 standard errors (0.09) plus 3 % of bias."""
    engine = make_engine(name, 3000, steps=5, step_size=step_size)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        result = sample(engine, matrix, X.expand(3000, -1), generator)
    mean, covariance, _ = exact(matrix, X)
    got_mean, got_covariance = moments(result.z0)
    torch.testing.assert_close(got_mean, mean, rtol=0, atol=0.12)
    torch.testing.assert_close(got_covariance, covariance, rtol=0, atol=0.12)
    deviations = covariance.diagonal() ** 0.5
    errors = (got_mean - mean) / deviations * 3000**0.5
    assert (errors.abs() < 5).all()
    ratio = got_covariance.diagonal() / covariance.diagonal()
    assert ((ratio - 1).abs() < 5 * (2 / 3000) ** 0.5 + 0.03).all()
    assert torch.equal(engine.chains.states, result.z0) and result.penalty == 0


@BOTH
def test_variational_engine_recovers_the_mean_and_the_mean_field_variances(matrix):
    """Samples have the posterior's mean and variances `1 / P_ii`, and no correlation."""
    engine = make_engine("variational", steps=300, step_size=0.05)
    result = sample(engine, matrix, X.expand(3000, -1), torch.Generator().manual_seed(0))
    mean, covariance, precision = exact(matrix, X)
    got_mean, got_covariance = moments(result.z0)
    want = torch.diag(1 / precision.diagonal())
    torch.testing.assert_close(got_mean, mean, rtol=0, atol=0.05)
    torch.testing.assert_close(got_covariance, want, rtol=0.15, atol=0.05)
    if matrix is DIAGONAL:
        torch.testing.assert_close(want, covariance)
    else:
        assert not torch.allclose(got_covariance, covariance, atol=0.12)


def draw_data(matrix, count, generator):
    z0 = torch.randn(count, 4, generator=generator)
    return z0 @ matrix.T + NOISE * torch.randn(count, len(matrix), generator=generator)


def train_proposal(engine, matrix, updates, weight=1.0):
    """Learn the proposal exactly as the trainer does: penalty less the mean log-likelihood."""
    generator = torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(engine.parameters(), lr=8e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, updates)
    for _ in range(updates):
        x = draw_data(matrix, 256, generator)
        result = sample(engine, matrix, x, generator, weight)
        error = (x - result.z0.flatten(1) @ matrix.T) / NOISE
        loss = result.penalty + 0.5 * error.square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def with_steps(engine, steps, size, **settings):
    """The same proposal with other Langevin steps after it."""
    settings = replace(engine.settings, steps=steps, step_size=size, **settings)
    return LangevinEngine(settings, SHAPE, proposal=engine.proposal)


@pytest.fixture(scope="module")
def learned():
    """An amortized engine that has learned the correlated model, with no Langevin steps."""
    engine = make_engine("amortized", steps=0)
    train_proposal(engine, CORRELATED, 150)
    return engine


def check_proposal(engine, matrix, weight=1.0):
    x = draw_data(matrix, 500, torch.Generator().manual_seed(3))
    mean, _, precision = exact(matrix, x, weight)
    with torch.no_grad():
        got_mean, got_std = engine.proposal.network(overview_of(x), torch.zeros(500))
    want = precision.diagonal() ** -0.5
    error = (got_mean.flatten(1) - mean).square().mean(0).sqrt()
    assert (error < 0.15 * want).all(), error / want
    torch.testing.assert_close(got_std.flatten(1).mean(0), want, rtol=0.06, atol=0)
    assert (got_std.flatten(1).std(0) < 0.1 * want).all()


def test_amortized_engine_learns_mean_and_mean_field_deviations(learned):
    """On fresh data: means within 0.15 posterior deviations (rms), deviations within 6 %."""
    check_proposal(learned, CORRELATED)


@pytest.mark.parametrize(
    ("matrix", "steps", "weight"),
    [(DIAGONAL, 0, 1.0), (CORRELATED, 1, 0.5)],
)
def test_amortized_engine_learns_with_steps_and_with_a_light_prior(matrix, steps, weight):
    """The proposal learns the same Gaussian whether or not Langevin steps follow it."""
    engine = make_engine("amortized", steps=steps, step_size=0.1)
    train_proposal(engine, matrix, 150, weight)
    check_proposal(engine, matrix, weight)


def test_langevin_steps_from_the_proposal_correct_its_covariance(learned):
    """4000 chains from q at one x: 0 steps have q's moments, 60 steps the posterior's.

    Tolerances: 5 standard errors (0.11 of the variances) and 2 % of bias (s = 0.2).
    """
    generator = torch.Generator().manual_seed(4)
    x = X.expand(4000, -1)
    mean, covariance, precision = exact(CORRELATED, X)
    raw = sample(learned, CORRELATED, x, generator)
    torch.testing.assert_close(
        moments(raw.z0)[1], torch.diag(1 / precision.diagonal()), rtol=0.15, atol=0.05
    )
    corrected = sample(with_steps(learned, 60, 0.2), CORRELATED, x, generator)
    got_mean, got_covariance = moments(corrected.z0)
    deviations = covariance.diagonal() ** 0.5
    assert ((got_mean - mean).abs() < (5 / 4000**0.5 + 0.02) * deviations).all()
    scale = deviations[:, None] * deviations[None, :]
    assert ((got_covariance - covariance).abs() < 0.13 * scale).all()
    before = (moments(raw.z0)[1] - covariance).norm()
    assert (got_covariance - covariance).norm() < 0.25 * before


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_proposal_gradient_is_that_of_the_evidence_bound(steps, weight):
    """Against the bound written out with the same noise; with steps = 0 its KL is exact instead."""
    x = draw_data(CORRELATED, 64, torch.Generator().manual_seed(5))

    def gradients(loss, engine):
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, list(engine.parameters()))]
        )

    engine = make_engine("amortized", steps=steps)
    result = sample(engine, CORRELATED, x, torch.Generator().manual_seed(6), weight)
    loss = result.penalty
    if steps == 0:
        error = (x - result.z0.flatten(1) @ CORRELATED.T) / NOISE
        loss = loss + 0.5 * error.square().sum(1).mean()
    else:
        assert not result.z0.requires_grad
    got = gradients(loss, engine)

    mean, std = engine.proposal.network(overview_of(x), torch.zeros(64))
    z0 = mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(6))
    if steps == 0:
        error = (x - z0.flatten(1) @ CORRELATED.T) / NOISE
        bound = weight * gaussian_kl(mean, std) + 0.5 * error.square().sum(1)
    else:
        entropy = std.log().flatten(1).sum(1)
        bound = weight * (make_energy(CORRELATED, x, weight)(z0) - entropy)
    torch.testing.assert_close(got, gradients(bound.mean(), engine), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["langevin-paper", "preconditioned"])
def test_a_visit_moves_only_its_own_trajectories_and_continues_from_the_last(name):
    engine = make_engine(name, 8, steps=2, step_size=1e-4)
    before = engine.chains.states.clone()
    index = torch.tensor([5, 1])
    x = X.expand(2, -1)
    first = sample(engine, CORRELATED, x, torch.Generator().manual_seed(0), index=index)
    others = [i for i in range(8) if i not in (5, 1)]
    assert torch.equal(engine.chains.states[others], before[others])
    assert torch.equal(engine.chains.states[index], first.z0)
    torch.testing.assert_close(first.z0, before[index], rtol=0, atol=2e-3)
    assert engine.chains.visits.tolist() == [0, 1, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("name", ["amortized", "variational"])
def test_engines_without_chains_remember_no_trajectory(name):
    """Their samples depend on no visit before, and nothing of one is saved."""
    engine = make_engine(name, steps=2)
    before = {key: value.clone() for key, value in engine.state_dict().items()}
    one, two = (
        sample(engine, CORRELATED, X.expand(8, -1), torch.Generator().manual_seed(0)).z0
        for _ in range(2)
    )
    assert torch.equal(one, two) and engine.chains is None
    after = engine.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not any(key.startswith("chains") for key in after)


@pytest.mark.parametrize("name", ENGINES)
def test_engines_log_what_the_plans_know(name):
    engine = make_engine(name, 8, steps=2)
    result = sample(engine, CORRELATED, X.expand(8, -1), torch.Generator().manual_seed(0))
    assert result.z0.shape == (8, *SHAPE) and result.z0.isfinite().all()
    assert "chain/mean_square" in result.diagnostics
    expected = "chain/gradient_norm" if name != "variational" else "chain/kl"
    assert expected in result.diagnostics
    assert all(math.isfinite(value) for value in result.diagnostics.values())


def test_prior_weight_rises_from_its_start_to_its_full_value():
    config = PosteriorConfig(prior_weight=0.5, prior_start=0.2, prior_warmup=100)
    assert config.weight_at(0) == pytest.approx(0.1)
    assert config.weight_at(50) == pytest.approx(0.3)
    assert config.weight_at(100) == config.weight_at(10**6) == pytest.approx(0.5)
    assert PosteriorConfig(prior_warmup=0).weight_at(0) == 1.0


def test_unknown_engine_and_missing_steps_are_refused():
    with pytest.raises(ValueError, match=r"'hmc'.*langevin.*amortized"):
        from_tree({"task": "toy", "engine": "hmc"})
    for name in ("langevin-paper", "preconditioned", "variational"):
        with pytest.raises(ValueError, match=r"posterior\.steps=0: .* at least 1"):
            make_engine(name, steps=0)
    with pytest.raises(ValueError, match=r"posterior\.steps=-1"):
        make_engine("amortized", steps=-1)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["prior_weight", "prior_start", "return_weight"])
def test_weights_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"posterior\.{name}=.* must be positive, finite"):
        PosteriorConfig(**{name: value})


def test_corrected_steps_in_the_proposals_metric_have_the_exact_posterior(learned):
    """4000 chains from q at one x, 60 steps: no bias, whatever the step size was at first."""
    x = X.expand(4000, -1)
    mean, covariance, _ = exact(CORRELATED, X)
    for first in (0.3, 1.5):
        engine = with_steps(learned, 3, first, metric="proposal", corrected=True)
        generator = torch.Generator().manual_seed(4)
        for _ in range(40):  # visits, in which the step size adapts
            result = sample(engine, CORRELATED, x, generator)
        assert 0.5 < result.diagnostics["chain/acceptance"] < 0.85
        settled = with_steps(learned, 60, engine.step_size, metric="proposal", corrected=True)
        result = sample(settled, CORRELATED, x, generator)
        got_mean, got_covariance = moments(result.z0)
        deviations = covariance.diagonal() ** 0.5
        assert ((got_mean - mean).abs() < 5 / 4000**0.5 * deviations).all()
        scale = deviations[:, None] * deviations[None, :]
        assert ((got_covariance - covariance).abs() < 0.11 * scale).all()


def test_the_step_size_is_saved_with_the_engine(learned):
    engine = with_steps(learned, 2, 0.3, metric="proposal", corrected=True)
    sample(engine, CORRELATED, X.expand(8, -1), torch.Generator().manual_seed(0))
    assert engine.step_size != 0.3
    other = with_steps(learned, 2, 0.3, metric="proposal", corrected=True)
    other.load_state_dict(engine.state_dict())
    assert other.step_size == engine.step_size


def test_parts_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match=r"posterior\.corrected needs a metric"):
        make_engine("preconditioned", corrected=True)
    with pytest.raises(ValueError, match="does not go with"):
        LangevinEngine(LANGEVIN["langevin"], SHAPE)


def test_chains_from_the_prior_forget_it_and_keep_nothing():
    """4000 chains, 300 corrected steps: the posterior's moments within 5 standard errors."""
    settings = {"start": "prior", "corrected": True, "steps": 300, "step_size": 0.5}
    engine = make_engine("langevin-paper", **settings)
    result = sample(engine, CORRELATED, X.expand(4000, -1), torch.Generator().manual_seed(0))
    mean, covariance, _ = exact(CORRELATED, X)
    got_mean, got_covariance = moments(result.z0)
    deviations = covariance.diagonal() ** 0.5
    assert ((got_mean - mean).abs() < 5 / 4000**0.5 * deviations).all()
    scale = deviations[:, None] * deviations[None, :]
    assert ((got_covariance - covariance).abs() < 0.11 * scale).all()
    assert engine.chains is None and engine.state_dict().keys() == {"step_size"}
