"""Chains belong to trajectories by number, are saved whole, and can be resharded."""

import pytest
import torch

from lpt.inference.chains import Chains


def chains(trajectories=10, shard=(0, 1), seed=0, shape=(2, 3)):
    return Chains(trajectories, shape, torch.Generator().manual_seed(seed), shard)


def test_chains_start_from_the_prior():
    states = chains(4000).states.flatten()
    assert abs(float(states.mean())) < 0.05 and abs(float(states.std()) - 1) < 0.02


def test_a_chain_belongs_to_its_trajectory_number_not_to_a_place_in_the_batch():
    ours = chains()
    ours.write(
        torch.tensor([7, 2]), torch.stack((torch.full((2, 3), 7.0), torch.full((2, 3), 2.0)))
    )
    read = ours.read(torch.tensor([2, 5, 7]))
    assert (read[0] == 2).all() and (read[2] == 7).all()
    assert torch.equal(read[1], chains().states[5])
    assert ours.visits.tolist() == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]


def test_what_is_read_is_a_copy_and_what_is_kept_is_detached():
    ours = chains()
    before = ours.states.clone()
    ours.read(torch.tensor([1])).add_(1)
    assert torch.equal(ours.states, before)
    value = torch.ones(1, 2, 3, requires_grad=True)
    ours.write(torch.tensor([1]), 2 * value)
    assert not ours.states.requires_grad


def test_a_trajectory_twice_in_a_batch_is_refused():
    with pytest.raises(ValueError, match="twice"):
        chains().write(torch.tensor([3, 3]), torch.zeros(2, 2, 3))


def test_another_shards_trajectory_is_refused():
    with pytest.raises(ValueError, match=r"shard \(1, 2\)"):
        chains(shard=(1, 2)).read(torch.tensor([1, 4]))


@pytest.mark.parametrize("old", [1, 2, 3])
@pytest.mark.parametrize("new", [1, 2, 4])
def test_chains_are_gathered_and_sharded_again_for_any_world_size(old, new):
    whole = chains(11)
    saved = []
    for rank in range(old):
        shard = chains(11, (rank, old))
        mine = torch.arange(rank, 11, old)
        assert torch.equal(shard.states, whole.states[mine])  # all shards draw the same whole set
        shard.write(mine, mine[:, None, None].expand(-1, 2, 3).float())
        saved.append(shard.state_dict())
    for rank in range(new):
        shard = chains(11, (rank, new), seed=9)
        shard.load_state_dict(*reversed(saved))
        mine = torch.arange(rank, 11, new)
        assert torch.equal(shard.read(mine)[:, 0, 0], mine.float())
        assert (shard.visits == 1).all()


def test_a_saved_state_is_restored_and_not_shared():
    ours, other = chains(), chains(seed=1)
    other.load_state_dict(ours.state_dict())
    assert torch.equal(other.states, ours.states)
    other.write(torch.tensor([0]), torch.zeros(1, 2, 3))
    assert not torch.equal(other.states, ours.states)


def test_chains_of_other_data_or_another_model_are_refused():
    with pytest.raises(ValueError, match="cover 10 trajectories, the data set has 9"):
        chains(9).load_state_dict(chains(10).state_dict())
    with pytest.raises(ValueError, match="cover 5 trajectories"):
        chains(10).load_state_dict(chains(10, (0, 2)).state_dict())
    with pytest.raises(ValueError, match=r"plans of \(2, 3\), the model of \(2, 4\)"):
        chains(10, shape=(2, 4)).load_state_dict(chains(10).state_dict())
