"""Each trap of the public code is a test here, by its number in the design document.

Those of the policy and of vectorized rollouts are in `test_policy.py` and `test_evaluation.py`;
here are the model, the posterior and learning.
"""

import numpy as np
import pytest
import torch

from lpt.algorithms.latent_plan import ENGINES
from lpt.config import PlanningConfig, SamplerConfig, preset
from lpt.config.command_line import parse_config
from lpt.data import TrajectoryDataset, TrajectorySampler
from lpt.inference.chains import Chains
from lpt.inference.planning import infer_plans
from lpt.model.attention import BandedSelfAttention
from lpt.training.diagnosis import diagnose
from lpt.training.trainer import Trainer

CPU = torch.device("cpu")
PERSISTENT = ["langevin-paper", "preconditioned"]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def record_inference(trainer):
    """Keep the evidence and plan of every inference that `trainer` makes."""
    engine = trainer.inference.engine
    seen, infer = [], engine.infer

    def recording(evidence, noise):
        result = infer(evidence, noise)
        seen.append((evidence, result.z0.detach().clone()))
        return result

    engine.infer = recording
    return seen


def test_trap_01_token_t_never_sees_its_own_action(make_model, dataset):
    model = make_model(context=30, spread=0.3)
    sampler = TrajectorySampler(dataset, SamplerConfig(batch_trajectories=1), 30, seed=0)
    batch = sampler.whole(torch.tensor([3]))
    changed = dataset.actions.copy()
    t = 10
    changed[dataset.offsets[3] + t] *= -1
    other = TrajectoryDataset.from_offsets(
        dataset.observations, changed, dataset.rewards, dataset.offsets
    )
    after = TrajectorySampler(other, sampler.config, 30, seed=0).whole(torch.tensor([3]))
    assert not torch.equal(batch.actions, after.actions)
    z = noise(1, 2, 8)
    with torch.no_grad():
        one = model.actions(z, batch.observations, batch.previous_actions).mode()[0, 0]
        two = model.actions(z, after.observations, after.previous_actions).mode()[0, 0]
    assert torch.equal(one[: t + 1], two[: t + 1])
    assert not torch.equal(one[t + 1], two[t + 1])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("segments", [0, 3])
def test_trap_01_chain_and_loss_are_the_same_log_joint(make_config, dataset, engine, segments):
    """At the chain's end, its energy is the loss's two terms and the prior, in the same nats."""
    trainer = Trainer(make_config(engine=engine, sampler={"segments": segments}), dataset, CPU)
    seen = record_inference(trainer)
    weight = trainer.config.posterior.weight_at(0)
    model = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    scalars = trainer.update()
    (evidence, z0), *_ = seen
    assert evidence.prior_weight == weight < 1
    trainer.model.load_state_dict(model)  # the parameters that the chain saw
    with torch.no_grad():
        likelihood = weight * (evidence.energy(z0) + trainer.model.log_prior(z0))
    want = float(scalars["loss/actions"]) / trainer.scale + float(scalars["loss/return"])
    assert float(likelihood.mean()) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("engine", PERSISTENT)
def test_trap_02_chains_are_indexed_by_trajectory_number(make_config, dataset, engine):
    trainer = Trainer(make_config(engine=engine), dataset, CPU)
    seen = record_inference(trainer)
    before = trainer.inference.engine.chains.states.clone()
    trainer.update()
    (evidence, z0), *_ = seen
    index = evidence.index
    assert sorted(index.tolist()) != list(range(8))  # numbers in the data set, not batch places
    after = trainer.inference.engine.chains.states
    moved = (after != before).flatten(1).any(1).nonzero().flatten()
    assert moved.tolist() == sorted(index.tolist())
    assert torch.equal(after[index], z0)


@pytest.mark.parametrize("engine", PERSISTENT)
def test_trap_03_chains_are_in_the_state_and_restored(make_config, dataset, engine):
    config = make_config(engine=engine)
    trainer = Trainer(config, dataset, CPU)
    for _ in range(3):
        trainer.update()
    tensors, values = trainer.state()
    states = trainer.inference.engine.chains.states.clone()
    fresh = Trainer(make_config(engine=engine, seed=9), dataset, CPU)
    chains = fresh.inference.engine.chains
    assert not torch.equal(chains.states, states)
    fresh.load_state(tensors, values)
    assert torch.equal(chains.states, states)
    assert torch.equal(chains.visits, trainer.inference.engine.chains.visits)


@pytest.mark.parametrize("method", ["langevin", "variational"])
def test_trap_04_planning_leaves_an_evaluated_model_without_dropout(make_model, method):
    model = make_model(dropout=0.5).eval()
    config = PlanningConfig(method=method, steps=3)
    z = infer_plans(model, torch.zeros(2), config, torch.Generator().manual_seed(0)).z
    assert not any(module.training for module in model.modules())
    with torch.no_grad():
        outputs = []
        for _ in range(2):
            cache = model.begin(z)
            outputs.append(model.step(cache, noise(2, 3), torch.zeros(2, 2)).mode())
    assert torch.equal(*outputs)


@pytest.mark.parametrize("engine", ENGINES)
def test_trap_04_chains_run_without_dropout_and_learning_with_it(make_config, dataset, engine):
    trainer = Trainer(make_config(engine=engine, model={"dropout": 0.5}), dataset, CPU)
    modes, likelihood = [], trainer.log_likelihood

    def recording(z0, batch):
        modes.append(trainer.model.training)
        return likelihood(z0, batch)

    trainer.log_likelihood = recording
    trainer.update()
    assert modes[-1] and not any(modes[:-1])


def test_trap_05_a_rollout_sees_the_action_history_that_learning_saw(make_model, dataset):
    """Acting out a recorded trajectory step by step gives learning's outputs, step for step."""
    model = make_model(context=4, spread=0.3)
    sampler = TrajectorySampler(dataset, SamplerConfig(batch_trajectories=1), 4, seed=0)
    batch = sampler.whole(torch.tensor([3]))
    z, trajectory = noise(1, 2, 8), dataset.trajectory(3)
    with torch.no_grad():
        learning = model.actions(z, batch.observations, batch.previous_actions).mode()[0, 0]
        cache, previous = model.begin(z), torch.full((1, 2), 0.7)  # must be ignored at the start
        for t in range(len(trajectory)):
            state = (
                trajectory.observations[t] - dataset.observation_mean
            ) / dataset.observation_std
            output = model.step(cache, torch.from_numpy(state)[None], previous).mode()
            torch.testing.assert_close(output[0], learning[t], rtol=0, atol=1e-5)
            previous = torch.tensor(trajectory.actions[t])[None]  # what was really done
        late = model.begin(z)  # and one step late is something else
        for t in range(8):
            before = torch.tensor(trajectory.actions[max(t - 2, 0)])[None]
            state = (
                trajectory.observations[t] - dataset.observation_mean
            ) / dataset.observation_std
            output = model.step(late, torch.from_numpy(state)[None], before).mode()
    assert (output[0] - learning[7]).abs().max() > 1e-3


def test_trap_06_positions_matter(make_model):
    """Without positions, attention is a sum over a set: permuting the past would change nothing.

    One layer, so that the last step reads the past tokens directly.
    """
    model = make_model(layers=1, context=8, spread=0.3)
    z, observations, previous = noise(1, 2, 8), noise(1, 1, 8, 3), noise(1, 1, 8, 2, seed=1)
    order = [3, 0, 6, 2, 5, 1, 4, 7]
    with torch.no_grad():
        one = model.generator(z, observations, previous)[0, 0, -1]
        two = model.generator(z, observations[:, :, order], previous[:, :, order])[0, 0, -1]
    assert (one - two).abs().max() > 1e-4


def test_trap_07_attention_is_scaled_by_the_root_of_its_width():
    torch.manual_seed(0)
    layer = BandedSelfAttention(16, 1, window=2)
    x = 5 * torch.randn(1, 1, 16).expand(1, 2, 16) * torch.tensor([1.0, -0.5])[None, :, None]
    with torch.no_grad():
        q, k, v = layer.qkv(x).chunk(3, dim=-1)
        frequency = 10000.0 ** (-torch.arange(8) / 8)
        first, second = q[0, 1, :8], q[0, 1, 8:]  # turned by one step against the key at step 0
        turned = torch.cat(
            (
                first * frequency.cos() - second * frequency.sin(),
                first * frequency.sin() + second * frequency.cos(),
            )
        )
        scores = torch.stack((turned @ k[0, 0], q[0, 1] @ k[0, 1])) / 16**0.5
        want = layer.out(scores.softmax(0) @ v[0])
        torch.testing.assert_close(layer(x)[0, 1], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("context", "layers"), [(64, 1), (64, 3)])
def test_trap_07_context_counts_environment_steps(make_model, context, layers):
    model = make_model(context=context, layers=layers, spread=0.5)
    observations = noise(1, 1, 80, 3).requires_grad_()
    output = model.generator(noise(1, 2, 8), observations, noise(1, 1, 80, 2))[0, 0, -1].sum()
    (gradient,) = torch.autograd.grad(output, observations)
    assert int((gradient[0, 0].abs().sum(-1) > 0).sum()) == context


def test_trap_08_a_trajectory_never_stands_in_a_batch_twice(make_config, dataset):
    trainer = Trainer(make_config(sampler={"batch_trajectories": 20}), dataset, CPU)
    for _ in range(20):
        assert len(trainer.batches.sampler.next().index.unique()) == 20
    with pytest.raises(ValueError, match="set it to 24 or less"):
        Trainer(make_config(sampler={"batch_trajectories": 25}), dataset, CPU)
    chains = Chains(4, (1, 2), torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="twice"):
        chains.write(torch.tensor([2, 2]), torch.zeros(2, 1, 2))


def test_trap_09_the_seed_seeds_training(make_config, dataset):
    def first_update(seed):
        trainer = Trainer(make_config(seed=seed), dataset, CPU)
        return trainer.update(), trainer.model.generator.head.weight.detach().clone()

    torch.manual_seed(1)
    losses, weights = first_update(3)
    torch.manual_seed(2)
    again, same = first_update(3)
    assert losses["loss/total"] == again["loss/total"] and torch.equal(weights, same)
    assert losses["loss/total"] != first_update(4)[0]["loss/total"]


def test_trap_09_command_line_flags_beat_presets():
    own = preset("maze2d-umaze")
    flags = ["--seed", "7", "--updates", "123", "--model.width", "96", "--evaluation.target", "1.5"]
    config = parse_config(["--env", "maze2d-umaze", *flags, "--training.learning-rate", "3e-5"])
    assert (config.seed, config.updates, config.model.width) == (7, 123, 96)
    assert config.evaluation.target == 1.5 and config.training.learning_rate == 3e-5
    assert (own.updates, own.model.width) != (123, 96) and own.evaluation.target != 1.5
    assert config.model.layers == own.model.layers  # what is not named stays the preset's
    assert config.dataset == own.dataset and config.task == "maze2d-umaze"


def test_trap_10_a_step_costs_the_same_at_any_age_and_episodes_run_as_one_batch(make_model):
    model = make_model(context=6)
    z, observations, previous = noise(5, 2, 8), noise(5, 40, 3), noise(5, 40, 2, seed=1)
    with torch.no_grad():
        cache = model.begin(z)
        sizes = []
        for t in range(40):
            together = model.step(cache, observations[:, t], previous[:, t]).mode()
            sizes.append(sum(steps.keys.numel() + steps.values.numel() for steps in cache.steps))
        assert len(set(sizes)) == 1
        for row in range(5):
            alone = model.begin(z[row : row + 1])
            for t in range(40):
                last = model.step(
                    alone, observations[row : row + 1, t], previous[row : row + 1, t]
                ).mode()
            torch.testing.assert_close(last[0], together[row], rtol=0, atol=1e-5)


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ENGINES)
def test_trap_11_everything_runs_on_the_device_asked_for(make_config, dataset, engine, device):
    trainer = Trainer(make_config(engine=engine), dataset, torch.device(device))
    trainer.update()
    diagnose(trainer)
    tensors, values = trainer.state()
    trainer.load_state(tensors, values)
    assert np.isfinite(float(trainer.update()["loss/total"]))
    generator = torch.Generator(device).manual_seed(0)
    targets = torch.ones(3, device=device)
    z = infer_plans(trainer.policy_model.eval(), targets, PlanningConfig(steps=3), generator).z
    cache = trainer.policy_model.begin(z)
    states = torch.zeros(3, 3, device=device)
    action = trainer.policy_model.step(cache, states, torch.zeros(3, 2, device=device)).mode()
    assert action.device.type == device


@pytest.mark.parametrize("engine", ENGINES)
def test_trap_11_statistics_come_from_the_data(make_config, dataset, engine):
    """The same data in other units (millimeters, Kelvin, cents) train alike."""
    other = TrajectoryDataset.from_offsets(
        dataset.observations * [1000, 1, -2] + [0, 273, 5],
        dataset.actions,
        dataset.rewards * 100,
        dataset.offsets,
    )
    losses = []
    for data in (dataset, other):
        trainer = Trainer(make_config(engine=engine), data, CPU)
        if data is other:
            # A unit turned round (the -2) turns one column of each input layer round, no more.
            with torch.no_grad():
                trainer.model.generator.state.weight[:, 2] *= -1
                if engine in ("amortized", "langevin"):
                    trainer.inference.engine.proposal.network.embed.weight[:, 2] *= -1
        losses.append(float(trainer.update()["loss/total"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
