import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpt.config import DatasetConfig
from lpt.data import Provenance, TrajectoryDataset
from lpt.data.returns import cut, label


def test_recorded_and_held_labels():
    rewards = np.array([0, 1, 1, 0, 1, 0, 0, 1], np.float32)
    offsets = np.array([0, 3, 5, 7, 8])
    terminated = np.array([False, True, False, False])
    recorded = label(rewards, offsets, terminated, "recorded", None)
    assert recorded.tolist() == [2, 1, 0, 1]
    held = label(rewards, offsets, terminated, "held", 10)
    # 2 + (10 - 3) 1; terminated, so not held; last reward 0; 1 + (10 - 1) 1
    assert held.tolist() == [9, 1, 0, 10]


def test_a_trajectory_longer_than_the_horizon_is_not_held():
    held = label(np.ones(12, np.float32), np.array([0, 12]), np.array([False]), "held", 10)
    assert held.tolist() == [12]


@pytest.mark.parametrize("horizon", [None, 0])
def test_held_needs_a_horizon(make_dataset, horizon):
    with pytest.raises(ValueError, match=r"needs the task's horizon.*set dataset\.horizon"):
        make_dataset([4], config=DatasetConfig(returns="held", horizon=horizon))


def test_unknown_convention_is_refused(make_dataset):
    with pytest.raises(ValueError, match=r"'best', expected 'recorded' or 'held'"):
        make_dataset([4], config=DatasetConfig(returns="best"))


def test_the_files_own_horizon_is_the_default(make_dataset):
    origin = Provenance(details={"horizon": 50})
    dataset = make_dataset([4], provenance=origin, config=DatasetConfig(returns="held"))
    assert dataset.config.horizon == 50
    given = DatasetConfig(returns="held", horizon=60)
    assert make_dataset([4], provenance=origin, config=given).config.horizon == 60


def test_long_sums_keep_their_digits():
    rewards = np.full(1_000_000, 0.1, np.float32)
    y = label(rewards, np.array([0, len(rewards)]), np.array([False]), "recorded", None)
    assert y[0] == pytest.approx(float(np.float32(0.1)) * 1e6, rel=1e-7)


flags = st.lists(st.sampled_from(["", "", "terminal", "timeout"]), min_size=1, max_size=60)


@given(flags, st.one_of(st.none(), st.integers(1, 7)))
def test_cutting_agrees_with_a_loop_over_steps(marks, horizon):
    """The loop is D4RL's rule: stop at a flag or, without timeouts, at the horizon."""
    terminals = np.array([m == "terminal" for m in marks])
    timeouts = np.array([m == "timeout" for m in marks]) if horizon is None else None
    offsets, ended, length = [0], [], 0
    for t in range(len(marks)):
        length += 1
        stop = timeouts[t] if timeouts is not None else length == horizon
        if terminals[t] or stop:
            offsets.append(t + 1)
            ended.append(bool(terminals[t]))
            length = 0
    got, terminated = cut(terminals, timeouts, horizon)
    assert got.tolist() == offsets and terminated.tolist() == ended


def test_the_unfinished_tail_is_dropped_and_counted(steps):
    arrays = {name: array[:-1] for name, array in steps([3, 4, 5]).items()}
    dataset = TrajectoryDataset.from_steps(**arrays)
    assert dataset.lengths.tolist() == [3, 4]
    assert dataset.provenance.details["dropped_tail_steps"] == 4


def test_without_timeouts_the_horizon_cuts(steps):
    arrays = steps([30])
    del arrays["timeouts"]
    arrays["terminals"][:] = False
    dataset = TrajectoryDataset.from_steps(**arrays, config=DatasetConfig(horizon=9))
    assert dataset.lengths.tolist() == [9, 9, 9]
    with pytest.raises(ValueError, match=r"'timeouts' is missing.*set dataset\.horizon"):
        TrajectoryDataset.from_steps(**arrays)
