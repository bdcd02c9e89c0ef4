"""The proposal reads a fair overview of a trajectory and gives a proper Gaussian."""

import numpy as np
import pytest
import torch

from lpt.config import ProposalConfig
from lpt.inference.proposal import Proposal, overview
from lpt.model.spaces import Spaces


def look(data, index, steps, view="whole", seed=0):
    config = ProposalConfig(steps=steps, view=view)
    return overview(data, np.asarray(index), config, torch.Generator().manual_seed(seed))


def test_overview_spreads_evenly_from_the_first_step_to_the_last(dataset):
    index = [3, 7]
    glance = look(dataset, index, 5)
    assert glance.shape == (2, 5, 3 + 2 + 1) and glance.dtype == torch.float32
    for row, i in enumerate(index):
        trajectory = dataset.trajectory(i)
        steps = np.rint(np.linspace(0, len(trajectory) - 1, 5)).astype(int)
        state = (
            trajectory.observations[steps] - dataset.observation_mean
        ) / dataset.observation_std
        np.testing.assert_allclose(glance[row, :, :3], state, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(glance[row, :, 3:5], trajectory.actions[steps])
        np.testing.assert_allclose(glance[row, :, 5], steps / dataset.lengths.max(), rtol=1e-6)


def test_overview_stays_within_a_trajectory_shorter_than_itself(dataset):
    glance = look(dataset, [0, 1], 6)  # of one step and of two
    first = dataset.trajectory(0)
    np.testing.assert_array_equal(glance[0, :, 3:5], np.repeat(first.actions, 6, axis=0))
    assert glance[1, 0, 5] == 0 and glance[1, -1, 5] == pytest.approx(1 / dataset.lengths.max())


def test_overview_of_discrete_actions_is_one_hot(discrete_dataset):
    glance = look(discrete_dataset, range(16), 4)
    one_hot = glance[..., 3:8]
    assert glance.shape == (16, 4, 3 + 5 + 1)
    assert (one_hot.sum(-1) == 1).all() and ((one_hot == 0) | (one_hot == 1)).all()
    first = discrete_dataset.actions[discrete_dataset.offsets[:-1]]
    np.testing.assert_array_equal(one_hot[:, 0].argmax(-1), first)


def test_a_view_of_the_end_tells_the_order_and_hides_where_it_begins(dataset):
    """300 views of a trajectory of 30 steps: from a random step on, in order, to the last."""
    glance = look(dataset, [3] * 300, 5, view="end")
    assert (glance[..., -1] == torch.linspace(0, 1, 5)).all()
    actions = torch.from_numpy(dataset.trajectory(3).actions.copy())
    steps = (glance[:, :, None, 3:5] == actions).all(-1).int().argmax(-1)  # [300, 5]
    assert (steps[:, -1] == 29).all() and (steps.diff(dim=1) >= 0).all()
    first = steps[:, 0].float()
    assert first.min() < 2 and first.max() > 27 and abs(float(first.mean()) - 14.5) < 3
    for begin, middle in steps[:, [0, 2]].tolist():
        assert abs(middle - (begin + 29) / 2) <= 1
    assert torch.equal(glance, look(dataset, [3] * 300, 5, view="end"))
    assert not torch.equal(glance, look(dataset, [3] * 300, 5, view="end", seed=1))


def make_proposal(**settings):
    torch.manual_seed(0)
    spaces = Spaces(observation_dim=3, action_dim=2, discrete=False)
    config = ProposalConfig(steps=4, width=16, layers=1, heads=2, **settings)
    return Proposal(config, spaces, (2, 8))


def test_a_proposal_that_may_not_read_the_return_does_not():
    proposal, glance = make_proposal(reads_return=False), torch.randn(5, 4, 6)
    with torch.no_grad():
        assert torch.equal(proposal(glance, torch.zeros(5))[0], proposal(glance, torch.ones(5))[0])


def test_gaussian_is_shaped_bounded_and_reads_trajectory_and_return():
    proposal = make_proposal()
    glance, returns = torch.randn(5, 4, 6), torch.randn(5)
    with torch.no_grad():
        mean, std = proposal(glance, returns)
        assert mean.shape == std.shape == (5, 2, 8)
        assert not torch.allclose(mean, proposal(glance, returns + 1)[0])
        for place in (0, 3):
            changed = glance.clone()
            changed[:, place] += 1
            assert not torch.allclose(mean, proposal(changed, returns)[0])
        alone = proposal(glance[2:3], returns[2:3])[0]
        torch.testing.assert_close(alone, mean[2:3], rtol=1e-4, atol=1e-5)
        far = proposal(1e4 * glance, 1e4 * returns)[1]
    assert (far >= np.exp(-6.001)).all() and (far <= np.exp(1.001)).all()


def test_proposal_starts_near_the_prior():
    mean, std = make_proposal()(torch.randn(64, 4, 6), torch.randn(64))
    assert mean.abs().mean() < 1 and 0.3 < std.mean() < 3


def test_steps_that_are_shown_again_are_read_once_and_counted_as_often(dataset):
    """Trajectories of 1 to 30 steps, 12 of each shown: the same moments and gradients."""
    config = ProposalConfig(steps=12, width=16, layers=2, heads=2)
    torch.manual_seed(0)
    spaces = Spaces(observation_dim=3, action_dim=2, discrete=False)
    proposal = Proposal(config, spaces, (2, 8))
    index = np.arange(len(dataset))
    shown = overview(dataset, index, config, torch.Generator())
    steps = torch.cat((shown, torch.randn(len(shown), 1, 1).expand(-1, 12, 1)), -1)
    read, reading = [], proposal._read
    proposal._read = lambda part, times=None: read.append(part.shape[:2]) or reading(part, times)
    results = []
    for worth in (10**9, 1):
        read.clear()
        said = proposal._read_distinct(steps, worth)
        weights = (p for name, p in proposal.named_parameters() if name[:4] in ("embe", "enco"))
        results.append([said, *torch.autograd.grad(said.square().sum(), list(weights))])
    assert len(read) > 1 and sum(rows * most for rows, most in read) < len(shown) * 12
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_view_of_an_end_is_read_as_it_is(dataset):
    config = ProposalConfig(steps=12, width=16, layers=1, heads=2, view="end")
    spaces = Spaces(observation_dim=3, action_dim=2, discrete=False)
    proposal = Proposal(config, spaces, (2, 8))
    shown = overview(dataset, np.arange(len(dataset)), config, torch.Generator().manual_seed(0))
    steps = torch.cat((shown, torch.zeros(len(shown), 12, 1)), -1)
    assert torch.equal(proposal._read_distinct(steps, 1), proposal._read(steps))
