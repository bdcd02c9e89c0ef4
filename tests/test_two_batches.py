"""Chains with a batch of their own: what moves, what is kept, what parameters learn from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lpt.config import SamplerConfig
from lpt.data import TrajectorySampler
from lpt.training.trainer import Trainer

CPU = torch.device("cpu")
OWN = {"trajectories": 5, "segments": 4, "warmup": 2}


@pytest.fixture
def config(make_config):
    return make_config(
        engine="langevin",
        posterior={**OWN, "steps": 1},
        sampler={"batch_trajectories": 8, "stratified": True},
    )


def test_resume_is_exact_on_both_sides_of_the_warmup(config, dataset, assert_resume_is_exact):
    assert_resume_is_exact(config, dataset)


@pytest.mark.parametrize("engine", ["langevin", "langevin-paper", "preconditioned"])
def test_parameters_learn_at_kept_plans_of_visited_trajectories(make_config, dataset, engine):
    config = make_config(engine=engine, posterior=OWN, sampler={"batch_trajectories": 8})
    trainer = Trainer(config, dataset, CPU)
    chains = trainer.inference.engine.chains
    start = chains.states.clone()
    for _ in range(OWN["warmup"]):
        trainer.update()
    visited = chains.visits > 0
    assert 5 <= int(visited.sum()) <= 10 and int(chains.visits.sum()) == 10
    assert torch.equal(chains.states[~visited], start[~visited])
    assert not torch.isclose(chains.states[visited], start[visited]).all(-1).any()
    seen = np.zeros(len(dataset), bool)
    for _ in range(20):
        batch = trainer.batches.to_learn(trainer.updates)
        assert len(batch.index) == min(8, int(visited.sum()))
        seen[batch.index] = True
    assert np.array_equal(seen, visited.numpy())


def test_a_kept_plan_gets_no_gradient_and_the_moved_batch_teaches_the_proposal_only(
    config, dataset
):
    trainer = Trainer(config, dataset, CPU)
    for _ in range(2):
        trainer.update()
    trainer.model.zero_grad(set_to_none=True)
    posterior = trainer.infer(trainer._with_noise(trainer.batches.to_infer()), 1.0)
    posterior.penalty.backward()
    assert all(p.grad is None for p in trainer.model.parameters())
    assert any(p.grad is not None and p.grad.any() for p in trainer.inference.parameters())
    assert not posterior.z0.requires_grad


@pytest.mark.parametrize(
    ("engine", "steps", "message"),
    [
        ("variational", 2, "engine variational keeps none"),
        ("amortized", 0, "needs steps, and engine amortized takes none"),
    ],
)
def test_engines_that_keep_nothing_are_refused(make_config, dataset, engine, steps, message):
    with pytest.raises(ValueError, match=message):
        Trainer(make_config(engine=engine, posterior={**OWN, "steps": steps}), dataset, CPU)


def test_more_chains_than_trajectories_are_refused(make_config, dataset):
    config = make_config(engine="langevin", posterior={"trajectories": 25})
    with pytest.raises(
        ValueError, match=r"posterior.trajectories=25, but .* has 24 trajectories: set"
    ):
        Trainer(config, dataset, CPU)


@pytest.mark.parametrize("name", ["trajectories", "segments", "warmup", "prior_warmup"])
def test_negative_counts_are_refused(make_config, name):
    with pytest.raises(ValueError, match=f"posterior.{name}=-1 must be 0 or more"):
        make_config(posterior={name: -1})


@pytest.mark.parametrize("steps", [1, 3])
def test_stratified_segments_estimate_the_same_sum_with_less_noise(dataset, steps):
    """Each step is scored as often as any other: its mean weight is 1."""
    mean, spread = {}, {}
    longest = np.asarray(dataset.lengths.argmax())[None]
    length = int(dataset.lengths[longest][0])
    for stratified in (False, True):
        config = SamplerConfig(
            batch_trajectories=1, segments=4, segment_steps=steps, stratified=stratified
        )
        sampler = TrajectorySampler(dataset, config, context=1, seed=0)
        batches = [sampler.resegment(longest) for _ in range(4000)]
        values = torch.arange(1.0, length + 1)
        found = torch.tensor([_sum(batch, dataset, longest, values) for batch in batches])
        mean[stratified], spread[stratified] = float(found.mean()), float(found.std())
    for stratified in (False, True):
        assert mean[stratified] == pytest.approx(float(values.sum()), rel=0.02)
    assert spread[True] < 0.5 * spread[False]


def _sum(batch, dataset, index, values):
    """The estimate of `sum_t values[t]`, with steps told apart by their observation."""
    offset = dataset.offsets[index[0]]
    rows = dataset.observations[offset : offset + len(values)]
    standard = torch.tensor((rows - dataset.observation_mean) / dataset.observation_std)
    distance = (batch.observations[0, :, :, None] - standard).abs().sum(-1)  # [M, L, T]
    return float((batch.weight[0] * values[distance.argmin(-1)]).sum())


def test_draws_among_some_keep_their_chances(dataset):
    sampler = TrajectorySampler(dataset, SamplerConfig(batch_trajectories=1), context=1, seed=0)
    among = np.zeros(len(dataset), bool)
    among[[2, 5, 11]] = True
    counts = np.bincount(
        np.concatenate([sampler.draw(among) for _ in range(6000)]), minlength=len(dataset)
    )
    assert not counts[~among].any()
    expected = dataset.lengths[among] / dataset.lengths[among].sum()
    assert counts[among] / 6000 == pytest.approx(expected, abs=0.02)
    assert set(sampler.draw(np.zeros(len(dataset), bool) | among)) <= {2, 5, 11}


def test_evidence_of_ends_is_what_the_proposal_sees(make_config, dataset):
    """Chains and proposal see a trajectory from the same random step on; parameters all of it."""
    config = make_config(
        engine="langevin",
        posterior={**OWN, "segments": 8},
        proposal={"view": "end"},
        model={"context": 1},
        sampler={"batch_trajectories": 8, "segment_steps": 1},
    )
    trainer = Trainer(config, dataset, CPU)
    seen = []
    look = trainer.inference.engine.proposal.overview
    network = replace(
        trainer.inference.engine.proposal,
        overview=lambda index, begin: seen.append(begin) or look(index, begin),
    )
    trainer.inference.engine.proposal = network
    batch = trainer.batches.to_infer()
    trainer.infer(batch, 1.0)
    assert torch.equal(seen[0], batch.begin) and batch.begin.unique().numel() == 5
    for row, index in enumerate(batch.index):
        steps = _steps(batch.observations[row, :, 0], dataset, int(index))
        first = int(batch.begin[row] * dataset.lengths[index])
        assert min(steps) >= first
        total = batch.weight[row].sum()  # single steps: each seen one counts once on average
        assert float(total) == pytest.approx(float(dataset.lengths[index] - first), rel=1e-5)
    assert not trainer.batches.sampler.next().begin.any()


def _steps(observations, dataset, index):
    """Which steps of a trajectory these are, `[M, obs] -> [M]`."""
    rows = dataset.trajectory(index).observations
    standard = torch.tensor((rows - dataset.observation_mean) / dataset.observation_std)
    return (observations[:, None] - standard).abs().sum(-1).argmin(-1).tolist()
