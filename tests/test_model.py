"""The log joint is nats, its gradients are right, and segments estimate it without bias."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, Normal

from lpt.config import ModelConfig, SamplerConfig
from lpt.data import TrajectorySampler
from lpt.model.latent_plan import LatentPlanTransformer
from lpt.model.spaces import Spaces
from lpt.model.unet import UNetPrior


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_unet(multipliers, seed=0):
    torch.manual_seed(seed)
    unet = UNetPrior(4, multipliers).double()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return unet


@pytest.mark.parametrize(
    ("multipliers", "shape"), [((1,), (2, 3)), ((1, 2), (1, 8)), ((1, 2, 4, 8), (3, 7))]
)
def test_unet_gradient_equals_finite_differences(multipliers, shape):
    unet = random_unet(multipliers)
    z0 = noise(2, *shape, dtype=torch.float64).requires_grad_()
    assert unet(z0).shape == z0.shape
    assert not torch.allclose(unet(z0), z0)
    assert torch.autograd.gradcheck(unet, (z0,))


def test_unet_starts_as_the_identity_and_zero_width_stays_it():
    z0 = noise(5, 4, 16)
    assert torch.equal(UNetPrior(16, (1, 2, 4, 8))(z0), z0)
    plain = UNetPrior(0, (1, 2))
    assert torch.equal(plain(z0), z0) and not list(plain.parameters())


def test_unet_has_the_papers_size():
    assert sum(p.numel() for p in UNetPrior(16, (1, 2, 4, 8)).parameters()) < 1_000_000


@pytest.mark.parametrize("likelihood", ["gaussian", "censored", "categorical"])
def test_log_joint_gradient_equals_finite_differences(make_model, likelihood):
    actions_dim = 3 if likelihood == "categorical" else 2
    model = make_model(likelihood=likelihood, action_dim=actions_dim).double()
    observations = noise(2, 2, 6, 3, dtype=torch.float64)
    previous = noise(2, 2, 6, actions_dim, seed=1, dtype=torch.float64)
    actions = noise(2, 2, 6, 2, seed=2, dtype=torch.float64).clamp(-1, 1)
    if likelihood == "categorical":
        actions = torch.randint(3, (2, 2, 6), generator=torch.Generator().manual_seed(0))
    weight = noise(2, 2, 6, seed=3, dtype=torch.float64).abs()
    returns = noise(2, seed=4, dtype=torch.float64)

    def log_joint(z0):
        z = model.plan_from_noise(z0)
        log_actions = model.log_actions(z, observations, previous, actions, weight)
        return model.log_prior(z0) + log_actions + model.log_return(z, returns)

    assert torch.autograd.gradcheck(
        log_joint, (noise(2, 2, 8, dtype=torch.float64).requires_grad_(),)
    )


@pytest.mark.parametrize("return_std", [0.3, 1.0])
def test_log_joint_is_in_nats(make_model, return_std):
    model = make_model(return_std=return_std, action_std=0.4)
    z0, returns = noise(3, 2, 8), noise(3, seed=1)
    observations, previous = noise(3, 1, 9, 3, seed=2), noise(3, 1, 9, 2, seed=3)
    actions = noise(3, 1, 9, 2, seed=4).clamp(-1, 1)
    with torch.no_grad():
        z = model.plan_from_noise(z0)
        prior = Normal(0.0, 1.0).log_prob(z0).flatten(1).sum(1)
        constant = 0.5 * z0[0].numel() * math.log(2 * math.pi)  # the one constant left out
        torch.testing.assert_close(model.log_prior(z0) - constant, prior)
        want = Normal(model.predicted_return(z), return_std).log_prob(returns)
        torch.testing.assert_close(model.log_return(z, returns), want)
        mean = model.generator(z, observations, previous).tanh()
        want = Independent(Normal(mean, 0.4), 1).log_prob(actions).sum((1, 2))
        got = model.log_actions(z, observations, previous, actions, torch.ones(3, 1, 9))
        torch.testing.assert_close(got, want)


def test_trajectory_and_return_are_independent_given_the_plan(make_model):
    model = make_model()
    z = noise(1, 2, 8).requires_grad_()
    loss = model.log_actions(
        z, noise(1, 1, 4, 3), noise(1, 1, 4, 2), noise(1, 1, 4, 2), torch.ones(1, 1, 4)
    )
    gradients = torch.autograd.grad(
        loss.sum(), list(model.return_predictor.parameters()), allow_unused=True
    )
    assert all(g is None for g in gradients)


def test_every_block_reads_the_plan(make_model):
    model = make_model(layers=3)
    loss = model.generator(noise(1, 2, 8), noise(1, 1, 4, 3), noise(1, 1, 4, 2)).sum()
    loss.backward()
    for block in model.generator.blocks:
        assert block.plan_attention.key_value.weight.grad.abs().sum() > 0


def test_segments_of_one_trajectory_share_its_plan(make_model):
    model = make_model()
    z, observations, previous = noise(3, 2, 8), noise(3, 4, 5, 3, seed=1), noise(3, 4, 5, 2, seed=2)
    with torch.no_grad():
        together = model.generator(z, observations, previous)
        for b in range(3):
            for m in range(4):
                alone = model.generator(
                    z[b : b + 1], observations[b : b + 1, m : m + 1], previous[b : b + 1, m : m + 1]
                )
                torch.testing.assert_close(together[b, m], alone[0, 0], rtol=1e-5, atol=1e-6)


def test_segments_estimate_log_actions_and_its_gradient_without_bias(make_model, dataset):
    """Mean of R=2000 draws against the whole sum; tolerance five standard errors of that mean."""
    model = make_model(spread=0.3)
    draws, groups, lengths = 2000, 20, dataset.lengths
    chosen = torch.tensor([0, 2, 3, int(lengths.argsort()[12])])  # 1, 3, 30 and a middle length
    config = SamplerConfig(batch_trajectories=4, segments=3, segment_steps=6)
    sampler = TrajectorySampler(dataset, config, context=model.config.context, seed=1)
    z = noise(4, 2, 8)
    parameters = [model.generator.head.weight, model.generator.state.weight]

    def evaluate(batch, z):
        value = model.log_actions(
            z, batch.observations, batch.previous_actions, batch.actions, batch.weight
        )
        return value, torch.cat([g.flatten() for g in torch.autograd.grad(value.sum(), parameters)])

    whole, whole_gradient = evaluate(sampler.whole(chosen), z)
    estimates, gradients = [], []
    for _ in range(groups):
        batch = sampler.resegment(chosen.repeat(draws // groups))
        value, gradient = evaluate(batch, z.repeat(draws // groups, 1, 1))
        estimates.append(value.detach().view(-1, 4))
        gradients.append(gradient / (draws // groups))
    estimate = torch.cat(estimates)
    error = estimate.std(0) / draws**0.5
    assert ((estimate.mean(0) - whole).abs() <= 5 * error + 1e-4 * whole.abs()).all()
    assert (error < 0.05 * whole.abs().max()).all()  # the test can see a bias of a few per cent
    gradient = torch.stack(gradients)
    error = gradient.std(0) / groups**0.5
    # Student's t with 19 degrees of freedom: |t| > 7 has a probability of 1e-6 a component.
    assert ((gradient.mean(0) - whole_gradient).abs() <= 7 * error + 1e-4).all()
    assert error.norm() < 0.05 * whole_gradient.norm()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "model.width=8.*model.heads=3"),
        ({"heads": 8}, "even multiple"),
        ({"context": 0}, "model.context=0"),
        ({"return_std": 0.0}, "model.return_std"),
        ({"inputs": "actions"}, "model.inputs is 'actions'"),
        ({"frequencies": -1}, "model.frequencies=-1"),
        ({"frequency_dims": (0,)}, r"frequency_dims=\[0\] needs model.frequencies"),
        ({"frequencies": 2, "frequency_dims": (1, 1)}, "different coordinates"),
        ({"frequencies": 2, "frequency_dims": (-1,)}, "counted from 0"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(ModelConfig(width=8, heads=2), **changes)


@pytest.mark.parametrize(("likelihood", "discrete"), [("categorical", False), ("gaussian", True)])
def test_likelihood_must_fit_the_actions(likelihood, discrete):
    spaces = Spaces(observation_dim=3, action_dim=2, discrete=discrete)
    with pytest.raises(ValueError, match="does not fit"):
        LatentPlanTransformer(ModelConfig(likelihood=likelihood), spaces)


def test_frequency_dims_must_fit_the_observations():
    spaces = Spaces(observation_dim=3, action_dim=2, discrete=False)
    with pytest.raises(ValueError, match="have 3 coordinates, 0 to 2"):
        LatentPlanTransformer(ModelConfig(frequencies=1, frequency_dims=(0, 3)), spaces)


def test_states_alone_have_no_layer_for_actions_and_actions_do_not_matter(make_model):
    model = make_model(inputs="states")
    names = make_model().state_dict().keys() - model.state_dict().keys()
    assert names == {"generator.previous_action.weight"}
    z, observations = noise(2, 2, 8), noise(2, 1, 9, 3)
    one, two = (model.generator(z, observations, noise(2, 1, 9, 2, seed=s)) for s in (1, 2))
    assert torch.equal(one, two)


def test_frequencies_add_columns_and_nothing_else(make_model):
    """Of sine and cosine, for each chosen coordinate at wavelengths of 4, 2 and 1 deviations."""
    plain = make_model().state_dict()
    model = make_model(frequencies=3, frequency_dims=(2, 0))
    state = model.state_dict()
    assert state.keys() == plain.keys()
    different = {name for name in state if state[name].shape != plain[name].shape}
    assert different == {"generator.state.weight"}
    layer, x = model.generator.state, noise(5, 3)
    assert layer.weight.shape == (8, 3 + 2 * 2 * 3)
    angles = torch.stack([x[:, i] * 2 * math.pi / wave for i in (2, 0) for wave in (4, 2, 1)], 1)
    seen = torch.cat((x, angles.sin(), angles.cos()), 1)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(seen, layer.weight, layer.bias))


def test_frequencies_of_all_coordinates_are_the_default(make_model):
    one, two = (make_model(frequencies=2, frequency_dims=dims) for dims in ((), (0, 1, 2)))
    x = noise(5, 3)
    assert torch.equal(one.generator.state(x), two.generator.state(x))


def test_prior_width_must_fit_the_norm():
    with pytest.raises(ValueError, match="prior_width=6"):
        UNetPrior(6, (1,))
